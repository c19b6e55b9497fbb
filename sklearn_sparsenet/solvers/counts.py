"""How many weights a solution should have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from sklearn_sparsenet.networks.network import Network

__all__ = ["Count"]


@dataclass(frozen=True)
class Count:
    """How many weights there should be.

    Attributes
    ----------
    goals : tuple of int
        One for all weights, or one for each layer; none: λ stays as it is.
    tol : float
        Relative distance that is as good as none.
    """

    goals: tuple[int, ...]
    tol: float

    def groups(self, network: Network) -> list[slice]:
        """Return the weights that each goal is for."""
        if len(self.goals) == 1:
            return [slice(0, network.n_weights)]
        return [layer.slice for layer in network.layers][: len(self.goals)]

    def excess(self, weights: Sequence[Tensor]) -> list[int]:
        """Return by how many weights each group is too large."""
        counts = [int(group.count_nonzero()) for group in weights]
        return [count - goal for count, goal in zip(counts, self.goals, strict=True)]

    def is_met(self, excess: Sequence[int]) -> bool:
        """Tell whether all groups are within the tolerance."""
        pairs = zip(excess, self.goals, strict=True)
        return all(abs(over) <= self.tol * goal for over, goal in pairs)
