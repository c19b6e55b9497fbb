"""A support that is held, and a penalty on it that fades."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sklearn_sparsenet.penalties import Strength

__all__ = ["Constraint", "HeldSupport"]


class Constraint:
    """Which weights there may be, as a penalty: what is admissible costs nothing."""

    separable = True

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        """Return zero."""
        return weight.new_zeros(())

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        """Do what `prox_` does, to a copy."""
        weight = weight.clone()
        self.prox_(weight, step, alpha)
        return weight

    def prox_(
        self,
        weight: Tensor,
        step: Strength,
        alpha: Strength,
        scratch: Tensor | None = None,
    ) -> None:
        """Make the weights admissible, in place."""
        raise NotImplementedError

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        """Size of the gradient of nonzero weights; off the support anything goes."""
        return torch.where(weight != 0, gradient.abs(), 0.0)


@dataclass(frozen=True)
class HeldSupport(Constraint):
    """Weights off a support are zero; those on it are shrunk, less and less.

    Attributes
    ----------
    where : Tensor of int
        Numbers of the weights of the support.
    alpha : Tensor or None
        λ of each when the penalty begins to fade; None: there is none.
    left : callable() -> float
        What part of it is left.
    """

    where: Tensor
    alpha: Tensor | None
    left: Callable[[], float]

    def prox_(
        self,
        weight: Tensor,
        step: Strength,
        alpha: Strength,
        scratch: Tensor | None = None,
    ) -> None:
        """Shrink the weights of the support; what would become zero stays as it is.

        At no time are the weights themselves without it: there are interruptions.
        """
        held = weight.index_select(0, self.where)
        if self.alpha is not None:
            if isinstance(step, Tensor):
                step = step.index_select(0, self.where)
            threshold = step * self.alpha * self.left()
            shrunk = held - threshold.copysign(held)
            held = torch.where(held.abs() > threshold, shrunk, held)
        result = torch.empty_like(weight) if scratch is None else scratch
        weight.copy_(result.zero_().index_copy_(0, self.where, held))

    def restricted_to(self, numbers: Tensor) -> HeldSupport:
        """Return the same for some of the weights, those of the support among them.

        Parameters
        ----------
        numbers : Tensor of int
            Of these weights among the present ones, ascending.
        """
        return replace(self, where=torch.searchsorted(numbers, self.where))
