"""What a search is given, what it returns, and the search that does not search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from torch import Tensor

from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.penalties import Penalty
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.solvers import Continuation, Pruning, Solution, Status
from sklearn_sparsenet.utils.overriding import restore_defaults

__all__ = [
    "FixedAlpha",
    "Search",
    "SearchBudget",
    "SearchResult",
    "Trainer",
    "Trial",
    "as_search",
]


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

    @property
    def path(self) -> Continuation | None:
        """Of certified solutions, where solutions are functions of λ (lbfgs)."""

    def prune(
        self,
        pruning: Pruning,
        *,
        budget_fraction: float,
        plateau_fraction: float,
        growth: float,
    ) -> Solution:
        """Train without penalty, from the initial network, while weights are pruned.

        Parameters
        ----------
        pruning : Pruning
        budget_fraction : float
            Part of the epochs of a solve.
        plateau_fraction : float
            Part of the training before the step size begins to fall.
        growth : float
            By how much more the steps of large weights are; see `growth_factor`.

        Raises
        ------
        ValueError
            With ``solver="lbfgs"``, which trains nothing between solves.
        """

    def solve_on_support(
        self,
        start: Solution,
        alpha: Sequence[float],
        *,
        budget_fraction: float,
        lr_scale: float,
    ) -> Solution:
        """Solve for one λ per group, as far as that leaves the support as it is.

        A step by which a weight would become zero is taken back, for that weight.

        Parameters
        ----------
        start : Solution
            Has the support; penalised biases are always in it.
        alpha : sequence of float
        budget_fraction, lr_scale : float
            Of the epochs and of the first step size of a solve.
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


class Search(ABC):
    """A strategy for finding λ.

    An object of another class may stand in for one if it has `run`. Only a subclass
    can have the other members; one that overrides `run` and inherits them from another
    search gets their defaults.

    Attributes
    ----------
    solvers : tuple of str
        Which it works with.
    min_steps : int
        Fewer steps than that are too few, of which users are warned.
    """

    solvers: ClassVar[tuple[str, ...]] = ("adam", "sgd", "lbfgs")
    min_steps: ClassVar[int] = 0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        about_run = ("max_solves", "ignored", "continued")
        restore_defaults(cls, Search, about_run, unless_with="run")

    @abstractmethod
    def run(self, trainer: Trainer, limits: SearchBudget) -> SearchResult:
        """Search, with at most ``limits.max_outer_iter`` solves."""

    def max_solves(self, limits: SearchBudget) -> int | None:
        """Return the most solves, refit included; None where it is not known.

        Progress is shown as a part of it.
        """
        return None

    def ignored(self, limits: SearchBudget, penalty: Penalty) -> tuple[str, ...]:
        """Return the names of parameters that change nothing in what it finds."""
        return ()

    def continued(self) -> Search:
        """Return the search that goes on from the network of a denser target."""
        return self


@dataclass(frozen=True)
class AdaptedSearch(Search):
    """An object that has `run`, as a search."""

    search: Any

    def run(self, trainer: Trainer, limits: SearchBudget) -> SearchResult:
        return self.search.run(trainer, limits)


def as_search(search: object) -> Search:
    """Return an object that has `run` as a search."""
    return search if isinstance(search, Search) else AdaptedSearch(search)


@dataclass(frozen=True)
class FixedAlpha(Search):
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
