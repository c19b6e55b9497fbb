"""What tells the value of a parameter from others, in any process."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import types
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["identify"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DEPTH = 8  # of values in values; there are circles
# What all modules have, and classes whose code a version tells.
_OF_MODULES = nn.Module().__getstate__().keys() | {"training"}
_LIBRARIES = ("builtins", "numpy", "sklearn", "sklearn_sparsenet", "torch")


def identify(value: Any, depth: int = _DEPTH) -> str:
    """Return a text that equal values share, and others do not.

    Functions are known by what they do, not by where they lie or what they are called;
    objects by their class and attributes. What a function finds in its module is not
    looked at, nor are values in values beyond a depth.
    """
    if depth == 0:
        return type(value).__qualname__
    inside = functools.partial(identify, depth=depth - 1)
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        value = value.tolist()  # it has addresses
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {inside(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return type(value).__name__ + "(" + ", ".join(map(inside, value)) + ")"
    if isinstance(value, set | frozenset):
        return type(value).__name__ + str(sorted(map(inside, value)))
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"array({value.dtype}, {value.shape}, {content})"
    parts = _parts_of_a_callable(value)
    if parts is not None:
        return " ".join(map(inside, parts))
    if isinstance(value, nn.Module):
        return f"{value!r} " + inside([_parts_of_a_module(m) for m in value.modules()])
    has_plain_repr = type(value).__repr__ is object.__repr__
    if inspect.isclass(value):
        return f"{value!r} {inside(_methods(value))}"
    if has_plain_repr or is_dataclass(value):
        return f"{type(value).__qualname__} {inside(_attributes(value))}"
    return _ADDRESS.sub("", repr(value))


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, also those in slots."""
    slots = [getattr(kind, "__slots__", ()) for kind in type(value).__mro__]
    names = [n for each in slots for n in ((each,) if isinstance(each, str) else each)]
    in_slots = {name: getattr(value, name, None) for name in names}
    return {k: v for k, v in in_slots.items() if k != "__dict__"} | getattr(
        value, "__dict__", {}
    )


def _parts_of_a_module(module: nn.Module) -> list[Any]:
    """Return what a module is, but for the modules in it."""
    own = {k: v for k, v in vars(module).items() if k not in _OF_MODULES}
    tensors = dict(module.named_parameters(recurse=False))
    tensors |= dict(module.named_buffers(recurse=False))
    return [type(module).__qualname__, _methods(type(module)), own, tensors]


def _methods(kind: type) -> dict[str, Any]:
    """Return the functions of a class of the user's, and of those it derives from."""
    return {
        f"{base.__qualname__}.{name}": value
        for base in kind.__mro__
        if base.__module__.partition(".")[0] not in _LIBRARIES
        for name, value in vars(base).items()
        if isinstance(value, types.FunctionType)
    }


def _parts_of_a_callable(value: Any) -> list[Any] | None:
    """Return what a function, or a part of one, does its work with."""
    if isinstance(value, types.CodeType):
        return [value.co_code.hex(), value.co_names, value.co_consts]
    if isinstance(value, types.FunctionType):
        cells = [
            repr(cell) if _is_empty(cell) else cell.cell_contents
            for cell in value.__closure__ or ()
        ]
        own = [value.__defaults__, value.__kwdefaults__, cells]
        return [value.__module__, value.__code__, *own]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    return None


def _is_empty(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False
