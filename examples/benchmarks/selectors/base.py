"""What a selector returns, and selectors that are a ranking of the inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.problems import Data

__all__ = ["Ranking", "Selection", "first", "select_from_entries", "select_from_path"]


@dataclass(frozen=True)
class Selection:
    """Exactly so many inputs.

    Attributes
    ----------
    chosen : ndarray of int, shape (k,)
        Columns of X.
    seconds : float
        Process time until they were known.
    n_own : int
        Inputs that the method kept by itself, before its choice was cut to k, or
        filled up.
    error : float or None
        Of the method's own network on the test rows, if it has one.
    """

    chosen: np.ndarray
    seconds: float
    n_own: int
    error: float | None = None


@dataclass(frozen=True)
class Ranking:
    """A selector that gives every input a score and takes the k largest.

    Attributes
    ----------
    score : callable(data, seed) -> ndarray of shape (n_inputs,)
    """

    score: Callable[[Data, int], np.ndarray]

    def __call__(self, data: Data, counts: Sequence[int], seed: int) -> list[Selection]:
        """Return the first inputs of the ranking, for every count."""
        started = time.process_time()
        scores = self.score(data, seed)
        seconds = time.process_time() - started
        return [Selection(first(scores, k), seconds, k) for k in counts]


def first(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the `k` inputs with the largest scores; of equal ones, the first."""
    return np.argsort(-np.asarray(scores), kind="stable")[:k]


def select_from_path(
    path: Sequence[np.ndarray],
    times: Sequence[float],
    counts: Sequence[int],
    error: Callable[[int, np.ndarray], float] | None = None,
) -> list[Selection]:
    """Return, for each count, the top k of the sparsest scores with k inputs or more.

    If no entry has enough of them, the one with most is filled up in the order of the
    columns. Parameters are those of `select_from_entries`.
    """
    in_use = np.array([np.count_nonzero(scores) for scores in path])
    entries = []
    for k in counts:
        enough = np.where(in_use >= k, in_use, np.inf)
        at = enough.argmin() if np.isfinite(enough).any() else in_use.argmax()
        entries.append(int(at))
    return select_from_entries(path, times, counts, entries, error)


def select_from_entries(
    path: Sequence[np.ndarray],
    times: Sequence[float],
    counts: Sequence[int],
    entries: Sequence[int],
    error: Callable[[int, np.ndarray], float] | None = None,
) -> list[Selection]:
    """Return, for each count, the top k of the scores of an entry of a path.

    Parameters
    ----------
    path : sequence of ndarray of shape (n_inputs,)
        Scores along a path, 0 for inputs that are not in use.
    times : sequence of float
        Seconds until each entry was there.
    counts, entries : sequence of int
        Numbers of inputs, and an index of the path for each of them.
    error : callable(index, chosen) -> float, optional
        Test error of the network of that entry with those inputs.
    """
    found = []
    for k, at in zip(counts, entries, strict=True):
        chosen = first(path[at], k)
        own = None if error is None else error(at, chosen)
        found.append(Selection(chosen, times[at], np.count_nonzero(path[at]), own))
    return found
