"""Parameters that change nothing in a fit are told of, once, where they are set."""

import warnings

import numpy as np
import pytest
from torch import nn

from sklearn_sparsenet import SparseNetRegressor, SparseNetRegressorCV, sparsenet_path

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
