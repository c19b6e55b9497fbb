"""Warnings: the line that they point at, what is told, and what is not."""

import re
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_sparsenet import SparseNetRegressor, SparseNetRegressorCV, sparsenet_path
from sklearn_sparsenet.utils.exceptions import DataScaleWarning

IMPOSSIBLE = {"target_sparsity": 2, "max_iter": 3}  # for three layers


def two_of_three_layers():
    return SparseNetRegressor((4, 4), **IMPOSSIBLE)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net,
        lambda net: make_pipeline(StandardScaler(), net),
        lambda net: GridSearchCV(net, {"tol": [0.1]}, cv=2),
    ],
    ids=["alone", "pipeline", "search"],
)
def test_convergence_warnings_do(wrap):
    X, y = load_diabetes(return_X_y=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        wrap(two_of_three_layers()).fit(X[:60], y[:60])
    assert {w.category for w in caught} >= {ConvergenceWarning}
    assert {w.filename for w in caught} == {__file__}


def test_warnings_of_the_data_do():
    X, y = load_diabetes(return_X_y=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        two_of_three_layers().fit(X[:60] * np.logspace(0, 6, X.shape[1]), y[:60, None])
    found = {w.category for w in caught}
    assert found >= {DataScaleWarning, DataConversionWarning}
    assert {w.filename for w in caught} == {__file__}


def messages(net, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, y)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_iter": 60}, "makes 60.*Write max_iter=100 or more"),
        ({"max_iter": 4, "batch_size": 10}, "makes 24.*Write max_iter=17 or more"),
        ({"target_sparsity": 0.02}, "keeps 54 of the 55 weights.*1 zero.*write 0.98"),
        ({"target_sparsity": [0.05, 0.5]}, "keeps 48 of the 50.*0.weight.*write 0.95"),
        ({"target_sparsity": {"*": 4}}, "each of the 2 layers.*8 in all.*sparsity=4"),
    ],
)
def test_what_is_probably_not_meant_is_told_once(settings, said):
    X, y = load_diabetes(return_X_y=True)
    net = SparseNetRegressor((5,), **{"max_iter": 100, "random_state": 0, **settings})
    (message,) = messages(net, X[:60], y[:60])
    assert re.search(said, message)


@pytest.mark.parametrize(
    "settings",
    [{"max_iter": 100}, {"target_sparsity": 0.0}, {"target_sparsity": {"0*": 9}},
     {"target_sparsity": {"*": 0.5}}, {"target_sparsity": {"2*": 3, "*": 9}},
     {"alpha": 1e-2, "max_iter": 9}],
    ids=str,
)  # fmt: skip
def test_nothing_is_told_of_what_is_usual(settings):
    X, y = load_diabetes(return_X_y=True)
    net = SparseNetRegressor((5,), **{"max_iter": 100, "random_state": 0, **settings})
    assert messages(net, X[:60], y[:60]) == []


def test_nothing_is_told_of_faint_columns_and_rare_indicators():
    """Steps are as large as what is in a column asks for."""
    rng = np.random.default_rng(0)
    counts = sparse.random(200, 800, density=0.02, random_state=rng, format="csr")
    faint = counts.multiply(np.geomspace(0.02, 0.1, 800)).tocsr()
    rare = sparse.csr_matrix(np.eye(800)[rng.integers(800, size=200)])
    net = SparseNetRegressor((2,), max_iter=100, random_state=0)
    y = rng.normal(size=200)
    assert messages(net, faint, y) == []
    assert messages(net, rare, y) == []


X = np.random.default_rng(0).normal(size=(60, 4))
Y = X[:, 0] - X[:, 1]
BOUNDS = (1e-6, 1e-1)

IDLE = [
    ({}, {"alpha_bounds": BOUNDS, "max_outer_iter": 3, "penalty": "mcp"}),
    ({"target_sparsity": [6, 3]}, {"min_layers_on_target": 1}),
    (
        {"alpha": 1e-2},
        {"tol": 0.3, "search": "bracket", "alpha_bounds": BOUNDS,
         "max_outer_iter": 3, "min_layers_on_target": 1},
    ),
    ({}, {"validation_fraction": 0.3, "n_iter_no_change": 3}),
    ({"module": nn.Linear(4, 1)}, {"hidden_layer_sizes": (9,), "activation": "tanh"}),
    (
        {"solver": "lbfgs", "activation": "tanh", "alpha": 1e-2},
        {"learning_rate_init": 0.3, "learning_rate": "constant",
         "shuffle": False},
    ),
]  # fmt: skip


def fit(**settings):
    common = {"max_iter": 60, "random_state": 0}
    if "module" not in settings:
        common["hidden_layer_sizes"] = (5,)
    net = SparseNetRegressor(**{**common, **settings})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, Y)
    told = [str(w.message) for w in caught if "change nothing" in str(w.message)]
    return net, told


@pytest.mark.parametrize(("settings", "idle"), IDLE, ids=lambda each: ", ".join(each))
def test_what_is_said_to_change_nothing_does_not(settings, idle):
    net, nothing = fit(**settings)
    same, (message,) = fit(**settings, **idle)
    assert nothing == []
    assert all(f"{name}=" in message for name in idle)
    np.testing.assert_array_equal(net.predict(X), same.predict(X))


@pytest.mark.parametrize(
    "settings",
    [
        {"tol": 0.3},  # of the penalised solution
        {"tol": 0.01, "alpha_bounds": [1e-7, 1e-2], "max_outer_iter": np.int64(20)},
        {"search": "bracket", "tol": 0.3, "alpha_bounds": BOUNDS, "max_outer_iter": 9},
        {"penalty": "l0"},
        {"penalty": "mcp", "debias": False},
        {"early_stopping": True, "n_iter_no_change": 3, "validation_fraction": 0.3},
        {"alpha": 1e-2, "target_sparsity": 3, "penalty": "mcp"},
        {"solver": "lbfgs", "activation": "tanh", "alpha": 1e-2, "checkpoint": "new"},
    ],
    ids=str,
)
def test_nothing_is_said_of_what_matters_or_holds_anyway(
    settings, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # where a checkpoint is made
    assert fit(**settings)[1] == []


def test_folds_and_paths_say_it_once():
    settings = {"alpha_bounds": BOUNDS, "max_iter": 30, "random_state": 0}
    with pytest.warns(UserWarning, match="alpha_bounds=") as caught:
        SparseNetRegressorCV((3,), target_sparsities=[9, 5], **settings).fit(X, Y)
    assert sum("change nothing" in str(w.message) for w in caught) == 1
    net = SparseNetRegressor((3,), target_sparsity=4, **settings)
    with pytest.warns(UserWarning, match="alpha_bounds=") as caught:
        sparsenet_path(net, X, Y, alphas=[1e-2])
    assert "target_sparsity=" not in str(caught[0].message)


def test_nothing_is_told_of_a_constant_column_in_a_sparse_matrix():
    """Rounding left it a deviation of 3e-8."""
    X = sparse.random(300, 20, density=0.05, random_state=0, format="csr")
    X = sparse.hstack([X, sparse.csr_matrix(np.ones((300, 1)))]).tocsr()
    net = SparseNetRegressor((3,), alpha=1e-3, max_iter=2, random_state=0)
    assert messages(net, X, np.arange(300.0)) == []


def test_advice_is_not_to_change_what_changes_nothing():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    hard = {"target_sparsity": 9, "tol": 0, "max_iter": 30, "max_outer_iter": 2}
    net = SparseNetRegressor((3,), "tanh", solver="lbfgs", random_state=0, **hard)
    with pytest.warns(ConvergenceWarning, match="Raise tol, max_outer_iter") as told:
        net.fit(X, X[:, 0])
    assert not any("alpha_bounds" in str(each.message) for each in told)
