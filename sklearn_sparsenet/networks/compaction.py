"""An equivalent network without the units that do nothing.

A unit that nothing reads can go. One that reads nothing is a constant: what it adds to
the next layer goes into its biases, and then it can go, too. Both make others idle, so
it is repeated until nothing changes. Units of a convolution are its channels. A
constant channel is no constant any more at the border of a convolution that pads with
zeros, and then it stays.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.activations import elementwise
from sklearn_sparsenet.networks.stages import has_hooks, leaves, split_at_layers
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["BATCH_NORMS", "CONVOLUTIONS", "SelectInputs", "compact_module"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_WEIGHTED = (nn.Linear, *CONVOLUTIONS)
_POOLS = tuple(
    getattr(nn, f"{kind}{d}d")
    for kind in ("MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool")
    for d in (1, 2, 3)
)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
# They act on each channel alone, as activations do.
_CHANNELWISE = (*BATCH_NORMS, *_DROPOUTS, nn.Flatten, *_POOLS)
# With fewer dimensions they take units for places, with more, places for units.
_N_DIMENSIONS = {
    nn.Linear: 2,
    **{kind: int(kind.__name__[-2]) + 2 for kind in (*CONVOLUTIONS, *_POOLS)},
}
_ROUNDINGS = 100  # by which numbers differ that are the same but for rounding


class SelectInputs(nn.Module):
    """Keep the columns of the inputs that `index`, of shape (n_kept,), has."""

    index: Tensor

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the kept columns, shape (n_samples, n_kept)."""
        return inputs.index_select(1, self.index)


@dataclass
class _Stage:
    """A layer with weights, and what follows it up to the next one."""

    layer: Any  # A linear layer or a convolution: a copy with a bias.
    after: list[nn.Module]
    live: Tensor  # Units that are still there, shape (n_units,).
    # Shape of one channel as the layer gives it; empty: linear.
    spatial: tuple[int, ...] = ()

    @property
    def weight(self) -> Tensor:
        """Shape (n_units, n_inputs, ...)."""
        weight: Tensor = self.layer.weight.data
        return weight

    @property
    def bias(self) -> Tensor:
        """Shape (n_units,)."""
        bias: Tensor = self.layer.bias.data
        return bias

    def by_unit_below(self, n_units: int) -> Tensor:
        """Return the weights as (n_units, n_units below, what is left).

        A channel below that was flattened is a block of columns.
        """
        return self.weight.reshape(len(self.weight), n_units, -1)

    def constant_outputs(self) -> Tensor:
        """Return what the next layer gets from units that read nothing.

        Shape (1, n_units, ...), or flattened.
        """
        shape = (1, -1, *[1] * len(self.spatial))
        values = self.bias.view(shape).expand(1, -1, *self.spatial)
        for module in self.after:
            values = module(values.clone())
        return values


@single_threaded()
@torch.no_grad()
def compact_module(module: nn.Module, sample_shape: tuple[int, ...]) -> nn.Sequential:
    """Return the smaller network, in eval mode; the given one stays as it is.

    It gives the same outputs up to rounding. Where a linear layer comes first,
    `SelectInputs` drops the inputs that nothing reads.

    Parameters
    ----------
    module : nn.Module
        A linear layer, a convolution, or a (nested) `nn.Sequential` of them and of
        activations, pooling, flattening, batch normalisation and dropout. What comes
        before the first layer with weights may be anything. Units are the second
        dimension throughout.
    sample_shape : tuple of int
        Shape of one sample.

    Raises
    ------
    TypeError
        For anything else.
    """
    first, stages = _read(module)
    _trace(first, stages, sample_shape, next(module.parameters()).dtype)
    changed = True
    while changed:
        changed = any([_remove_idle(*pair) for pair in pairwise(stages)])
    for stage in stages:
        if not stage.live.any():  # all is constant; no layer without a unit
            stage.live[0] = True
    return nn.Sequential(*first, *_rebuild(stages, selects=not first)).eval()


def _read(module: nn.Module) -> tuple[list[nn.Module], list[_Stage]]:
    if has_hooks(module):
        raise TypeError(
            "compact() does not know modules with hooks or a forward of their own."
        )
    copies = (copy.deepcopy(child).cpu().eval() for child in leaves(module))
    first, layers = split_at_layers(copies, _WEIGHTED)
    stages = [_stage(layer, after) for layer, after in layers]
    if not stages:
        raise TypeError(f"compact() found no layer in {type(module).__name__}.")
    parameters = [p for child in leaves(module) for p in child.parameters()]
    if len({id(p) for p in parameters}) < len(parameters):
        raise TypeError("compact() does not know layers that share their weights.")
    for child in [child for stage in stages[:-1] for child in stage.after]:
        _check(child)
    return first, stages


def _check(child: nn.Module) -> None:
    """Raise TypeError if a module between layers may mix units."""
    between = (*elementwise(), *_CHANNELWISE)
    if type(child) not in between:
        known = ", ".join(sorted({kind.__name__ for kind in (*_WEIGHTED, *between)}))
        raise TypeError(
            f"compact() does not know {type(child).__name__}; a Sequential of "
            f"these can be compacted: {known}."
        )
    if isinstance(child, BATCH_NORMS) and child.running_mean is None:
        raise TypeError(
            "compact() needs batch normalisations that track their statistics."
        )
    if isinstance(child, nn.Flatten) and child.start_dim == 0:
        raise TypeError("compact() does not know Flatten(start_dim=0).")


def _stage(layer: Any, after: list[nn.Module]) -> _Stage:
    if getattr(layer, "groups", 1) != 1:
        raise TypeError("compact() does not know convolutions with groups.")
    weight = layer.weight
    if layer.bias is None:
        layer.bias = nn.Parameter(weight.new_zeros(len(weight)))
    weight.data = weight.data.contiguous()
    live = torch.ones(len(weight), dtype=torch.bool)
    return _Stage(layer, after, live)


def _trace(
    first: list[nn.Module],
    stages: list[_Stage],
    sample_shape: tuple[int, ...],
    dtype: torch.dtype,
) -> None:
    """Find the shape of the channels of each stage.

    A TypeError tells that the modules cannot be run on a sample, or that the units of a
    layer are not the second dimension.
    """
    try:
        values = torch.zeros(1, *sample_shape, dtype=dtype)
        for module in first:
            values = module(values)
        for stage in stages:
            values = _run(stage.layer, values)
            stage.spatial = tuple(values.shape[2:])
            for module in stage.after:
                values = _run(module, values)
    except (RuntimeError, ValueError, IndexError) as error:
        raise TypeError(f"compact() cannot run the network: {error}") from error


def _run(module: nn.Module, values: Tensor) -> Tensor:
    expected = _N_DIMENSIONS.get(type(module), values.ndim)
    if values.ndim != expected:
        raise TypeError(
            f"compact() knows {type(module).__name__} with inputs of {expected} "
            f"dimensions; there are {values.ndim}."
        )
    result: Tensor = module(values)
    return result


def _remove_idle(below: _Stage, above: _Stage) -> bool:
    """Remove units of `below` that nothing reads, or that read nothing."""
    is_read = above.by_unit_below(len(below.live)).ne(0).any(2).any(0)
    reads = below.weight.flatten(1).ne(0).any(1)
    gone = below.live & ~is_read
    constant = below.live & is_read & ~reads
    if constant.any():
        outputs = below.constant_outputs()
        for unit in constant.nonzero().flatten().tolist():
            gone[unit] = _fold(unit, outputs, above, len(below.live))
    below.live &= ~gone
    below.weight[gone] = 0.0
    return bool(gone.any())


def _fold(unit: int, outputs: Tensor, above: _Stage, n_units: int) -> bool:
    """Move what a constant unit adds into the biases above, if it is a constant."""
    alone = torch.zeros_like(outputs).view(1, n_units, -1)
    alone[:, unit] = outputs.view(1, n_units, -1)[:, unit]
    added = above.layer(alone.view_as(outputs)) - above.layer(torch.zeros_like(outputs))
    added = added.view(len(above.weight), -1)
    low, high = added.min(1).values, added.max(1).values
    sizes = above.by_unit_below(n_units)[:, unit].abs().sum(1) * alone.abs().max()
    rounding = _ROUNDINGS * torch.finfo(added.dtype).eps * (sizes + above.bias.abs())
    if bool((high - low > rounding).any()):
        return False  # the border of a convolution sees zeros instead
    above.bias.add_(added.mean(1))
    above.by_unit_below(n_units)[:, unit] = 0.0
    return True


def _rebuild(stages: list[_Stage], selects: bool) -> Iterator[nn.Module]:
    """Yield the modules of the smaller network."""
    first = stages[0]
    columns = torch.ones(first.weight.shape[1], dtype=torch.bool)
    if selects and isinstance(first.layer, nn.Linear):
        columns = first.weight[first.live].ne(0).any(0)
        columns[0] |= not columns.any()  # no layer without an input
        if not columns.all():
            yield SelectInputs(columns.nonzero().flatten())
    for stage in stages:
        weight = stage.by_unit_below(len(columns))[stage.live][:, columns]
        shape = (len(weight), -1, *stage.weight.shape[2:])
        yield _resized(stage.layer, weight.reshape(shape), stage.bias[stage.live])
        yield from (_thinned(module, stage.live) for module in stage.after)
        columns = stage.live


def _resized(layer: Any, weight: Tensor, bias: Tensor) -> nn.Module:
    """Return a layer with other weights and biases, and the sizes that they have."""
    layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
    kind = "features" if isinstance(layer, nn.Linear) else "channels"
    setattr(layer, f"out_{kind}", len(weight))
    setattr(layer, f"in_{kind}", weight.shape[1])
    resized: nn.Module = layer
    return resized


def _thinned(module: Any, live: Tensor) -> nn.Module:
    """Return what follows a layer for the units that are left of it."""
    if isinstance(module, BATCH_NORMS):
        kept = live.repeat_interleave(module.num_features // len(live))
        module.num_features = int(kept.sum())
        for name, values in (*module.named_buffers(), *module.named_parameters()):
            if values.ndim:
                thinned = values.detach()[kept].clone()
                is_parameter = isinstance(values, nn.Parameter)
                setattr(
                    module, name, nn.Parameter(thinned) if is_parameter else thinned
                )
    thin: nn.Module = module
    return thin
