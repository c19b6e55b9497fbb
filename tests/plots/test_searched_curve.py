"""The curve of a search of scikit-learn over targets: its scores, and what is said."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.plots import SparsityCurveDisplay

FAST = {"max_iter": 5, "random_state": 0, "batch_size": 442}
quiet = pytest.mark.filterwarnings("ignore::UserWarning")


def make(**params):
    return SparseNetRegressor((4,), **{**FAST, **params})


def piped(net):
    return Pipeline([("scale", StandardScaler()), ("net", net)])


@quiet
def test_a_grid_over_the_targets_of_a_step(diabetes):
    grid = {"net__target_sparsity": [10, 30, 20]}
    search = GridSearchCV(piped(make()), grid, cv=3).fit(*diabetes)
    display = SparsityCurveDisplay.from_estimator(search)
    results, order = search.cv_results_, [1, 2, 0]
    assert display.mean_line_.get_xdata().tolist() == [30, 20, 10]
    assert_allclose(
        display.mean_line_.get_ydata(), 1 - results["mean_test_score"][order]
    )
    assert len(display.fold_lines_) == 3
    for k, line in enumerate(display.fold_lines_):
        expected = 1 - results[f"split{k}_test_score"][order]
        assert_allclose(line.get_ydata(), expected)
    best = search.best_params_["net__target_sparsity"]
    assert display.chosen_.get_xdata() == [best]
    assert display.ax_.get_xlabel() == "weights asked for"
    assert display.ax_.get_ylabel() == "1 - R²"
    assert display.mean_line_.get_label() == "mean of folds"


@quiet
def test_of_other_parameters_the_best_are_shown_and_named(diabetes):
    grid = {"net__target_sparsity": [30, 10], "net__activation": ["relu", "tanh"]}
    search = GridSearchCV(piped(make()), grid, cv=2, scoring="neg_mean_squared_error")
    display = SparsityCurveDisplay.from_estimator(search.fit(*diabetes), kind="score")
    results = search.cv_results_
    targets = np.asarray(results["param_net__target_sparsity"], dtype=int)
    best = [results["mean_test_score"][targets == n].max() for n in (30, 10)]
    assert_allclose(display.mean_line_.get_ydata(), best)
    assert display.mean_line_.get_label() == "mean of folds, best over activation"
    assert display.ax_.get_ylabel() == "neg_mean_squared_error"


@quiet
def test_fractions_are_counts_where_their_size_is_known(diabetes):
    grid = [{"target_sparsity": [0.5, 0.9]}, {"activation": ["tanh"]}]
    net = make(target_sparsity=12)
    search = GridSearchCV(net, grid, cv=2).fit(*diabetes)
    display = SparsityCurveDisplay.from_estimator(search)
    assert display.n_nonzeros.tolist() == [22, 12, 4]  # of 44; 12 where it is not set
    other = {"target_sparsity": [0.5], "hidden_layer_sizes": [(4,), (5,)]}
    search = GridSearchCV(make(), other, cv=2).fit(*diabetes)
    with pytest.raises(ValueError, match=r"target_sparsity=0.5 is a fraction"):
        SparsityCurveDisplay.from_estimator(search)
    search = GridSearchCV(make(), {"target_sparsity": [0.5]}, cv=2, refit=False)
    with pytest.raises(ValueError, match=r"target_sparsity=0.5 .*refit=True"):
        SparsityCurveDisplay.from_estimator(search.fit(*diabetes))


@quiet
def test_fractions_of_inputs_are_numbers_of_columns(diabetes):
    search = GridSearchCV(make(target_sparsity=None), {"target_inputs": [0.6, 0.2]})
    display = SparsityCurveDisplay.from_estimator(search.fit(*diabetes))
    assert display.n_nonzeros.tolist() == [8, 4]  # of 10


@quiet
@pytest.mark.parametrize("over", ["inputs", "units"])
def test_a_random_search_over_inputs_or_units(diabetes, over):
    grid = {f"net__target_{over}": [2, 3, 4]}
    net = piped(make(target_sparsity=None))
    settings = {"n_iter": 2, "cv": 2, "random_state": 0}
    search = RandomizedSearchCV(net, grid, **settings).fit(*diabetes)
    display = SparsityCurveDisplay.from_estimator(search)
    tried = sorted(p[f"net__target_{over}"] for p in search.cv_results_["params"])
    assert display.n_nonzeros.tolist() == tried[::-1]
    assert display.ax_.get_xlabel() == f"{over} asked for"
    with pytest.raises(ValueError, match=f"over='weights'.*drawn over '{over}'"):
        SparsityCurveDisplay.from_estimator(search, over="weights")


@quiet
def test_of_successive_halving_one_iteration_is_compared(diabetes):
    grid = {"target_sparsity": [30, 20, 10, 5]}
    search = HalvingGridSearchCV(make(), grid, cv=2, random_state=0, factor=2)
    display = SparsityCurveDisplay.from_estimator(search.fit(*diabetes))
    results = search.cv_results_
    at = results["iter"] == 1  # of the last, 2, a single candidate is left
    assert (results["iter"] == 2).sum() == 1
    counts = np.asarray(results["param_target_sparsity"][at], dtype=int)
    order = np.argsort(-counts)
    assert len(counts) == 2
    assert_array_equal(display.n_nonzeros, counts[order])
    expected = results["mean_test_score"][at][order]
    assert_allclose(display.mean_line_.get_ydata(), 1 - expected)
    n_rows = results["n_resources"][at][0]
    label = display.mean_line_.get_label()
    assert label == f"mean of folds, iteration 1 with n_samples = {n_rows}"
    best = search.best_params_["target_sparsity"]
    assert display.n_nonzeros[display.chosen] == best


@quiet
def test_several_scores_need_a_name(digits):
    net = SparseNetClassifier((4,), **FAST)
    settings = {"cv": 2, "scoring": ["accuracy", "neg_log_loss"]}
    grid = {"target_sparsity": [60, 40]}
    search = GridSearchCV(net, grid, refit="neg_log_loss", **settings).fit(*digits)
    display = SparsityCurveDisplay.from_estimator(search)
    assert display.ax_.get_ylabel() == "log loss"
    expected = -search.cv_results_["mean_test_neg_log_loss"]
    assert_allclose(display.mean_line_.get_ydata(), expected)
    search = GridSearchCV(net, grid, refit=False, **settings).fit(*digits)
    with pytest.raises(ValueError, match="refit= must name"):
        SparsityCurveDisplay.from_estimator(search)


@quiet
def test_targets_that_are_no_numbers_and_other_searches_are_refused(diabetes):
    grid = {"target_sparsity": [[10, 4], [5, 2]]}
    search = GridSearchCV(make(), grid, cv=2).fit(*diabetes)
    with pytest.raises(ValueError, match=r"target_sparsity=\[10, 4\] cannot be drawn"):
        SparsityCurveDisplay.from_estimator(search)
    search = GridSearchCV(make(), {"activation": ["tanh", "relu"]}, cv=2)
    with pytest.raises(TypeError, match="search over target_sparsity"):
        SparsityCurveDisplay.from_estimator(search.fit(*diabetes))
