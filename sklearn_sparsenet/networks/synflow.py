"""How much flows through a network, along its paths from inputs to outputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, starmap

import torch
from torch import Tensor

from sklearn_sparsenet.networks.network import Layer, Network
from sklearn_sparsenet.networks.paths import (
    NOT_FOLLOWED,
    PathProbe,
    Paths,
    fan_in,
    weights_of,
)
from sklearn_sparsenet.utils.runtime import computed_once

__all__ = ["SynapticFlow", "parts_of"]


class SynapticFlow:
    """How much flows through each weight of a network, as one flat vector.

    References
    ----------
    Tanaka, Kunin, Yamins, Ganguli, "Pruning neural networks without any data by
    iteratively conserving synaptic flow", NeurIPS 2020.
    """

    def __init__(self, network: Network, sample_shape: tuple[int, ...]) -> None:
        self._network = network
        # Not every accelerator knows float64; to others nothing need be copied.
        device = network.parameters.device
        self._device = device if device.type == "cuda" else torch.device("cpu")
        self._probe = PathProbe(network.module, sample_shape, self._device)
        names = {layer.name for layer in network.layers}
        self._others = {  # what is trained does not stay zero
            name: (parameter.detach() != 0) | parameter.requires_grad
            for name, parameter in network.module.named_parameters()
            if parameter.ndim >= 2 and name not in names
        }

    @classmethod
    def of(cls, network: Network, sample_shape: tuple[int, ...]) -> SynapticFlow | None:
        """Return the flow of a network, or None where it cannot be followed."""
        try:
            return cls(network, sample_shape)
        except NOT_FOLLOWED:
            return None

    def at(self, sizes: Tensor) -> Tensor:
        """Return the sum over paths through each weight, that weight left out.

        Positive exactly for weights between units that are connected to an input and to
        an output, by weights of positive size. `sizes` is non-negative, of shape
        (n_weights,).
        """
        self._follow(sizes)
        layers = self._network.layers
        gradients = [self._probe.layers[layer.name].grad for layer in layers]
        flat = torch.cat(
            [g.reshape(-1) / fan_in(g) for g in gradients if g is not None]
        )
        return flat.to(sizes.device)

    def connectable(self, kept: Tensor) -> Tensor:
        """Mark the weights between live units, of shape (n_weights,): `at` is positive.

        `kept` is a tensor of bool. In a chain of linear layers nothing is summed.
        """
        layers = self._layers_of_chain
        if layers is None:
            return self.at(kept) > 0
        reached, before = kept.new_ones(1), []  # units that inputs reach, below each
        for layer in layers:
            before.append(reached)
            if layer is None:
                reached = reached.any(0, keepdim=True)
            else:
                reached = _any(_matrix(kept, layer) & reached, 1)
        found, leads = torch.empty_like(kept), kept.new_ones(1)
        for layer, reached in zip(reversed(layers), reversed(before), strict=True):
            if layer is None:
                leads = leads.any(0, keepdim=True)
            else:
                _matrix(found, layer).copy_(leads[:, None] & reached)
                leads = _any(_matrix(kept, layer) & leads[:, None], 0)
        return found

    def live(self, kept: Tensor) -> Tensor:
        """Mark the kept weights that lie on a path from an input to an output."""
        return kept & self.connectable(kept)

    @computed_once
    def _layers_of_chain(self) -> list[Layer | None] | None:
        return self.chain()

    def from_inputs(self, sizes: Tensor) -> Tensor:
        """Return the sum over paths from each input, of the shape of a sample.

        Parameters
        ----------
        sizes : Tensor of shape (n_weights,)
            Non-negative.
        """
        return self._follow(sizes)

    def _follow(self, sizes: Tensor) -> Tensor:
        layers = self._network.layers
        pieces = self._network.split(sizes)
        by_name = {layer.name: w for layer, w in zip(layers, pieces, strict=True)}
        return self._probe.follow(by_name | self._others)

    def at_few(self, where: Tensor, sizes: Tensor) -> Tensor:
        """Return what `at` does of some weights, all others being zero.

        `where` has their numbers, ascending, `sizes` their sizes in float64.
        """
        layers = self._network.layers
        few = {}
        for layer, part in zip(layers, parts_of(where, layers), strict=True):
            inside = (where[part] - layer.start).to(self._device)
            few[layer.name] = inside, sizes[part].to(self._device)
        found = self._probe.follow_few(few, self._others)
        if found is None:
            whole = sizes.new_zeros(layers[-1].stop)
            return self.at(whole.index_copy_(0, where, sizes))[where]
        flat = [found[x.name] / fan_in(self._probe.layers[x.name]) for x in layers]
        return torch.cat(flat).to(sizes.device)

    def chain(self) -> list[Layer | None] | None:
        """Return the layers of a chain of linear layers, in the order of the data.

        None in place of a layer that is not counted and connects all its units; None
        for another network, or if one that is not counted does not.
        """
        counted = {layer.name: layer for layer in self._network.layers}
        names = self._probe.linear_names
        others = [self._others[name] for name in names if name not in counted]
        if not names or not all(bool(connected.all()) for connected in others):
            return None
        return [counted.get(name) for name in names]

    def paths(self) -> Paths:
        """Find the paths of nonzero weights through the network as it stands.

        As `find_paths` does, if nothing but the weights has changed since then.
        """
        names = [layer.name for layer in self._network.layers]
        return self._probe.find(weights_of(self._network.module), names)

    def best_of_each_unit(self, score: Tensor) -> Tensor:
        """Mark the largest of the scores of all weights among those into each unit."""
        best = torch.zeros_like(score, dtype=torch.bool)
        for layer in self._network.layers:
            rows = score[layer.slice].view(layer.shape[0], -1)
            mask = torch.zeros_like(rows, dtype=torch.bool)
            mask.scatter_(1, rows.argmax(1, keepdim=True), True)
            best[layer.slice] = mask.view(-1)
        return best

    def n_units(self, group: slice) -> int:
        """Return how many units the layers of a group of weights have."""
        return sum(
            layer.shape[0]
            for layer in self._network.layers
            if group.start <= layer.start < group.stop
        )


def _any(marks: Tensor, dim: int) -> Tensor:
    """Do what `Tensor.any` does, in half of its time or less."""
    return marks.view(torch.uint8).amax(dim).bool()


def _matrix(flat: Tensor, layer: Layer) -> Tensor:
    return flat[layer.slice].view(layer.shape)


def parts_of(where: Tensor, groups: Sequence[slice] | Sequence[Layer]) -> list[slice]:
    """Return where those of each group are among some weights, ascending numbers.

    The groups are slices of all weights, one after another from the first on.
    """
    ends = where.new_tensor([0, *(group.stop for group in groups)])
    return list(starmap(slice, pairwise(torch.searchsorted(where, ends).tolist())))
