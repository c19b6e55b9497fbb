"""Displays: scikit-learn's conventions, and what is drawn is what was fitted."""

import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetRegressor,
    SparseNetRegressorCV,
)
from sklearn_sparsenet.estimators.selection import SELECTIONS
from sklearn_sparsenet.plots import (
    FiltersDisplay,
    LayersDisplay,
    NetworkDisplay,
    OptimalityDisplay,
    SearchDisplay,
    SparsityCurveDisplay,
)

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Short fits miss their targets now and then; the plots do not mind.
pytestmark = pytest.mark.filterwarnings(
    f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning"
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    return pd.DataFrame(StandardScaler().fit_transform(X), columns=X.columns), y


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


@pytest.fixture(scope="module")
def net(diabetes):
    net = SparseNetRegressor((10,), target_sparsity=25, max_iter=40, random_state=0)
    return net.fit(*diabetes)


@pytest.fixture(scope="module")
def classifier(digits):
    net = SparseNetClassifier(
        (12, 8), target_sparsity=[60, 30, 30], max_iter=20, random_state=0
    )
    return net.fit(*digits)


@pytest.fixture(scope="module")
def searched(digits):
    net = SparseNetClassifier(
        (12,),
        target_sparsity=80,
        search="bracket",
        max_iter=20,
        tol=0.1,
        random_state=0,
    )
    return net.fit(*digits)


def build_convolution(n_features, n_outputs):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, n_outputs)
    )


@pytest.fixture(scope="module")
def convolution(digits):
    X, y = digits
    net = SparseNetClassifier(
        module=build_convolution, target_sparsity=[12, 60], max_iter=5, random_state=0
    )
    return net.fit(X.reshape(-1, 1, 8, 8), y)


@pytest.fixture(scope="module")
def cross_validated():
    """Stands for a fitted SparseNetRegressorCV: the attributes that are read."""
    scores = [[0.70, 0.78], [0.76, 0.80], [0.74, 0.78], [0.60, 0.61]]
    return SimpleNamespace(
        n_nonzeros_=np.array([400, 200, 100, 50]),
        test_scores_=np.array(scores),
        best_index_=2,
        selection="1se",
    )


# What all displays have in common


@pytest.fixture(
    params=["curve", "path", "search", "layers", "network", "optimality", "filters"]
)
def draw(request, net, diabetes, convolution, cross_validated):
    """One way to a display, a function of `ax`."""
    path = SimpleNamespace(n_nonzeros=[9, 5], train_scores=[1, 0.9], test_scores=None)
    return {
        "curve": lambda ax: SparsityCurveDisplay.from_estimator(cross_validated, ax=ax),
        "path": lambda ax: SparsityCurveDisplay.from_path(path, ax=ax),
        "search": lambda ax: SearchDisplay.from_estimator(net, ax=ax),
        "layers": lambda ax: LayersDisplay.from_estimator(net, ax=ax),
        "network": lambda ax: NetworkDisplay.from_estimator(net, ax=ax),
        "optimality": lambda ax: OptimalityDisplay.from_estimator(
            net, *diabetes, ax=ax
        ),
        "filters": lambda ax: FiltersDisplay.from_estimator(convolution, ax=ax),
    }[request.param]


def test_a_display_makes_a_figure(draw):
    display = draw(None)
    assert display.ax_.figure is display.figure_
    assert plt.get_fignums() == [display.figure_.number]
    display.figure_.canvas.draw()  # warnings are errors


def test_a_display_draws_into_the_axes_of_a_user(draw):
    figure, axes = plt.subplots(1, 2)
    display = draw(axes[1])
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    assert display.ax_ is axes[1] or hasattr(display, "axes_")
    figure.canvas.draw()


def test_plot_returns_the_display_and_leaves_its_data(draw):
    display = draw(None)
    before = {k: v for k, v in vars(display).items() if not k.endswith("_")}
    assert display.plot() is display
    assert all(getattr(display, name) is value for name, value in before.items())


def test_text_and_frames_follow_the_style(draw):
    with plt.style.context("dark_background"):
        display = draw(None)
        texts = display.figure_.findobj(matplotlib.text.Text)
        dark = {"black", "k", "#000000"}
        assert not {t.get_color() for t in texts if t.get_text()} & dark


def test_a_style_is_left_as_it_was(draw):
    before = dict(matplotlib.rcParams)
    draw(None)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "display", [SearchDisplay, LayersDisplay, NetworkDisplay, FiltersDisplay]
)
def test_unfitted_estimators_are_refused(display):
    with pytest.raises(NotFittedError):
        display.from_estimator(SparseNetRegressor())
    with pytest.raises(NotFittedError):
        display.from_estimator(make_pipeline(StandardScaler(), SparseNetRegressor()))


def test_unfitted_estimators_are_refused_where_data_are_needed(diabetes):
    with pytest.raises(NotFittedError):
        OptimalityDisplay.from_estimator(SparseNetRegressor(), *diabetes)
    with pytest.raises(NotFittedError):
        SparsityCurveDisplay.from_estimator(SparseNetRegressor())


def test_other_estimators_are_refused(diabetes):
    scaler = StandardScaler().fit(*diabetes)
    with pytest.raises(TypeError, match="got StandardScaler"):
        LayersDisplay.from_estimator(scaler)


def test_estimators_are_found_in_pipelines_and_searches(diabetes):
    X, y = diabetes
    model = make_pipeline(
        StandardScaler(), SparseNetRegressor((4,), max_iter=5, random_state=0)
    )
    grid = {"sparsenetregressor__target_sparsity": [8, 12]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    best = search.best_estimator_[-1]
    display = NetworkDisplay.from_estimator(search)
    assert display.graph_.n_connections == best.n_live_
    assert display.input_names == list(X.columns)
    OptimalityDisplay.from_estimator(search, X, y)  # scaled, or it would warn


def test_estimators_that_choose_their_target(diabetes):
    X, y = diabetes
    net = SparseNetRegressorCV(
        (4,), target_sparsities=[8, 12], cv=2, max_iter=5, random_state=0
    )
    model = make_pipeline(StandardScaler(), net).fit(X, y)
    display = OptimalityDisplay.from_estimator(model, X, y)  # else it would warn
    assert display.supports[0].sum() <= model[-1].n_nonzero_
    curve = SparsityCurveDisplay.from_estimator(model)
    assert curve.chosen == model[-1].best_index_
    with pytest.raises(TypeError, match="scores for many targets; got SparseNetReg"):
        SparsityCurveDisplay.from_estimator(
            SparseNetRegressor((4,), max_iter=5, random_state=0).fit(X, y)
        )


def test_the_package_does_without_matplotlib_until_something_is_plotted():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import sklearn_sparsenet\n"
        "from sklearn_sparsenet.plots import LayersDisplay\n"
        "d = LayersDisplay(names=['w'], n_weights=[3], n_nonzero=[1])\n"
        "try: d.plot()\nexcept ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "sklearn-sparsenet[plots]" in run.stdout, run.stderr


# The curve


def test_curve_has_mean_band_and_folds(cross_validated):
    display = SparsityCurveDisplay.from_estimator(cross_validated)
    errors = 1 - cross_validated.test_scores_
    mean = errors.mean(axis=1)
    np.testing.assert_array_equal(display.mean_line_.get_xdata(), [400, 200, 100, 50])
    np.testing.assert_allclose(display.mean_line_.get_ydata(), mean)
    for line, fold in zip(display.fold_lines_, errors.T, strict=True):
        np.testing.assert_allclose(line.get_ydata(), fold)
    band = display.band_.get_paths()[0].vertices
    half = np.abs(errors[:, 0] - errors[:, 1]) / 2  # of two folds
    at_200 = band[band[:, 0] == 200, 1]
    assert at_200.min() == pytest.approx(mean[1] - half[1])
    assert at_200.max() == pytest.approx(mean[1] + half[1])


def test_curve_marks_the_best_the_1se_choice_and_the_chosen_one(cross_validated):
    display = SparsityCurveDisplay.from_estimator(cross_validated)
    marks = (display.best_, display.one_se_, display.chosen_)
    # .78 ± .02: .76 is within, .605 is not.
    assert [mark.get_xdata()[0] for mark in marks] == [200, 100, 100]
    assert display.best_.get_ydata()[0] == pytest.approx(0.22)


def test_of_equals_the_curve_marks_what_the_estimator_chooses():
    scores = np.array([[0.9, 0.9], [0.95, 0.93], [0.93, 0.95], [0.8, 0.8]])
    display = SparsityCurveDisplay(n_nonzeros=[40, 30, 20, 10], test_scores=scores)
    assert display.best_index == SELECTIONS["min"](scores) == 2
    assert display.one_se_index == SELECTIONS["1se"](scores) == 2


def test_scores_that_are_undefined_are_never_the_best():
    display = SparsityCurveDisplay(n_nonzeros=[40, 30], test_scores=[0.1, np.nan])
    assert display.plot().best_index == 0


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


def test_curve_of_a_path_has_train_and_test_but_no_band():
    path = SimpleNamespace(
        n_nonzeros=[30, 20, 10],
        train_scores=[0.9, 0.8, 0.7],
        test_scores=[0.6, 0.7, 0.5],
    )
    display = SparsityCurveDisplay.from_path(path)
    np.testing.assert_allclose(display.train_line_.get_ydata(), [0.1, 0.2, 0.3])
    np.testing.assert_allclose(display.mean_line_.get_ydata(), [0.4, 0.3, 0.5])
    assert display.band_ is display.one_se_ is display.chosen_ is None


def test_curve_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="kind must be"):
        SparsityCurveDisplay(n_nonzeros=[1], test_scores=[1]).plot(kind="loss")
    with pytest.raises(ValueError, match="neither"):
        SparsityCurveDisplay(n_nonzeros=[1]).plot()


# The search


def test_search_shows_every_solve_and_the_target(searched):
    display = SearchDisplay.from_estimator(searched)
    history = searched.search_history_
    (alphas,), (counts,) = display.alpha_lines_, display.count_lines_
    np.testing.assert_array_equal(alphas.get_ydata(), history["alpha"])
    np.testing.assert_array_equal(counts.get_ydata(), history["n_nonzero"])
    np.testing.assert_array_equal(
        counts.get_xdata(), 1 + np.arange(len(history["loss"]))
    )
    assert display.target_lines_[0].get_ydata()[0] == 80
    assert history["alpha"][display.chosen] == searched.alpha_
    assert display.axes_[0].get_yscale() == "log"
    assert display.axes_[0].get_shared_x_axes().joined(*display.axes_)


def test_search_has_a_line_per_layer(classifier):
    display = SearchDisplay.from_estimator(classifier)
    assert [
        line.get_label() for line in display.count_lines_
    ] == classifier.layer_names_
    last = [line.get_ydata()[-1] for line in display.count_lines_]
    assert last == classifier.search_history_["n_nonzero_per_layer"][-1].tolist()
    assert [line.get_ydata()[0] for line in display.target_lines_] == [60, 30, 30]
    assert [line.get_ydata()[0] for line in display.alpha_lines_] == [
        *classifier.alpha_
    ]


def test_search_of_a_given_alpha_is_one_line_without_target(diabetes):
    net = SparseNetRegressor((4,), alpha=0.01, max_iter=3, random_state=0)
    display = SearchDisplay.from_estimator(net.fit(*diabetes))
    (counts,) = display.count_lines_
    assert counts.get_ydata().tolist() == [net.n_nonzero_]
    assert display.target_lines_ == []


def test_search_shows_the_narrowing_of_one_pass(net, monkeypatch):
    narrowing = {
        "epoch": np.array([2, 4, 6]),
        "alpha": np.array([[1e-3], [np.nan], [3e-3]]),
        "n_nonzero": np.array([[90], [60], [25]]),
    }
    monkeypatch.setattr(net, "narrowing_history_", narrowing, raising=False)
    display = SearchDisplay.from_estimator(net)
    assert display.axes_[1].get_xlabel() == "epoch"
    np.testing.assert_array_equal(display.count_lines_[0].get_xdata(), [2, 4, 6])
    np.testing.assert_array_equal(display.count_lines_[0].get_ydata(), [90, 60, 25])
    monkeypatch.setattr(net, "narrowing_history_", None)
    assert SearchDisplay.from_estimator(net).step_name == "solve"


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


# The layers


def test_layers_have_bars_of_all_nonzero_and_live_weights(classifier):
    display = LayersDisplay.from_estimator(classifier)
    report = classifier.sparsity_report()
    for bars, name in (
        (display.weight_bars_, "n_weights"),
        (display.nonzero_bars_, "n_nonzero"),
        (display.live_bars_, "n_live"),
    ):
        assert [bar.get_width() for bar in bars] == list(report[name])
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == classifier.layer_names_
    assert display.ax_.get_xscale() == "log"


def test_layers_without_known_paths_have_no_live_bars():
    display = LayersDisplay(names=["a"], n_weights=[1000], n_nonzero=[20]).plot()
    assert display.live_bars_ is None
    assert display.labels_[0].get_text() == "20 (2 %)"


# The network


def test_network_draws_each_live_weight_once(net, diabetes):
    display = NetworkDisplay.from_estimator(net)
    segments = [len(lines.get_segments()) for lines in display.connections_]
    assert sum(segments) == net.n_live_
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert sorted(names) == sorted(diabetes[0].columns[net.support_])
    assert [text.get_text() for text in display.output_labels_] == ["output"]


def test_network_draws_weights_where_their_units_are(classifier):
    """Read back from the lines: the matrices, without what is dead."""
    display = NetworkDisplay.from_estimator(classifier)
    for column, (lines, coef) in enumerate(
        zip(display.connections_, classifier.coefs_, strict=True)
    ):
        seen = set()
        units, above = display.graph_.units[column : column + 2]
        blue = lines.get_colors()
        for (start, end), tint in zip(lines.get_segments(), blue, strict=True):
            assert (start[0], end[0]) == (column, column + 1)
            unit = units[int(start[1] * len(units))]
            other = above[int(end[1] * len(above))]
            assert (coef[unit, other] > 0) == (tint[2] > tint[0])
            seen.add((unit, other))
        assert len(seen) == len(lines.get_segments())
        assert all(coef[pair] != 0 for pair in seen)
    assert (
        sum(len(c.get_segments()) for c in display.connections_) == classifier.n_live_
    )


def test_network_widths_grow_with_the_weights():
    weight = np.array([[0.1], [-2.0], [1.0]])
    display = NetworkDisplay(
        weights=[weight], input_names=["a", "b", "c"], output_names=["y"]
    ).plot()
    widths = display.connections_[0].get_linewidths()
    assert np.all(np.diff(widths) > 0)  # the largest is drawn last
    assert len(widths) == 3


def test_network_names_classes_and_numbers_inputs(classifier, searched):
    display = NetworkDisplay.from_estimator(classifier)
    assert [t.get_text() for t in display.output_labels_] == list("0123456789")
    assert display.input_names[:2] == ["x0", "x1"]


def test_network_of_two_classes_names_the_second(digits):
    X, y = digits
    names = np.array(["zero", "one"])[y[y < 2]]
    net = SparseNetClassifier((), target_sparsity=9, max_iter=5, random_state=0)
    display = NetworkDisplay.from_estimator(net.fit(X[y < 2], names))
    assert [t.get_text() for t in display.output_labels_] == ["zero"]
    assert display.graph_.n_connections == 9


def test_network_after_compact_is_the_same(digits):
    X, y = digits
    net = SparseNetClassifier((12,), target_sparsity=60, max_iter=20, random_state=0)
    net.fit(X, y)
    named = NetworkDisplay.from_estimator(net)
    inputs = {named.input_names[i] for i in named.graph_.units[0]}
    display = NetworkDisplay.from_estimator(net.compact())
    assert {display.input_names[i] for i in display.graph_.units[0]} == inputs
    assert display.graph_.n_connections == net.n_live_


def test_network_refuses_large_and_other_networks(net, convolution):
    with pytest.raises(ValueError, match="25 live weights; more than max_weights=10"):
        NetworkDisplay.from_estimator(net, max_weights=10)
    with pytest.raises(TypeError, match="the network has Conv2d"):
        NetworkDisplay.from_estimator(convolution)


def test_network_without_live_weights_has_only_outputs():
    weights = [np.array([[1.0]]), np.array([[0.0]])]
    display = NetworkDisplay(weights=weights, input_names=["a"], output_names=["y"])
    assert [len(units) for units in display.plot().graph_.units] == [0, 0, 1]
    display.figure_.canvas.draw()


def test_very_long_names_are_shortened_in_the_middle():
    name = "the beginning " + 60 * "-" + " the end"
    display = NetworkDisplay(
        weights=[np.ones((1, 1))], input_names=[name], output_names=["y"]
    ).plot()
    (label,) = (text.get_text() for text in display.ax_.get_yticklabels())
    assert len(label) < 50
    assert label.startswith("the beginning")
    assert label.endswith("the end")


# Optimality


def test_optimality_has_the_gradients_of_the_penalised_solution(net, diabetes):
    """Recomputed in NumPy: the squared error of the standardised target, ReLU."""
    display = OptimalityDisplay.from_estimator(net, *diabetes)
    X, y = (np.asarray(values) for values in diabetes)
    (W1, W2), (b1, b2) = net.penalized_coefs_, net.penalized_intercepts_
    before = X @ W1 + b1
    hidden = np.maximum(before, 0)
    error = (hidden @ W2 + b2)[:, 0] - (y - net.y_mean_) / net.y_scale_
    out = 2 * error[:, None] / len(y)
    a = np.abs(
        [*(X.T @ (out @ W2.T * (before > 0))).ravel(), *(hidden.T @ out).ravel()]
    )
    support = np.array([*W1.ravel(), *W2.ravel()]) != 0
    np.testing.assert_allclose(
        display.sorted_lines_[0].get_ydata(), np.sort(a)[::-1], rtol=1e-6, atol=1e-12
    )
    for points, some in (
        (display.support_points_[0], support),
        (display.zero_points_[0], ~support),
    ):
        expected = np.sort(a[some])[::-1]
        np.testing.assert_allclose(points.get_ydata(), expected, rtol=1e-6, atol=1e-12)
    assert display.alpha_lines_[0].get_ydata()[0] == net.alpha_
    ordered = np.sort(a)[::-1]
    assert display.intervals[0] == pytest.approx((ordered[25], ordered[24]))


def test_optimality_of_a_minimiser_has_lambda_in_the_interval(diabetes):
    net = SparseNetRegressor((), solver="lbfgs", target_sparsity=5, random_state=0)
    display = OptimalityDisplay.from_estimator(net.fit(*diabetes), *diabetes)
    (low, high), a = display.intervals[0], display.magnitudes[0]
    assert low <= net.alpha_ == pytest.approx(high, rel=2e-3)
    np.testing.assert_allclose(a[display.supports[0]], net.alpha_, rtol=2e-3)


def test_optimality_per_layer_has_axes_of_its_own(classifier, digits):
    display = OptimalityDisplay.from_estimator(classifier, *digits)
    assert len(display.axes_) == 3
    alphas = [line.get_ydata()[0] for line in display.alpha_lines_]
    assert alphas == classifier.alpha_.tolist()
    counts = [len(points.get_ydata()) for points in display.support_points_]
    penalized = classifier.penalized_coefs_
    assert counts == [np.count_nonzero(coef) for coef in penalized]


def test_optimality_knows_weights_of_samples_and_held_out_rows(digits):
    X, y = digits
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    net = SparseNetClassifier(
        (6,),
        target_sparsity=60,
        max_iter=30,
        early_stopping=True,
        class_weight="balanced",
        random_state=0,
    )
    net.fit(X, y, sample_weight=weight)
    params, state = net.get_params(), dict(vars(net))
    OptimalityDisplay.from_estimator(net, X, y, weight)  # else it would warn
    assert net.get_params() == params
    assert vars(net).keys() == state.keys()
    with pytest.warns(UserWarning, match="not those of the fit"):
        OptimalityDisplay.from_estimator(net, X, y)


def test_optimality_refuses_other_data(net, classifier, diabetes, digits):
    X, y = diabetes
    with pytest.raises(ValueError, match="other features"):
        OptimalityDisplay.from_estimator(net, X.iloc[:, :5], y)
    X, y = digits
    with pytest.raises(ValueError, match="other classes"):
        OptimalityDisplay.from_estimator(classifier, X[y < 5], y[y < 5])


# Filters


def test_filters_are_the_kernels_of_live_units(convolution):
    display = FiltersDisplay.from_estimator(convolution)
    kernels = convolution.module_[0].weight.detach().numpy()
    np.testing.assert_array_equal(display.filters, kernels[display.units])
    image = display.image_.get_array()
    first = np.asarray(image[:3, :3])
    np.testing.assert_array_equal(first, display.filters[0, 0])
    shown = image[~np.ma.getmaskarray(image) & np.isfinite(image)]
    assert np.count_nonzero(shown) == np.count_nonzero(kernels[display.units])


def test_zero_is_neutral_and_small_weights_are_not(convolution):
    image = FiltersDisplay.from_estimator(convolution).image_
    low, high = image.get_clim()
    assert low == -high
    colours = image.cmap(image.norm([0.0, 0.01 * high, 0.01 * low]))[:, :3]
    assert np.ptp(colours[0]) == 0  # grey
    assert colours[1, 2] > colours[1, 0] + 0.1  # blue
    assert colours[2, 0] > colours[2, 2] + 0.1  # orange


@pytest.mark.parametrize("compact", [False, True])
def test_filters_of_a_linear_layer_have_the_shape_of_images(digits, compact):
    X, y = digits
    net = SparseNetClassifier((12,), target_sparsity=60, max_iter=20, random_state=0)
    net.fit(X, y)
    live = net.coefs_[0].any(axis=0) & net.coefs_[1].any(axis=1)
    expected = net.coefs_[0].T[live].reshape(-1, 1, 8, 8)
    if compact:
        net.compact()
    display = FiltersDisplay.from_estimator(net, image_shape=(8, 8))
    np.testing.assert_allclose(display.filters, expected)
    assert len(display.frames_) == live.sum()


def test_filters_beyond_a_limit_are_the_largest():
    filters = np.arange(1.0, 6).reshape(5, 1, 1, 1)
    display = FiltersDisplay(filters=filters, units=range(5), n_units=9)
    display.plot(max_units=2)
    assert len(display.frames_) == 2
    assert display.ax_.get_title() == "the 2 largest of 5 live units, of 9"
    assert np.nanmin(display.image_.get_array()) == 4


def test_filters_refuse_what_is_no_image(classifier):
    with pytest.raises(ValueError, match="image_shape must be"):
        FiltersDisplay.from_estimator(classifier)
    with pytest.raises(ValueError, match="56 pixels, and a sample 64 features"):
        FiltersDisplay.from_estimator(classifier, image_shape=(7, 8))
    empty = FiltersDisplay(filters=np.zeros((0, 1, 3, 3)), units=[], n_units=4)
    with pytest.raises(ValueError, match="no live unit"):
        empty.plot()
