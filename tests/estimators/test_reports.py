"""Reports on a fitted network agree with its weights; it shows in a notebook."""

import builtins
import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_wine
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from torch import nn

from sklearn_sparsenet import MCP, SparseNetClassifier, SparseNetRegressor
from tests.comparisons import pickled, reloaded


def build(n_features, n_outputs):
    return nn.Sequential(
        nn.Sequential(nn.Dropout(0.1), nn.Linear(n_features, 8)),
        nn.Tanh(),
        nn.Linear(8, n_outputs),
    )


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True, as_frame=True)
    return (X - X.mean()) / X.std(), y


def fit(wine, **settings):
    settings = {"target_sparsity": 20, "max_iter": 40, "random_state": 0, **settings}
    return SparseNetClassifier(**{"hidden_layer_sizes": (8,), **settings}).fit(*wine)


@pytest.fixture(scope="module")
def net(wine):
    return fit(wine)


@pytest.fixture(scope="module")
def bracket(wine):
    return fit(wine, search="bracket", target_sparsity=[14, 8], tol=0.3)


@pytest.fixture
def without_pandas(monkeypatch):
    found = builtins.__import__

    def refuse(name, *rest, **options):
        if name == "pandas":
            raise ImportError(name)
        return found(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)


def live_weights(net):
    """Weights of the first layer whose unit reaches an output, by brute force."""
    first, *others = (coef != 0 for coef in net.coefs_)
    reaches = np.ones(others[-1].shape[1], dtype=bool)
    for layer in reversed(others):
        reaches = (layer & reaches).any(axis=1)
    return first & reaches


def test_inputs_by_name(net, wine):
    report = net.input_report()
    assert list(report.columns) == ["feature", "index", "importance", "n_live"]
    assert 0 < len(report) == net.support_.sum() < wine[0].shape[1]
    assert set(report["feature"]) == set(wine[0].columns[net.support_])
    assert (wine[0].columns[report["index"]] == report["feature"]).all()
    assert (np.diff(report["importance"]) <= 0).all()
    assert report["importance"][0] == 1
    assert_array_equal(report["importance"], net.feature_importances_[report["index"]])
    assert_array_equal(report["n_live"], live_weights(net).sum(axis=1)[report["index"]])
    assert report["n_live"].sum() == net.sparsity_report()["n_live"][0]


def test_inputs_without_names(wine):
    net = SparseNetRegressor((8,), target_sparsity=12, max_iter=30, random_state=0)
    net.fit(wine[0].to_numpy(), wine[1])
    report = net.input_report()
    assert [f"x{i}" for i in report["index"]] == list(report["feature"])


def test_inputs_of_modules(wine):
    """Counted where a linear layer comes first, not for convolutions."""
    net = fit(wine, module=build)
    report = net.input_report()
    first = net.module_[0][1].weight.detach().numpy() != 0
    last = (net.module_[2].weight.detach().numpy() != 0).any(axis=0)
    live = (first & last[:, None]).sum(axis=0)
    assert_array_equal(report["n_live"], live[report["index"]])
    X = np.random.default_rng(0).normal(size=(40, 1, 6))
    module = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
    images = SparseNetRegressor(
        module=module.double(), target_sparsity=5, max_iter=20, random_state=0
    )
    report = images.fit(X, X[:, 0, 2]).input_report()
    assert report["n_live"].isna().all()
    assert len(report) == images.support_.sum()
    assert re.fullmatch(r"x\[0, \d\]", report["feature"][0])
    index = np.unravel_index(report["index"], (1, 6))
    assert images.support_[index].all()


def test_compact_networks_report_the_same_inputs(wine):
    net = fit(wine)
    before = net.input_report()
    after = net.compact().input_report()
    pd.testing.assert_frame_equal(before, after)
    assert after["n_live"].sum() == net.n_nonzero_per_layer_[0]


def test_reports_survive_pickles_and_files(net):
    for copy in (pickled(net), reloaded(net)):
        for name in ("input_report", "search_report", "sparsity_report"):
            pd.testing.assert_frame_equal(getattr(copy, name)(), getattr(net, name)())
        assert copy.summary() == net.summary()


def test_the_search_as_a_table(bracket):
    report, history = bracket.search_report(), bracket.search_history_
    assert len(report) == bracket.n_outer_iter_ > 1
    for name in ("n_nonzero", "loss", "kkt_residual", "epochs", "seconds", "status"):
        assert report[name].tolist() == history[name].tolist()
    for number, layer in enumerate(bracket.layer_names_):
        kept = report[f"n_nonzero[{layer}]"]
        assert kept.tolist() == history["n_nonzero_per_layer"][:, number].tolist()
        alphas = history["alpha"][:, number].tolist()
        assert report[f"alpha[{layer}]"].tolist() == alphas
    assert "alpha" not in report
    assert len(report.columns) == 6 + 2 * len(bracket.layer_names_)


def test_the_search_for_one_alpha(net):
    report = net.search_report()
    assert report["alpha"].tolist() == [net.alpha_]
    assert report["n_nonzero"].tolist() == [20]


@pytest.mark.parametrize("name", ["sparsity_report", "input_report", "search_report"])
def test_reports_without_pandas(bracket, name, without_pandas):
    report = getattr(bracket, name)()
    assert isinstance(report, dict)
    assert all(isinstance(column, list) for column in report.values())
    assert len({len(column) for column in report.values()}) == 1


@pytest.mark.parametrize(
    "name", ["sparsity_report", "input_report", "search_report", "summary"]
)
def test_nothing_to_report_before_fit(name):
    with pytest.raises(NotFittedError):
        getattr(SparseNetClassifier(), name)()


def test_summary_names_counts_and_inputs(net, bracket):
    text = net.summary()
    assert "20 of 128 (15.62%)" in text
    assert f"{net.n_live_} on paths" in text
    assert "asked for 20: met" in text
    assert f"{net.support_.sum()} of 13 in use" in text
    assert net.input_report()["feature"][0] in text
    assert f"{net.n_iter_} epochs" in text
    assert "asked for [14, 8]: met" in bracket.summary()
    for name, kept in zip(
        bracket.layer_names_, bracket.n_nonzero_per_layer_, strict=True
    ):
        assert f"{name} {kept}" in bracket.summary()


def test_summary_of_a_given_alpha(wine):
    text = fit(wine, alpha=0.03).summary()
    assert "asked for" not in text
    assert "0.03;" in text


def test_summary_of_an_empty_network(wine):
    text = fit(wine, alpha=1e3).summary()
    assert "0 of 128" in text
    assert "0 of 13 in use\n" in text


PARAMETERS = {
    "plain": {},
    "callable": {"module": build},
    "instance": {"module": build(13, 3)},
    "objects": {
        "penalty": MCP(gamma=5.0),
        "loss": nn.CrossEntropyLoss(reduction="none"),
        "target_sparsity": {"0.weight": 12, "*": 0.5},
        "tol": 0.5,
    },
}


@pytest.mark.parametrize("settings", PARAMETERS.values(), ids=PARAMETERS)
def test_diagrams_and_representations(wine, settings):
    """Fitted or not, alone or in a pipeline; angle brackets of a repr are escaped."""
    net = SparseNetClassifier((8,), max_iter=30, random_state=0, **settings)
    for name in settings:
        assert f"{name}=" in repr(net)
    assert "Not fitted" in estimator_html_repr(net)
    net.fit(*wine)
    for shown in (net, make_pipeline(StandardScaler(), net)):
        html = shown._repr_html_()
        assert "SparseNetClassifier" in html
        assert "<function" not in html
    html = net._repr_html_()
    assert "Fitted attributes" in html
    for name in ("n_nonzero_", "alpha_", "support_", "layer_names_"):
        assert f">{name}<" in re.sub(r"\s+", "", html)
    assert repr(net) == repr(SparseNetClassifier(**net.get_params()))


def test_the_summary_names_layers_that_are_not_counted():
    X, y = load_wine(return_X_y=True)
    net = SparseNetClassifier(
        (6,), target_sparsity={"0.weight": 10}, max_iter=5, random_state=0
    )
    text = net.fit(StandardScaler().fit_transform(X), y).summary()
    assert "10 of 78" in text
    assert "not counted: 2.weight" in text
