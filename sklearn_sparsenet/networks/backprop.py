"""Gradients of a network's loss, written into its flat gradient vector.

Autograd works for every module. For small networks most of its time goes into the
graph that it builds, so that chains of linear layers and elementwise activations,
multilayer perceptrons above all, have a backward pass of their own: a dozen kernels
that write into memory allocated once. Units without weights are left out of it.
`make_engine` chooses.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks.chain import Chain, Link
from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.networks.row_blocks import RowBlocks
from sklearn_sparsenet.networks.sparse_inputs import Inputs
from sklearn_sparsenet.networks.stages import (
    Stage,
    has_hooks,
    part_of,
    places_between,
    take_apart,
)

__all__ = [
    "AutogradEngine",
    "ChainEngine",
    "GradientEngine",
    "LiveChain",
    "make_engine",
]

# Weights times rows that must be saved by leaving out units; to gather the others
# takes time. Of so many parameters, which are in no cache, it takes as long as all
# products of a few dozen rows: a large part must be saved.
_WORTH_LEAVING_OUT, _MANY_PARAMETERS, _PART_LEFT_OUT = 2**20, 2**19, 1 / 2


class GradientEngine(Protocol):
    """Computes Σᵢ wᵢ ℓᵢ and its gradient."""

    # Elements that a row of the inputs takes up inside, which bounds memory; 0:
    # unknown.
    row_size: int
    multiplies: bool  # Whether inputs are but multiplied, so that they may be sparse.

    def add_gradient(
        self, inputs: Inputs, target: Tensor, weight: Tensor, *, accumulate: bool
    ) -> Tensor:
        """Write the gradient into ``network.gradient`` and return the value.

        If it is to `accumulate`, it is added to what is there, which otherwise is
        overwritten.
        """

    def live_units(self, support: Tensor) -> list[Tensor] | None:
        """Return the units with weights on a support, from inputs to outputs.

        All inputs and outputs among them; None if that cannot be told.
        """

    def restrict(self, support: Tensor | None, n_rows: int) -> None:
        """Allow the engine to rely on weights being zero; results do not change.

        Until the next call, entries of ``network.parameters`` are zero where a support,
        from the first entry on, is False; what it is too short for may be nonzero, and
        with None everything may. A gradient is going to be asked of `n_rows` rows.
        """


def make_engine(network: Network, loss: Loss) -> GradientEngine:
    """Return the fastest engine that knows the network's module.

    `ChainEngine` for an `nn.Linear`, or an `nn.Sequential` of them with at most one
    activation after each, all parameters trainable, none shared and no hooks;
    `AutogradEngine` for everything else.
    """
    links = _take_apart(network.module)
    if links is None:
        return AutogradEngine(network, loss)
    return ChainEngine(network, links, loss)


class AutogradEngine:
    """PyTorch's own backward pass, for any module and loss.

    Large batches are divided into blocks of rows where the module allows it.
    """

    row_size = 0
    multiplies = False

    def __init__(self, network: Network, loss: Loss) -> None:
        self._network = network
        self._loss = loss
        self._blocks: list[RowBlocks | None] = []  # none until inputs are known

    @torch.enable_grad()
    def add_gradient(
        self, inputs: Inputs, target: Tensor, weight: Tensor, *, accumulate: bool
    ) -> Tensor:
        assert isinstance(inputs, Tensor)
        if not accumulate:
            self._network.gradient.zero_()
        if not self._blocks:
            blocks = RowBlocks.of(self._network, self._loss, inputs.shape[1:])
            self._blocks.append(blocks)
        (blocks,) = self._blocks
        sizes = [] if blocks is None else blocks.sizes(len(inputs))
        if blocks is not None and len(sizes) > 1:
            return blocks.add_gradient(inputs, target, weight, sizes)
        value = self._loss.per_sample(self._network(inputs), target) @ weight
        value.backward()
        return value.detach()

    def live_units(self, support: Tensor) -> list[Tensor] | None:
        return None

    def restrict(self, support: Tensor | None, n_rows: int) -> None:
        pass


class ChainEngine:
    """Backpropagation by hand through the links of a network's flat vectors."""

    multiplies = True

    def __init__(self, network: Network, links: list[Link], loss: Loss) -> None:
        self._network, self._links, self._loss = network, links, loss
        self._whole = Chain(links, loss)
        self._support: Tensor | None = None
        self._part: LiveChain | None = None
        self.row_size = sum(len(link.weight) for link in links)

    def add_gradient(
        self, inputs: Inputs, target: Tensor, weight: Tensor, *, accumulate: bool
    ) -> Tensor:
        chain = self._whole if self._part is None else self._part
        return chain.add_gradient(inputs, target, weight, accumulate=accumulate)

    def live_units(self, support: Tensor) -> list[Tensor] | None:
        return _live_units(self._links, support)

    def restrict(self, support: Tensor | None, n_rows: int) -> None:
        if support is self._support:
            return
        self._support, self._part = support, None
        if support is None:
            return
        live = _live_units(self._links, support)
        saved = sum(
            link.weight.numel() - len(out) * len(into)
            for link, (into, out) in zip(self._links, pairwise(live), strict=True)
        )
        n_parameters = len(self._network.parameters)
        few = n_parameters < _MANY_PARAMETERS
        enough = few or saved >= _PART_LEFT_OUT * n_parameters
        if enough and saved * n_rows >= _WORTH_LEAVING_OUT:
            self._part = LiveChain(self._network, self._links, live, self._loss)


class LiveChain:
    """A chain without its isolated units, which are those without any weights.

    The output of such a unit is the same for every sample, and reaches nothing. Only
    the weights that would lead out of it have a gradient: its output times the
    derivative with respect to the bias of the unit that they would lead to. `live` has
    the numbers of the units to compute, from the inputs to the outputs.
    """

    def __init__(
        self, network: Network, links: list[Link], live: list[Tensor], loss: Loss
    ) -> None:
        self._network = network
        pieces = [
            where
            for link, (into, out) in zip(links, pairwise(live), strict=True)
            for where in places_between(link.weight, link.bias, into, out)
        ]
        self._where = torch.cat([where.flatten() for where in pieces])
        self._parameters = network.parameters[self._where]
        self._gradient = torch.zeros_like(self._parameters)
        shapes = [where.shape for where in pieces]
        self._chain = Chain(self._smaller(links, shapes), loss)
        self._constants = [
            (below, above, isolated)
            for (below, above), units in zip(pairwise(links), live[1:-1], strict=True)
            if len(isolated := _others(units, len(below.weight)))
        ]

    def _smaller(self, links: list[Link], shapes: list[torch.Size]) -> list[Link]:
        sizes = [shape.numel() for shape in shapes]
        values, slopes = (
            map(Tensor.view, flat.split(sizes), shapes)
            for flat in (self._parameters, self._gradient)
        )
        return [
            Link(
                next(values),
                None if link.bias is None else next(values),
                next(slopes),
                None if link.bias is None else next(slopes),
                link.rule,
            )
            for link in links
        ]

    def add_gradient(
        self, inputs: Inputs, target: Tensor, weight: Tensor, *, accumulate: bool
    ) -> Tensor:
        """Do what `Chain.add_gradient` does, for the whole chain."""
        network = self._network
        torch.index_select(network.parameters, 0, self._where, out=self._parameters)
        value = self._chain.add_gradient(inputs, target, weight, accumulate=accumulate)
        if not accumulate:
            network.gradient.zero_()
        network.gradient.index_copy_(0, self._where, self._gradient)
        for below, above, isolated in self._constants:
            assert above.bias_gradient is not None
            outputs = _constant_outputs(below, isolated)
            reached = torch.outer(above.bias_gradient, outputs)
            above.weight_gradient.index_copy_(1, isolated, reached)
        return value


def _live_units(links: list[Link], support: Tensor) -> list[Tensor]:
    """Return the units with weights on either side, from the inputs to the outputs."""
    kept = [part_of(support, link.weight) for link in links]
    live = [kept[0].new_ones(kept[0].shape[1])]
    for (into, out), above in zip(pairwise(kept), links[1:], strict=True):
        units = into.any(1) | out.any(0)
        # The derivative with respect to a bias is needed where there is none.
        live.append(torch.ones_like(units) if above.bias is None else units)
    live.append(kept[-1].new_ones(len(kept[-1])))
    return [units.nonzero().flatten() for units in live]


def _others(units: Tensor, n_units: int) -> Tensor:
    mask = torch.ones(n_units, dtype=torch.bool, device=units.device)
    mask[units] = False
    return mask.nonzero().flatten()


def _constant_outputs(link: Link, units: Tensor) -> Tensor:
    before = link.weight.new_zeros(len(units))
    if link.bias is not None:
        before = link.bias[units]
    if link.rule is None:
        return before
    after = before if link.rule.in_place else torch.empty_like(before)
    link.rule.forward(before, after)
    return after


def _take_apart(module: nn.Module) -> list[Link] | None:
    """Return the links of a chain, or None for any other module."""
    parameters = list(module.named_parameters(remove_duplicate=False))
    ordinary = (
        len({id(p) for _, p in parameters}) == len(parameters)
        and all(p.requires_grad and not p._backward_hooks for _, p in parameters)
        and not has_hooks(module)
        and not any(
            m._backward_hooks or m._backward_pre_hooks for m in module.modules()
        )
    )
    if not ordinary:
        return None
    called = module if type(module) is nn.Sequential else [module]
    first, stages, stranger = take_apart(called)
    links = [_link(stage) for stage in stages]
    known = [link for link in links if link is not None]
    n_parameters = sum(1 if link.bias is None else 2 for link in known)
    is_chain = not first and stranger is None and known and len(known) == len(links)
    return known if is_chain and n_parameters == len(parameters) else None


def _link(stage: Stage) -> Link | None:
    """Return the link of a stage, or None if its activations are not known."""
    known = stage.activation
    rule = None if known is None else known.rule(stage.after[0])
    if stage.after and rule is None:
        return None
    weight, bias = stage.linear.weight, stage.linear.bias
    assert weight.grad is not None
    return Link(
        weight.detach(),
        None if bias is None else bias.detach(),
        weight.grad,
        None if bias is None else bias.grad,
        rule,
    )
