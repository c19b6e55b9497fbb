"""Random fits: all parameters, data of every size, type, container and scale."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from scipy import sparse
from torch import nn

from sklearn_sparsenet import (
    L0,
    L1,
    MCP,
    BracketSearch,
    OnePassSearch,
    SparseNetClassifier,
    SparseNetRegressor,
)

_ENTRIES = 30_000  # of X, at most: many small fits find more than a few large ones
_STEPS = 300  # of mini-batches, at most
_ODD = 0.03  # how often a parameter is given a value that nobody should


@dataclass
class Case:
    """A fit that has not been made yet."""

    estimator: Any
    X: Any
    y: Any
    sample_weight: Any
    traits: dict[str, str] = field(default_factory=dict)

    def describe(self):
        """Say what it is, for whoever has to find out why it failed."""
        params = self.estimator.get_params(deep=False)
        plain = type(self.estimator)().get_params(deep=False)
        given = {k: v for k, v in params.items() if v is not plain[k]}
        shape = getattr(self.X, "shape", None)
        return f"{type(self.estimator).__name__}({given}) on {self.traits}, X {shape}"


class Doubled(nn.Module):
    """A module of the user's that is no Sequential."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first, self.last = nn.Linear(n_features, 6), nn.Linear(6, n_outputs)

    def forward(self, x):
        hidden = self.first(x).tanh()
        return self.last(hidden + hidden.abs())


def normalized(n_features, n_outputs):
    """Return a network with what behaves differently in training."""
    between = nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2)
    return nn.Sequential(nn.Linear(n_features, 6), *between, nn.Linear(6, n_outputs))


# Values that a user may choose, and values that must be refused or survived.
_PARAMETERS = {
    "hidden_layer_sizes": (
        [(5,), (20,), (8, 4), (3, 3, 3), (), 7, [6], np.array([4, 3]), (40,), (1,)],
        [(2.5,), (0,), "x", (True,), (2,) * 12, np.int64(6), ((3, 4),), 10**15, None],
    ),
    "activation": (
        ["relu", "tanh", "logistic", "identity", "leaky_relu", "elu", "gelu", "silu"],
        ["RELU", None, 3],
    ),
    "module": ([None] * 12 + [Doubled, normalized], [3, nn.Linear, nn.ReLU()]),
    "tol": ([0, 0.01, 0.1, 1.0], [-1, np.nan, "a", np.inf]),
    "max_outer_iter": ([1, 2, 4], [0, 1.5, None]),
    "search": (
        ["one_pass"] * 6 + ["bracket", BracketSearch(), OnePassSearch()],
        ["continuation", "x", None],
    ),
    "alpha": (
        [None] * 12 + [0.0, 1e-3, 0.1, 10.0],
        [-1.0, np.nan, np.inf, 1e300, 1e-300, "a", [1e-3], True],
    ),
    "alpha_bounds": (
        [(1e-7, 1e-2), (1e-5, 1.0)],
        [(1, 0), (0, 1), None, (1e-300, 1e300)],
    ),
    "penalty": (["l1", "mcp", "l0", L1(), MCP(gamma=2.0), L0()], ["l2", None, L1]),
    "penalize_bias": ([False, True], ["no", 2]),
    "debias": (["auto", True, False], ["yes", None]),
    "solver": (["adam"] * 8 + ["sgd", "sgd", "lbfgs"], ["newton", None]),
    "learning_rate_init": (
        ["auto", "auto", 1e-3, 0.05, 0.5],
        [0, -1, np.nan, 1e3, 1e30, 1e300, 1e-300, "a"],
    ),
    "learning_rate": (["cosine", "constant"], ["x", None]),
    "batch_size": (["auto", "auto", 1, 7, 64, 10**6], [0, -3, 2.5, "b"]),
    "kkt_tol": ([1e-3, 0, 0.1], [-1, np.nan]),
    "shuffle": ([True, False], ["yes"]),
    "early_stopping": ([False, False, False, True], ["yes"]),
    "validation_fraction": ([0.1, 0.3, 0.5], [0, 1, 1e-9, np.nan]),
    "n_iter_no_change": ([1, 3, 10], [0, 1.5]),
    "warm_start": ([False, True], ["yes"]),
    "dtype": (["auto", "auto", "float32", "float64"], ["int32", "float16", None]),
    "device": (["cpu", "auto"], ["cpu:99", "cuda:7", "x", None]),
    "verbose": ([0], [-1, "a"]),
}
_OF_CLASSIFIERS = {
    "loss": (["log_loss", "log_loss", "one_bit"], ["squared_error", None]),
    "class_weight": ([None, None, "balanced"], ["x", {0: -1.0}, 3]),
}
_OF_REGRESSORS = {
    "loss": (
        ["squared_error"] * 3 + ["absolute_error", "huber", "poisson"],
        ["log_loss", None],
    ),
    "normalize_y": (["auto", "auto", True, False], ["x", None]),
}
_GIVEN = 0.35  # how often a parameter is not left at its default


def _pick(rng, values):
    return values[rng.integers(len(values))]


def _kind(rng, kinds, chances):
    """Make one of several kinds; return it and its name."""
    chances = np.array(chances, float)
    name = str(rng.choice(list(kinds), p=chances / chances.sum()))
    return kinds[name](), name


def _parameters(rng, table):
    params = {}
    for name, (usual, odd) in table.items():
        if rng.random() < _GIVEN:
            params[name] = _pick(rng, odd if rng.random() < _ODD else usual)
    return params


def _target(rng, n_features):
    """Return what `target_sparsity` may be, sometimes what it may not."""
    if rng.random() < _ODD:
        odd = [1.0, True, 0, -3, np.nan, 10**9, "all", None, [3], {"x": 2}, (), {}]
        return _pick(rng, odd)
    kinds = [
        lambda: float(_pick(rng, [0.0, 0.3, 0.5, 0.9, 0.95, 0.99, 0.999])),
        lambda: int(_pick(rng, [1, 2, 3, 5, 10, 20, 50, 100])),
        lambda: np.int64(rng.integers(1, 30)),
        lambda: {"*": float(rng.uniform(0.1, 0.99))},
        lambda: {"0.weight": int(rng.integers(1, 12)), "*": 0.5},
        lambda: [float(rng.uniform(0.1, 0.95)), int(rng.integers(1, 6))],
    ]
    return kinds[rng.choice(6, p=[0.35, 0.35, 0.1, 0.08, 0.06, 0.06])]()


def _epochs(rng, n, params):
    """Return `max_iter`: few epochs, and fewer where they have many steps."""
    if rng.random() < 0.02:
        return "auto"
    batch_size = params.get("batch_size", "auto")
    rows = batch_size if isinstance(batch_size, int) and batch_size > 0 else 64
    most = max(1, _STEPS // -(-n // rows))
    return min(most, int(2 ** rng.uniform(0, 5.2)))


def _size(rng):
    n = int(np.exp(rng.uniform(0, np.log(3000))))
    most = min(2000, _ENTRIES // n)
    return n, int(np.exp(rng.uniform(0, np.log(most))))


def _scale(rng, X):
    """Return X with the scale of one of the corners of its type."""
    n, p = X.shape
    kinds = {
        "ordinary": lambda: X,
        "offset": lambda: X + 1e6,
        "counts": lambda: np.abs(X * 3).round(),
        "one hot": lambda: (X > 1.5).astype(float),
        "small": lambda: X * 1e-30,
        "denormal": lambda: X * 1e-310,
        "large": lambda: X * 1e37,
        "enormous": lambda: X * 1e300,
        "columns of all scales": lambda: X * 10.0 ** rng.integers(-12, 12, size=p),
        "heavy tails": lambda: X / np.abs(rng.normal(size=(n, 1)) + 1e-12) ** 3,
        "constant columns": lambda: np.where(rng.random(p) < 0.5, 1.0, X),
        "one constant": lambda: np.ones_like(X),
        "zeros": lambda: X * 0.0,
        "with nan": lambda: np.where(rng.random((n, p)) < 0.02, np.nan, X),
        "with inf": lambda: np.where(rng.random((n, p)) < 0.02, np.inf, X),
    }
    return _kind(rng, kinds, [21, *[1] * 14])


def _as_type(rng, X):
    chances = {"float64": 0.5, "float32": 0.28, "float16": 0.04, "int64": 0.05,
               "int8": 0.03, "uint8": 0.03, "bool": 0.03, "object": 0.04}  # fmt: skip
    kind = str(rng.choice(list(chances), p=list(chances.values())))
    with np.errstate(all="ignore"):
        finite = X if kind.startswith(("float", "object")) else np.nan_to_num(X)
        return finite.astype(kind), kind


def _memory_map(X):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        np.save(path, X)
        return np.load(path, mmap_mode="r")


_CONTAINERS = {
    "array": lambda X: X,
    "Fortran order": np.asfortranarray,
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "list": lambda X: X.tolist(),
    "pandas": lambda X: pd.DataFrame(X, columns=[f"$_{i}" for i in range(X.shape[1])]),
    "polars": lambda X: pl.DataFrame(X, schema=[f"c{i}" for i in range(X.shape[1])]),
    "csr": sparse.csr_array,
    "csc": sparse.csc_matrix,
    "coo": sparse.coo_array,
    "memory map": _memory_map,
}


def _contained(rng, X):
    names = list(_CONTAINERS)
    if X.dtype == object or X.dtype == np.float16:
        names = ["array", "list", "pandas"]
    name = "array" if rng.random() < 0.4 else str(_pick(rng, names))
    return _CONTAINERS[name](X), name


def _labels(rng, signal):
    n = len(signal)
    k = int(rng.integers(2, 6))
    codes = np.digitize(signal, np.quantile(signal, np.arange(1, k) / k))
    kinds = {
        "two classes": lambda: (signal > np.median(signal)).astype(int),
        "integers": lambda: codes * 7 - 3,
        "strings": lambda: np.array([f"class {c}" for c in codes]),
        "objects": lambda: np.array([f"${c}" for c in codes], dtype=object),
        "booleans": lambda: signal > np.median(signal),
        "floats": lambda: codes.astype(float),
        "a class of one row": lambda: np.where(np.arange(n) == n // 2, 9, codes > 0),
        "all different": lambda: np.arange(n) % 50,
        "one class": lambda: np.zeros(n, int),
        "several labels": lambda: np.stack([codes > 0, codes > 1], axis=1).astype(int),
        "continuous": lambda: signal,
        "column": lambda: codes[:, None],
    }
    return _kind(rng, kinds, [4, 4, 2, 1, 1, 1, 2, 0.5, 0.3, 1, 0.3, 0.3])


def _values(rng, signal):
    n = len(signal)
    kinds = {
        "ordinary": lambda: signal,
        "counts": lambda: np.abs(signal * 2).round(),
        "far from zero": lambda: 1.7e9 + 60 * signal,
        "small": lambda: signal * 1e-30,
        "denormal": lambda: signal * 1e-310,
        "large": lambda: signal * 1e30,
        "enormous": lambda: signal * 1e300,
        "heavy tails": lambda: signal / np.abs(rng.normal(size=n)) ** 3,
        "constant": lambda: np.full(n, 3.5),
        "two outputs": lambda: np.stack([signal, -signal * 1e3], axis=1),
        "integers": lambda: (signal * 10).astype(int),
        "float32": lambda: signal.astype(np.float32),
        "with nan": lambda: np.where(rng.random(n) < 0.05, np.nan, signal),
        "series": lambda: pd.Series(signal, index=np.arange(n)[::-1]),
    }
    return _kind(rng, kinds, [8, 2, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 0.3, 1])


def _weights(rng, n):
    kinds = {
        "none": lambda: None,
        "random": lambda: rng.random(n),
        "some zero": lambda: rng.integers(0, 3, size=n).astype(float),
        "huge": lambda: rng.random(n) * 1e300,
        "tiny": lambda: rng.random(n) * 1e-300,
        "integers": lambda: rng.integers(1, 4, size=n),
        "all zero": lambda: np.zeros(n),
        "negative": lambda: rng.normal(size=n),
    }
    return _kind(rng, kinds, [20, 3, 3, 0.5, 0.5, 1, 0.2, 0.2])


def make_case(rng):
    """Return a random fit."""
    n, p = _size(rng)
    plain = rng.normal(size=(n, p))
    signal = np.sin(plain[:, 0] * 2) + plain[:, p // 2] + 0.2 * rng.normal(size=n)
    with np.errstate(all="ignore"):
        X, scale = _scale(rng, plain)
    X, dtype = _as_type(rng, X)
    X, container = _contained(rng, X)
    classifies = rng.random() < 0.5
    kind = SparseNetClassifier if classifies else SparseNetRegressor
    with np.errstate(all="ignore"):
        y, target = (_labels if classifies else _values)(rng, signal)
    sample_weight, weights = _weights(rng, n)
    own = _OF_CLASSIFIERS if classifies else _OF_REGRESSORS
    params = _parameters(rng, _PARAMETERS | own)
    params |= {"target_sparsity": _target(rng, p), "max_iter": _epochs(rng, n, params)}
    params["random_state"] = int(rng.integers(2**31))
    if params.get("solver") == "lbfgs" and max(n, p) > 60:  # takes minutes
        del params["solver"]
    traits = {"scale": scale, "dtype": dtype, "container": container}
    traits |= {"y": target, "weights": weights}
    return Case(kind(**params), X, y, sample_weight, traits)
