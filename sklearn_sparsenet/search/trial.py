"""A solve as a search sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from sklearn_sparsenet.solvers import Solution, Status

__all__ = ["Trial"]


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
