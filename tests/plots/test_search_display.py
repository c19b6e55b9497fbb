"""The search: what is drawn is what was tried."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.plots import SearchDisplay


def test_search_shows_every_solve_and_the_target(searched):
    display = SearchDisplay.from_estimator(searched)
    history = searched.search_history_
    (alphas,), (counts,) = display.alpha_lines_, display.count_lines_
    assert_array_equal(alphas.get_ydata(), history["alpha"])
    assert_array_equal(counts.get_ydata(), history["n_nonzero"])
    assert_array_equal(counts.get_xdata(), 1 + np.arange(len(history["loss"])))
    assert display.target_lines_[0].get_ydata()[0] == 80
    assert display.axes_[0].get_ylabel() == "λ"
    assert alphas.get_ydata()[display.chosen] == alphas.get_ydata()[-1]
    assert alphas.get_ydata()[-1] == searched.alpha_
    assert display.axes_[0].get_yscale() == "log"
    assert display.axes_[0].get_shared_x_axes().joined(*display.axes_)


def test_search_of_one_pass_shows_its_cuts(net):
    display = SearchDisplay.from_estimator(net)
    history = net.narrowing_history_
    assert display.axes_[1].get_xlabel() == "epoch"
    (counts,), (alphas,) = display.count_lines_, display.alpha_lines_
    for line in (counts, alphas):
        assert_array_equal(line.get_xdata(), history["epoch"])
    assert_array_equal(counts.get_ydata(), history["n_nonzero"][:, 0])
    assert_array_equal(alphas.get_ydata(), history["alpha"][:, 0])
    assert counts.get_ydata()[-1] == display.target_lines_[0].get_ydata()[0] == 25
    # The thresholds are no λ, and are not called so; that of the solution is told.
    assert display.axes_[0].get_ylabel() == "cut threshold"
    *_, text = display.axes_[0].get_legend().get_texts()
    assert text.get_text() == f"λ of the solution: {net.alpha_:.3g}"


@pytest.mark.parametrize("layers", [0.02, [0.02, 0.03, 0.04]])
def test_the_last_alpha_is_that_of_the_estimator(digits, layers):
    settings = {"alpha": layers, "max_iter": 5, "random_state": 0}
    net = SparseNetClassifier((12, 8), **settings).fit(*digits)
    display = SearchDisplay.from_estimator(net)
    drawn = [line.get_ydata()[-1] for line in display.alpha_lines_]
    assert drawn == np.atleast_1d(net.alpha_).tolist() == np.atleast_1d(layers).tolist()


@pytest.mark.parametrize("size", [(4.2, 3), (6.4, 4.8), (12, 8)])
def test_steps_have_whole_numbers_and_counts_two_ticks_at_least(size):
    steps, counts = np.linspace(0.4, 3.7, 20), np.geomspace(3500, 200, 20)
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    display = SearchDisplay(
        steps=steps, alphas=counts, counts=counts, step_name="epoch"
    )
    bottom = display.plot(ax).axes_[1]
    figure.canvas.draw()
    assert all(tick == round(tick) for tick in bottom.get_xticks())
    low, high = bottom.get_ylim()
    assert sum(low <= tick <= high for tick in bottom.get_yticks()) >= 2


def test_tiny_cuts_of_one_pass_do_not_hide_the_others():
    data = {"steps": [1, 2, 3], "alphas": [1e-9, 0.1, 0.2], "counts": [9, 6, 3]}
    low, high = SearchDisplay(**data, step_name="epoch").plot().ax_.get_ylim()
    assert 1e-6 < low < 0.1 < 0.2 < high
    low, high = SearchDisplay(**data).plot().ax_.get_ylim()
    assert low < 1e-9  # solves are few: all are shown


@pytest.mark.parametrize("params", [{"target_sparsity": 10}, {"alpha": 0.0}])
def test_searches_without_anything_to_search(params):
    X = np.random.default_rng(0).standard_normal((50, 10))
    net = SparseNetRegressor((), max_iter=5, random_state=0, **params).fit(X, X[:, 0])
    top, bottom = SearchDisplay.from_estimator(net).axes_
    assert top.get_yscale() == "linear"
    assert bottom.get_ylim() == pytest.approx((5, 20))


def test_search_has_a_line_per_layer(classifier):
    display = SearchDisplay.from_estimator(classifier)
    assert [
        line.get_label() for line in display.count_lines_
    ] == classifier.layer_names_
    assert [line.get_ydata()[-1] for line in display.count_lines_] == [60, 30, 30]
    assert [line.get_ydata()[0] for line in display.target_lines_] == [60, 30, 30]
    last = [line.get_ydata()[-1] for line in display.alpha_lines_]
    assert last == classifier.narrowing_history_["alpha"][-1].tolist()


def test_search_of_a_given_alpha_is_one_line_without_target(diabetes):
    net = SparseNetRegressor((4,), alpha=0.01, max_iter=3, random_state=0)
    display = SearchDisplay.from_estimator(net.fit(*diabetes))
    (counts,) = display.count_lines_
    assert counts.get_ydata().tolist() == [net.n_nonzero_]
    assert display.target_lines_ == []


def test_search_shows_counts_of_zero():
    display = SearchDisplay(steps=[1, 2], alphas=[1.0, 0.1], counts=[0, 50]).plot()
    low, high = display.axes_[1].get_ylim()
    assert low < 0 < 50 < high
    assert np.isfinite(display.axes_[1].transData.transform((1, 0))).all()


def test_search_takes_two_axes(searched):
    _, axes = plt.subplots(2)
    display = SearchDisplay.from_estimator(searched, ax=axes)
    assert list(display.axes_) == list(axes)
    _, axes = plt.subplots(3)
    with pytest.raises(ValueError, match="2 axes"):
        display.plot(axes)
