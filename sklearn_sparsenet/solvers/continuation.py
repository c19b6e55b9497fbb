r"""A canonical path of solutions: what makes the solution a function of λ.

A network has many minimisers for one λ, and which of them a solver finds depends on
where it starts. Here the start is a function of λ alone: on the fixed grid
:math:`\lambda_k = r^k` every m-th point is an *anchor*, solved from the initial
network by proximal Adam and then by the active-set solver; the points between are
solved in turn, each from the one below; and λ itself from the last grid point that is
not above it. Solving again for the same λ repeats every step, so the count is the same.

λ grows along the path because the other direction is closed: a unit without weights
has no gradient, and a network of zeros is stationary for every λ.

References
----------
Friedman, Hastie, Tibshirani, "Regularization paths for generalized linear models via
coordinate descent", Journal of Statistical Software 33 (2010): warm starts over a
grid of λ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sklearn_sparsenet.problem import Problem
from sklearn_sparsenet.solvers.active_set import ActiveSetOptions, solve_active_set
from sklearn_sparsenet.solvers.loop import Solution, SolverOptions, Status, solve

__all__ = ["Continuation"]

_RATIO = 1.15
_ANCHOR_EVERY = 10
_LOOSE = ActiveSetOptions(max_iter=600, kkt_tol=0.05)
_WARM_UP = SolverOptions(
    solver="adam", learning_rate=1e-2, batch_size=2**62, max_iter=600, kkt_tol=0.0
)


@dataclass(frozen=True)
class Continuation:
    """Solutions of one problem for any λ, along the canonical path.

    Parameters
    ----------
    problem : Problem
        Its network stands at the initial point.
    options : ActiveSetOptions
        Of the solve for λ itself; grid points are solved loosely.
    """

    problem: Problem
    options: ActiveSetOptions

    def __post_init__(self) -> None:
        network = self.problem.network
        object.__setattr__(self, "_initial", network.snapshot())
        object.__setattr__(self, "_points", {})

    @property
    def anchor_every(self) -> int:
        """Number of grid points from one anchor to the next."""
        return _ANCHOR_EVERY

    @staticmethod
    def alpha(index: int) -> float:
        """Return λ of a grid point."""
        return float(_RATIO**index)

    @staticmethod
    def index(alpha: Sequence[float]) -> int:
        """Return the last grid point not above the geometric mean of the λ."""
        positive = [value for value in alpha if value > 0]
        mean = sum(map(math.log, positive)) / len(positive)
        # λ of a grid point must find itself, whatever the logarithm's rounding.
        return math.floor(mean / math.log(_RATIO) + 1e-9)

    def solve(self, alpha: Sequence[float]) -> Solution:
        """Solve for one λ per layer; leave the network at the solution."""
        network = self.problem.network
        walked = 0
        if any(value > 0 for value in alpha):
            known = len(self._points)
            index = self.index(alpha)
            network.restore(self.point(index).state)
            walked = sum(s.epochs for s in list(self._points.values())[known:])
        else:
            network.restore(self._initial)
        found = solve_active_set(self.problem, alpha, self.options)
        return replace(found, epochs=found.epochs + walked)

    def point(self, index: int) -> Solution:
        """Return the loose solution at a grid point, from the anchor below it."""
        if index not in self._points:
            if index % _ANCHOR_EVERY == 0:
                self.problem.network.restore(self._initial)
                found = self._anchor(index)
            else:
                self.problem.network.restore(self.point(index - 1).state)
                found = solve_active_set(self.problem, self._alphas(index), _LOOSE)
            if found.status is Status.INTERRUPTED:
                return found
            self._points[index] = found
        return self._points[index]

    def _alphas(self, index: int) -> list[float]:
        return [self.alpha(index)] * len(self.problem.network.layers)

    def _anchor(self, index: int) -> Solution:
        network, alphas = self.problem.network, self._alphas(index)
        steps = 0
        # A network that starts at zero has no hidden layer: its problem is convex.
        if bool(network.weights.any()):
            generator = torch.Generator()  # full batches draw nothing from it
            steps = solve(self.problem, alphas, _WARM_UP, generator).epochs
        found = solve_active_set(self.problem, alphas, _LOOSE)
        return replace(found, epochs=found.epochs + steps)
