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
_DEPTH = 12  # of values in values
# What all modules have, and classes whose code a version tells.
_OF_MODULES = nn.Module().__getstate__().keys() | {"training"}
_LIBRARIES = ("builtins", "numpy", "sklearn", "sklearn_sparsenet", "torch")
_NUMBERS = (bool, int, float, str)


def identify(value: Any) -> str:
    """Return a text that equal values share, and others do not.

    Functions are known by what they do, not by where they lie or what they are called;
    objects by their class and attributes, and so are modules of PyTorch. What a
    function finds in its module is not looked at, nor are devices, nor values in values
    beyond a depth.
    """
    return _identify(value, _DEPTH, ())


def _identify(value: Any, depth: int, around: tuple[int, ...]) -> str:
    if depth == 0 or id(value) in around:  # there are circles
        return type(value).__qualname__
    within = (*around, id(value))
    inside = functools.partial(_identify, depth=depth - 1, around=within)
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        value = value.tolist()  # it has addresses
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {inside(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return type(value).__name__ + "(" + ", ".join(map(inside, value)) + ")"
    if isinstance(value, set | frozenset):
        return type(value).__name__ + str(sorted(map(inside, value)))
    if isinstance(value, torch.Tensor):
        return _of_tensor(value)
    if isinstance(value, np.ndarray):
        return f"array({value.dtype}, {value.shape}, {_digest(value)})"
    if isinstance(value, torch.device):
        return "device"  # another one in each process
    parts = _parts_of_a_callable(value)
    if parts is not None:
        return " ".join(map(inside, parts))
    if isinstance(value, nn.Module):
        return " ".join([repr(value), *map(inside, _parts_of_a_module(value))])
    has_plain_repr = type(value).__repr__ is object.__repr__
    if inspect.isclass(value):
        return " ".join([repr(value), *map(inside, _own(value))])
    if has_plain_repr or is_dataclass(value):
        return f"{type(value).__qualname__} {inside(_attributes(value))}"
    return _ADDRESS.sub("", repr(value))


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _of_tensor(tensor: torch.Tensor) -> str:
    kind = f"tensor({tensor.dtype}, {tuple(tensor.shape)}, {tensor.layout}"
    if tensor.is_meta or tensor.layout is not torch.strided:
        return f"{kind})"
    # By its bytes: NumPy does not know all types.
    plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return f"{kind}, {_digest(plain.numpy())})"


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, also those in slots."""
    slots = [getattr(kind, "__slots__", ()) for kind in type(value).__mro__]
    names = [n for each in slots for n in ((each,) if isinstance(each, str) else each)]
    in_slots = {name: getattr(value, name, None) for name in names}
    own = getattr(value, "__dict__", {})
    return {k: v for k, v in in_slots.items() if k != "__dict__"} | own


def _parts_of_a_module(module: nn.Module) -> list[Any]:
    """Return what a module and those in it have: code, attributes, tensors."""
    parts: list[Any] = []
    for each in module.modules():
        names = [k for k in vars(each) if k not in _OF_MODULES]
        own = [getattr(each, name) for name in names]
        kept = [v for v in own if not _has_modules(v)]  # they are among the modules
        tensors = [*each.named_parameters(recurse=False)]
        tensors += each.named_buffers(recurse=False)
        parts += [type(each).__qualname__, names, *_own(type(each)), *kept]
        parts += [part for pair in tensors for part in pair]
    return parts


def _has_modules(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value
    if isinstance(parts, nn.Module):
        return True
    several = isinstance(parts, list | tuple) or isinstance(value, dict)
    return several and any(isinstance(part, nn.Module) for part in parts)


def _own(kind: type) -> list[Any]:
    """Return the functions and numbers of a user's class, and of those below it."""
    return [
        part
        for base in kind.__mro__
        if base.__module__.partition(".")[0] not in _LIBRARIES
        for name, value in vars(base).items()
        if isinstance(value, types.FunctionType)
        or (isinstance(value, _NUMBERS) and not name.startswith("__"))
        for part in (name, value)
    ]


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
