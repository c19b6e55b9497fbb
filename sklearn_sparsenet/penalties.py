"""Penalties as objects that answer every mathematical question about themselves.

A solver only ever asks a penalty for its value, its proximity operator in the
metric of the step, and the distance of a gradient to its subdifferential. A new
penalty therefore needs no change anywhere else: the four members of `Penalty`, and
three optional ones, are the whole interface.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from sklearn_sparsenet.utils.arguments import keep_number
from sklearn_sparsenet.utils.protocols import optional_method

__all__ = [
    "L0",
    "L1",
    "MCP",
    "FixedSupport",
    "Penalty",
    "as_penalty",
    "firm_threshold",
    "hard_threshold",
    "is_identity",
    "soft_threshold",
]

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
    uniform : bool, optional
        True promises that all weights of the same strength are penalised alike, so that
        solvers may hand over some of them alone. An attribute of the class of `prox`.
    vanishes_at_zero : bool, optional
        True promises that the prox at strength zero is the identity, which spares
        the solvers the call. Without the attribute the prox is always taken.
    frees_zeros : bool, optional
        True says that a zero is stationary whatever its gradient, as with ℓ0. The
        solvers then take steps before they ask whether a start is a solution:
        zero weights always would be, and so would a solution for another strength.
    decay_beside : callable(weight_decay) -> float, optional
        The weight decay that stands beside the penalty, at present, for the one that
        was asked for. It is of no account when solutions are judged.
    prox_ : callable(weight, step, alpha, scratch), optional
        `prox` written over `weight`, for a step that is a tensor: `step` and
        `scratch`, both of the shape of `weight`, may be used as memory.
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
    largest = min(threshold, torch.finfo(weight.dtype).max)
    return weight - weight.clamp(-largest, largest)


def hard_threshold(weight: Tensor, threshold: Strength) -> Tensor:
    r"""Keep what is larger than the threshold, unchanged; the rest is ``0.0``.

    Parameters
    ----------
    weight : Tensor of any shape
    threshold : float or Tensor that broadcasts to `weight`
        Non-negative. Entries of exactly this size become zero.

    Returns
    -------
    Tensor of the shape of `weight`
    """
    # This way around a NaN stays one, for the solvers to notice.
    return torch.where(weight.abs() <= threshold, 0.0, weight)


def firm_threshold(
    weight: Tensor, step: Strength, alpha: Strength, gamma: float
) -> Tensor:
    r"""Shrink small weights to zero, middling ones partly, large ones not at all.

    With step s, for :math:`s < \gamma`:

    .. math::
        0 \;\text{if}\; |w| \le s\alpha, \qquad
        \frac{w - s\alpha\,\mathrm{sign}(w)}{1 - s/\gamma}
        \;\text{if}\; s\alpha < |w| \le \gamma\alpha, \qquad
        w \;\text{if}\; |w| > \gamma\alpha.

    Parameters
    ----------
    weight : Tensor of any shape
    step, alpha : float or Tensor that broadcasts to `weight`
        Non-negative. Where the step is not below `gamma` the result means nothing.
    gamma : float

    Returns
    -------
    Tensor of the shape of `weight`

    References
    ----------
    Gao, Bruce, "WaveShrink with firm shrinkage", Statistica Sinica 7 (1997).
    """
    stretched = soft_threshold(weight, step * alpha) / (1 - step / gamma)
    # The two lines cross at γα, the stretched one below the other before it. Taking
    # the smaller keeps rounding (step close to γ) from making a weight grow, and
    # α = 0 exactly the identity.
    return torch.where(stretched.abs() < weight.abs(), stretched, weight)


@dataclass(frozen=True)
class L1:
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


@dataclass(frozen=True)
class MCP:
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
class L0:
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


@dataclass(frozen=True)
class FixedSupport:
    """A penalty on a fixed support: weights outside it are held at zero.

    Without a penalty of its own it is the indicator of the support, used to refit
    the surviving weights without shrinkage (``debias``); the strength then plays no
    role.

    Parameters
    ----------
    support : Tensor of bool
        True for the weights that may be nonzero; the shape of the weights.
    penalty : Penalty, optional
        Acts on the weights of the support.
    """

    support: Tensor
    penalty: Penalty | None = None
    separable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.support, Tensor) or self.support.dtype != torch.bool:
            raise TypeError(f"support={self.support!r} must be a tensor of bool.")

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
        """Do what `prox` does, in place."""
        if self.penalty is not None:
            weight.copy_(self.penalty.prox(weight, step, alpha))
        weight.masked_fill_(~self.support, 0.0)

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

        Parameters
        ----------
        numbers : Tensor of int
            Of these weights.

        Returns
        -------
        FixedSupport or None
            None if the penalty on the support may be another one for each weight.
        """
        if self.penalty is not None and not optional_method(
            self.penalty, "uniform", beside="prox"
        ):
            return None
        return replace(self, support=self.support[numbers])


PENALTIES: dict[str, Callable[[], Penalty]] = {"l1": L1, "mcp": MCP, "l0": L0}


def is_identity(penalty: Penalty, alpha: Strength) -> bool:
    """Tell whether the prox is known to change nothing, at no cost.

    A tensor of strengths is not looked at: on an accelerator that would wait for it.
    """
    if isinstance(alpha, Tensor) or alpha != 0:
        return False
    return getattr(penalty, "vanishes_at_zero", False)


def as_penalty(penalty: str | Penalty) -> Penalty:
    """Return the penalty of that name, or the object itself.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If an object lacks a member of the `Penalty` protocol, or is a class.
    """
    if isinstance(penalty, type):
        raise TypeError(
            f"penalty={penalty.__name__} is a class; make an object of it: "
            f"penalty={penalty.__name__}(...)."
        )
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
