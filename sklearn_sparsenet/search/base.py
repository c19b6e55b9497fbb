"""What a search is given, what it returns, and the search that does not search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from sklearn_sparsenet.penalties import Penalty
from sklearn_sparsenet.search.session import Trial
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.solvers import Solution
from sklearn_sparsenet.utils.overriding import restore_defaults

__all__ = ["FixedAlpha", "Search", "SearchBudget", "SearchResult", "as_search"]


# Parameters that say when a target is met, and where and how long to look.
OF_SEARCHES = ("tol", "min_layers_on_target", "max_outer_iter", "alpha_bounds")


# Parameters that ask for inputs and units.
OF_UNITS = ("target_inputs", "target_units", "input_groups", "always_keep")
# Members of a search that describe its `run`.
_ABOUT_RUN = ("max_solves", "ignored", "continued", "takes_units")


@dataclass(frozen=True)
class SearchBudget:
    """Where a search starts, and how long it may last."""

    # First bracket of λ, low end first.
    alpha_bounds: tuple[float, float] = (1e-7, 1e-2)
    max_outer_iter: int = 20  # Most solves.
    # λ of each group to try first, from an earlier fit.
    guess: tuple[float, ...] | None = None
    # Whether the result will be refitted without penalty, so that the penalised
    # solution need not have the exact count.
    debias: bool = True


@dataclass(frozen=True)
class SearchResult:
    """The closest solution and how it was found."""

    best: Trial
    # Every solve in its order; only `best` still has its solution's state.
    history: tuple[Trial, ...]
    met: bool
    reason: str = ""  # Why the target was not met; empty if it was.
    # The surviving weights trained without penalty, where the search has done that
    # already.
    refitted: Solution | None = None
    # Whether the best network only has the weights it has because training was cut
    # short: it was brought to the target at once, or is one that passes by.
    cut_off: bool = False


class Search(ABC):
    """A strategy for finding λ.

    An object of another class may stand in for one if it has `run`. Only a subclass can
    have the other members; one that overrides `run` and inherits them from another
    search gets their defaults.

    Attributes
    ----------
    solvers : tuple of str
        Which it works with.
    min_steps : int
        Fewer steps than that are too few, of which users are warned.
    takes_units : bool
        Whether it meets targets on inputs and units, too.
    """

    solvers: ClassVar[tuple[str, ...]] = ("adam", "sgd", "lbfgs")
    min_steps: ClassVar[int] = 0
    takes_units: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        about = dict.fromkeys(_ABOUT_RUN, "run")
        restore_defaults(cls, vars(Search), about)

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
        return ("search", *OF_UNITS, *OF_SEARCHES)
