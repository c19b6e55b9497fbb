"""Units of a network: which one each weight reads, and which one it leads into."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sklearn_sparsenet.networks.network import Layer, Network
from sklearn_sparsenet.networks.synflow import SynapticFlow

__all__ = ["Units"]

_UNKNOWN = -1


@dataclass(frozen=True)
class Units:
    """The units that the weights of a network connect, numbered from the inputs on.

    The first ones are the inputs: columns of X, or channels where the first layer is a
    convolution. Then come those of each layer, which are its rows or its channels.

    Attributes
    ----------
    layers : tuple of Layer
    source, sink : Tensor of int64, shape (n_weights,)
        The unit that a weight reads, -1 where that is not known, and the one that it
        leads into.
    """

    layers: tuple[Layer, ...]
    source: Tensor
    sink: Tensor

    @classmethod
    def of(cls, network: Network, flow: SynapticFlow) -> Units:
        """Find the units; what a layer reads is taken to be the layer before it."""
        layers, device = network.layers, network.parameters.device
        source, sink, first, n_below = [], [], 0, layers[0].shape[1]
        for layer in layers:
            n_units = layer.shape[0]
            columns = _columns(layer, n_below)
            source.append((columns + first * (columns >= 0)).repeat(n_units))
            first += n_below
            rows = first + torch.arange(n_units)
            sink.append(rows.repeat_interleave(layer.size // n_units))
            n_below = n_units
        ends = torch.cat(source).to(device), torch.cat(sink).to(device)
        return cls(tuple(layers), *ends)._confirmed(flow)

    def _confirmed(self, flow: SynapticFlow) -> Units:
        """Forget what does not hold: that a layer reads the one before it, alone.

        One unit of each layer is closed. If that is what a layer reads, exactly the
        weights that are taken to read this unit have nothing to pass on any more.
        """
        source, everything = self.source.clone(), torch.ones_like(self.source).double()
        inputs, through = flow.from_inputs(everything), flow.at(everything) > 0
        closed = flow.from_inputs(everything.masked_fill(source == 0, 0.0))
        expected = inputs > 0
        expected[1:] = False
        if not torch.equal((inputs > 0) & (closed == 0), expected):
            source[self.layers[0].slice] = _UNKNOWN
        for i, layer in enumerate(self.layers[1:], 1):
            unit = self.row(i).start
            closed = flow.at(everything.masked_fill(self.sink == unit, 0.0))
            lost = (through & (closed == 0))[layer.slice]
            if not torch.equal(lost, (through & (source == unit))[layer.slice]):
                source[layer.slice] = _UNKNOWN
        return replace(self, source=source)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of inputs, and of the units of each layer."""
        return self.layers[0].shape[1], *(layer.shape[0] for layer in self.layers)

    @property
    def knows_inputs(self) -> bool:
        """Whether it is known which input each weight of the first layer reads."""
        return bool((self.source == 0).any())

    @property
    def n_units(self) -> int:
        """Number of inputs and units."""
        return sum(self.sizes)

    def row(self, number: int) -> slice:
        """Return where the inputs (0), or the units of a layer (from 1 on), are."""
        start = sum(self.sizes[:number])
        return slice(start, start + self.sizes[number])

    def reading(self, values: Tensor) -> Tensor:
        """Sum values of weights over those that read each unit; shape (n_units,)."""
        known = self.source >= 0
        index = self.source if bool(known.all()) else self.source.clamp(min=0)
        return values.new_zeros(self.n_units).index_add_(0, index, values * known)

    def leading_into(self, values: Tensor) -> Tensor:
        """Sum values of weights over those that lead into each unit."""
        return values.new_zeros(self.n_units).index_add_(0, self.sink, values)

    def between(self, units: Tensor) -> Tensor:
        """Mark the weights that read one of some units and lead into another.

        Parameters
        ----------
        units : Tensor of bool, shape (n_units,)
        """
        known = self.source >= 0
        return units[self.sink] & (units[self.source.clamp(min=0)] | ~known)

    def n_weights_between(self, number: int, n_below: int, n_above: int) -> int:
        """Return how many weights of a layer are between so many units.

        Parameters
        ----------
        number : int
            Of the layer, from 0 on.
        n_below, n_above : int
            Units that it may read, and lead into.
        """
        layer = self.layers[number]
        per_unit = layer.size // layer.shape[0]
        if bool((self.source[layer.slice] < 0).any()):
            return per_unit * n_above
        return per_unit // self.sizes[number] * n_below * n_above

    def in_use(self, live: Tensor) -> Tensor:
        """Mark the units that live weights read or lead into.

        Parameters
        ----------
        live : Tensor of bool, shape (n_weights,)
        """
        counts = live.to(torch.float32)
        return (self.reading(counts) + self.leading_into(counts)) > 0


def _columns(layer: Layer, n_below: int) -> Tensor:
    """Return which of the units below each weight of a row reads; -1: not known.

    A linear layer behind a flattened image reads each channel in several columns.
    """
    n_weights = layer.size // layer.shape[0]
    if layer.shape[1] % n_below:
        return torch.full((n_weights,), _UNKNOWN)
    return torch.arange(n_below).repeat_interleave(n_weights // n_below)
