"""A penalty on a support that is held."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from sklearn_sparsenet.penalties.base import Penalty, adapted
from sklearn_sparsenet.penalties.thresholds import Strength

__all__ = ["FixedSupport"]


@dataclass(frozen=True)
class FixedSupport(Penalty):
    """A penalty on a fixed support: weights outside it are held at zero.

    Without a penalty of its own it is the indicator of the support, used to refit
    the surviving weights without shrinkage (``debias``); the strength then plays no
    role.

    Parameters
    ----------
    support : Tensor of bool
        True for the weights that may be nonzero; the shape of the weights.
    penalty : Penalty, optional
        Acts on the weights of the support, on each of them alone.

    Raises
    ------
    TypeError
        If the support is no tensor of bool, or the penalty is one of groups.
    """

    support: Tensor
    penalty: Penalty | None = None
    separable: ClassVar[bool] = True
    _where: Tensor = field(init=False, repr=False, compare=False)
    _there: Penalty | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.support, Tensor) or self.support.dtype != torch.bool:
            raise TypeError(f"support={self.support!r} must be a tensor of bool.")
        where = self.support.flatten().nonzero().flatten()
        penalty = None if self.penalty is None else adapted(self.penalty)
        if penalty is not None and not penalty.separable:
            raise TypeError(f"{penalty!r} cannot hold a support: it is one of groups.")
        there = None if penalty is None else penalty.restricted_to(where)
        fields = {"penalty": penalty, "_where": where, "_there": there}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        """Return the penalty of the weights; admissible ones cost nothing else."""
        if self.penalty is None:
            return weight.new_zeros(())
        return self.penalty.value(weight, alpha)

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        """Project onto the support, whatever the (diagonal) metric."""
        if self.penalty is not None:
            weight = self.penalty.prox(weight, step, alpha)
        return torch.where(self.support, weight, 0.0)

    def prox_(
        self, weight: Tensor, step: Tensor, alpha: Strength, scratch: Tensor
    ) -> None:
        """Do what `prox` does, in place; of a vector only where the support is."""
        if weight.ndim != 1 or (self.penalty is not None and self._there is None):
            weight.copy_(self.prox(weight, step, alpha))
            return
        held = weight.index_select(0, self._where)
        if self._there is not None:
            step = step.index_select(0, self._where)
            if isinstance(alpha, Tensor) and alpha.ndim:
                alpha = alpha.index_select(0, self._where)
            self._there.prox_(held, step, alpha, torch.empty_like(held))
        weight.copy_(scratch.zero_().index_copy_(0, self._where, held))

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        """Size of the gradient on the support; off it, anything is optimal.

        With a penalty: the distance of that penalty, off the support as well. What
        holding the support costs is not hidden.
        """
        if self.penalty is not None:
            return self.penalty.subdifferential_distance(weight, gradient, alpha)
        return torch.where(self.support, gradient.abs(), 0.0)

    def restricted_to(self, numbers: Tensor) -> FixedSupport | None:
        """Return the penalty of some of the weights, those of the support among them.

        None if the penalty on the support is not known of some weights.
        """
        there = None if self.penalty is None else self.penalty.restricted_to(numbers)
        if there is None and self.penalty is not None:
            return None
        return FixedSupport(self.support[numbers], there)

    def support_held(self) -> Tensor:
        """Return the support."""
        return self.support
