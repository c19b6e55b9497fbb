"""The penalty on a support that is held: it fades, and makes no weight zero.

Where there are about as many weights as samples, noise would be fitted otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sklearn_sparsenet.penalties import L1, Penalty, Strength

__all__ = ["FadingL1", "Noise"]

_SHRINKAGE = 0.1  # first λ of the fading penalty, in terms of the noise
_FEW_SAMPLES = 256  # so few are always fitted too closely


@dataclass(frozen=True)
class FadingL1(Penalty):
    """ℓ1 with a factor for each weight, for a strength that falls to 0.

    What would become zero stays as it is, so that at no time is the count another one:
    there are interruptions.
    """

    factors: Tensor
    separable: ClassVar[bool] = True

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        """Return :math:`\\alpha \\sum_i f_i |w_i|`."""
        return L1().value(weight, self.factors * alpha)

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        """Shrink by step · factor · α what is larger than that."""
        threshold = step * self.factors * alpha
        shrunk = weight - threshold.copysign(weight)
        return torch.where(weight.abs() > threshold, shrunk, weight)

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        """Residual of (26), (27), with the factors."""
        return L1().subdifferential_distance(weight, gradient, self.factors * alpha)

    def restricted_to(self, numbers: Tensor) -> FadingL1:
        """Return the penalty of some of the weights."""
        return FadingL1(self.factors[numbers])


@dataclass(frozen=True)
class Noise:
    """How large a gradient over all samples may be by chance."""

    # Sizes of the last batch's gradient, scaled from its samples to all; (n_weights,).
    level: Callable[[], Tensor]
    n_samples: int

    def shrinkage(
        self,
        free: Tensor,
        groups: Sequence[slice],
        n_kept: int,
        scale: Tensor | None,
    ) -> Tensor:
        """Return the first λ of each weight: a part of the noise off the support.

        It grows with the number of weights per sample: where that is small there is
        little to fear, and the gradient off the support is no noise. Unless there are
        few samples at all (figures in docs/design_notes.md).

        `free` marks, off the support, where weights could be; those of a group share a
        λ; `n_kept` weights are on the support; `scale` is that of the weights, as the
        steps have it.
        """
        level = self.level() if scale is None else self.level() * scale
        noise = torch.where(free, level, 0.0)
        few = self.n_samples <= _FEW_SAMPLES
        load = 1.0 if few else min(1.0, n_kept / self.n_samples)
        alpha = torch.empty_like(noise)
        for group in groups:
            alpha[group] = _SHRINKAGE * load**0.5 * noise[group].max()
        return alpha if scale is None else alpha.div_(scale)
