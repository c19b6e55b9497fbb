"""Rows that keep coming: `partial_fit` on a target that stays, and on one that turns.

A regression of 20 columns, 500 rows at first, then parts of 16, 64 or 500 rows; 200 of
1050 weights. The error is the mean square of what is missed of the target without its
noise, over the second half of the stream, on rows of the next part; medians over seeds.
In the folder `examples`::

    python -m benchmarks.streams --json ../docs/streams.json
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from generated_page import table
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from sklearn_sparsenet import SparseNetRegressor

N_FEATURES, N_FIRST, N_TEST, NOISE = 20, 500, 2000, 0.3
PARTS = {16: 300, 64: 150, 500: 40}  # rows of a part, and how many parts
TURN = {"stays": 0.0, "turns": np.pi / 2}  # of the target, in all
HIDDEN, TARGET = (50,), 200


def draw(rng: np.random.Generator, n_rows: int, angle: float) -> tuple[np.ndarray, ...]:
    """Return rows, the target that is observed, and what it is without noise."""
    X = rng.standard_normal((n_rows, N_FEATURES))
    along = np.cos(angle) * X[:, :5] + np.sin(angle) * X[:, 5:10]
    along = along.sum(axis=1) / 5**0.5
    clean = np.sin(2 * along) + along / 2 + 0.3 * X[:, 0] * X[:, 5]
    return X, clean + NOISE * rng.standard_normal(n_rows), clean


def sparse(after_first: Callable[[Any], None], each: Callable[[Any], None]):
    """Return what trains our network; functions change it after calls."""

    def train(parts: list, seed: int):
        net = SparseNetRegressor(HIDDEN, target_sparsity=TARGET, random_state=seed)
        for number, (X, y, _) in enumerate(parts):
            net.partial_fit(X, y)
            (each if number else after_first)(net)
            yield net

    return train


def dense(parts: list, seed: int):
    """Train scikit-learn's network, with all its weights."""
    X, y, _ = parts[0]
    net = MLPRegressor(hidden_layer_sizes=HIDDEN, random_state=seed).fit(X, y)
    yield net
    for X, y, _ in parts[1:]:
        yield net.partial_fit(X, y)


def first_only(parts: list, seed: int):
    """Train with the first rows alone."""
    X, y, _ = parts[0]
    net = SparseNetRegressor(HIDDEN, target_sparsity=TARGET, random_state=seed)
    net.fit(X, y)
    for _ in parts:
        yield net


def as_it_is(net: Any) -> None:
    """Change nothing."""


def setting(**params: Any) -> Callable[[Any], None]:
    """Return what sets parameters."""
    return lambda net: net.set_params(**params) and None


def forget(net: Any) -> None:
    """Let Adam begin anew at the next call."""
    net._moments = None


METHODS = {
    "first rows alone": first_only,
    "partial_fit": sparse(as_it_is, as_it_is),
    "with weight_decay=0 after the first rows": sparse(
        setting(weight_decay=0.0), as_it_is
    ),
    "with steps of a third": sparse(setting(learning_rate_init=1e-2 / 3), as_it_is),
    "with steps of three times": sparse(setting(learning_rate_init=3e-2), as_it_is),
    "without Adam's moments of the call before": sparse(as_it_is, forget),
    "scikit-learn's MLPRegressor, dense": dense,
}


def error(train: Callable, n_rows: int, turn: float, seed: int) -> float:
    """Return the error over the second half of a stream."""
    rng, n_parts = np.random.default_rng(seed), PARTS[n_rows]
    angles = [turn * number / n_parts for number in range(n_parts + 2)]
    sizes = [N_FIRST] + [n_rows] * n_parts
    parts = [draw(rng, *how) for how in zip(sizes, angles[:-1], strict=True)]
    errors = []
    for number, net in enumerate(train(parts, seed)):
        if 2 * number > n_parts:
            X, _, clean = draw(rng, N_TEST, angles[number + 1])
            errors.append(float(np.mean((net.predict(X) - clean) ** 2)))
    return mean(errors)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    columns = [(kind, n_rows) for kind in TURN for n_rows in PARTS]
    found = {}
    for name, train in METHODS.items():
        errors = [
            [error(train, n, TURN[kind], seed) for seed in range(arguments.seeds)]
            for kind, n in columns
        ]
        cells = zip(columns, errors, strict=True)
        found[name] = {f"{k}, {n}": round(median(e), 3) for (k, n), e in cells}
        print(name, found[name], flush=True)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    rows = [[name, *values.values()] for name, values in found.items()]
    print(table(["", *(f"{kind}, {n}" for kind, n in columns)], rows))


if __name__ == "__main__":
    main()
