"""Proximity operators of single weights."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Strength", "firm_threshold", "hard_threshold", "soft_threshold"]

Strength = float | Tensor
"""A regularisation parameter λ: one number, or a tensor that broadcasts to weights."""


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
