"""Inputs and units exactly as asked: 1000 random fits, counted independently.

Each fit draws a data set, hidden layers, a seed, and targets on inputs, units and
weights that can be met together. What is in use is found from `coefs_` alone, by
following nonzero weights from the inputs and from the outputs. In the folder
`examples`::

    OMP_NUM_THREADS=1 python -m benchmarks.unit_counts --fits 1000
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from cached_runs import Record, save_records
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

LOADERS = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "diabetes": datasets.load_diabetes,
    "linnerud": datasets.load_linnerud,
}
HIDDEN = ((), (8,), (30,), (12, 9), (20, 5, 7))
MOST_ROWS, STEPS = 400, 150


def draw(rng: np.random.Generator, n_inputs: int, n_outputs: int) -> dict[str, Any]:
    """Return hidden layers, and targets that can be met together."""
    hidden = HIDDEN[rng.integers(len(HIDDEN))]
    rows = [n_inputs, *hidden, n_outputs]
    least, most, asked = [1] * len(rows), list(rows), {}
    if not hidden or rng.random() < 0.7:
        least[0] = most[0] = asked["target_inputs"] = int(rng.integers(1, n_inputs + 1))
    if hidden and ("target_inputs" not in asked or rng.random() < 0.5):
        units = [int(rng.integers(1, size + 1)) for size in hidden]
        least[1:-1] = most[1:-1] = asked["target_units"] = units
        if rng.random() < 0.3:  # as many, however the layers share them
            asked["target_units"] = sum(units)
    fewest = sum(max(a, b) for a, b in pairwise(least))
    room = sum(a * b for a, b in pairwise(most))
    weights = [None, 0.9, int(rng.integers(fewest, room + 1))]
    if isinstance(asked.get("target_units"), int):
        weights.pop()  # how many there can be depends on how they are shared
    asked["target_sparsity"] = weights[rng.integers(len(weights))]
    return {"hidden_layer_sizes": hidden, **asked}


def count(coefs: list[np.ndarray]) -> list[int]:
    """Return how many inputs, and units of each layer, lie on paths."""
    reached = [np.ones(len(coefs[0]), bool)]
    for coef in coefs:
        reached.append((reached[-1][:, None] & (coef != 0)).any(0))
    onwards = [np.ones(coefs[-1].shape[1], bool)]
    for coef in reversed(coefs):
        onwards.insert(0, (onwards[0][None] & (coef != 0)).any(1))
    return [int((a & b).sum()) for a, b in zip(reached, onwards, strict=True)]


def one_fit(seed: int) -> Record:
    """Fit a random case; return what was asked for, what was found and the verdict."""
    rng = np.random.default_rng(seed)
    name = list(LOADERS)[rng.integers(len(LOADERS))]
    X, y = LOADERS[name](return_X_y=True)
    rows = rng.permutation(len(X))[:MOST_ROWS]
    X, y = X[rows], y[rows]
    X = (X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), 1)
    kind = SparseNetRegressor if name in ("diabetes", "linnerud") else None
    n_outputs = y.shape[1] if y.ndim == 2 else 1
    if kind is None:
        kind, n_classes = SparseNetClassifier, len(np.unique(y))
        n_outputs = n_classes if n_classes > 2 else 1
    asked = draw(rng, X.shape[1], n_outputs)
    net = kind(**asked, max_iter=STEPS, batch_size=len(X), random_state=seed)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        net.fit(X, y)
    found = count(net.coefs_)
    inputs, units = asked.get("target_inputs"), asked.get("target_units")
    exact = inputs in (None, found[0])
    exact &= units in (None, found[1:-1], sum(found[1:-1]))
    if isinstance(asked["target_sparsity"], int):
        exact &= net.n_nonzero_ == asked["target_sparsity"]
    warned = any(issubclass(each.category, ConvergenceWarning) for each in told)
    verdict = "exact" if exact else "warned" if warned else "silent"
    asked["hidden_layer_sizes"] = list(asked["hidden_layer_sizes"])
    return {"seed": seed, "data": name, **asked, "found": found, "verdict": verdict}


def main() -> None:
    """Parse the command line; fit, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="file for what was not exact")
    arguments = parser.parse_args()
    records = [one_fit(seed) for seed in range(arguments.fits)]
    verdicts = Counter(record["verdict"] for record in records)
    print(f"{arguments.fits} fits: {dict(verdicts)}")
    others = [record for record in records if record["verdict"] != "exact"]
    for record in others:
        print(record)
    if arguments.out:
        save_records([{"fits": arguments.fits, **verdicts}, *others], arguments.out)


if __name__ == "__main__":
    main()
