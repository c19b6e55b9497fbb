"""Displays: scikit-learn's conventions."""

import matplotlib
import matplotlib.pyplot as plt
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetRegressor, SparseNetRegressorCV, plots
from sklearn_sparsenet.plots import (
    FiltersDisplay,
    LayersDisplay,
    NetworkDisplay,
    OptimalityDisplay,
    SearchDisplay,
    SparsityCurveDisplay,
    StabilityDisplay,
)
from tests.processes import run_script


@pytest.fixture(
    params=[
        *("curve", "path", "search", "layers", "network", "optimality", "filters"),
        "stability",
    ]
)
def draw(request, net, diabetes, convolution, cross_validated, path, stability):
    """One way to a display, a function of `ax`."""
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
        "stability": lambda ax: StabilityDisplay.from_result(stability, ax=ax),
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


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
def test_a_display_draws_into_a_subfigure(draw, layout):
    figure = plt.figure(figsize=(14, 6), layout=layout)
    current = plt.figure()
    left, right = figure.subfigures(1, 2)
    display = draw(right.subplots())
    assert display.figure_ is right
    assert right.axes
    assert not left.axes
    assert plt.gcf() is current
    assert plt.get_fignums() == [figure.number, current.number]
    figure.canvas.draw()  # warnings are errors


def test_what_a_display_cannot_draw_into_is_refused(draw):
    figure = plt.figure()
    for place in (figure, figure.subfigures(), "axes"):
        with pytest.raises(TypeError, match=f"ax must be .*{type(place).__name__}"):
            draw(place)
    with pytest.raises(TypeError, match=r"ax must be .*polar"):
        draw(figure.add_subplot(projection="polar"))


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
    "name", ["Search", "Layers", "Network", "Filters", "Optimality", "SparsityCurve"]
)
def test_unfitted_estimators_are_refused(name, diabetes):
    display = getattr(plots, f"{name}Display")
    data = diabetes if name == "Optimality" else ()
    unfitted = SparseNetRegressor()
    for estimator in (unfitted, make_pipeline(StandardScaler(), unfitted)):
        with pytest.raises(NotFittedError):
            display.from_estimator(estimator, *data)


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


def test_estimators_that_chose_their_target_are_drawn_like_others(diabetes):
    net = SparseNetRegressorCV(
        (4,), target_sparsities=[[9, 2], [8, 3]], cv=2, max_iter=10, random_state=0
    ).fit(*diabetes)
    layers = LayersDisplay.from_estimator(net)
    assert list(layers.n_nonzero) == list(net.target_sparsity_)
    assert NetworkDisplay.from_estimator(net).graph_.n_connections == net.n_live_
    assert len(SearchDisplay.from_estimator(net).target_lines_) == 2
    display = OptimalityDisplay.from_estimator(net, *diabetes)  # or it would warn
    assert display.alphas == net.alpha_.tolist()
    assert FiltersDisplay.from_estimator(net, image_shape=(2, 5)).n_units == 4


@pytest.mark.slow
def test_the_package_does_without_matplotlib_until_something_is_plotted():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import sklearn_sparsenet\n"
        "from sklearn_sparsenet.plots import LayersDisplay\n"
        "d = LayersDisplay(names=['w'], n_weights=[3], n_nonzero=[1])\n"
        "try: d.plot()\nexcept ImportError as error: print(error)"
    )
    assert "sklearn-sparsenet[plots]" in run_script(code)
