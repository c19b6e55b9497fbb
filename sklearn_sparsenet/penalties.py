"""Penalties as objects that answer every mathematical question about themselves.

A solver only ever asks a penalty for its value, its proximity operator in the
metric of the step, and the distance of a gradient to its subdifferential. A new
penalty therefore needs no change anywhere else: the four members of `Penalty` are
the whole interface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["L1", "FixedSupport", "Penalty", "as_penalty", "soft_threshold"]

Strength = float | Tensor
"""A regularisation parameter λ: one number, or a tensor that broadcasts to weights."""


@runtime_checkable
class Penalty(Protocol):
    """What a solver needs to know about a penalty.

    Attributes
    ----------
    separable : bool
        True when every weight is penalised on its own. The solvers then treat all
        layers as one flat vector; otherwise (group penalties) they hand over one
        layer at a time, in the shape that it has in the network.
    """

    @property
    def separable(self) -> bool: ...

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        """Return the penalty of `weight` as a 0-dimensional tensor."""

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        r"""Return the proximity operator in the metric of the step.

        The minimiser over :math:`u` of
        :math:`\sum_i (u_i - w_i)^2 / (2\,\mathrm{step}_i) + P_\alpha(u)`.
        """

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        r"""Return the distance of :math:`-g_i` to :math:`\partial P_\alpha(w)_i`."""


def soft_threshold(weight: Tensor, threshold: Strength) -> Tensor:
    r"""Shrink towards zero: :math:`\mathrm{sign}(w_i)\max(|w_i| - t_i, 0)`.

    Parameters
    ----------
    weight : Tensor of any shape
    threshold : float or Tensor that broadcasts to `weight`
        Non-negative. Entries not larger than it become exactly ``0.0``.

    Returns
    -------
    Tensor of the shape of `weight`
    """
    # w - clip(w, -t, t): one rounding only, and w - w is an exact zero.
    if isinstance(threshold, Tensor):
        return weight - torch.clamp(weight, min=-threshold, max=threshold)
    return weight - weight.clamp(-threshold, threshold)


@dataclass(frozen=True)
class L1:
    r"""The penalty :math:`\lambda \|w\|_1` of models (25) and (45) of the paper.

    References
    ----------
    Shen, Wang, Xu, Yan, arXiv 2408.02801, equations (25)-(27), (45)-(47).
    """

    separable: ClassVar[bool] = True

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        """Return Σ αᵢ |wᵢ|."""
        return (weight.abs() * alpha).sum()

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        """Soft threshold at step · α."""
        return soft_threshold(weight, step * alpha)

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        """Residual of (26) on the support and of (27) off it."""
        on_support = (gradient + alpha * weight.sign()).abs()
        off_support = (gradient.abs() - alpha).clamp(min=0)
        return torch.where(weight != 0, on_support, off_support)


@dataclass(frozen=True)
class FixedSupport:
    """The indicator of a support: weights outside it are held at zero.

    Used to refit the surviving weights without shrinkage (``debias``). The
    strength plays no role.

    Parameters
    ----------
    support : Tensor of bool
        True for the weights that may be nonzero; the shape of the weights.
    """

    support: Tensor
    separable: ClassVar[bool] = True

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        """Return zero: admissible weights cost nothing."""
        return weight.new_zeros(())

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        """Project onto the support, whatever the (diagonal) metric."""
        return torch.where(self.support, weight, 0.0)

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        """Size of the gradient on the support; off it, anything is optimal."""
        return torch.where(self.support, gradient.abs(), 0.0)


PENALTIES: dict[str, type[L1]] = {"l1": L1}


def as_penalty(penalty: str | Penalty) -> Penalty:
    """Return the penalty of that name, or the object itself.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If an object lacks a member of the `Penalty` protocol.
    """
    if isinstance(penalty, str):
        if penalty not in PENALTIES:
            raise ValueError(
                f"penalty={penalty!r} is unknown; accepted are {sorted(PENALTIES)} "
                "or an object with the members of sklearn_sparsenet.Penalty."
            )
        return PENALTIES[penalty]()
    if not isinstance(penalty, Penalty):
        needed = ("separable", "value", "prox", "subdifferential_distance")
        missing = [name for name in needed if not hasattr(penalty, name)]
        raise TypeError(
            f"penalty={penalty!r} lacks {missing}; a penalty object has {needed}."
        )
    return penalty
