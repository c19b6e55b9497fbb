"""Weights as they are stored: the nonzero ones, or all if most are not zero."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.module_copies import holders_of_tensors
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = [
    "Packed",
    "pack",
    "pack_module",
    "pack_solutions",
    "strip_module",
    "unpack_module",
]

_NONE: Mapping[str, Packed] = {}


@dataclass(frozen=True)
class Packed:
    """A tensor as arrays."""

    shape: tuple[int, ...]
    values: np.ndarray  # all entries, or those at the places that one of these tells:
    indices: np.ndarray | None = None  # the places themselves, as files once had them
    gaps: np.ndarray | None = None  # from 0 to the first place, and on to each next
    places_of: str | None = None  # a matrix, whose transpose has the same places

    @property
    def nbytes(self) -> int:
        """Memory that the tensor takes."""
        return math.prod(self.shape) * self.values.itemsize

    @property
    def n_stored_bytes(self) -> int:
        """Memory that the arrays take."""
        arrays = (self.values, self.indices, self.gaps)
        return sum(array.nbytes for array in arrays if array is not None)

    @single_threaded()
    def unpack(self, others: Mapping[str, Packed] = _NONE) -> Tensor:
        """Return the tensor; parts that do not fit together are a ValueError.

        The others are those among which it finds the one whose places it has.
        """
        places, size = self._places(others), math.prod(self.shape)
        if places is None:
            if self.values.size != size:
                raise ValueError(
                    f"{self.values.size} values for the shape {self.shape}."
                )
            return torch.tensor(self.values).reshape(self.shape)
        if self.values.shape != places.shape:
            raise ValueError(f"{self.values.size} values for {places.size} indices.")
        flat = np.zeros(size, self.values.dtype)
        flat[places] = self.values
        return torch.from_numpy(flat).reshape(self.shape)

    def _places(self, others: Mapping[str, Packed]) -> np.ndarray | None:
        """Return the places of the values in the flattened tensor; None: all."""
        if self.places_of is not None:
            return self._places_of(others.get(self.places_of))
        places = self.indices
        if self.gaps is not None:
            places = np.cumsum(self.gaps, dtype=np.int64)  # if it wraps, it descends
        if places is None:
            return None
        if places.ndim != 1 or not (places[1:] > places[:-1]).all():
            raise ValueError("Indices are not in their order.")
        if len(places) and not 0 <= places[0] <= places[-1] < math.prod(self.shape):
            raise ValueError(f"An index lies outside of the shape {self.shape}.")
        return places

    def _places_of(self, other: Packed | None) -> np.ndarray:
        """Return the places of another matrix, where its transpose has them."""
        is_matrix = len(self.shape) == 2
        if other is None or not is_matrix or other.shape[::-1] != self.shape:
            raise ValueError(f"There is no transpose of {self.places_of!r} here.")
        places = other._places(_NONE)
        if places is None:
            raise ValueError(f"{self.places_of!r} tells no indices.")
        row, column = np.divmod(places, self.shape[0])
        return column * self.shape[1] + row


@single_threaded()
def pack(tensor: Tensor, *, may_be_sparse: bool = True) -> Packed:
    """Store a tensor in the smaller of both ways; every bit of it comes back."""
    flat = _flat(tensor)
    dense = Packed(tuple(tensor.shape), flat)
    if may_be_sparse and tensor.ndim >= 2:
        sparse = _pack_at(_places_in(flat), dense)
        if sparse.n_stored_bytes < dense.n_stored_bytes:
            return sparse
    return replace(dense, values=flat.copy())


def _pack_at(places: np.ndarray, dense: Packed) -> Packed:
    """Return the entries at these places, which ascend, and the way to them."""
    gaps = np.diff(places, prepend=0)
    small = np.min_scalar_type(gaps.max(initial=0))
    return Packed(dense.shape, dense.values[places], gaps=gaps.astype(small))


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().reshape(-1)


def _places_in(flat: np.ndarray) -> np.ndarray:
    """Return where there is anything but a positive zero."""
    stored = (flat != 0) | np.signbit(flat) if flat.dtype.kind == "f" else flat != 0
    return np.flatnonzero(stored)


@single_threaded()
def pack_solutions(
    module: nn.Module,
    others: Mapping[str, np.ndarray],
    *,
    may_be_sparse: bool = True,
) -> tuple[dict[str, Packed], list[Packed]]:
    """Store a module, and transposes of some of its weights at another solution.

    Both solutions have their weights in nearly the same places, which are stored once
    where that takes less.

    Parameters
    ----------
    module : nn.Module
    others : mapping
        The transposes, by the names of the weights.
    may_be_sparse : bool
        False: all entries of both.
    """
    packed, found = pack_module(module, may_be_sparse=may_be_sparse), []
    tensors = _tensors(module)
    for name, other in others.items():
        apart = pack(torch.from_numpy(other), may_be_sparse=may_be_sparse)
        if may_be_sparse and name in packed and packed[name].shape == other.shape[::-1]:
            pairs = (packed[name], apart), _pack_pair(name, tensors[name], other)
            packed[name], apart = min(
                pairs, key=lambda pair: sum(part.n_stored_bytes for part in pair)
            )
        found.append(apart)
    return packed, found


def _pack_pair(
    name: str, tensor: Tensor, transpose: np.ndarray
) -> tuple[Packed, Packed]:
    """Store a matrix, and another one's transpose, with the places of both."""
    flats = _flat(tensor), transpose.T.reshape(-1)
    places = np.union1d(*map(_places_in, flats))
    matrix = _pack_at(places, Packed(tuple(tensor.shape), flats[0]))
    return matrix, Packed(transpose.shape, flats[1][places], places_of=name)


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
