"""What to hold the others against: a draw, and the truth filled up by a draw."""

from __future__ import annotations

import numpy as np

from benchmarks.problems import Data

__all__ = ["score", "score_truth"]


def score(data: Data, seed: int) -> np.ndarray:
    """Return a random order of the inputs."""
    return np.random.RandomState(seed).permutation(data.X_train.shape[1])


def score_truth(data: Data, seed: int, true: tuple[int, ...]) -> np.ndarray:
    """Return a random order in which the true inputs come first, none of them last."""
    scores = score(data, seed)
    scores[list(true)] += len(scores)
    return scores
