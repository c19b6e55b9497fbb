"""Proximal stochastic gradient methods as `torch.optim.Optimizer`s.

Both take a gradient step and then the proximity operator of the penalty *in the
metric of that step*, so that their fixed points are stationary points of the
penalised problem. Parameter groups carry their own ``alpha`` and ``penalty``; a
group with ``alpha=0`` (the default) is not penalised. In a group with
``n_penalized=k`` only the first k entries of each parameter are, and the penalty
sees them as a vector: a flat vector of weights and biases is then one update.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_sparsenet.penalties import L1, Penalty, Strength
from sklearn_sparsenet.solvers.proximal_optimizer import ProximalOptimizer
from sklearn_sparsenet.utils.arguments import checked_number
from sklearn_sparsenet.utils.workers import over_ranges

__all__ = [
    "OPTIMIZERS",
    "ProximalAdam",
    "ProximalSGD",
    "entries_at",
    "growth_factor",
]

# Moments of weights without gradient decay geometrically. Before they reach the
# subnormal numbers, on which processors are ten times slower, they are set to zero.
_FLUSH_EVERY = 128
_FLUSH_BELOW = 1e-25
_MOST_HELD = 0.3  # of the entries, for it to pay to leave out the others


def growth_factor(
    weight: Tensor, growth: Tensor | float, out: Tensor | None = None
) -> Tensor:
    r"""Return by how much the steps of large weights are longer than those of zeros.

    :math:`\sqrt{1 + (c w)^2}`, for growth c: the inverse metric of the hypentropy
    :math:`(w\,\mathrm{arsinh}(cw) - \sqrt{w^2 + c^{-2}}) / c`, between that of gradient
    descent (small w) and that of exponentiated gradients (large w).

    Parameters
    ----------
    weight : Tensor
    growth : Tensor that broadcasts to `weight`, or float
    out : Tensor of the shape of `weight`, optional

    References
    ----------
    Ghai, Hazan, Singer, "Exponentiated gradient meets gradient descent", ALT 2020.
    """
    return torch.mul(weight, growth, out=out).square_().add_(1.0).sqrt_()


class ProximalSGD(ProximalOptimizer):
    r"""Proximal stochastic gradient descent, Algorithm 3 of the paper.

    .. math:: W \leftarrow \mathrm{prox}_{\eta\lambda\|\cdot\|_1}(W - \eta g_W),
        \qquad b \leftarrow b - \eta g_b

    Parameters
    ----------
    params : iterable of parameters or of parameter groups
        What to train.
    lr : float
        Step size η. The ``"lr"`` of a group may be set to a tensor of shape () as well,
        which is not read back from its device.
    scale : Tensor or None
        Of the shape of the parameter, or for each group: steps :math:`s_i^2 \eta`, as
        if :math:`w_i / s_i` were the parameters; None: all are 1.
    growth : float or Tensor
        Steps are longer by `growth_factor`, with which large weights move faster; 0:
        all weights alike.
    alpha : float or Tensor
        λ of the groups that do not bring their own.
    penalty : Penalty, default L1()
        Of the groups that do not bring their own.

    Examples
    --------
    >>> import torch
    >>> from sklearn_sparsenet import ProximalSGD
    >>> layer = torch.nn.Linear(3, 1)
    >>> weights = {"params": [layer.weight], "alpha": 1e-2}
    >>> optimizer = ProximalSGD([weights, {"params": [layer.bias]}], lr=0.1)
    >>> layer(torch.ones(5, 3)).square().mean().backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 0.1,
        *,
        scale: Tensor | None = None,
        growth: Tensor | float = 0.0,
        alpha: Strength = 0.0,
        penalty: Penalty | None = None,
    ) -> None:
        objective = {"alpha": alpha, "penalty": L1() if penalty is None else penalty}
        geometry = {"scale": scale, "growth": growth}
        super().__init__(params, {"lr": lr, **geometry, **objective})

    def _descend(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> Strength:
        rate, scale, growth = group["lr"], group["scale"], group["growth"]
        if isinstance(rate, Tensor) or scale is not None or _grows(growth):
            memory = self._workspace(parameter, group)
            step = memory.step.copy_(torch.as_tensor(rate, dtype=parameter.dtype))
            if scale is not None:
                step.mul_(scale).mul_(scale)
            if _grows(growth):
                step.mul_(growth_factor(parameter, growth, memory.scratch))
            parameter.addcmul_(gradient, step, value=-1)
            return step
        parameter.sub_(gradient, alpha=rate)
        return rate


class ProximalAdam(ProximalOptimizer):
    r"""Adam with the proximity operator in its own metric.

    .. math:: w_i \leftarrow \mathrm{prox}^{P}_{\eta_i \lambda}
        (w_i - \eta_i \hat m_i), \qquad \eta_i = \eta / (\sqrt{\hat v_i} + \epsilon)

    For ℓ1 the threshold of weight i is :math:`\eta_i\lambda`; the same threshold for
    all weights would move the fixed points away from (26), (27).

    Parameters
    ----------
    params : iterable of parameters or of parameter groups
        What to train.
    lr : float
        Step size η. The ``"lr"`` of a group may be set to a tensor of shape () as well,
        which is not read back from its device.
    betas : tuple of float
        Decay of the first and second moment.
    eps : float
        :math:`\epsilon`, which keeps the steps finite.
    floor : float
        Times the largest mean of :math:`\sqrt{\hat v}` so far, per parameter, is added
        to :math:`\epsilon` of what ever had a gradient. Steps then cannot become long
        as gradients vanish.
    scale : Tensor or None
        Of the shape of the parameter, or for each group: steps :math:`s_i \eta_i`, as
        if :math:`w_i / s_i` were the parameters; None: all are 1.
    growth : float or Tensor
        Steps are longer by `growth_factor`, with which large weights move faster; 0:
        all weights alike.
    alpha : float or Tensor
        λ of the groups that do not bring their own.
    penalty : Penalty, default L1()
        Of the groups that do not bring their own.

    References
    ----------
    Yun, Lozano, Yang, "Adaptive proximal gradient methods for structured neural
    networks", NeurIPS 2021.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        floor: float = 0.0,
        scale: Tensor | None = None,
        growth: Tensor | float = 0.0,
        alpha: Strength = 0.0,
        penalty: Penalty | None = None,
    ) -> None:
        if np.ndim(betas) != 1 or len(betas) != 2:
            raise ValueError(f"betas={betas!r} must be a pair of numbers.")
        decays = tuple(
            checked_number("betas", beta, lambda beta: 0 <= beta < 1, "in [0, 1)")
            for beta in betas
        )
        defaults = {"lr": lr, "betas": decays, "eps": eps}
        defaults |= {"floor": floor, "scale": scale, "growth": growth}
        objective = {"alpha": alpha, "penalty": L1() if penalty is None else penalty}
        super().__init__(params, {**defaults, **objective})

    def _descend(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> Strength:
        state = self.state[parameter]
        held = state.get("held")
        if held is not None:
            gradient = gradient.index_select(0, held)
        mean, square = self._moments(state, gradient)
        # η / (√(v / c) + ε) = η√c / (√v + ε√c) with the bias correction c.
        beta1, beta2 = group["betas"]
        correction = math.sqrt(1 - beta2 ** state["step"])
        memory = self._workspace(parameter, group)
        metric = memory.step if held is None else torch.empty_like(square)
        scale = group["scale"]
        if held is not None and scale is not None:
            scale = scale.index_select(0, held)
        over_ranges(_take_in, mean, square, gradient, group["betas"], metric, scale)
        if state["step"] % _FLUSH_EVERY == 0:
            for moment in (mean, square):
                moment.masked_fill_(moment.abs() < _FLUSH_BELOW, 0.0)
        if group["floor"]:
            usual = self._largest_mean(state, metric, correction)
            metric.add_((square > 0) * (usual * (group["floor"] * correction)))
        numbers = (group["eps"] * correction, group["lr"] * correction)
        factor = -1 / (1 - beta1 ** state["step"])
        moved, scratch, growth = parameter, memory.scratch, group["growth"]
        if held is not None:
            moved = parameter.index_select(0, held)
            scratch, growth = torch.empty_like(moved), entries_at(held, growth)
        over_ranges(
            _advance, moved, mean, metric, scratch, scale, growth, *numbers, factor
        )
        if held is None:
            return metric
        parameter.index_copy_(0, held, moved)
        return memory.step.index_copy_(0, held, metric)

    @staticmethod
    def _moments(state: dict[str, Any], gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means of the gradient and of its square; count the step."""
        if "step" not in state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(gradient)
            state["square"] = torch.zeros_like(gradient)
        state["step"] += 1
        return state["mean"], state["square"]

    @staticmethod
    def _largest_mean(
        state: dict[str, Any], metric: Tensor, correction: float
    ) -> Tensor:
        """Return the largest mean of the metric so far; it is about all entries.

        Where the mean of all is not known any more, the largest one stays.
        """
        if "usual" in state and state.get("n_entries") != metric.numel():
            return state["usual"]
        usual = metric.mean() / correction
        state["n_entries"] = metric.numel()
        state["usual"] = torch.maximum(state.get("usual", usual), usual)
        return state["usual"]

    def hold(self, support: Tensor) -> None:
        """Let what is off a support have no moments; see `ProximalOptimizer.hold`."""
        (parameter,) = self.param_groups[0]["params"]
        state = self.state[parameter]
        if "held" in state:
            return
        rest = support.new_ones(len(parameter) - len(support))
        held = torch.cat([support, rest]).nonzero().flatten()
        if len(held) > _MOST_HELD * len(parameter):
            return
        state["held"] = held
        for name in ("mean", "square"):
            if name in state:
                state[name] = state[name][held]


def _take_in(
    mean: Tensor,
    square: Tensor,
    gradient: Tensor,
    betas: tuple[float, float],
    metric: Tensor,
    scale: Tensor | None,
) -> None:
    """Take a gradient into the moments of Adam, and write their metric."""
    beta1, beta2 = betas
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    torch.sqrt(square, out=metric)
    if scale is not None:  # of w / s the metric is s √v
        metric.mul_(scale)


def _advance(
    parameter: Tensor,
    mean: Tensor,
    metric: Tensor,
    scratch: Tensor,
    scale: Tensor | None,
    growth: Tensor | float,
    eps: float,
    rate: float | Tensor,
    factor: float,
) -> None:
    """Make a step of a metric, in its memory, and take it."""
    step = metric.add_(eps).reciprocal_().mul_(rate)
    if scale is not None:
        step.mul_(scale).mul_(scale)
    if _grows(growth):
        step.mul_(growth_factor(parameter, growth, scratch))
    parameter.addcmul_(mean, step, value=factor)


def _grows(growth: Tensor | float) -> bool:
    return isinstance(growth, Tensor) or growth > 0


def entries_at(where: Tensor, value: Any) -> Any:
    """Return some entries of a vector, and of everything else all."""
    return value[where] if isinstance(value, Tensor) and value.ndim else value


OPTIMIZERS: dict[str, type[ProximalSGD] | type[ProximalAdam]] = {
    "adam": ProximalAdam,
    "sgd": ProximalSGD,
}
