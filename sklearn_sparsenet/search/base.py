"""What a search is given, what it returns, and the search that does not search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from sklearn_sparsenet.solvers import Solution
from sklearn_sparsenet.targets import Target

__all__ = ["FixedAlpha", "Limits", "Search", "SearchResult", "Trainer", "Trial"]


@dataclass(frozen=True)
class Trial:
    """One solve, seen by a search: a *group* of weights shares its λ.

    There is one group (the whole network) or one per layer.

    Attributes
    ----------
    alpha : tuple of float
        λ of each group.
    n_nonzero : tuple of int
        Count of each group.
    gradients : tuple of Tensor
        Gradient of the loss over all samples, one vector per group.
    met : bool
        Whether the target is met.
    distance : float
        Relative distance from the target.
    interrupted : bool
        Whether the user stopped the solve.
    solution : Solution
    """

    alpha: tuple[float, ...]
    n_nonzero: tuple[int, ...]
    gradients: tuple[Tensor, ...]
    met: bool
    distance: float
    interrupted: bool
    solution: Solution


class Trainer(Protocol):
    """Solves the problem for given λ; knows data, network and target."""

    @property
    def target(self) -> Target | None:
        """What is searched for; None with a fixed λ."""

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """Number of weights of each group, zeros included."""

    def solve(
        self, alpha: Sequence[float], *, warm: bool = False, test_from: float = 1.0
    ) -> Trial:
        """Solve for one λ per group (Algorithm 3).

        Parameters
        ----------
        alpha : sequence of float
        warm : bool
            Start from the last solution instead of the initial network.
        test_from : float in [0, 1]
            Part of the solve after which the first iterate that meets the target
            ends it.
        """

    def as_trial(self, alpha: Sequence[float], solution: Solution) -> Trial:
        """Return a solution, for one λ per group, as a search sees it."""


@dataclass(frozen=True)
class Limits:
    """Where a search starts, and how long it may last.

    Attributes
    ----------
    alpha_bounds : tuple of float
        First bracket of λ, low end first.
    max_outer_iter : int
        Most solves.
    guess : tuple of float or None
        λ of each group to try first, from an earlier fit.
    """

    alpha_bounds: tuple[float, float] = (1e-7, 1e-2)
    max_outer_iter: int = 20
    guess: tuple[float, ...] | None = None


@dataclass(frozen=True)
class SearchResult:
    """The closest solution and how it was found.

    Attributes
    ----------
    best : Trial
    history : tuple of Trial
        Every solve in its order; only `best` still has its solution's state.
    met : bool
    reason : str
        Why the target was not met; empty if it was.
    """

    best: Trial
    history: tuple[Trial, ...]
    met: bool
    reason: str = ""


@runtime_checkable
class Search(Protocol):
    """A strategy for finding λ."""

    def run(self, trainer: Trainer, limits: Limits) -> SearchResult:
        """Search, with at most ``limits.max_outer_iter`` solves."""


@dataclass(frozen=True)
class FixedAlpha:
    """No search: one solve with the λ that the user gave, one per layer."""

    alpha: tuple[float, ...]

    def run(self, trainer: Trainer, limits: Limits) -> SearchResult:
        """Solve once."""
        trial = trainer.solve(self.alpha)
        return SearchResult(trial, (trial,), met=True)
