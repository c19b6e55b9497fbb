"""Weights as they are stored: the nonzero ones, or all if most are not zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Packed", "pack", "pack_module", "unpack_module"]

# A nonzero entry takes an index and a value, an entry of a dense tensor its value.
_DENSE_FROM = 0.5


@dataclass(frozen=True)
class Packed:
    """A tensor as arrays.

    Attributes
    ----------
    shape : tuple of int
    values : ndarray
        All entries, or with `indices` those that are not zero.
    indices : ndarray of int or None
        Places of the values in the flattened tensor, ascending.
    """

    shape: tuple[int, ...]
    values: np.ndarray
    indices: np.ndarray | None = None

    def unpack(self) -> Tensor:
        """Return the tensor.

        Raises
        ------
        ValueError
            If the parts do not fit together.
        """
        size = int(np.prod(self.shape, dtype=np.int64))
        if self.indices is None:
            if self.values.size != size:
                raise ValueError(
                    f"{self.values.size} values for the shape {self.shape}."
                )
            return torch.tensor(self.values).reshape(self.shape)
        ordered = np.diff(self.indices, prepend=-1) > 0
        if len(self.indices) != len(self.values) or not ordered.all():
            raise ValueError("Indices are not those of as many values, in their order.")
        if len(self.indices) and self.indices[-1] >= size:
            raise ValueError(f"An index lies outside of the shape {self.shape}.")
        flat = np.zeros(size, self.values.dtype)
        flat[self.indices] = self.values
        return torch.tensor(flat).reshape(self.shape)


def pack(tensor: Tensor) -> Packed:
    """Store a tensor in the smaller of both ways; every bit of it comes back.

    A negative zero is stored as any other entry that is not a positive zero.
    """
    array = tensor.detach().cpu().numpy()
    flat = array.reshape(-1)
    stored = (flat != 0) | np.signbit(flat) if array.dtype.kind == "f" else flat != 0
    if array.ndim < 2 or stored.mean() >= _DENSE_FROM:
        return Packed(array.shape, flat.copy())
    indices = np.flatnonzero(stored)
    small = np.uint32 if array.size <= np.iinfo(np.uint32).max else np.uint64
    return Packed(array.shape, flat[indices], indices.astype(small))


def pack_module(module: nn.Module) -> dict[str, Packed]:
    """Store all parameters and buffers of a module."""
    return {name: pack(tensor) for name, tensor in module.state_dict().items()}


def unpack_module(skeleton: nn.Module, packed: Mapping[str, Packed]) -> nn.Module:
    """Give a module that is on the meta device, or any other, its tensors.

    Raises
    ------
    ValueError
        If names or shapes are not those of the module.
    """
    module = skeleton.to_empty(device="cpu")
    state = {name: part.unpack() for name, part in packed.items()}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"The weights are not those of this network: {error}"
        ) from None
    return module
