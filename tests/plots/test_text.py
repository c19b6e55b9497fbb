"""What users call things is drawn as it is written, in every display."""

import matplotlib
import numpy as np
import pytest
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, plots
from sklearn_sparsenet.plots.style import as_text

NAMES = ["_hidden", "$x$", "$5", r"a\b$\frac{", "50 % ^{", "", "two\nlines", "_", "$x$"]
N = len(NAMES)
RNG = np.random.default_rng(0)
# The part of a display, and what there is of the texts that it draws from the names.
DRAWN = {
    "LayersDisplay": (
        lambda names: {"names": names, "n_weights": [9] * N, "n_nonzero": [3] * N},
        lambda display: display.ax_.get_yticklabels(),
    ),
    "SearchDisplay": (
        lambda names: {
            "steps": [1, 2], "alphas": RNG.random((2, N)),
            "counts": RNG.integers(1, 9, (2, N)), "names": names,
        },
        lambda display: display.axes_[0].get_legend().get_texts(),
    ),
    "OptimalityDisplay": (
        lambda names: {
            "magnitudes": [np.arange(1.0, 4)] * N, "supports": [np.arange(3) > 1] * N,
            "alphas": [1.0] * N, "intervals": [(1.0, 2.0)] * N, "names": names,
        },
        lambda display: [axes.title for axes in display.axes_],
    ),
    "NetworkDisplay": (
        lambda names: {
            "weights": [np.eye(N)], "input_names": names, "output_names": names,
        },
        lambda display: display.ax_.get_yticklabels(),
    ),
    "SparsityCurveDisplay": (
        lambda names: {
            "n_nonzeros": [3, 2],
            "train_scores": [1, 2],
            "score_name": f"neg_{names[1]}",
        },
        lambda display: [display.ax_.yaxis.label],
    ),
    "StabilityDisplay": (
        lambda names: {
            "frequencies": np.linspace(1, 0, N),
            "feature_names": names,
            "threshold": 0.75,
        },
        lambda display: display.ax_.get_yticklabels(),
    ),
    "FiltersDisplay": (
        lambda names: {"filters": np.ones((1, 1, 2, 2)), "units": [0], "n_units": 1},
        lambda display: [],  # it has none
    ),
}  # fmt: skip
make = pytest.mark.parametrize("kind", plots.__all__)


def draw(kind, names):
    data, texts = DRAWN[kind]
    display = getattr(plots, kind)(**data(names)).plot()
    return display, texts(display)


@make
@pytest.mark.parametrize("convert", [list, tuple, lambda names: np.array(names)])
def test_every_name_is_drawn_as_it_is_written(kind, convert):
    with matplotlib.rc_context({"text.usetex": True}):
        _, texts = draw(kind, convert(NAMES))
    shown = [text.get_text().removesuffix("\n1 of 3\nλ = 1") for text in texts]
    if kind == "SparsityCurveDisplay":
        assert shown == NAMES[1:2]
    elif texts:
        assert shown[:N] == NAMES
    assert not any(text.get_parse_math() or text.get_usetex() for text in texts)
    display, _ = draw(kind, NAMES)
    display.figure_.set_size_inches(30, 10)
    display.figure_.canvas.draw()  # warnings are errors


def test_outputs_are_named_as_inputs_are():
    display, _ = draw("NetworkDisplay", NAMES)
    assert [label.get_text() for label in display.output_labels_] == NAMES
    assert not any(label.get_parse_math() for label in display.output_labels_)


@make
def test_names_need_not_be_text(kind):
    names = [3, None, ("a", 1), b"b", np.str_("c"), 2.5, *NAMES[6:]]
    _, texts = draw(kind, names)
    if len(texts) >= N:
        starts = ("3", "None", "('a', 1)", "b'b'", "c", "2.5")
        for text, start in zip(texts, starts, strict=False):
            assert text.get_text().startswith(start)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tab\there", r"tab\there"),
        ("zero\0", r"zero\x00"),
        ("\ud800", r"\ud800"),
        ("no\xa0break, ünï, 日本, שם", "no\xa0break, ünï, 日本, שם"),
    ],
)
def test_characters_that_no_font_shows_are_written_out(name, text):
    assert as_text(name) == text


def test_layers_and_classes_of_a_fitted_network():
    class Module(nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self._first = nn.Linear(n_features, 4)
            self._last = nn.Linear(4, n_outputs)

        def forward(self, inputs):
            return self._last(self._first(inputs).relu())

    X = RNG.standard_normal((60, 3))
    y = np.array(["$a$", "_b", "c%"])[np.argmax(X, axis=1)]
    params = {"max_iter": 40, "random_state": 0, "search": "bracket"}
    net = SparseNetClassifier(module=Module, target_sparsity=[6, 6], tol=0.3, **params)
    display = plots.SearchDisplay.from_estimator(net.fit(X, y))
    names = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert names[:2] == ["_first.weight", "_last.weight"]
    net = SparseNetClassifier((4,), target_sparsity=16, tol=0.3, **params).fit(X, y)
    display = plots.NetworkDisplay.from_estimator(net)
    assert [text.get_text() for text in display.output_labels_] == ["$a$", "_b", "c%"]
    display.figure_.canvas.draw()
