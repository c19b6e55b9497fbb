"""Modules that do what functions of PyTorch do, called with the same arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sklearn_sparsenet.networks.activations import ACTIVATIONS, Activation
from sklearn_sparsenet.networks.steps import (
    Arithmetic,
    Concatenation,
    ConstantArithmetic,
    Reshape,
    SelectInputs,
)

__all__ = ["VALUES", "NoModule", "modules_for"]

VALUES = object()


class NoModule(Exception):
    """There is no module that does what is called; the message says what."""


class _Call(NamedTuple):
    """The call of a function."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    before: Tensor  # The first of the values among the arguments.
    after: Tensor  # What it gives.

    def options(self, *names: str) -> dict[str, Any]:
        """Return what follows the first argument, by name."""
        return dict(zip(names, self.args[1:], strict=False)) | self.kwargs

    def refused(self) -> NoModule:
        """Return the error for arguments that are not known."""
        return NoModule(f"it calls {self.name} in a way that is not known")


_Make = Callable[[_Call], list[nn.Module]]


def modules_for(
    function: Any,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    before: Tensor,
    after: Tensor,
) -> list[nn.Module]:
    """Return the modules that do the same, the first one with all values.

    There are none where the values stay as they are.

    Parameters
    ----------
    function : callable
        Of PyTorch, called `name`.
    args, kwargs
        `VALUES` stands for what a step has given.
    before, after : Tensor
        The first of these values, and the result.

    Raises
    ------
    NoModule
        For functions, and arguments, that are not known.
    """
    make = _MAKERS.get(function)
    if make is None:
        raise NoModule(f"it calls {name}, which is not known")
    return make(_Call(name, args, kwargs, before, after))


def _activation(known: Activation) -> _Make:
    def make(call: _Call) -> list[nn.Module]:
        given = call.options(*known.options)
        return [known.module(**{k: given[k] for k in known.options if k in given})]

    return make


def _pool(kind: type[nn.Module], *names: str) -> _Make:
    def make(call: _Call) -> list[nn.Module]:
        return [kind(**call.options(*names))]

    return make


def _dropout(call: _Call) -> list[nn.Module]:
    if call.options("p", "training").get("training", True):
        raise NoModule(f"it calls {call.name}, without training=self.training")
    return []


def _reshape(call: _Call) -> list[nn.Module]:
    """Return what gives each sample another shape."""
    before, after = call.before.shape, call.after.shape
    if call.after.dtype != call.before.dtype:
        raise call.refused()
    if after == before:
        return []
    if not after or after[0] != before[0]:
        raise call.refused()
    return [nn.Flatten() if len(after) == 2 else Reshape(tuple(after[1:]))]


def _mean(call: _Call) -> list[nn.Module]:
    """Return what takes the mean over each channel."""
    n_dimensions = call.before.ndim
    dims = call.options("dim", "keepdim").get("dim", ())
    over = {d % n_dimensions for d in ([dims] if isinstance(dims, int) else dims)}
    if not 3 <= n_dimensions <= 5 or over != set(range(2, n_dimensions)):
        raise call.refused()
    pool = getattr(nn, f"AdaptiveAvgPool{n_dimensions - 2}d")(1)
    return [pool, nn.Flatten()] if call.after.ndim == 2 else [pool]


def _arithmetic(kind: str) -> _Make:
    def make(call: _Call) -> list[nn.Module]:
        left, right = call.args
        if call.kwargs:
            raise call.refused()
        if call.name.startswith(("__r", "rsub")):  # as in 1 - x
            left, right = right, left
        for constant in (left, right):
            if isinstance(constant, Tensor):
                first = constant is left
                return [ConstantArithmetic(kind, constant, comes_first=first)]
        return [Arithmetic(kind, _number(call, left), _number(call, right))]

    return make


def _number(call: _Call, value: Any) -> float | None:
    """Return a number, None for values."""
    if isinstance(value, int | float):
        return float(value)
    if value is not VALUES:
        raise call.refused()
    return None


def _concatenate(call: _Call) -> list[nn.Module]:
    given = call.options("dim")
    dim = given.get("dim", given.get("axis", 0)) % call.before.ndim
    if dim != 1 or any(value is not VALUES for value in call.args[0]):
        raise call.refused()
    return [Concatenation()]


def _select(call: _Call) -> list[nn.Module]:
    """Return what takes some of the columns, or adds dimensions."""
    index = call.args[1]
    if not isinstance(index, tuple) or index[0] != slice(None):
        raise call.refused()
    if all(each is None or each == slice(None) for each in index):
        return _reshape(call)
    if len(index) != 2 or not isinstance(index[1], slice):
        raise call.refused()
    return [SelectInputs(torch.arange(call.before.shape[1])[index[1]])]


def _same(call: _Call) -> list[nn.Module]:
    """Return nothing: the values do not change if their type does not."""
    if call.after.dtype != call.before.dtype:
        raise call.refused()
    return []


def _called(*names: str) -> list[Any]:
    """Return the functions of these names, wherever PyTorch has them."""
    places = (torch, Tensor, functional)
    return [getattr(p, name) for p in places for name in names if hasattr(p, name)]


_WINDOW = ("kernel_size", "stride", "padding")
_POOLS = {
    "MaxPool": (*_WINDOW, "dilation", "ceil_mode", "return_indices"),
    "AvgPool": (*_WINDOW, "ceil_mode", "count_include_pad", "divisor_override"),
    "AdaptiveMaxPool": ("output_size", "return_indices"),
    "AdaptiveAvgPool": ("output_size",),
}
_OTHERS: dict[tuple[str, ...], _Make] = {
    ("view", "reshape", "flatten", "squeeze", "unsqueeze"): _reshape,
    ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"): _dropout,
    ("mean",): _mean,
    ("add", "add_"): _arithmetic("add"),
    ("sub", "sub_", "__rsub__", "rsub"): _arithmetic("sub"),
    ("mul", "mul_"): _arithmetic("mul"),
    ("div", "div_", "__rdiv__", "true_divide"): _arithmetic("div"),
    ("cat", "concat", "concatenate"): _concatenate,
    ("__getitem__",): _select,
    (
        "to",
        "type",
        "type_as",
        "float",
        "double",
        "contiguous",
        "clone",
        "detach",
    ): _same,
}


def _makers() -> Iterator[tuple[Any, _Make]]:
    for known in ACTIVATIONS.values():
        for function in _called(known.function, f"{known.function}_"):
            yield function, _activation(known)
    for name, options in _POOLS.items():
        for d in (1, 2, 3):
            kind = getattr(nn, f"{name}{d}d")
            function = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()
            for place in _called(function):
                yield place, _pool(kind, *options)
    for names, make in _OTHERS.items():
        for function in _called(*names):
            yield function, make


_MAKERS = dict(_makers())
