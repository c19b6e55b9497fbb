"""The problems whose inputs are chosen, how many of them, and which are true."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.problems import PROBLEMS, Arrays, Problem

__all__ = ["COUNTS", "INPUT_PROBLEMS", "TRUTH", "some_rows"]

# Columns from 0. Madelon's are those correlated with one another, pumadyn's those
# without any of which boosted trees get worse; see docs/inputs.md.
TRUTH: dict[str, tuple[int, ...]] = {
    "madelon": (
        *(28, 48, 64, 105, 128, 153, 241, 281, 318, 336),
        *(338, 378, 433, 442, 451, 453, 455, 472, 475, 493),
    ),
    "pumadyn": (3, 4, 14, 15),
}
MNIST_ROWS = 10_000


def some_rows(problem: Problem, n_rows: int) -> Problem:
    """Return a problem with so many of the training rows, which the seed draws."""

    def read(directory: Path, seed: int) -> tuple[Arrays, Arrays | None]:
        (X, y), test = problem.read(directory, seed)
        rows = np.random.RandomState(seed).permutation(len(X))[:n_rows]
        return (X[rows], y[rows]), test

    return replace(problem, read=read)


INPUT_PROBLEMS = {
    "madelon": PROBLEMS["madelon"],
    "pumadyn": PROBLEMS["pumadyn"],
    "digits": PROBLEMS["digits"],
    "cancer": replace(PROBLEMS["lin_cancer"], hidden=(100, 100)),
    "mnist": some_rows(PROBLEMS["mnist"], MNIST_ROWS),
    "mnist_whole": PROBLEMS["mnist"],
}
# Numbers of inputs that are asked for.
COUNTS: dict[str, tuple[int, ...]] = {
    "madelon": (5, 10, 20, 30, 50, 100),
    "pumadyn": (2, 4, 8, 16),
    "digits": (5, 10, 20, 50),
    "cancer": (5, 10, 20),
    "mnist": (5, 10, 20, 50, 100),
    "mnist_whole": (50,),
}
