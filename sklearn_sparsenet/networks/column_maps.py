"""Columns that are those of another table, scaled and shifted, and networks of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.networks.stages import has_hooks, leaves
from sklearn_sparsenet.networks.steps import Steps
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["ColumnMap", "change_inputs", "fold_columns"]

_SAME = 1e-9  # by how much two fills of a column may differ, which rounding does
# What stands before the first linear layer and changes no row of a table.
_UNCHANGING = (nn.Identity, nn.Flatten, nn.Dropout, nn.AlphaDropout, SelectInputs)


@dataclass(frozen=True)
class ColumnMap:
    """Column j is ``scale[j] * x[index[j]] + shift[j]`` of the raw columns x.

    Where a raw value is missing, which is to say NaN, ``fill[j]`` stands in its place;
    NaN there: nothing does. All arrays are of shape (n_columns,).
    """

    n_raw: int
    index: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    fill: np.ndarray

    @classmethod
    def identity(cls, n_raw: int) -> ColumnMap:
        """Return the raw columns themselves."""
        ones = np.ones(n_raw)
        return cls(n_raw, np.arange(n_raw), ones, 0 * ones, np.nan * ones)

    @classmethod
    def joined(cls, parts: Sequence[ColumnMap]) -> ColumnMap:
        """Return the columns of several maps of the same raw ones, side by side."""
        fields = ("index", "scale", "shift", "fill")
        arrays = [np.concatenate([getattr(p, name) for p in parts]) for name in fields]
        return cls(parts[0].n_raw, *arrays)

    def taken(self, places: Any) -> ColumnMap:
        """Return some of the columns."""
        index, scale = self.index[places], self.scale[places]
        return ColumnMap(
            self.n_raw, index, scale, self.shift[places], self.fill[places]
        )

    def scaled(self, scale: Any, shift: Any = 0.0) -> ColumnMap:
        """Return the columns multiplied by `scale`, and shifted after that."""
        return replace(self, scale=self.scale * scale, shift=self.shift * scale + shift)

    def filled(self, values: np.ndarray) -> ColumnMap:
        """Return the columns with values of their own for what is still missing."""
        raw = (values - self.shift) / self.scale
        return replace(self, fill=np.where(np.isnan(self.fill), raw, self.fill))

    @property
    def changes_nothing(self) -> bool:
        """Whether these are the raw columns, in their order, but for what is filled."""
        same = np.array_equal(self.index, np.arange(self.n_raw))
        return same and bool((self.scale == 1).all() and (self.shift == 0).all())

    def fill_of_raw(self) -> np.ndarray:
        """Return what stands for a missing value of each raw column.

        NaN: it may not be missing. Zero for columns that are not among these. A
        ValueError tells of a raw column that is filled in two ways.
        """
        low, high = np.full(self.n_raw, np.inf), np.full(self.n_raw, -np.inf)
        is_read = np.isin(np.arange(self.n_raw), self.index)
        with np.errstate(invalid="ignore"):  # of NaN, which stays
            np.minimum.at(low, self.index, self.fill)
            np.maximum.at(high, self.index, self.fill)
            differs = high - low > _SAME * (np.abs(high) + np.abs(low))
        if (differs & is_read).any():
            column = int(np.flatnonzero(differs & is_read)[0])
            raise ValueError(
                f"missing values of column {column} are filled by {low[column]:g} and "
                f"by {high[column]:g}"
            )
        return np.where(is_read, low, 0.0)


@single_threaded()
@torch.no_grad()
def fold_columns(module: nn.Module, columns: ColumnMap) -> nn.Sequential:
    """Return a network of the raw columns that is the given one of these columns.

    The first layer has the same weights, times the scales, and takes the shifts into
    its biases; a layer without biases gets some if there are shifts. Computed in double
    precision, and rounded once. The given network stays as it is.

    Raises
    ------
    TypeError
        If the network does not begin with a linear layer.
    """
    if has_hooks(module):
        raise TypeError("it has hooks, or a forward of its own")
    if isinstance(module, Steps):
        raise TypeError("its layers are no chain")
    layers = [copy.deepcopy(child).cpu().eval() for child in leaves(module)]
    parameters = [p for child in leaves(module) for p in child.parameters()]
    if len({id(p) for p in parameters}) < len(parameters):
        raise TypeError("it has layers that share their weights")
    place = 0
    while place < len(layers) and type(layers[place]) in _UNCHANGING:
        if isinstance(select := layers[place], SelectInputs):
            columns = columns.taken(select.index.numpy())
            layers[place] = nn.Identity()
        place += 1
    if place == len(layers) or type(layers[place]) is not nn.Linear:
        first = type(layers[place]).__name__ if place < len(layers) else "nothing"
        raise TypeError(f"it begins with {first}, not with a linear layer")
    layers[place] = _of_raw(layers[place], columns)
    return nn.Sequential(*(m for m in layers if type(m) is not nn.Identity)).eval()


@torch.no_grad()
def change_inputs(module: nn.Module, scale: np.ndarray, shift: np.ndarray) -> None:
    """Let a network take x where it has taken ``scale * x + shift``, in place.

    It is a chain that begins with a linear layer, and has biases there if there are
    shifts, as `fold_columns` returns it. Computed in double precision.
    """
    for child in leaves(module):
        if isinstance(child, SelectInputs):
            index = child.index.cpu().numpy()
            scale, shift = scale[index], shift[index]
        elif isinstance(child, nn.Linear):
            weight = child.weight.cpu().double()  # which not every accelerator knows
            if child.bias is not None:
                moved = weight @ torch.from_numpy(shift).double()
                child.bias.copy_(child.bias.cpu() + moved)
            child.weight.copy_(weight * torch.from_numpy(scale).double())
            return


def _of_raw(layer: Any, columns: ColumnMap) -> nn.Linear:
    weight = layer.weight.double()
    index = torch.from_numpy(columns.index)
    raw = weight.new_zeros(len(weight), columns.n_raw)
    raw.index_add_(1, index, weight * torch.from_numpy(columns.scale))
    if layer.bias is not None or columns.shift.any():
        bias = weight @ torch.from_numpy(columns.shift)
        bias = bias if layer.bias is None else bias + layer.bias
        layer.bias = _parameter(bias, layer.weight)
    layer.weight = _parameter(raw, layer.weight)
    layer.in_features = columns.n_raw
    folded: nn.Linear = layer
    return folded


def _parameter(values: Tensor, like: Tensor) -> nn.Parameter:
    rounded = values.to(like.dtype)
    if not rounded.isfinite().all():
        raise TypeError(f"a scale is too large for {like.dtype}")
    return nn.Parameter(rounded, requires_grad=like.requires_grad)
