"""How the weights of a layer are divided into groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from sklearn_sparsenet.penalties.thresholds import Strength

__all__ = ["Groups"]


@dataclass(frozen=True)
class Groups:
    """The slices of weights along a dimension, with a row for each.

    Parameters
    ----------
    dim : int
        Along which the slices are. Each entry of a vector is one of its own.
    size_weighted : bool
        Whether each counts times the root of the number of its weights.
    """

    dim: int
    size_weighted: bool

    def rows(self, weight: Tensor) -> Tensor:
        """Return weights as rows, shape (n_groups, group_size).

        Raises
        ------
        ValueError
            If they have no such dimension.
        """
        if weight.ndim <= 1:
            return weight.reshape(-1, 1)
        if self.dim >= weight.ndim:
            raise ValueError(
                f"weights of shape {tuple(weight.shape)} have no dimension {self.dim}"
            )
        return weight.movedim(self.dim, 0).reshape(weight.shape[self.dim], -1)

    def weights(self, rows: Tensor, like: Tensor) -> Tensor:
        """Return rows in the shape of the weights that they were made of."""
        if like.ndim <= 1:
            return rows.view(like.shape)
        shape = like.movedim(self.dim, 0).shape
        return rows.view(shape).movedim(0, self.dim).contiguous()

    def factor(self, rows: Tensor) -> float:
        """Return by what the norm of each row is multiplied."""
        return math.sqrt(rows.shape[1]) if self.size_weighted else 1.0

    def steps(self, step: Strength, weight: Tensor) -> Strength:
        """Return one step for all weights, or one for each, as rows."""
        if not isinstance(step, Tensor) or step.ndim == 0:
            return step
        return self.rows(step.expand(weight.shape))

    def strengths(self, alpha: Strength, weight: Tensor) -> Strength:
        """Return one strength for all groups, or one for each, shape (n_groups, 1).

        Raises
        ------
        ValueError
            If a tensor has several entries for a group.
        """
        if not isinstance(alpha, Tensor) or alpha.ndim == 0:
            return alpha
        along = max(
            weight.ndim - 1 - self.dim, 0
        )  # dimensions after that of the groups
        sizes = alpha.shape[::-1]
        if any(n != 1 for back, n in enumerate(sizes) if back != along):
            raise ValueError(
                f"alpha of shape {tuple(alpha.shape)} is not one for each group of "
                f"weights of shape {tuple(weight.shape)} along dimension {self.dim}"
            )
        return alpha.reshape(-1, 1)
