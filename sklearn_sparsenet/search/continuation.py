"""Search over certified solutions, with ``solver="lbfgs"``.

The solution is a function of λ alone (`sklearn_sparsenet.solvers.Continuation`): on
a fine grid of λ the solver starts afresh, and from each grid point it goes on to some
larger λ. The search finds the grid point at which the loose solutions pass the count,
then solves to the tolerance there and around, then follows those solutions that had
too many weights to larger λ.

The count jumps from one minimiser to another. Every start leads to another one, so
that counts scatter around their trend, and most are found a few starts away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from sklearn_sparsenet.penalties import Penalty
from sklearn_sparsenet.search.base import Search, SearchBudget, SearchResult
from sklearn_sparsenet.search.session import Trial
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.solvers import Continuation, Status

__all__ = ["ContinuationSearch"]

_FIRST_ALPHA = 1e-3
_STRIDE = 24  # most grid points that the search jumps while it looks for the count
_INDEX_RANGE = (-330, 170)  # of the grid: λ from 1e-7 to 4e3
_STUCK = 3  # grid points towards smaller λ that may bring no more weights
_STARTS = 5  # grid points on each side of the crossing that may be certified
_NEAR = 0.3  # those with a loose count further off, as a logarithm, are not
_SLOPE = 1.2  # counts fall about like λ to this power
_FOLLOWED = 1.5  # certified counts that large, a ratio, are followed to larger λ
_LAYER_STEP = 3.0  # largest factor on the λ of a layer


class _Interrupted(Exception):
    pass


@dataclass(frozen=True)
class ContinuationSearch(Search):
    """Finds a certified solution with the number of weights asked for.

    A solution is certified if its optimality conditions hold to ``kkt_tol``, biases
    included. With targets per layer the λ of all layers are updated together.
    Without a certified solution on target, the nearest certified one is returned,
    and the reason.
    """

    solvers: ClassVar[tuple[str, ...]] = ("lbfgs",)

    def ignored(self, limits: SearchBudget, penalty: Penalty) -> tuple[str, ...]:
        """Return the names of parameters that change nothing: it has its own grid."""
        return ("alpha_bounds",)

    def run(self, trainer: Trainer, limits: SearchBudget) -> SearchResult:
        """Search for the target of `trainer`.

        A ValueError tells that it has none, or does not solve along a continuation.
        """
        target, path = trainer.target, trainer.path
        if target is None:
            raise ValueError("ContinuationSearch needs a target.")
        if path is None:
            raise ValueError("search='continuation' needs solver='lbfgs'.")
        run = _Run(trainer, path, target, limits)
        try:
            run.per_layer() if target.per_layer else run.single()
        except _Interrupted:
            pass
        return run.result()


@dataclass
class _Run:
    """One search in progress."""

    trainer: Trainer
    path: Continuation
    target: Target
    limits: SearchBudget
    trials: list[Trial] = field(default_factory=list)
    best: Trial | None = None
    loose: dict[int, int] = field(default_factory=dict)  # counts at grid points

    @property
    def goal(self) -> int:
        return sum(self.target.n_nonzero)

    @property
    def is_over(self) -> bool:
        done = self.best is not None and self.best.met and _is_certified(self.best)
        return done or len(self.trials) >= self.limits.max_outer_iter

    def single(self) -> None:
        """Find the crossing on the grid, then certify solutions around it.

        Minimisers go on to exist for larger λ, and lose weights there: one that has
        some too many is followed.
        """
        crossing = self.find_crossing()
        for index in sorted(
            range(crossing - _STARTS, crossing + _STARTS + 1),
            key=lambda index: abs(index - crossing - 0.5),
        ):
            if self.is_over:
                return
            self.count_at(index)
            if self.closeness(index) < -_NEAR and self.trials:
                continue
            count = self.count_for(index)
            if self.goal < count <= _FOLLOWED * self.goal:
                self.follow(index)

    def follow(self, start: int) -> None:
        """Cut, among the λ that start at one grid point, around the goal."""
        dense, sparse = 0, len(self.path.lags)
        while not self.is_over and sparse - dense > 1:
            middle = (dense + sparse) // 2
            lag = self.path.lags[middle]
            if self.count_for(start + lag, lag) > self.goal:
                dense = middle
            else:
                sparse = middle

    def count_for(self, index: int, lag: int = 0) -> int:
        return sum(self.solve((self.path.alpha(index, lag),)).n_nonzero)

    def count_at(self, index: int) -> int:
        """Return the count of the loose solution at a grid point."""
        if index not in self.loose:
            point = self.path.point(index)
            if point.status.is_cut_short:
                alpha = (self.path.alpha(index),) * len(self.trainer.group_sizes)
                self.record(self.trainer.trial(alpha, point))
                raise _Interrupted
            self.loose[index] = sum(point.counts)
        return self.loose[index]

    def find_crossing(self) -> int:
        """Return the last grid point with more weights than asked for.

        Interpolates the count, linear in logarithms, between the ends.
        """
        first = self.limits.guess or (_FIRST_ALPHA,)
        index = self.path.index(first)
        stuck = 0
        while True:
            index = min(max(index, _INDEX_RANGE[0]), _INDEX_RANGE[1])
            before = max(self.loose.values(), default=-1)
            known = index in self.loose
            count = self.count_at(index)
            dense = [i for i, c in self.loose.items() if c > self.goal]
            sparse = [i for i, c in self.loose.items() if c <= self.goal]
            if dense and sparse:
                # Counts are not monotone: the crossing from the dense end.
                low = max((i for i in dense if i < max(sparse)), default=None)
                if low is None:
                    return max(self.loose, key=self.closeness)
                high = min(i for i in sparse if i > low)
                if high - low == 1:
                    return low
                index = self.between(low, high)
                continue
            # Where smaller λ no longer give more weights, there is none to cross.
            stuck = stuck + 1 if not dense and not known and count <= before else 0
            if stuck == _STUCK or index in _INDEX_RANGE:
                return max(self.loose, key=self.closeness)
            end = max(dense) if dense else min(sparse)
            step = abs(math.log(max(self.loose[end], 1) / self.goal))
            step = math.ceil(min(step / (_SLOPE * self.path.log_ratio), _STRIDE))
            index = end + max(step, 1) if dense else end - max(step, 1)

    def between(self, dense: int, sparse: int) -> int:
        high, low, goal = (
            math.log(count + 0.5)
            for count in (self.loose[dense], self.loose[sparse], self.goal)
        )
        share = (high - goal) / (high - low) if high > low else 0.5
        inner = dense + round(min(max(share, 0.2), 0.8) * (sparse - dense))
        return min(max(inner, dense + 1), sparse - 1)

    def closeness(self, index: int) -> float:
        """Rank grid points by their loose count; larger is closer."""
        return -abs(math.log(max(self.loose[index], 0.5) / self.goal))

    def per_layer(self) -> None:
        """Update the λ of all layers together, each by its own count."""
        start = self.path.alpha(self.find_crossing())
        goals = self.target.n_nonzero
        alpha = [start] * len(goals)
        damping = 1.0
        previous = math.inf
        while not self.is_over:
            trial = self.solve(tuple(alpha))
            damping = max(0.2, damping * (0.7 if trial.distance >= previous else 1.05))
            previous = trial.distance
            for layer, (count, goal) in enumerate(
                zip(trial.n_nonzero, goals, strict=True)
            ):
                factor = (max(count, 0.5) / goal) ** (damping / _SLOPE)
                alpha[layer] *= min(max(factor, 1 / _LAYER_STEP), _LAYER_STEP)

    def solve(self, alpha: tuple[float, ...]) -> Trial:
        trial = self.trainer.solve(alpha)
        self.record(trial)
        if trial.interrupted:
            raise _Interrupted
        return trial

    def record(self, trial: Trial) -> None:
        """Take in a solve; keep the state of the best one only."""
        if self.best is None or self.rank(trial) < self.rank(self.best):
            self.best = trial
        self.trials.append(trial.without_state())

    @staticmethod
    def rank(trial: Trial) -> tuple[bool, bool, float]:
        """Certified solutions first, then those on target, then the nearest."""
        return (not _is_certified(trial), not trial.met, trial.distance)

    def result(self) -> SearchResult:
        assert self.best is not None
        met = self.best.met and _is_certified(self.best)
        reason = "" if met else self.reason()
        return SearchResult(self.best, tuple(self.trials), met, reason)

    def reason(self) -> str:
        assert self.best is not None
        if self.trials[-1].interrupted:
            return self.trials[-1].interruption
        certified = sum(map(_is_certified, self.trials))
        solves = f"{len(self.trials)} solves"
        if not certified:
            return (
                f"none of {solves} could be certified, and the residual of the nearest "
                f"is {self.best.solution.kkt_residual:.2g} times λ"
            )
        return (
            f"{certified} of {solves} could be certified, and none of these has that "
            "many weights, so that the nearest of them is kept"
        )


def _is_certified(trial: Trial) -> bool:
    return trial.solution.status is Status.STATIONARY
