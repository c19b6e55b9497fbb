r"""Losses on the output of a network, one value per sample.

Every loss is a small object that knows its per-sample value, the prediction that
an output stands for, the constant output that is best without any input, and which
targets it accepts. Sample weights and the mean over samples are applied once, by
`sklearn_sparsenet.solvers.problem.Problem`. A new loss is a class here, and its name
in `LOSSES`.

Equation numbers are those of Shen, Wang, Xu, Yan, arXiv 2408.02801.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from inspect import ismethod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sklearn_sparsenet.losses.base import MEMBERS, Loss, LossOfUser, ValueAndSlope
from sklearn_sparsenet.losses.responses import Counts, Exponential, Sigmoid, Softmax
from sklearn_sparsenet.utils.arguments import keep_number, keep_numbers

__all__ = [
    "AbsoluteError",
    "CrossEntropy",
    "CustomLoss",
    "Huber",
    "LogLoss",
    "Loss",
    "OneBit",
    "Poisson",
    "PoissonEmission",
    "SquaredError",
]

# Logits beyond which a probability counts as 1e-24 in derivatives, which is less than
# any rounding. Smaller ones come to products of denormal numbers, ten times as slow.
_CERTAIN = 55.0


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight[:, None]).sum(0) / weight.sum()


def _weighted_median(values: Tensor, weight: Tensor) -> Tensor:
    ordered, order = values.sort(dim=0)
    cumulated = weight[order].cumsum(0)
    first = (cumulated < cumulated[-1] / 2).sum(0, keepdim=True)
    return ordered.gather(0, first)[0]


@dataclass(frozen=True)
class SquaredError(Loss):
    r"""Squared error :math:`\|f(x) - y\|_2^2`, without ½, equation (15)."""

    standardizes_target = True
    targets = ("real",)
    decay_unit = 2.0  # there is no ½

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().sum(1)

    def loss_and_gradient(self, output: Tensor, target: Tensor) -> ValueAndSlope:
        residual = output - target
        return residual.square().sum(1), residual.mul_(2)

    def fit_intercept_only(self, target: Tensor, weight: Tensor) -> Tensor | None:
        return _weighted_mean(target, weight)


@dataclass(frozen=True)
class AbsoluteError(SquaredError):
    r"""Absolute error :math:`\|f(x) - y\|_1`; predicts the median."""

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs().sum(1)

    def loss_and_gradient(self, output: Tensor, target: Tensor) -> ValueAndSlope:
        residual = output - target
        return residual.abs().sum(1), residual.sign_()

    def fit_intercept_only(self, target: Tensor, weight: Tensor) -> Tensor | None:
        return _weighted_median(target, weight)


@dataclass(frozen=True)
class Huber(SquaredError):
    r"""Huber's loss: :math:`r^2` up to `delta`, :math:`\delta(2|r| - \delta)` beyond.

    Twice the textbook form, so that it is the squared error near zero.

    Parameters
    ----------
    delta : float
        Residual at which the loss becomes linear, in units of the (normalised)
        target.
    """

    delta: float = 1.35

    def __post_init__(self) -> None:
        keep_number(self, "delta", lambda d: 0 < d < math.inf, "positive and finite")

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        # Of other shapes PyTorch warns; the difference refuses them.
        rest = output - target
        zero = torch.zeros_like(rest)
        each = functional.huber_loss(rest, zero, reduction="none", delta=self.delta)
        return 2 * each.sum(1)

    def loss_and_gradient(self, output: Tensor, target: Tensor) -> ValueAndSlope:
        slope = (output - target).clamp_(-self.delta, self.delta).mul_(2)
        return self.per_sample(output, target), slope

    def fit_intercept_only(self, target: Tensor, weight: Tensor) -> Tensor | None:
        return _weighted_median(target, weight)


@dataclass(frozen=True)
class Poisson(Loss):
    r"""Count regression with log link: :math:`e^{f(x)} - y\,f(x)`."""

    targets = ("real",)
    response = Exponential()

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        return (output.exp() - target * output).sum(1)

    def loss_and_gradient(self, output: Tensor, target: Tensor) -> ValueAndSlope:
        mean = output.exp()
        return (mean - target * output).sum(1), mean.sub_(target)

    def fit_intercept_only(self, target: Tensor, weight: Tensor) -> Tensor | None:
        mean = _weighted_mean(target, weight)
        return mean.clamp(min=torch.finfo(mean.dtype).tiny).log().clamp(min=-10)

    def check_target(self, target: Tensor) -> None:
        if bool((target < 0).any()):
            raise ValueError("loss='poisson' needs y >= 0; y has negative values.")


@dataclass(frozen=True)
class PoissonEmission(Loss):
    r"""Poisson fidelity of emission tomography: counts of mean :math:`f(x)+\gamma`.

    The paper's :math:`\langle Af, 1\rangle - \langle \ln(Af+\gamma), g\rangle`. An
    affine network may leave the domain :math:`f(x) + \gamma > 0`; below `floor` the
    logarithm is continued by its second-order Taylor polynomial, and a parabola with
    its minimum at mean 0 is added, so that the loss stays finite, convex and
    continuously differentiable and keeps outputs with zero counts near 0.

    Parameters
    ----------
    background : float or sequence of shape (n_outputs,)
        Known background counts γ ≥ 0, of each output.
    floor : float
        Mean count below which the logarithm is continued.
    """

    background: float | tuple[float, ...] = 0.0
    floor: float = 1e-2
    targets = ("real",)

    def __post_init__(self) -> None:
        keep_number(self, "floor", lambda c: 0 < c < math.inf, "positive and finite")
        accepted = "finite and not negative, or a sequence of such numbers"
        keep_numbers(self, "background", lambda c: 0 <= c < math.inf, accepted)

    @property
    def response(self) -> Counts:
        return Counts(self.background)

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        mean = output + torch.as_tensor(self.background).to(output)
        inside = mean.clamp(min=self.floor).log()
        below = (mean.clamp(max=self.floor) - self.floor) / self.floor
        logarithm = inside + below - below.square() / 2
        # With a count of zero the fidelity is the mean itself, unbounded below:
        # the parabola ends its fall at mean 0.
        barrier = self.floor * below.square() / 2
        return (mean + barrier - target * logarithm).sum(1)

    def fit_intercept_only(self, target: Tensor, weight: Tensor) -> Tensor | None:
        mean = _weighted_mean(target, weight)
        return mean - torch.as_tensor(self.background).to(mean)

    def check_target(self, target: Tensor) -> None:
        if bool((target < 0).any()):
            raise ValueError("PoissonEmission needs counts y >= 0; y has negatives.")

    def check_outputs(self, n_outputs: int) -> None:
        shape = np.shape(self.background)
        if shape not in ((), (1,), (n_outputs,)):
            raise ValueError(f"{n_outputs} outputs have a background of shape {shape}")


@dataclass(frozen=True)
class LogLoss(Loss):
    """Binary cross-entropy on logits, summed over outputs (one per label)."""

    targets = ("real", "indicators")

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        cross_entropy = functional.binary_cross_entropy_with_logits
        return cross_entropy(output, target, reduction="none").sum(1)

    def loss_and_gradient(self, output: Tensor, target: Tensor) -> ValueAndSlope:
        share = output.clamp(min=-_CERTAIN).sigmoid_()
        return self.per_sample(output, target), share.sub_(target)

    @property
    def response(self) -> Sigmoid:
        return Sigmoid()

    def fit_intercept_only(self, target: Tensor, weight: Tensor) -> Tensor | None:
        mean = _weighted_mean(target, weight)
        return torch.logit(mean, eps=1e-4)

    def check_target(self, target: Tensor) -> None:
        if bool(((target < 0) | (target > 1)).any()):
            raise ValueError("LogLoss and OneBit need y between 0 and 1.")


@dataclass(frozen=True)
class OneBit(LogLoss):
    r"""One-bit measurements whose sign is flipped at random.

    A label agrees with the sign of the signal with a probability that rises from
    `flip_rate` to 1 - `flip_rate`:
    :math:`P(y=1) = r + (1-2r)\,\sigma(f(x))`. Its negative logarithm is a smooth
    stand-in for the count of sign mismatches in the paper, and bounded in effect:
    a flipped label far from the boundary costs about :math:`-\ln r`, not more.

    Parameters
    ----------
    flip_rate : float in [0, 0.5)
        Probability r of a flip. 0 gives the log loss.
    """

    flip_rate: float = 0.1

    def __post_init__(self) -> None:
        keep_number(self, "flip_rate", lambda rate: 0 <= rate < 0.5, "in [0, 0.5)")

    @property
    def response(self) -> Sigmoid:
        return Sigmoid(self.flip_rate)

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        if self.flip_rate == 0:
            return super().per_sample(output, target)
        keep, flip = math.log1p(-self.flip_rate), math.log(self.flip_rate)
        positive = functional.logsigmoid(output)
        negative = functional.logsigmoid(-output)
        log_one = torch.logaddexp(keep + positive, flip + negative)
        log_zero = torch.logaddexp(keep + negative, flip + positive)
        return -(target * log_one + (1 - target) * log_zero).sum(1)

    def fit_intercept_only(self, target: Tensor, weight: Tensor) -> Tensor | None:
        mean = _weighted_mean(target, weight)
        return torch.logit((mean - self.flip_rate) / (1 - 2 * self.flip_rate), eps=1e-4)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy of the softmax, equation (22); targets are class indices.

    Parameters
    ----------
    n_classes : int
        How many there are at least; targets may lack some of them.
    """

    n_classes: int = 0
    targets = ("classes",)
    decay_unit = 0.5  # weights of several outputs make up a margin
    response = Softmax()

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output, target, reduction="none")

    def loss_and_gradient(self, output: Tensor, target: Tensor) -> ValueAndSlope:
        # The softmax kernels work on one short row at a time; these, on all rows.
        column = target[:, None]
        shifted = output - output.amax(1, keepdim=True)
        picked = shifted.gather(1, column)
        share = shifted.clamp_(min=-_CERTAIN).exp_()
        total = share.sum(1, keepdim=True)
        values = total.log().sub_(picked).view(-1)
        return values, share.div_(total).scatter_(1, column, -1.0, reduce="add")

    def fit_intercept_only(self, target: Tensor, weight: Tensor) -> Tensor | None:
        total = torch.bincount(target, weights=weight, minlength=self.n_classes)
        share = total / weight.sum()
        return share.clamp(min=1e-4).log().to(weight)


@dataclass(frozen=True)
class CustomLoss(Loss):
    """A user's function in the place of L_D in (25).

    Parameters
    ----------
    function : callable(output, target) -> Tensor
        Differentiable; one value per sample, shape (n_samples,), or per sample and
        output, which are then summed. For example
        ``torch.nn.SmoothL1Loss(reduction="none")``.
    link : callable(output) -> Tensor
        What `predict` returns for an output. The identity by default.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    link: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function={self.function!r} is not callable.")
        if self.link is not None and not callable(self.link):
            raise TypeError(f"link={self.link!r} is not callable.")

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        values = self.function(output, target)
        if not isinstance(values, Tensor):
            raise TypeError(f"A loss must return a Tensor; got {values!r}.")
        n_samples = output.shape[0]
        possible = ((n_samples,), (n_samples, 1), tuple(output.shape))
        if tuple(values.shape) not in possible:
            raise ValueError(
                f"A loss must return one value per sample, shape ({n_samples},), or "
                f"per sample and output; got shape {tuple(values.shape)}. Losses of "
                "torch.nn do so with reduction='none'. Outputs have two dimensions, "
                "and so have targets that are numbers."
            )
        return values.reshape(len(values), -1).sum(1).to(output.dtype)

    def predict(self, output: Tensor) -> Tensor:
        return output if self.link is None else self.link(output)

    def as_stored(self) -> Loss:
        """Return the loss whose `predict` is the link, if it is of one."""
        if self.link is None:
            return SquaredError()
        owner = self.link.__self__ if ismethod(self.link) else None
        return owner if isinstance(owner, Loss) else self


# By the targets of an estimator, and the names that it takes; files hold these alone.
# Those of classes are made with the number of classes.
LOSSES: dict[str, dict[str, type[Loss]]] = {
    "real": {
        "squared_error": SquaredError,
        "absolute_error": AbsoluteError,
        "huber": Huber,
        "poisson": Poisson,
        "poisson_emission": PoissonEmission,
    },
    "indicators": {"log_loss": LogLoss, "one_bit": OneBit},
    "classes": {"log_loss": CrossEntropy},
}


def known_losses() -> dict[str, type[Loss]]:
    """Return the classes of all losses in `LOSSES`, by their own names."""
    return {kind.__name__: kind for names in LOSSES.values() for kind in names.values()}


def as_loss(value: Any, link: Callable[[Tensor], Tensor] | None = None) -> Loss:
    """Return a loss, or an object or function of the user's as one.

    The link is what a mere function predicts; see `CustomLoss`. Anything else is a
    TypeError.
    """
    if isinstance(value, Loss):
        return value
    missing = [member for member in MEMBERS if not hasattr(value, member)]
    if not missing:
        return LossOfUser(value)
    if callable(value):
        return CustomLoss(value, link)
    raise TypeError(f"loss={value!r} lacks {missing}; a loss object has {MEMBERS}.")
