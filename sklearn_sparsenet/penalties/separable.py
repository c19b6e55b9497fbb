"""Penalties of single weights: ℓ1, MCP and ℓ0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sklearn_sparsenet.penalties.base import Penalty
from sklearn_sparsenet.penalties.thresholds import (
    Strength,
    firm_threshold,
    hard_threshold,
    soft_threshold,
)
from sklearn_sparsenet.utils.arguments import keep_number

__all__ = ["L0", "L1", "MCP"]


@dataclass(frozen=True)
class L1(Penalty):
    r"""The penalty :math:`\lambda \|w\|_1` of models (25) and (45) of the paper.

    References
    ----------
    Shen, Wang, Xu, Yan, arXiv 2408.02801, equations (25)-(27), (45)-(47).
    """

    separable: ClassVar[bool] = True
    uniform: ClassVar[bool] = True
    vanishes_at_zero: ClassVar[bool] = True

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        r"""Return :math:`\sum_i \alpha_i |w_i|`."""
        return (weight.abs() * alpha).sum()

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        """Soft threshold at step · α."""
        return soft_threshold(weight, step * alpha)

    def prox_(
        self, weight: Tensor, step: Tensor, alpha: Strength, scratch: Tensor
    ) -> None:
        """Soft threshold at step · α, in place."""
        threshold = step.mul_(alpha)
        lowest = torch.neg(threshold, out=scratch)
        weight.sub_(torch.clamp(weight, min=lowest, max=threshold, out=scratch))

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        """Residual of (26) on the support and of (27) off it."""
        on_support = (gradient + alpha * weight.sign()).abs()
        off_support = (gradient.abs() - alpha).clamp(min=0)
        return torch.where(weight != 0, on_support, off_support)

    def dual_norms(self, gradient: Tensor) -> Tensor:
        """Return the size of each entry."""
        return gradient.abs().reshape(-1)


@dataclass(frozen=True)
class MCP(Penalty):
    r"""The minimax concave penalty: ℓ1 near zero, constant for large weights.

    .. math::
        P_\lambda(w) = \lambda |w| - \frac{w^2}{2\gamma}
        \;\text{if}\; |w| \le \gamma\lambda, \qquad
        \frac{\gamma\lambda^2}{2} \;\text{otherwise}.

    Weights beyond γλ are not shrunk, so that less has to be repaired by a refit;
    :math:`\gamma \to \infty` is ℓ1.

    Parameters
    ----------
    gamma : float, default=10.0
        Positive and finite. Large is close to ℓ1, small close to ℓ0.

    Notes
    -----
    **The default.** With features of unit variance the curvature of the loss in a
    weight of a linear model is 2 for the squared error and at most ¼ for the logistic
    loss; above 1/γ, which takes γ > 4, every weight alone has one minimiser. The
    classical 3 is for ½ the squared error. It is also small for networks: the λ of
    useful targets are about 0.01 there, and with γλ far below the weights nothing but
    a hard threshold is left. With 10, γλ comes near the size of those that stay.

    **Steps beyond γ.** γ has the units of a step (weight² per loss). The step η of
    `ProximalSGD` (0.1 by default) is below it; that of `ProximalAdam`,
    :math:`\eta/(\sqrt{\hat v_i} + \epsilon)`, exceeds it for weights with small
    gradients. The objective of the prox is then concave up to γλ and its global
    minimiser a hard threshold at :math:`\lambda\sqrt{\gamma\,\mathrm{step}_i}`,
    which is what `prox` returns: it is a minimiser for every step, and its fixed
    points are stationary for every step.

    **Stationarity.** The residual is that of (26), (27) with the slope of this
    penalty: :math:`|g_i + \mathrm{sign}(w_i)\max(0, \lambda - |w_i|/\gamma)|` on
    the support, :math:`\max(0, |g_i| - \lambda)` off it. Zero means that no
    direction descends to first order (the penalty is weakly convex: its Fréchet,
    limiting and Clarke subdifferentials agree); unlike with ℓ1 such a point of a
    convex loss need not be a minimiser, unless the curvature of the loss exceeds
    1/γ.

    References
    ----------
    Zhang, "Nearly unbiased variable selection under minimax concave penalty", Annals
    of Statistics 38 (2010).
    Breheny, Huang, "Coordinate descent algorithms for nonconvex penalized
    regression", Annals of Applied Statistics 5 (2011): γ = 3.
    """

    gamma: float = 10.0
    separable: ClassVar[bool] = True
    uniform: ClassVar[bool] = True
    vanishes_at_zero: ClassVar[bool] = True

    def __post_init__(self) -> None:
        keep_number(
            self,
            "gamma",
            lambda gamma: 0 < gamma < math.inf,
            "positive and finite; the limit of large gamma is L1()",
        )

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        """Return the sum of the penalties of all weights."""
        size = weight.abs()
        rising = alpha * size - size.square() / (2 * self.gamma)
        flat = self.gamma * alpha**2 / 2
        return torch.where(size <= self.gamma * alpha, rising, flat).sum()

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        """Firm threshold for steps below gamma, hard threshold for the others."""
        if not isinstance(step, Tensor):
            if step < self.gamma:
                return firm_threshold(weight, step, alpha, self.gamma)
            return hard_threshold(weight, alpha * math.sqrt(self.gamma * step))
        firm = firm_threshold(weight, step, alpha, self.gamma)
        hard = hard_threshold(weight, alpha * (self.gamma * step).sqrt())
        return torch.where(step < self.gamma, firm, hard)

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        """Gradient and slope of the penalty on the support; off it as for ℓ1."""
        slope = (alpha - weight.abs() / self.gamma).clamp(min=0) * weight.sign()
        off_support = (gradient.abs() - alpha).clamp(min=0)
        return torch.where(weight != 0, (gradient + slope).abs(), off_support)


@dataclass(frozen=True)
class L0(Penalty):
    r"""The number of nonzero weights: :math:`\lambda \|w\|_0`.

    A weight stays only if that lowers the loss by λ, which is a loss here, not a
    slope as with ℓ1. The prox is a hard threshold at
    :math:`\sqrt{2\,\mathrm{step}\,\lambda}` (iterative hard thresholding);
    what survives is not shrunk.

    Notes
    -----
    **Stationarity.** The residual is :math:`|g_i|` on the support and 0 off it (where
    λ = 0 there is no penalty and it is :math:`|g_i|` everywhere). Zero means
    :math:`-g` in the limiting subdifferential: the loss is stationary in the weights
    of the support. Every zero is locally optimal whatever its gradient, since
    leaving it costs λ at once; the residual says nothing about whether another
    support would be better. Fixed points of the prox satisfy more,
    :math:`|w_i| \ge \sqrt{2\,\mathrm{step}\,\lambda}` on the support and
    :math:`|g_i| \le \sqrt{2\lambda/\mathrm{step}}` off it, but that depends on the
    step. From a start at zero (a linear model) only weights with larger gradients
    ever enter; a larger step lets more of them in.

    References
    ----------
    Blumensath, Davies, "Iterative thresholding for sparse approximations", Journal of
    Fourier Analysis and Applications 14 (2008).
    """

    separable: ClassVar[bool] = True
    uniform: ClassVar[bool] = True
    vanishes_at_zero: ClassVar[bool] = True
    frees_zeros: ClassVar[bool] = True

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        """Return Σ αᵢ over the nonzero weights."""
        return ((weight != 0).to(weight.dtype) * alpha).sum()

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        """Hard threshold at √(2 · step · α)."""
        return hard_threshold(weight, (2 * step * alpha) ** 0.5)

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        """Size of the gradient on the support; off it, any gradient will do."""
        free = (weight != 0) | (alpha == 0)
        return torch.where(free, gradient.abs(), 0.0)
