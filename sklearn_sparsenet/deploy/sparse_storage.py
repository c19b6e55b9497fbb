"""Weights as they are stored: the nonzero ones, or all if most are not zero."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.module_copies import holders_of_tensors
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["Packed", "pack", "pack_module", "strip_module", "unpack_module"]

# A nonzero entry takes an index and a value, an entry of a dense tensor its value.
_DENSE_FROM = 0.5


@dataclass(frozen=True)
class Packed:
    """A tensor as arrays."""

    shape: tuple[int, ...]
    values: np.ndarray  # all entries, or with indices those that are not zero
    indices: np.ndarray | None = None  # places in the flattened tensor, ascending

    @property
    def nbytes(self) -> int:
        """Memory that the tensor takes."""
        return math.prod(self.shape) * self.values.itemsize

    @single_threaded()
    def unpack(self) -> Tensor:
        """Return the tensor; parts that do not fit together are a ValueError."""
        size = math.prod(self.shape)
        if self.indices is None:
            if self.values.size != size:
                raise ValueError(
                    f"{self.values.size} values for the shape {self.shape}."
                )
            return torch.tensor(self.values).reshape(self.shape)
        indices = self.indices
        ordered = (indices[1:] > indices[:-1]).all()
        if indices.shape != self.values.shape or indices.ndim != 1 or not ordered:
            raise ValueError("Indices are not those of as many values, in their order.")
        if len(indices) and not 0 <= indices[0] <= indices[-1] < size:
            raise ValueError(f"An index lies outside of the shape {self.shape}.")
        flat = np.zeros(size, self.values.dtype)
        flat[indices] = self.values
        return torch.from_numpy(flat).reshape(self.shape)


@single_threaded()
def pack(tensor: Tensor, *, may_be_sparse: bool = True) -> Packed:
    """Store a tensor in the smaller of both ways; every bit of it comes back.

    A negative zero is stored as any other entry that is not a positive zero.
    """
    array = tensor.detach().cpu().numpy()
    flat = array.reshape(-1)
    stored = (flat != 0) | np.signbit(flat) if array.dtype.kind == "f" else flat != 0
    is_dense = stored.sum() >= _DENSE_FROM * array.size
    if not may_be_sparse or array.ndim < 2 or is_dense:
        return Packed(array.shape, flat.copy())
    indices = np.flatnonzero(stored)
    small = np.uint32 if array.size <= np.iinfo(np.uint32).max else np.uint64
    return Packed(array.shape, flat[indices], indices.astype(small))


@single_threaded()
def pack_module(module: nn.Module, *, may_be_sparse: bool = True) -> dict[str, Packed]:
    """Store the parameters and buffers of a module, tied ones once."""
    return {
        name: pack(tensor, may_be_sparse=may_be_sparse)
        for name, tensor in _tensors(module).items()
    }


@single_threaded()
def strip_module(module: nn.Module) -> nn.Module:
    """Take the parameters out of a module, in place: only their shapes are left."""
    holders = list(holders_of_tensors(module))
    for parameter in list(module.parameters()):
        _replace(holders, parameter, parameter.detach().to("meta"))
    return module


@single_threaded()
def unpack_module(module: nn.Module, packed: Mapping[str, Packed]) -> nn.Module:
    """Give a module the tensors that were packed, in place.

    Names, shapes and types have to be those of the module.
    """
    own = _tensors(module)
    if {k: tuple(v.shape) for k, v in own.items()} != {
        name: tuple(part.shape) for name, part in packed.items()
    }:
        raise ValueError(
            "The weights are not those of this network: it has "
            f"{[(k, tuple(v.shape)) for k, v in own.items()]}, stored are "
            f"{[(k, v.shape) for k, v in packed.items()]}."
        )
    tensors = {name: part.unpack() for name, part in packed.items()}
    wrong = [k for k, tensor in tensors.items() if not _serves(tensor, own[k])]
    if wrong:
        raise ValueError(f"{wrong} are of another type than those of this network.")
    holders = list(holders_of_tensors(module))
    for name, tensor in tensors.items():
        _replace(holders, own[name], tensor)
    return module


def _serves(new: Tensor, old: Tensor) -> bool:
    """Tell whether both are floating, or of the same type."""
    both = new.is_floating_point() and old.is_floating_point()
    return both or new.dtype == old.dtype


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    stored = module.state_dict(keep_vars=True)
    parameters = dict(module.named_parameters())
    buffers = dict(module.named_buffers())
    return parameters | {k: v for k, v in buffers.items() if k in stored}


def _replace(holders: Sequence[tuple[Any, Any]], old: Tensor, new: Tensor) -> None:
    """Put a tensor in the place of another one, wherever the module has it."""
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad)
    for holder, key in holders:
        if holder[key] is old and not isinstance(holder, tuple):
            holder[key] = new
