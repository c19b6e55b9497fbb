"""Same seed, same bits; the process is left as it was."""

import copy
import random

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import load_iris
from torch import nn

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.utils.exceptions import NonFiniteLossError

X, Y = load_iris(return_X_y=True)
X = np.tile(X, (3, 1))  # mini-batches
Y = np.tile(Y, 3)
SETTINGS = {"target_sparsity": 0.5, "tol": 0.2, "max_iter": 30}


def fit(seed=0, **settings):
    return SparseNetClassifier((20,), random_state=seed, **SETTINGS, **settings).fit(
        X, Y
    )


def bits(net):
    return [net.predict_proba(X), *net.coefs_, net.alpha_, net.loss_curve_]


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def fit_bits(seed):
    return bits(fit(seed))


@pytest.mark.parametrize(
    "backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"]
)
def test_any_number_of_jobs(backend):
    wanted = [fit_bits(seed) for seed in (0, 1, 2)]
    with parallel_config(backend=backend, n_jobs=2):
        got = Parallel()(delayed(fit_bits)(seed) for seed in (0, 1, 2))
    for a, b in zip(wanted, got, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads(threads):
    wanted = fit_bits(0)
    torch.set_num_threads(threads)
    assert_same(fit_bits(0), wanted)
    assert torch.get_num_threads() == threads


def test_seeds_differ():
    assert not np.array_equal(fit(0).predict_proba(X), fit(1).predict_proba(X))


def test_a_module_with_dropout_is_reproducible():
    def make(n_features, n_outputs):
        return nn.Sequential(
            nn.Linear(n_features, 16),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(16, n_outputs),
        )

    first, second = (fit(3, module=make).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("module", [None, nn.Linear(4, 3)])
@pytest.mark.parametrize("fails", [False, True])
def test_global_state_is_left_alone(module, fails):
    def state():
        return (
            torch.get_rng_state().tolist(),
            np.random.get_state()[1].tolist(),  # noqa: NPY002
            np.random.get_state()[2],  # noqa: NPY002
            random.getstate(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
        )

    before = state()
    if fails:
        with pytest.raises(NonFiniteLossError):
            fit(module=module, loss=lambda output, target: output.sum(1) * np.nan)
    else:
        fit(module=module).predict(X)
    assert state() == before


def test_no_seed_draws_from_numpys_global_state():
    kept = np.random.get_state()  # noqa: NPY002
    try:
        drawn = []
        for _ in range(2):
            np.random.seed(7)  # noqa: NPY002
            drawn.append(fit(None).predict_proba(X))
        np.testing.assert_array_equal(*drawn)
    finally:
        np.random.set_state(kept)  # noqa: NPY002


def test_parameters_are_never_changed():
    target = {"0.weight": 30, "*": 0.5}
    net = SparseNetClassifier(
        [20], target_sparsity=target, tol=0.2, max_iter=20, class_weight={0: 2.0}
    )
    before = copy.deepcopy(net.get_params())
    net.fit(X, Y)
    assert net.get_params() == before
