"""The fits that are on record: each of a kind of its own."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine
from sklearn.preprocessing import scale

import sklearn_sparsenet
from sklearn_sparsenet import (
    MCP,
    BracketSearch,
    OnePassSearch,
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetPath,
    SparseNetRegressor,
    SparseNetRegressorCV,
    sparsenet_path,
)
from sklearn_sparsenet.losses import Huber


def _regression(n_samples=150):
    X, y = load_diabetes(return_X_y=True)
    return scale(X)[:n_samples], y[:n_samples]


def _classes(load=load_iris):
    X, y = load(return_X_y=True)
    X, y = np.asarray(X, dtype=float)[::2], y[::2]
    return (X - X.mean(0)) / (X.std(0) + 1e-3), y


def _images():
    X, y = load_digits(n_class=3, return_X_y=True)
    return X[:120] / 16, y[:120]


class SmallCNN(torch.nn.Sequential):
    """For eight by eight pixels."""

    def __init__(self, n_features, n_outputs):
        super().__init__(
            torch.nn.Unflatten(1, (1, 8, 8)), torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(),
            torch.nn.Flatten(), torch.nn.Linear(108, n_outputs),
        )  # fmt: skip


def _of(estimator, **more):
    """Return an estimator with the settings that all cases share, and some more."""
    common = {"hidden_layer_sizes": (8,), "max_iter": 120, "random_state": 0}
    return clone(estimator).set_params(**(common | {"dtype": "float64"} | more))


_regressor = partial(_of, SparseNetRegressor())
_classifier = partial(_of, SparseNetClassifier())


def _regression_case(**params):
    return lambda: _regressor(**params).fit(*_regression())


def _class_case(load=load_iris, **params):
    return lambda: _classifier(**params).fit(*_classes(load))


def _weighted():
    X, y = _regression()
    weight = np.arange(len(y)) % 3
    return _regressor().fit(X, y, sample_weight=weight)


def _several_outputs():
    X, y = _regression()
    return _regressor().fit(X, np.stack([y, X[:, 0], y * X[:, 1]], axis=1))


def _sparse_inputs():
    X, y = _images()
    return _classifier(max_iter=40).fit(sparse.csr_matrix(X), y)


def _convolution():
    net = _classifier(module=SmallCNN, hidden_layer_sizes=(100,), max_iter=40)
    return net.fit(*_images())


def _warm_start():
    X, y = _regression()
    net = _regressor(warm_start=True, max_iter=60).fit(X, y)
    return net.set_params(target_sparsity=0.8).fit(X, y)


def _solution_again():
    """A fixed λ from the solution that a search has found."""
    X, y = _classes()
    net = _classifier(warm_start=True, activation="tanh").fit(X, y)
    return net.set_params(alpha=float(net.alpha_), max_iter=10).fit(X, y)


def _checkpointed():
    with tempfile.TemporaryDirectory() as directory:
        net = _regressor(search="bracket", checkpoint=directory, max_iter=40)
        net.fit(*_regression())
        return net.fit(*_regression())  # every solve comes from the checkpoint


def _from_a_file():
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "net"
        _classifier().fit(*_classes()).save(path)
        return sklearn_sparsenet.load(path)


def _path(**params):
    def run():
        net = _regressor(max_iter=60, **params)
        return sparsenet_path(net, *_regression(), target_sparsities=[0.5, 0.8, 0.9])

    return run


def _cv(estimator, data, **params):
    settings = {"target_sparsities": [0.5, 0.8], "cv": 2, "max_iter": 40}
    return lambda: _of(estimator, **settings, **params).fit(*data())


_QUICK = {"search": "bracket", "max_iter": 60, "max_outer_iter": 4}
CASES = {
    "one pass": _regression_case(),
    "one pass, sgd": _regression_case(solver="sgd"),
    "one pass, count": _regression_case(target_sparsity=17),
    "one pass, per layer": _regression_case(target_sparsity=[0.8, 0.5]),
    "one pass, deep": _regression_case(hidden_layer_sizes=(8, 6)),
    "one pass, no solve": _regression_case(search=OnePassSearch(solve_fraction=0.0)),
    "one pass, no growth": _regression_case(search=OnePassSearch(growth=0.0)),
    "one pass, penalised": _regression_case(debias=False),
    "one pass, tanh": _class_case(activation="tanh"),
    "one pass, linear": _class_case(hidden_layer_sizes=(), target_sparsity=6),
    "one pass, batches": _regression_case(batch_size=32, max_iter=40),
    "one pass, single precision": _regression_case(dtype="float32"),
    "one pass, stopped early": _regression_case(early_stopping=True),
    "one pass, no decay": _regression_case(weight_decay=0.0),
    "one pass, mcp": _regression_case(penalty="mcp", debias=False),
    "one pass, l0": _regression_case(penalty="l0"),
    "one pass, biases": _regression_case(penalize_bias=True),
    "bracket": _regression_case(**_QUICK),
    "bracket, sgd": _regression_case(solver="sgd", **_QUICK),
    "bracket, per layer": _regression_case(target_sparsity=[0.8, 0.5], **_QUICK),
    "bracket, refit": _regression_case(debias=True, **_QUICK),
    "bracket, mcp": _class_case(penalty=MCP(4.0), **_QUICK),
    "bracket, object": _class_case(**(_QUICK | {"search": BracketSearch()})),
    "lbfgs": _class_case(solver="lbfgs", activation="tanh", target_sparsity=12),
    "lbfgs, fixed": _class_case(solver="lbfgs", activation="tanh", alpha=0.01),
    "lbfgs, linear": _regression_case(
        solver="lbfgs", hidden_layer_sizes=(), target_sparsity=4
    ),
    "fixed": _regression_case(alpha=0.01),
    "fixed, per layer": _regression_case(alpha=[0.01, 0.02]),
    "fixed, constant steps": _regression_case(alpha=0.01, learning_rate="constant"),
    "wine": _class_case(load_wine, target_sparsity=0.8),
    "huber": _regression_case(loss=Huber()),
    "poisson": _regression_case(loss="poisson"),
    "weights": _weighted,
    "several outputs": _several_outputs,
    "csr": _sparse_inputs,
    "convolution": _convolution,
    "warm start": _warm_start,
    "the solution again": _solution_again,
    "checkpoint": _checkpointed,
    "file": _from_a_file,
    "path": _path(),
    "path, bracket": _path(search="bracket", max_outer_iter=3),
    "cv, regressor": _cv(SparseNetRegressorCV(), _regression),
    "cv, classifier": _cv(SparseNetClassifierCV(), _classes, selection="1se"),
}

_VALUES = ("alpha_", "loss_", "kkt_residual_", "weight_decay_", "n_iter_")


def arrays_of(fitted):
    """Return the numbers of a fit: weights of both solutions, λ, loss, residual."""
    if isinstance(fitted, SparseNetPath):
        points = enumerate(fitted.estimators)
        return {f"{i}.{k}": v for i, p in points for k, v in arrays_of(p).items()}
    lists = ("coefs_", "intercepts_", "penalized_coefs_", "penalized_intercepts_")
    found = {
        f"{name}{i}": np.asarray(array)
        for name in lists
        for i, array in enumerate(getattr(fitted, name, ()))
    }
    state = fitted.module_.state_dict().items()
    found |= {name: value.numpy() for name, value in state}
    values = {name: np.atleast_1d(getattr(fitted, name)) for name in _VALUES}
    return {name: array.astype(float) for name, array in (found | values).items()}
