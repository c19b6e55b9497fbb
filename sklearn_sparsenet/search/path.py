"""Networks for many targets, or many λ, in one run: from dense to sparse.

Each goes on from the one before it. What a single fit spends on a dense network, and
on finding out which weights matter, is spent once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sklearn_sparsenet.search import Search, SearchBudget
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.search.training import TrainingResult, train
from sklearn_sparsenet.solvers import Solution

__all__ = ["PathPoint", "train_path"]

_EXTRA = 2.3  # budgets of a single fit, for all points but the first together
_MOST = 0.25  # of the budget of a single fit, for the mean of them
# The sparser a network, the more it has to learn anew, and the cheaper are its steps.
_FIRST, _LAST = 0.55, 1.45  # of the mean


@dataclass(frozen=True)
class PathPoint:
    """A point of the path: what to look for there, and how."""

    target: Target | None  # None with a fixed λ.
    search: Search


def train_path(
    trainer: Trainer, points: Sequence[PathPoint], limits: SearchBudget
) -> Iterator[TrainingResult]:
    """Yield the result at each point, from dense to sparse; the network stands there.

    The limits are those of the search at each point.
    """
    start: Solution | None = None
    for point, fraction in zip(points, _budget_fractions(len(points)), strict=True):
        search = point.search if start is None else point.search.continued()
        there = trainer.for_target(point.target, start, fraction)
        result = train(there, search, limits)
        yield result
        if result.was_interrupted:
            return
        start = result.final
        alpha = result.search.best.alpha
        limits = replace(limits, guess=alpha if min(alpha) > 0 else None)


def _budget_fractions(n_points: int) -> list[float]:
    """Return the part of a single fit's budget that each point has."""
    n_later = n_points - 1
    if n_later < 1:
        return [1.0]
    mean = min(_MOST, _EXTRA / n_later)
    slope = (_LAST - _FIRST) / n_later
    return [1.0, *(mean * (_FIRST + slope * (k + 0.5)) for k in range(n_later))]
