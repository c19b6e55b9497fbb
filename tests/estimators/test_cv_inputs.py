"""The number of inputs, chosen by cross-validation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_sparsenet import (
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
    sparsenet_path,
)
from sklearn_sparsenet.estimators.penalized import penalized_problem
from sklearn_sparsenet.plots import SparsityCurveDisplay
from tests.comparisons import pickled, reloaded

COMMON = {"max_iter": 60, "random_state": 0}
SMALL = {**COMMON, "cv": 3}
GRID = [2, 8, 0.6]  # of ten inputs: 0.6 keeps four


@pytest.fixture(scope="module")
def fitted(diabetes):
    return SparseNetRegressorCV((10,), target_inputs=GRID, **SMALL).fit(*diabetes)


def test_counts_are_those_asked_for_from_many_to_few(fitted):
    assert fitted.target_inputs_grid_ == [8, 0.6, 2]
    assert fitted.target_sparsities_ == [None, None, None]
    assert fitted.n_inputs_.tolist() == [8, 4, 2]
    assert fitted.n_nonzeros_.tolist() == [90, 50, 30]  # the rest is dense
    assert fitted.cv_results_["param_target_inputs"] == [8, 0.6, 2]
    assert "param_target_sparsity" not in fitted.cv_results_


def test_scores_are_those_of_the_paths_of_the_folds(fitted, diabetes):
    X, y = diabetes
    net = SparseNetRegressor((10,), target_sparsity=None, **COMMON)
    for number, (train, test) in enumerate(KFold(3).split(X)):
        path = sparsenet_path(net, X[train], y[train], target_inputs=GRID)
        scores = [r2_score(y[test], each.predict(X[test])) for each in path.estimators]
        assert_allclose(fitted.test_scores_[:, number], scores, rtol=1e-12)


@pytest.mark.parametrize("selection", ["min", "1se"])
def test_the_result_is_a_fit_of_the_chosen_number_to_all_data(diabetes, selection):
    net = SparseNetRegressorCV((10,), target_inputs=GRID, selection=selection, **SMALL)
    net.fit(*diabetes)
    index, n_inputs = net.best_index_, [8, 4, 2]
    assert net.target_inputs_ == net.target_inputs_grid_[index]
    assert net.target_sparsity_ is None
    assert net.support_.sum() == n_inputs[index]
    single = SparseNetRegressor(
        (10,), target_sparsity=None, target_inputs=n_inputs[index], **COMMON
    ).fit(*diabetes)
    assert_array_equal(net.predict(diabetes[0]), single.predict(diabetes[0]))


def test_fewer_inputs_are_chosen_where_they_are_enough():
    """As by a grid search, whose network of the largest number is the same one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 12))
    y = X[:, 3] - 2 * X[:, 7] + 0.5 * rng.normal(size=120)
    grid, cv = [1, 2, 12], KFold(4)
    net = SparseNetRegressorCV((), target_inputs=grid, cv=cv, selection="1se", **COMMON)
    single = SparseNetRegressor((), target_sparsity=None, **COMMON)
    search = GridSearchCV(single, {"target_inputs": grid}, cv=cv).fit(X, y)
    net.fit(X, y)
    assert net.support_.nonzero()[0].tolist() == [3, 7]
    assert (
        search.best_params_
        == {"target_inputs": 2}
        == {"target_inputs": net.target_inputs_}
    )
    results = search.cv_results_
    densest = [results[f"split{k}_test_score"][2] for k in range(4)]
    assert_allclose(net.test_scores_[0], densest, rtol=1e-12)


def test_one_target_on_weights_holds_with_each_number(diabetes):
    net = SparseNetRegressorCV(
        (10,), target_inputs=np.array([2, 6]), target_sparsities=[20], **SMALL
    ).fit(*diabetes)
    assert net.target_inputs_grid_ == [6, 2]
    assert net.target_sparsities_ == [20, 20]
    assert net.n_nonzeros_.tolist() == [20, 20]
    assert net.n_inputs_.tolist() == [6, 2]
    assert (net.n_nonzero_, net.support_.sum()) == (20, net.target_inputs_)


def test_weights_are_chosen_with_a_number_of_inputs(diabetes):
    net = SparseNetRegressorCV(
        (10,), target_inputs=4, target_sparsities=[30, 20], **SMALL
    ).fit(*diabetes)
    assert (net.target_inputs_, net.target_inputs_grid_) == (4, [4, 4])
    assert net.n_inputs_.tolist() == [4, 4]
    assert net.n_nonzero_ == net.target_sparsity_


def test_ten_targets_on_weights_unless_it_is_told():
    X = np.random.default_rng(0).normal(size=(30, 3))
    net = SparseNetRegressorCV((20,), cv=2, max_iter=2, random_state=0)
    net.fit(X, X[:, 0])
    assert len(net.target_sparsities_) == 10
    assert net.target_inputs_ is None


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"target_sparsities": [20, 10]}, ValueError, "not both"),
        ({"target_sparsities": 10}, ValueError, "not both"),
        ({"target_sparsities": {"0.weight": 9}}, TypeError, "target_sparsities"),
        ({"target_inputs": []}, ValueError, "target_inputs is empty"),
        ({"target_inputs": {3: 4}}, TypeError, "must be a sequence of targets"),
        ({"target_inputs": [3, 11]}, ValueError, "from 1 to 10"),
        ({"target_inputs": [3, "few"]}, ValueError, "from 1 to 10"),
        ({"target_inputs": "few"}, ValueError, "from 1 to 10"),
        ({"search": "bracket"}, ValueError, "one_pass"),
    ],
    ids=str,
)
def test_refusals_come_before_any_fit(diabetes, settings, error, message, monkeypatch):
    monkeypatch.setattr(
        "sklearn_sparsenet.estimators._cross_validation.run_folds",
        lambda *args: pytest.fail("training began"),
    )
    net = SparseNetRegressorCV((5,), **{"target_inputs": [3, 2], **settings})
    with pytest.raises(error, match=message):
        net.fit(*diabetes)


def test_copies_pickles_and_files_have_what_was_chosen(fitted, diabetes):
    X, y = diabetes
    assert clone(fitted).target_inputs is not GRID
    assert clone(fitted).get_params()["target_inputs"] == GRID
    again = pickled(clone(fitted)).fit(X, y)
    assert_array_equal(again.test_scores_, fitted.test_scores_)
    for copy in (pickled(fitted), reloaded(fitted)):
        assert copy.target_inputs == GRID
        assert copy.target_inputs_ == fitted.target_inputs_
        assert copy.target_inputs_grid_ == fitted.target_inputs_grid_
        assert_array_equal(copy.n_inputs_, fitted.n_inputs_)
        assert_array_equal(copy.predict(X), fitted.predict(X))


def test_classes_dummies_and_columns_that_stay(iris):
    X, y = iris
    net = SparseNetClassifierCV(
        (5,), target_inputs=[2, 1], input_groups=[0, 0, 1, 1], always_keep=2, **SMALL
    ).fit(X, y)
    assert net.n_inputs_.tolist() == [4, 2]  # columns; the grid is of groups
    assert net.support_[2:].all()


def test_the_curve_over_inputs(fitted):
    display = SparsityCurveDisplay.from_estimator(fitted, over="inputs")
    assert_array_equal(display.mean_line_.get_xdata(), [8, 4, 2])
    assert display.ax_.get_xlabel() == "inputs"
    n_inputs = int(fitted.n_inputs_[fitted.best_index_])
    assert display.chosen_.get_label() == f"chosen: {n_inputs}"
    with pytest.raises(ValueError, match="over must be"):
        SparsityCurveDisplay.from_estimator(fitted, over="units")


def test_the_problem_that_was_solved_is_that_of_the_choice(fitted, diabetes):
    problem = penalized_problem(fitted, *diabetes)
    assert float(problem.evaluate()[0]) == pytest.approx(fitted.loss_, rel=1e-4)
