"""What a search is given, what it returns, and the search that does not search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from torch import Tensor

from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.penalties import Penalty
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.solvers import Solution, Status

__all__ = ["FixedAlpha", "Search", "SearchBudget", "SearchResult", "Trainer", "Trial"]


# Parameters that say when a target is met, and where and how long to look.
OF_SEARCHES = ("tol", "min_layers_on_target", "max_outer_iter", "alpha_bounds")


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
        Whether the user stopped the solve, or wants none after it.
    solution : Solution
    """

    alpha: tuple[float, ...]
    n_nonzero: tuple[int, ...]
    gradients: tuple[Tensor, ...]
    met: bool
    distance: float
    interrupted: bool
    solution: Solution

    @property
    def interruption(self) -> str:
        """Why the search ends here, for a trial that is interrupted."""
        status = self.solution.status
        return (status if status.is_cut_short else Status.STOPPED).value

    def without_state(self) -> Trial:
        """Return what is worth keeping of a solve that is given up."""
        return replace(self, gradients=(), solution=self.solution.without_state())


class Trainer(Protocol):
    """Solves the problem for given λ; knows data, network and target."""

    @property
    def target(self) -> Target | None:
        """What is searched for; None with a fixed λ."""

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """Number of weights of each group, zeros included."""

    def solve(
        self,
        alpha: Sequence[float],
        *,
        start: Solution | None = None,
        test_from: float = 1.0,
    ) -> Trial:
        """Solve for one λ per group (Algorithm 3).

        Parameters
        ----------
        alpha : sequence of float
        start : Solution, optional
            Where to start; by default at the initial network.
        test_from : float in [0, 1]
            Part of the solve after which the first iterate that meets the target
            ends it.
        """

    @property
    def stopped(self) -> bool:
        """Whether the user has asked, between two solves, to end the search."""

    @property
    def penalty(self) -> Penalty:
        """The penalty that the user asked for."""

    @property
    def groups(self) -> tuple[slice, ...]:
        """Where the weights of each group lie in the flat vector."""

    @property
    def flow(self) -> SynapticFlow | None:
        """Which weights can lie on a live path; None if that cannot be told."""

    @property
    def n_samples(self) -> int:
        """Number of samples that are trained on."""

    @property
    def weight_scale(self) -> Tensor | None:
        """How large steps of the weights are, next to each other; None: all alike."""

    @property
    def steps_grow(self) -> bool:
        """Whether steps may grow with the weights."""

    @property
    def search_decay(self) -> float | None:
        """The weight decay until a support is held; None: as after it."""

    def noise_level(self) -> Tensor:
        """Return sizes of the last batch's gradient, scaled from its samples to all.

        Shape (n_weights,). What is noise in a gradient falls as the root of the
        number of samples.
        """

    def include_biases(self, support: Tensor) -> Tensor:
        """Return a support with the penalised biases, which are always in it."""

    def train(
        self,
        penalty: Penalty,
        alpha: Sequence[float],
        *,
        share: float = 1.0,
        rate: float = 1.0,
        steady: float = 0.0,
        growth: float = 0.0,
        start: Solution | None = None,
        keep_support: bool = False,
        finish: Callable[[Tensor], None] | None = None,
    ) -> Solution:
        """Train with any penalty, for a part of the epochs.

        Parameters
        ----------
        penalty : Penalty
        alpha : sequence of float
            One λ per group.
        share, rate : float
            Of the epochs and of the first step size of a solve.
        steady : float
            Part of the training before the step size begins to fall.
        growth : float
            By how much more the steps of large weights are; see `growth_factor`.
        start : Solution, optional
            Where to start; by default at the initial network.
        keep_support : bool
            Whether a step by which a weight would become zero is taken back, for that
            weight, and the optimality conditions end the training.
        finish : callable(weights), optional
            Brings the weights in order at the end.
        """

    def settle(self, start: Solution, alpha: Sequence[float]) -> Solution | None:
        """Find a stationary point of the penalised problem that has the count.

        Parameters
        ----------
        start : Solution
        alpha : sequence of float
            λ of each group to begin with.

        Returns
        -------
        Solution or None
            Its λ are others. The best that was found in the time there is, by count,
            within the tolerance of the target, and residual. None where it takes too
            long, or the problem is none that can be solved so.
        """

    def recertify(self, where: Solution, alpha: Sequence[float]) -> Solution:
        """Return what a solve for `alpha` finds if it has no time to go anywhere."""

    def trial(self, alpha: Sequence[float], solution: Solution) -> Trial:
        """Return a solution as a search sees it."""


@dataclass(frozen=True)
class SearchBudget:
    """Where a search starts, and how long it may last.

    Attributes
    ----------
    alpha_bounds : tuple of float
        First bracket of λ, low end first.
    max_outer_iter : int
        Most solves.
    guess : tuple of float or None
        λ of each group to try first, from an earlier fit.
    debias : bool
        Whether the result will be refitted without penalty, so that the penalised
        solution need not have the exact count.
    """

    alpha_bounds: tuple[float, float] = (1e-7, 1e-2)
    max_outer_iter: int = 20
    guess: tuple[float, ...] | None = None
    debias: bool = True


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
    refitted : Solution or None
        The surviving weights trained without penalty, where the search has done that
        already.
    cut_off : bool
        Whether the best network only has the weights it has because training was cut
        short: it was brought to the target at once, or is one that passes by.
    """

    best: Trial
    history: tuple[Trial, ...]
    met: bool
    reason: str = ""
    refitted: Solution | None = None
    cut_off: bool = False


@runtime_checkable
class Search(Protocol):
    """A strategy for finding λ.

    It may have a method ``max_solves(limits) -> int or None``, the most solves that it
    makes, refit included, where that is known: progress is shown as a part of it. An
    attribute ``solvers`` names those that it works with, if it does not with all. A
    method ``ignored(limits, penalty)`` returns the names of the parameters that change
    nothing in the network that it finds.
    """

    def run(self, trainer: Trainer, limits: SearchBudget) -> SearchResult:
        """Search, with at most ``limits.max_outer_iter`` solves."""


@dataclass(frozen=True)
class FixedAlpha:
    """No search: one solve with the λ that the user gave, one per layer."""

    alpha: tuple[float, ...]

    def run(self, trainer: Trainer, limits: SearchBudget) -> SearchResult:
        """Solve once."""
        trial = trainer.solve(self.alpha)
        return SearchResult(trial, (trial,), met=True)

    def max_solves(self, limits: SearchBudget) -> int:
        """Return the number of solves, refit included."""
        return 1 + limits.debias

    def ignored(self, limits: SearchBudget, penalty: Penalty) -> tuple[str, ...]:
        """Return what says how to search; that it has no target is the rule."""
        return ("search", *OF_SEARCHES)
