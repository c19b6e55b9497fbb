"""Copies of users' modules, which are what is trained and what is kept."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, is_lazy

__all__ = ["adopt", "copy_of", "holders_of_tensors", "twin_of"]


def adopt(module: nn.Module) -> nn.Module:
    """Return a copy to train of a module that belongs to a user.

    Raises
    ------
    TypeError
        If a copy would not be what the module is.
    """
    _check_kind(module)
    _check_memory(module)
    try:
        return twin_of(module)
    except Exception as error:  # whatever its attributes raise
        raise TypeError(
            f"module= ({type(module).__name__}) cannot be copied, and what is trained "
            f"is a copy: {error}"
        ) from error


def twin_of(module: nn.Module) -> nn.Module:
    """Return a deep copy whose parameters have the same hooks, which copies lose."""
    twin = copy_of(module)
    for old, new in zip(module.parameters(), twin.parameters(), strict=True):
        for hook in (old._backward_hooks or {}).values():
            new.register_hook(hook)
        for hook in (old._post_accumulate_grad_hooks or {}).values():
            new.register_post_accumulate_grad_hook(hook)
    return twin


def copy_of(module: nn.Module) -> nn.Module:
    """Return a deep copy, also of a module that keeps what it computed, or is lazy.

    PyTorch copies no tensor that still knows how it was computed: the copy gets its
    values.
    """
    memo: dict[int, object] = {}
    new_buffer: Any = UninitializedBuffer  # its stub is that of a tensor
    for holder, key in holders_of_tensors(module):
        tensor = holder[key]
        if not tensor.is_leaf:
            memo[id(tensor)] = tensor.detach().clone()
        elif is_lazy(tensor) and not isinstance(tensor, nn.Parameter):
            memo[id(tensor)] = new_buffer(device=tensor.device, dtype=tensor.dtype)
    return copy.deepcopy(module, memo)


def holders_of_tensors(module: nn.Module) -> Iterator[tuple[Any, Any]]:
    """Yield where a module has tensors: a dict, list or tuple, and the key there."""
    values: list[Any] = [vars(part) for part in module.modules()]
    seen: set[int] = set()
    while values:
        value = values.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            if isinstance(inner, Tensor):
                yield value, key
            elif isinstance(inner, dict | list | tuple):
                values.append(inner)


def _check_kind(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise TypeError(
                f"module= is compiled by torch.jit ({name or 'all of it'}), and what "
                "it computes with cannot be replaced. Pass the nn.Module that "
                "torch.jit.script or torch.jit.trace was given."
            )
    for name, parameter in module.named_parameters():
        is_dense = parameter.layout is torch.strided and not parameter.is_quantized
        if not is_dense or parameter.is_complex() or _is_without_values(parameter):
            raise TypeError(
                f"module= has the parameter {name!r} of {parameter.dtype} and "
                f"{parameter.layout} on {parameter.device}; parameters must be real "
                "numbers in dense tensors that have values. Convert it, or materialise "
                "it with to_empty() and an initialisation."
            )


def _is_without_values(parameter: nn.Parameter) -> bool:
    return parameter.is_meta and not is_lazy(parameter)


def _check_memory(module: nn.Module) -> None:
    """Refuse two parameters in one place: copies would be two different ones."""
    neighbours: dict[int, list[tuple[str, Tensor]]] = {}
    for name, parameter in module.named_parameters():
        if not is_lazy(parameter) and parameter.numel():
            where = parameter.untyped_storage().data_ptr()
            neighbours.setdefault(where, []).append((name, parameter))
    for sharing in neighbours.values():
        if len(sharing) > 1:
            _check_neighbours(sharing)


def _check_neighbours(sharing: list[tuple[str, Tensor]]) -> None:
    places = [_places(parameter) for _, parameter in sharing]
    owner = torch.full((1 + max(int(each.max()) for each in places),), -1)
    for number, ((name, _), mine) in enumerate(zip(sharing, places, strict=True)):
        earlier = int(owner[mine].max())
        if earlier >= 0:
            raise TypeError(
                "module= has two parameters in the same memory, "
                f"{sharing[earlier][0]!r} and {name!r}, which copies of them would not "
                "have. Use one nn.Parameter in both places, transposed in forward if "
                "need be."
            )
        owner[mine] = number


def _places(parameter: Tensor) -> Tensor:
    """Return where the entries lie in the memory of their storage."""
    shape, strides = parameter.shape, parameter.stride()
    end = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    start = int(parameter.storage_offset())
    return start + torch.arange(end).as_strided(shape, strides).flatten()
