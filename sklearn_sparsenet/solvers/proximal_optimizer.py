"""What the proximal optimisers share: groups, the state, and the prox."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from sklearn_sparsenet.penalties import (
    L0,
    L1,
    MCP,
    FixedSupport,
    GroupL2,
    SparseGroupL2,
    Strength,
    as_penalty,
    is_identity,
)
from sklearn_sparsenet.penalties.base import AdaptedPenalty
from sklearn_sparsenet.utils.arguments import checked_number

__all__ = ["ProximalOptimizer"]

# What the numbers of a group must be; tensors are not read back from their device.
_NOT_NEGATIVE = (lambda number: 0 <= number < math.inf, "finite and not negative")
_SETTINGS: dict[str, tuple[Callable[[float], bool], str]] = {
    "lr": (lambda rate: 0 < rate < math.inf, "positive and finite"),
    "alpha": _NOT_NEGATIVE,
    "eps": _NOT_NEGATIVE,
    "floor": _NOT_NEGATIVE,
    "growth": _NOT_NEGATIVE,
}
# Penalties that a state holds as plain values, under their names.
_KNOWN = {
    kind.__name__: kind for kind in (L1, MCP, L0, FixedSupport, GroupL2, SparseGroupL2)
}
_NAME = "kind"


class _Workspace:
    """Memory for a step of one parameter, and views of what is penalised of it."""

    def __init__(self, parameter: Tensor, n_penalized: int | None) -> None:
        self.step = torch.zeros_like(parameter)
        self.scratch = torch.empty_like(parameter)
        views = [parameter.detach(), self.step, self.scratch]
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
    return value.tolist() if is_of_numpy else _to_plain(value)


def _to_plain(value: Any) -> Any:
    """Return a penalty of the library as its name and fields, others as they are."""
    if isinstance(value, AdaptedPenalty):
        return value.penalty
    if type(value) not in _KNOWN.values():
        return value
    settings = [f.name for f in fields(value) if f.init]
    held = {name: _to_plain(getattr(value, name)) for name in settings}
    return {_NAME: type(value).__name__, **held}


def _from_plain(value: Any) -> Any:
    """Return what `_to_plain` was given."""
    if not isinstance(value, dict):
        return value
    held = {k: _from_plain(part) for k, part in value.items() if k != _NAME}
    return _KNOWN[value[_NAME]](**held)


class ProximalOptimizer(Optimizer):
    """What both optimisers share: the loop over parameters and the prox."""

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        super().__init__(params, {**defaults, "n_penalized": None})
        self._memory: dict[Tensor, _Workspace] = {}
        self._steps: dict[Tensor, Strength] = {}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters as `torch.optim.Optimizer` does, or refuse it.

        What decorates its method loads PyTorch's compiler first, which takes longer
        than many a fit.
        """
        settings = {**self.defaults, **param_group}
        for name, (accepts, accepted) in _SETTINGS.items():
            if name in settings and not isinstance(settings[name], Tensor):
                number = checked_number(name, settings[name], accepts, accepted)
                settings[name] = number
        settings["penalty"] = penalty = as_penalty(settings["penalty"])
        if settings["n_penalized"] is not None and not penalty.separable:
            raise ValueError(
                f"n_penalized={settings['n_penalized']!r} makes one vector of weights, "
                f"of which {penalty!r} does not know the groups."
            )
        inspect.unwrap(Optimizer.add_param_group)(self, settings)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._memory, self._steps = {}, {}

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
            {**group, "penalty": _from_plain(group["penalty"])}
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
        """Perform one proximal step; a closure computes gradients and loss."""
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
                    self._steps[parameter] = step
                    if penalized:
                        self._shrink(parameter, step, group)

    def step_sizes(self, parameter: Tensor) -> Strength:
        """Return the sizes of the last step of each entry of a parameter.

        They are memory of the optimiser, over which a prox may have written.
        """
        return self._steps[parameter]

    def hold(self, support: Tensor) -> None:
        """Allow the optimiser to leave out what is, and stays, zero.

        The support is that of a single parameter, a vector, from its first entry on;
        the penalty sees to it. What it is too short for is held, too.
        """

    def _shrink(self, parameter: Tensor, step: Strength, group: dict[str, Any]) -> None:
        """Take the prox, in place."""
        penalty, alpha = group["penalty"], group["alpha"]
        memory = self._workspace(parameter, group)
        if not isinstance(step, Tensor):
            memory.weight.copy_(penalty.prox(memory.weight, step, alpha))
            return
        weight, scratch = memory.weight, memory.weight_scratch
        penalty.prox_(weight, memory.weight_step, alpha, scratch)

    def _descend(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> Strength:
        """Move `parameter` downhill in place and return the step of each entry."""
        raise TypeError(f"{type(self).__name__} does not say how it descends.")
