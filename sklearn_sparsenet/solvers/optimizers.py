"""Proximal stochastic gradient methods as `torch.optim.Optimizer`s.

Both take a gradient step and then the proximity operator of the penalty *in the
metric of that step*, so that their fixed points are stationary points of the
penalised problem. Parameter groups carry their own ``alpha`` and ``penalty``; a
group with ``alpha=0`` (the default) is not penalised. In a group with
``n_penalized=k`` only the first k entries of each parameter are, and the penalty
sees them as a vector: a flat vector of weights and biases is then one update.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from sklearn_sparsenet.arguments import checked_number
from sklearn_sparsenet.penalties import L1, Penalty, Strength, as_penalty, is_identity
from sklearn_sparsenet.plain_penalties import from_plain, to_plain
from sklearn_sparsenet.protocols import optional_method

__all__ = ["OPTIMIZERS", "ProximalAdam", "ProximalOptimizer", "ProximalSGD"]

# Moments of weights without gradient decay geometrically. Before they reach the
# subnormal numbers, on which processors are ten times slower, they are set to zero.
_FLUSH_EVERY = 128
_FLUSH_BELOW = 1e-25
_MOST_HELD = 0.3  # of the entries, for it to pay to leave out the others
# What the numbers of a group must be; tensors are not read back from their device.
_NOT_NEGATIVE = (lambda number: 0 <= number < math.inf, "finite and not negative")
_SETTINGS: dict[str, tuple[Callable[[float], bool], str]] = {
    "lr": (lambda rate: 0 < rate < math.inf, "positive and finite"),
    "alpha": _NOT_NEGATIVE,
    "eps": _NOT_NEGATIVE,
    "floor": _NOT_NEGATIVE,
}


class _Workspace:
    """Memory for a step of one parameter, and views of what is penalised of it."""

    def __init__(self, parameter: Tensor, n_penalized: int | None) -> None:
        self.step = torch.zeros_like(parameter)
        scratch = torch.empty_like(parameter)
        views = [parameter.detach(), self.step, scratch]
        if n_penalized is not None:
            views = [view.view(-1)[:n_penalized] for view in views]
        self.weight, self.weight_step, self.weight_scratch = views
        self._made_for = (parameter.data_ptr(), n_penalized)

    def serves(self, parameter: Tensor, n_penalized: int | None) -> bool:
        """Tell whether the parameter still lies where it did."""
        return self._made_for == (parameter.data_ptr(), n_penalized)


def _as_plain(value: Any) -> Any:
    """Return an option of a group as `torch.load` reads it by default."""
    if isinstance(value, list | tuple):
        return type(value)(map(_as_plain, value))
    is_of_numpy = hasattr(value, "__array__") and not isinstance(value, Tensor)
    return value.tolist() if is_of_numpy else to_plain(value)


class ProximalOptimizer(Optimizer):
    """What both optimisers share: the loop over parameters and the prox."""

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        super().__init__(params, {**defaults, "n_penalized": None})
        self._memory: dict[Tensor, _Workspace] = {}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, as `torch.optim.Optimizer` does.

        What decorates its method loads PyTorch's compiler first, which takes longer
        than many a fit.

        Raises
        ------
        ValueError, TypeError
            For settings that cannot be.
        """
        settings = {**self.defaults, **param_group}
        for name, (accepts, accepted) in _SETTINGS.items():
            if name in settings and not isinstance(settings[name], Tensor):
                number = checked_number(name, settings[name], accepts, accepted)
                settings[name] = number
        settings["penalty"] = as_penalty(settings["penalty"])
        inspect.unwrap(Optimizer.add_param_group)(self, settings)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._memory = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain values: no code is needed to read it.

        A penalty of your own stays the object that it is; `torch.load` has to be told
        to trust it.
        """
        content = super().state_dict()
        for group in content["param_groups"]:
            group.update({name: _as_plain(value) for name, value in group.items()})
        return content

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state; steps are the same to the last bit."""
        groups = [
            {**group, "penalty": from_plain(group["penalty"])}
            for group in state_dict["param_groups"]
        ]
        super().load_state_dict({**state_dict, "param_groups": groups})
        # PyTorch gives all tensors the type of their parameters, indices as well.
        numbers = [number for group in groups for number in group["params"]]
        own = [p for group in self.param_groups for p in group["params"]]
        for number, parameter in zip(numbers, own, strict=True):
            for name, value in state_dict["state"].get(number, {}).items():
                if isinstance(value, Tensor) and not value.is_floating_point():
                    self.state[parameter][name] = value.to(parameter.device, copy=True)

    def _workspace(self, parameter: Tensor, group: dict[str, Any]) -> _Workspace:
        """Return memory for the step of a parameter, no part of the state.

        Fresh memory for every result makes the step of a network that exceeds the
        caches five times slower.
        """
        found = self._memory.get(parameter)
        n_penalized = group["n_penalized"]
        if found is None or not found.serves(parameter, n_penalized):
            found = _Workspace(parameter, n_penalized)
            self._memory[parameter] = found
        return found

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform one proximal step.

        Parameters
        ----------
        closure : callable, optional
            Reevaluates the model and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.update()
        return loss

    def update(self) -> None:
        """Do what `step` does, without the hooks that PyTorch runs around it.

        They take a tenth of the time of a step of a small network. To be called
        under `torch.no_grad`.
        """
        for group in self.param_groups:
            penalized = not is_identity(group["penalty"], group["alpha"])
            for parameter in group["params"]:
                if parameter.grad is not None:
                    step = self._descend(parameter, parameter.grad, group)
                    if penalized:
                        self._shrink(parameter, step, group)

    def hold(self, support: Tensor) -> None:
        """Allow the optimiser to leave out what is, and stays, zero.

        Parameters
        ----------
        support : Tensor of bool
            Of a single parameter, a vector, from its first entry on; the penalty sees
            to it. What it is too short for is held, too.
        """

    def _shrink(self, parameter: Tensor, step: Strength, group: dict[str, Any]) -> None:
        """Take the prox, in place."""
        penalty, alpha = group["penalty"], group["alpha"]
        memory = self._workspace(parameter, group)
        in_place = optional_method(penalty, "prox_", "prox")
        if not isinstance(step, Tensor):
            memory.weight.copy_(penalty.prox(memory.weight, step, alpha))
        elif in_place is None:
            memory.weight.copy_(penalty.prox(memory.weight, memory.weight_step, alpha))
        else:
            in_place(memory.weight, memory.weight_step, alpha, memory.weight_scratch)

    def _descend(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> Strength:
        """Move `parameter` downhill in place and return the step of each entry."""
        raise TypeError(f"{type(self).__name__} does not say how it descends.")


class ProximalSGD(ProximalOptimizer):
    r"""Proximal stochastic gradient descent, Algorithm 3 of the paper.

    .. math:: W \leftarrow \mathrm{prox}_{\eta\lambda\|\cdot\|_1}(W - \eta g_W),
        \qquad b \leftarrow b - \eta g_b

    Parameters
    ----------
    params : iterable of parameters or of parameter groups
    lr : float
        Step size η. The ``"lr"`` of a group may be set to a tensor of shape () as well,
        which is not read back from its device.
    scale : Tensor or None
        See `ProximalAdam`.
    alpha : float or Tensor
        λ of the groups that do not bring their own.
    penalty : Penalty, default L1()

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
        alpha: Strength = 0.0,
        penalty: Penalty | None = None,
    ) -> None:
        objective = {"alpha": alpha, "penalty": L1() if penalty is None else penalty}
        super().__init__(params, {"lr": lr, "scale": scale, **objective})

    def _descend(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> Strength:
        rate, scale = group["lr"], group["scale"]
        if isinstance(rate, Tensor) or scale is not None:
            memory = self._workspace(parameter, group).step
            step = memory.copy_(torch.as_tensor(rate, dtype=memory.dtype))
            if scale is not None:
                step.mul_(scale).mul_(scale)
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
    lr : float
        Step size η. The ``"lr"`` of a group may be set to a tensor of shape () as well,
        which is not read back from its device.
    betas : tuple of float
        Decay of the first and second moment.
    eps : float
    floor : float
        Times the largest mean of :math:`\sqrt{\hat v}` so far, per parameter, is added
        to :math:`\epsilon` of what ever had a gradient. Steps then cannot become long
        as gradients vanish.
    scale : Tensor or None
        Of the shape of the parameter, or for each group: steps :math:`s_i \eta_i`, as
        if :math:`w_i / s_i` were the parameters; None: all are 1.
    alpha : float or Tensor
        λ of the groups that do not bring their own.
    penalty : Penalty, default L1()

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
        defaults |= {"floor": floor, "scale": scale}
        objective = {"alpha": alpha, "penalty": L1() if penalty is None else penalty}
        super().__init__(params, {**defaults, **objective})

    def _descend(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> Strength:
        state = self.state[parameter]
        held = state.get("held")
        if held is not None:
            gradient = gradient.index_select(0, held)
        mean, square = self._moments(state, gradient, group["betas"])
        # η / (√(v / c) + ε) = η√c / (√v + ε√c) with the bias correction c.
        beta1, beta2 = group["betas"]
        correction = math.sqrt(1 - beta2 ** state["step"])
        memory = self._workspace(parameter, group).step
        metric = torch.sqrt(square, out=memory if held is None else None)
        scale = group["scale"]
        if scale is not None:  # of w / s the metric is s √v
            scale = scale if held is None else scale.index_select(0, held)
            metric.mul_(scale)
        if group["floor"]:
            usual = self._largest_mean(state, metric, correction)
            metric.add_((square > 0) * (usual * (group["floor"] * correction)))
        metric.add_(group["eps"] * correction)
        step = metric.reciprocal_().mul_(group["lr"] * correction)
        if scale is not None:
            step.mul_(scale).mul_(scale)
        factor = -1 / (1 - beta1 ** state["step"])
        if held is None:
            parameter.addcmul_(mean, step, value=factor)
            return step
        moved = parameter.index_select(0, held).addcmul_(mean, step, value=factor)
        parameter.index_copy_(0, held, moved)
        return memory.index_copy_(0, held, step)

    @staticmethod
    def _moments(
        state: dict[str, Any], gradient: Tensor, betas: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """Take a gradient into the means of it and of its square."""
        if "step" not in state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(gradient)
            state["square"] = torch.zeros_like(gradient)
        state["step"] += 1
        beta1, beta2 = betas
        mean = state["mean"].lerp_(gradient, 1 - beta1)
        square = state["square"].mul_(beta2)
        square.addcmul_(gradient, gradient, value=1 - beta2)
        if state["step"] % _FLUSH_EVERY == 0:
            for moment in (mean, square):
                moment.masked_fill_(moment.abs() < _FLUSH_BELOW, 0.0)
        return mean, square

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


OPTIMIZERS: dict[str, type[ProximalSGD] | type[ProximalAdam]] = {
    "adam": ProximalAdam,
    "sgd": ProximalSGD,
}
