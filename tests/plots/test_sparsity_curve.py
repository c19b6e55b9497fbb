"""The curve of errors: what is drawn is what was measured."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import (
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
    sparsenet_path,
)
from sklearn_sparsenet.plots import SparsityCurveDisplay


@pytest.fixture
def display():
    """A curve of two folds."""
    return SparsityCurveDisplay(
        n_nonzeros=[400, 200, 100, 50],
        test_scores=[[0.70, 0.78], [0.76, 0.80], [0.74, 0.81], [0.60, 0.61]],
        chosen=2,
    )


def test_curve_has_mean_band_and_folds(display):
    display.plot()
    errors = 1 - np.array(display.test_scores)
    mean = errors.mean(axis=1)
    assert_array_equal(display.mean_line_.get_xdata(), [400, 200, 100, 50])
    assert_allclose(display.mean_line_.get_ydata(), mean)
    for line, fold in zip(display.fold_lines_, errors.T, strict=True):
        assert_allclose(line.get_ydata(), fold)
    band = display.band_.get_paths()[0].vertices
    # Of two folds, and of the differences to 200: 0.06 and 0.02.
    for count, middle, half in ((400, mean[0], 0.02), (200, mean[1], 0.0)):
        there = band[band[:, 0] == count, 1]
        assert there.min() == pytest.approx(middle - half)
        assert there.max() == pytest.approx(middle + half)


def test_curve_marks_the_best_the_1se_choice_and_the_chosen_one(display):
    display.plot()
    marks = (display.best_, display.one_se_, display.chosen_)
    # .005 ± .015 worse is within, .175 ± .015 is not.
    assert [mark.get_xdata()[0] for mark in marks] == [200, 100, 100]
    assert display.best_.get_ydata()[0] == pytest.approx(0.22)
    assert display.one_se_.get_label() == "1-SE: 100"


@pytest.mark.parametrize("counts", [[400, 200, 100], [100, 200, 400], [200, 100, 400]])
def test_of_equal_scores_the_sparsest_is_the_best(counts):
    scores = np.full((3, 2), 0.5)
    display = SparsityCurveDisplay(n_nonzeros=counts, test_scores=scores)
    assert counts[display.best_index] == counts[display.one_se_index] == 100


def test_scores_that_are_undefined_are_never_the_best():
    display = SparsityCurveDisplay(n_nonzeros=[40, 30], test_scores=[0.1, np.nan])
    assert display.plot().best_index == 0
    display = SparsityCurveDisplay(n_nonzeros=[40, 30], test_scores=[np.nan, np.nan])
    assert display.plot().best_ is None


def test_curve_of_a_cross_validation(cross_validated):
    display = SparsityCurveDisplay.from_estimator(cross_validated)
    net = cross_validated
    assert_array_equal(display.mean_line_.get_xdata(), net.n_nonzeros_)
    mean = net.cv_results_["mean_test_score"]
    assert_allclose(display.mean_line_.get_ydata(), 1 - mean)
    assert len(display.fold_lines_) == 3
    assert display.ax_.get_ylabel() == "1 - R²"
    # The default rule is "min".
    assert display.best_index == net.best_index_ == display.chosen
    assert_allclose(display.chosen_.get_ydata(), 1 - net.best_score_)


def test_classes_are_shown_by_the_score_that_chose(diabetes):
    X, y = diabetes
    net = SparseNetClassifierCV(
        (), target_sparsities=[8, 4], cv=2, max_iter=100, random_state=0
    )
    display = SparsityCurveDisplay.from_estimator(net.fit(X, y > 140))
    assert display.ax_.get_ylabel() == "log loss"
    assert display.score_name == "neg_log_loss"
    mean = net.cv_results_["mean_test_score"]
    assert_allclose(display.mean_line_.get_ydata(), -mean)


def test_marks_are_what_the_estimator_would_choose(diabetes):
    """By either rule, and in a pipeline."""
    for selection in ("min", "1se"):
        net = SparseNetRegressorCV(
            (), target_sparsities=[8, 4, 2, 1], selection=selection,
            scoring="neg_mean_squared_error", max_iter=10, random_state=0,
        )  # fmt: skip
        model = make_pipeline(StandardScaler(), net).fit(*diabetes)
        display = SparsityCurveDisplay.from_estimator(model, kind="score")
        marked = {"min": display.best_index, "1se": display.one_se_index}
        assert marked[selection] == net.best_index_
    assert display.ax_.get_ylabel() == "neg_mean_squared_error"


def test_an_estimator_of_one_target_has_no_curve(net):
    with pytest.raises(TypeError, match="SparseNetRegressor has a single target"):
        SparsityCurveDisplay.from_estimator(net)


@pytest.mark.parametrize(
    ("name", "kind", "value", "label"),
    [
        ("R²", "error", 0.7, "1 - R²"),
        ("R²", "score", 0.3, "R²"),
        ("neg_mean_squared_error", "error", -0.3, "mean squared error"),
    ],
)
def test_curve_shows_errors_or_scores(name, kind, value, label):
    display = SparsityCurveDisplay(
        n_nonzeros=[10], test_scores=[0.3], score_name=name
    ).plot(kind=kind)
    assert display.mean_line_.get_ydata()[0] == pytest.approx(value)
    assert display.ax_.get_ylabel() == label


def test_curve_of_a_path_has_train_and_test_but_no_band(path):
    display = SparsityCurveDisplay.from_path(path)
    assert_array_equal(display.mean_line_.get_xdata(), [40, 20, 10])
    assert_allclose(display.train_line_.get_ydata(), 1 - np.array(path.train_scores))
    assert_allclose(display.mean_line_.get_ydata(), 1 - np.array(path.test_scores))
    assert display.ax_.get_ylabel() == "1 - R²"
    assert display.band_ is display.one_se_ is display.chosen_ is None


def test_curve_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="kind must be"):
        SparsityCurveDisplay(n_nonzeros=[1], test_scores=[1]).plot(kind="loss")
    with pytest.raises(ValueError, match="neither"):
        SparsityCurveDisplay(n_nonzeros=[1]).plot()


def test_a_path_of_inputs_is_drawn_over_inputs(diabetes):
    X, y = diabetes
    net = SparseNetRegressor((6,), target_sparsity=None, max_iter=20, random_state=0)
    path = sparsenet_path(net, X, y, target_inputs=[8, 4, 2])
    display = SparsityCurveDisplay.from_path(path, over="inputs")
    assert display.train_line_.get_xdata().tolist() == [8, 4, 2]
    assert display.ax_.get_xlabel() == "inputs"
    with pytest.raises(ValueError, match="over must be"):
        SparsityCurveDisplay.from_path(path, over="units")
