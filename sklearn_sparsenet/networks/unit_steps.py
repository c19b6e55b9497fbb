"""What each step of a network does to units: which are constant, read, and left.

A unit is an entry of the second dimension of what a layer with weights gives, and all
that comes of it: a channel that was flattened is many columns of one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.activations import elementwise
from sklearn_sparsenet.networks.steps import (
    Arithmetic,
    Concatenation,
    ConstantArithmetic,
    Reshape,
    SelectInputs,
)

__all__ = [
    "BATCH_NORMS",
    "CONVOLUTIONS",
    "DROPOUTS",
    "POOLS",
    "WEIGHTED",
    "UnitStep",
    "Value",
    "unit_step",
]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WEIGHTED = (nn.Linear, *CONVOLUTIONS)
POOLS = tuple(
    getattr(nn, f"{kind}{d}d")
    for kind in ("MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool")
    for d in (1, 2, 3)
)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
# They act on each channel alone, as activations do.
_CHANNELWISE = (*BATCH_NORMS, *DROPOUTS, nn.Flatten, *POOLS)
_ARITHMETIC = (Arithmetic, ConstantArithmetic)
# They read all units, and all of what they give is kept.
_MIXING = (
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.Softmax, nn.LogSoftmax),
    *(Reshape, SelectInputs),
)
# With fewer dimensions they take units for places, with more, places for units.
_N_DIMENSIONS = {
    nn.Linear: 2,
    **{kind: int(kind.__name__[-2]) + 2 for kind in (*CONVOLUTIONS, *POOLS)},
}
_ROUNDINGS = 100  # by which numbers differ that are the same but for rounding


class Value:
    """What a step gives, and what is known of its units.

    Attributes
    ----------
    held : Tensor of shape (1, n_columns, ...)
        What it is for one sample in columns of constant units; anything in others.
    unit : Tensor of shape (n_columns,)
        The unit of each column.
    constant, read, kept : Tensor of bool, shape (n_units,)
        Units that depend on no input, that a later step reads, and that are left.
    """

    def __init__(self, held: Tensor, unit: Tensor) -> None:
        self.held, self.unit = held, unit
        n_units = int(unit.max()) + 1
        self.constant, self.read, self.kept = torch.zeros(3, n_units, dtype=torch.bool)

    @classmethod
    def of_columns(cls, held: Tensor) -> Value:
        """Return a value in which each column is a unit."""
        return cls(held, torch.arange(held.numel() if held.ndim < 2 else held.shape[1]))

    def units(self, columns: Tensor) -> Tensor:
        """Mark the units that have any of the marked columns."""
        found = torch.zeros_like(self.read)
        found[self.unit[columns]] = True
        return found

    def kept_columns(self) -> Tensor:
        """Mark the columns of the units that are left."""
        return self.kept[self.unit]


class UnitStep:
    """A step that does what it does to each unit alone, and to the same in each value.

    Steps of other kinds say so in its methods.
    """

    def __init__(self, module: Any, inputs: Sequence[Value]) -> None:
        self.module, self.inputs = module, inputs
        self.output = self._give()

    def _run(self) -> Tensor:
        result: Tensor = self.module(*(value.held.clone() for value in self.inputs))
        return result

    def _give(self) -> Value:
        held, unit = self._run(), self.inputs[0].unit
        if any(not torch.equal(value.unit, unit) for value in self.inputs):
            raise TypeError("compact() does not know sums of units with others.")
        return Value(held, unit.repeat_interleave(held.shape[1] // len(unit)))

    def fold_constants(self) -> None:
        """Find the constant units; a layer moves what it gets of them to its biases."""
        constant = [value.constant for value in self.inputs]
        self.output.held = self._run()
        self.output.constant = torch.stack(constant).all(0)

    def mark_read(self) -> None:
        """Mark what is read of the inputs for what is read of the output."""
        for value in self.inputs:
            value.read |= self.output.read

    def choose_kept(self) -> None:
        """Say which units have to be left for what reads them."""
        self.output.kept |= self.output.read

    def tie(self) -> bool:
        """Keep units that go together; tell whether others are kept than before."""
        values = (*self.inputs, self.output)
        kept = torch.stack([value.kept for value in values]).any(0)
        changed = any(not torch.equal(value.kept, kept) for value in values)
        for value in values:
            value.kept = kept.clone()
        return changed

    def thinned(self) -> nn.Module:
        """Return the module for the units that are left."""
        module: nn.Module = self.module
        if isinstance(module, BATCH_NORMS):
            _thin(module, self.inputs[0].kept_columns())
        return module


class _Layer(UnitStep):
    """A linear layer or a convolution; it gets a bias."""

    def __init__(self, module: Any, inputs: Sequence[Value]) -> None:
        if getattr(module, "groups", 1) != 1:
            raise TypeError("compact() does not know convolutions with groups.")
        weight = module.weight
        if module.bias is None:
            module.bias = nn.Parameter(weight.new_zeros(len(weight)))
        weight.data = weight.data.contiguous()
        super().__init__(module, inputs)
        (self.input,) = inputs

    @property
    def weight(self) -> Tensor:
        """Shape (n_units, n_columns, ...)."""
        weight: Tensor = self.module.weight.data
        return weight

    def _give(self) -> Value:
        return Value.of_columns(self._run())

    def _units_read(self) -> Tensor:
        read = self.weight.ne(0).any(0)
        return self.input.units(read.reshape(len(read), -1).any(1))

    def fold_constants(self) -> None:
        constant = self.input.constant & self._units_read()
        for unit in constant.nonzero().flatten().tolist():
            self._fold(unit)
        output, bias = self.output, self.module.bias.data
        output.constant = ~self.weight.flatten(1).ne(0).any(1)
        spatial = output.held.shape[2:]
        output.held = bias.view(1, -1, *[1] * len(spatial)).expand(1, -1, *spatial)

    def _fold(self, unit: int) -> None:
        """Move what a constant unit adds into the biases, if it is a constant."""
        columns, held = self.input.unit == unit, self.input.held
        alone = torch.zeros_like(held)
        alone[:, columns] = held[:, columns]
        added = self.module(alone) - self.module(torch.zeros_like(held))
        added = added.view(len(self.weight), -1)
        low, high = added.min(1).values, added.max(1).values
        sizes = self.weight[:, columns].flatten(1).abs().sum(1) * alone.abs().max()
        bias = self.module.bias.data
        rounding = _ROUNDINGS * torch.finfo(added.dtype).eps * (sizes + bias.abs())
        if bool((high - low > rounding).any()):
            return  # the border of a convolution sees zeros instead
        bias.add_(added.mean(1))
        self.weight[:, columns] = 0.0

    def mark_read(self) -> None:
        self.weight[~self.output.read] = 0.0
        self.input.read |= self._units_read()

    def choose_kept(self) -> None:
        super().choose_kept()
        if not self.output.kept.any():  # all is constant; no layer without a unit
            self.output.kept[0] = True

    def tie(self) -> bool:
        return False

    def thinned(self) -> nn.Module:
        layer, kept = self.module, self.output.kept
        weight = self.weight[kept][:, self.input.kept_columns()]
        layer.weight = nn.Parameter(weight.clone())
        layer.bias = nn.Parameter(layer.bias.data[kept].clone())
        kind = "features" if isinstance(layer, nn.Linear) else "channels"
        setattr(layer, f"out_{kind}", len(weight))
        setattr(layer, f"in_{kind}", weight.shape[1])
        thinned: nn.Module = layer
        return thinned


class _WithConstant(UnitStep):
    """Arithmetic with a tensor that has a number for each unit, or one for all."""

    def __init__(self, module: Any, inputs: Sequence[Value]) -> None:
        super().__init__(module, inputs)
        held, constant = inputs[0].held, module.constant
        # PyTorch aligns the last dimensions.
        self._dimension = constant.ndim - held.ndim + 1
        over_samples = self._dimension > 0 and constant.shape[0] != 1
        if over_samples or self.output.held.shape != held.shape:
            raise TypeError("compact() does not know arithmetic that broadcasts units.")

    def thinned(self) -> nn.Module:
        module, constant = self.module, self.module.constant
        if self._dimension >= 0 and constant.shape[self._dimension] > 1:
            kept = self.inputs[0].kept_columns().nonzero().flatten()
            _replace(module, "constant", constant.index_select(self._dimension, kept))
        thinned: nn.Module = module
        return thinned


class _Joined(UnitStep):
    """A concatenation."""

    def _give(self) -> Value:
        first, units = 0, []
        for value in self.inputs:
            units.append(value.unit + first)
            first += len(value.read)
        return Value(self._run(), torch.cat(units))

    def _parts(self, of_output: Tensor) -> tuple[Tensor, ...]:
        return of_output.split([len(value.read) for value in self.inputs])

    def fold_constants(self) -> None:
        self.output.held = self._run()
        self.output.constant = torch.cat([value.constant for value in self.inputs])

    def mark_read(self) -> None:
        for value, read in zip(self.inputs, self._parts(self.output.read), strict=True):
            value.read |= read

    def tie(self) -> bool:
        ours = torch.cat([value.kept for value in self.inputs])
        kept = ours | self.output.kept
        changed = not torch.equal(ours, self.output.kept)
        self.output.kept = kept
        for value, part in zip(self.inputs, self._parts(kept), strict=True):
            value.kept = part.clone()
        return changed


class _Whole(UnitStep):
    """A step that reads all there is, and all of what it gives is left."""

    def _give(self) -> Value:
        return Value.of_columns(self._run())

    def fold_constants(self) -> None:
        """Do nothing: what it gives is not known to be constant."""

    def mark_read(self) -> None:
        for value in self.inputs:
            value.read[:] = True

    def choose_kept(self) -> None:
        self.output.kept[:] = True

    def tie(self) -> bool:
        return False

    def thinned(self) -> nn.Module:
        module: nn.Module = self.module
        return module


def unit_step(
    module: nn.Module, inputs: Sequence[Value], *, is_between: bool, name: str
) -> UnitStep:
    """Return the step of a module.

    Parameters
    ----------
    module : nn.Module
        It may be changed.
    inputs : sequence of Value
        What it reads.
    is_between : bool
        Whether it stands between layers: modules that are not known are refused there,
        by a TypeError, and are left as they are elsewhere.
    name : str
        What an error calls the module.
    """
    kind, n_dimensions = type(module), inputs[0].held.ndim
    expected = _N_DIMENSIONS.get(kind, n_dimensions)
    if (kind in WEIGHTED or is_between) and n_dimensions != expected:
        raise TypeError(
            f"compact() knows {kind.__name__} with inputs of {expected} dimensions; "
            f"there are {n_dimensions}."
        )
    if kind in WEIGHTED:
        return _Layer(module, inputs)
    if kind is Concatenation:
        return _Joined(module, inputs)
    if is_between and kind not in _MIXING:
        _check(module, name)
        between = _WithConstant if kind is ConstantArithmetic else UnitStep
        return between(module, inputs)
    return _Whole(module, inputs)


def _check(module: Any, name: str) -> None:
    """Raise TypeError if a module between layers may mix units."""
    between = (*elementwise(), *_CHANNELWISE, *_ARITHMETIC)
    if type(module) not in between:
        kinds = (*WEIGHTED, *between, *_MIXING, Concatenation)
        known = ", ".join(sorted({kind.__name__ for kind in kinds}))
        raise TypeError(
            f"compact() does not know {name}; networks of these can be compacted: "
            f"{known}."
        )
    if isinstance(module, BATCH_NORMS) and module.running_mean is None:
        raise TypeError(
            "compact() needs batch normalisations that track their statistics."
        )
    if isinstance(module, nn.Flatten) and module.start_dim == 0:
        raise TypeError("compact() does not know Flatten(start_dim=0).")


def _thin(norm: Any, kept: Tensor) -> None:
    """Leave some channels of a batch normalisation."""
    norm.num_features = int(kept.sum())
    for name, values in (*norm.named_buffers(), *norm.named_parameters()):
        if values.ndim:
            _replace(norm, name, values.detach()[kept])


def _replace(module: Any, name: str, values: Tensor) -> None:
    """Give a module other values in a parameter or a buffer."""
    is_parameter = isinstance(getattr(module, name), nn.Parameter)
    values = values.clone()
    setattr(module, name, nn.Parameter(values) if is_parameter else values)
