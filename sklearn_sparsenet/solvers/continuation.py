r"""Canonical starts for every λ: what makes the solution a function of λ.

A network has many minimisers for one λ, and which of them a solver finds depends on
where it starts. Here the start is a function of λ alone: on the fixed grid
:math:`\lambda_k = r^k` every point is solved loosely from an initial network of its
own, by proximal Adam and then by the active-set solver; λ itself is solved from a grid
point below it. Solving again for the same λ repeats every step, so the count is the
same.

A search needs many minimisers to choose from, so that λ close to each other lead to
different ones. The initial network of a grid point is the given one moved at random,
and the interval between two grid points is cut into cells, of which each starts
further below: at :math:`\lambda_{k - L}` with its *lag* L.

From the grid point λ only grows because the other direction is closed: a unit without
weights has no gradient, and a network of zeros is stationary for every λ. Each grid
point starts afresh, by Adam, because a minimiser for a small λ has fitted the noise,
and what is left of it at a larger λ is denser, and worse on other data, than what Adam
finds there (figures in docs/design_notes.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from sklearn_sparsenet.solvers.active_set import ActiveSetOptions, solve_active_set
from sklearn_sparsenet.solvers.loop import solve
from sklearn_sparsenet.solvers.monitor import Progress
from sklearn_sparsenet.solvers.options import SolverOptions
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.solution import Solution, Status

__all__ = ["Continuation"]

_RATIO = 1.05
_LAGS = (0, 1, 2, 3, 4, 6, 8, 11, 14)  # of the cells between two grid points
_LOOSE = ActiveSetOptions(max_iter=600, kkt_tol=0.05, newton=False)
_WARM_UP = SolverOptions(
    solver="adam", learning_rate=1e-2, batch_size=2**62, max_iter=600, kkt_tol=0.0
)


Kept = Callable[[Callable[[Any], Solution]], Solution]


class Continuation:
    """Solutions of one problem for any λ, each from its canonical start.

    The network of the problem stands at the initial point. `options` are those of the
    solve for λ itself; grid points are solved loosely, and with no more iterations.
    `kept` returns what a function of a keeper solves: at once, or where another process
    has solved that before, without it.
    """

    def __init__(
        self,
        problem: Problem,
        options: ActiveSetOptions,
        progress: Progress | None = None,
        kept: Kept = lambda run: run(None),
    ) -> None:
        self.problem = problem
        self.options = options
        self.progress = progress or Progress()
        self._kept = kept
        self._initial = problem.network.snapshot()
        self._points: dict[int, Solution] = {}

    log_ratio = math.log(_RATIO)
    lags = _LAGS

    @staticmethod
    def alpha(index: int, lag: int = 0) -> float:
        """Return λ of a grid point, or one above it that starts `lag` points below."""
        cell = _LAGS.index(lag)
        within = (cell + 0.5) / len(_LAGS) if cell else 0.0
        return float(_RATIO ** (index + within))

    @staticmethod
    def index(alpha: Sequence[float]) -> int:
        """Return the last grid point not above the geometric mean of the λ."""
        return math.floor(_position(alpha))

    @staticmethod
    def start(alpha: Sequence[float]) -> int:
        """Return the grid point at which the solve for `alpha` starts."""
        position = _position(alpha)
        index = math.floor(position)
        if min(alpha) < max(alpha):
            return index
        return index - _LAGS[math.floor((position - index) * len(_LAGS))]

    def solve(self, alpha: Sequence[float]) -> Solution:
        """Solve for one λ per layer; leave the network at the solution."""
        start, steps = self._initial, 0.0
        if any(value > 0 for value in alpha):
            index = self.start(alpha)
            known = index in self._points
            point = self.point(index)
            steps = 0.0 if known else point.epochs
            start = point.state
            if point.status.is_cut_short:
                return point
        self.problem.network.restore(start)
        found = self.progress.solve(
            "solve",
            lambda: self._kept(
                lambda _: solve_active_set(self.problem, alpha, self.options)
            ),
        )
        return replace(found, epochs=found.epochs + steps)

    def point(self, index: int) -> Solution:
        """Return the loose solution at a grid point."""
        if index not in self._points:
            self.problem.network.restore(self._initial)
            self._move(index)
            found = self.progress.solve(
                "start", lambda: self._kept(lambda _: self._from_scratch(index))
            )
            if found.status is Status.INTERRUPTED:
                return found
            if self.progress.stopped:
                return replace(found, status=Status.STOPPED)
            self._points[index] = found
        return self._points[index]

    def _move(self, index: int) -> None:
        """Move the network at random, by as much as its weights are large."""
        network = self.problem.network
        generator = torch.Generator().manual_seed(index % 2**32)
        for layer in network.layers:
            weights = network.parameters[layer.slice]
            noise = torch.randn(len(weights), generator=generator).to(weights)
            noise *= weights.square().mean().sqrt()
            weights.add_(noise).mul_(0.5**0.5)

    def _from_scratch(self, index: int) -> Solution:
        network = self.problem.network
        alphas = [self.alpha(index)] * len(network.layers)
        steps = 0.0
        # A network that starts at zero has no hidden layer: its problem is convex.
        if bool(network.weights.any()):
            generator = torch.Generator()  # full batches draw nothing from it
            warm_up = replace(_WARM_UP, max_iter=self._at_most(_WARM_UP.max_iter))
            warm = solve(self.problem, alphas, warm_up, generator)
            if warm.status is Status.INTERRUPTED:
                return warm
            steps = warm.epochs
        loose = replace(_LOOSE, max_iter=self._at_most(_LOOSE.max_iter))
        found = solve_active_set(self.problem, alphas, loose)
        return replace(found, epochs=found.epochs + steps)

    def _at_most(self, max_iter: float) -> int:
        return int(min(max_iter, self.options.max_iter))


def _position(alpha: Sequence[float]) -> float:
    """Return where the geometric mean of the λ lies on the grid."""
    positive = [value for value in alpha if value > 0]
    mean = sum(map(math.log, positive)) / len(positive)
    # λ of a grid point must find itself, whatever the logarithm's rounding.
    return mean / Continuation.log_ratio + 1e-9
