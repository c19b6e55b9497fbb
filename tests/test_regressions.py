"""One test for every bug that was found and fixed."""

import numpy as np
import pytest
import torch

from sklearn_sparsenet import (
    NonFiniteLossError,
    SparseNetClassifier,
    SparseNetRegressor,
)
from sklearn_sparsenet.solvers import EarlyStopping

X = np.random.default_rng(0).normal(size=(100, 4))
Y = X[:, 0] - X[:, 1]


def test_the_loss_after_the_last_step_is_looked_at():
    settings = {"alpha": 0.0, "solver": "sgd", "learning_rate_init": 1e15}
    net = SparseNetRegressor(module=torch.nn.Linear(4, 1), max_iter=1, **settings)
    with pytest.raises(NonFiniteLossError):
        net.fit((1e3 * X).astype(np.float32), Y)


def test_backing_off_rewinds_early_stopping():
    early = EarlyStopping(None, lambda weights: True)
    early.scores = [0.1, 0.2, 0.9]
    early.best_epoch, early.best_score, early.best_state = 3, 0.9, "state"
    early.rewind(2)
    assert early.scores == [0.1, 0.2]
    assert early.best_state is None
    early.best_epoch, early.best_state = 1, "state"
    early.rewind(2)
    assert early.best_state == "state"


def test_the_last_loss_of_an_epoch_cut_short_is_a_mean_too():
    settings = {"batch_size": 10, "max_iter": 30, "random_state": 0, "debias": False}
    settings["search"] = "bracket"
    net = SparseNetRegressor((10,), target_sparsity=0.5, tol=0.2, **settings).fit(X, Y)
    assert net.search_history_["status"][-1] == "on_target"
    assert net.loss_curve_[-1] > 0.5 * net.loss_  # of ten batches, one was seen


def test_balanced_classes_are_those_of_the_weighted_rows():
    y = np.arange(100) % 2
    weight = np.arange(100) % 3
    rows = np.repeat(np.arange(100), weight)
    net = SparseNetClassifier(
        (), class_weight="balanced", alpha=1e-3, max_iter=40, random_state=0
    )
    first = net.fit(X, y, weight).predict_proba(X)
    second = net.fit(X[rows], y[rows]).predict_proba(X)
    np.testing.assert_allclose(first, second, atol=1e-7)


def test_negative_class_weights_are_refused():
    net = SparseNetClassifier(class_weight={0: -1.0}, alpha=1e-3)
    with pytest.raises(ValueError, match="class_weight"):
        net.fit(X, np.arange(100) % 3)


@pytest.mark.parametrize("rate", [1.0, 10.0, 50.0])
def test_steps_too_large_for_the_first_epoch(rate):
    x = np.random.default_rng(0).normal(size=(400, 10))
    net = SparseNetRegressor(
        (), alpha=1e-3, solver="sgd", learning_rate_init=rate, random_state=0
    ).fit(x, x[:, 0] - x[:, 1])
    assert net.score(x, x[:, 0] - x[:, 1]) > 0.5


def test_y_in_tiny_units():
    net = SparseNetRegressor((5,), alpha=1e-3, max_iter=40, random_state=0)
    wanted = net.fit(X, Y).predict(X)
    got = net.fit(X, Y * 1e-13).predict(X)
    np.testing.assert_allclose(got * 1e13, wanted, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["longdouble", "object", "str", [], None])
def test_unusable_dtypes(dtype):
    with pytest.raises(ValueError, match="'auto', 'float32' or 'float64'"):
        SparseNetRegressor((5,), dtype=dtype, alpha=1e-3).fit(X, Y)
