"""Backpropagation by hand through linear layers and elementwise activations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks.activations import Rule
from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.networks.sparse_inputs import Inputs, add_outer_product, affine
from sklearn_sparsenet.networks.stages import part_of, places_between

__all__ = ["Chain", "Link", "LiveChain", "live_units"]

# Batch and full gradient, each with a shorter last piece.
_MAX_WORKSPACES = 4


@dataclass(frozen=True)
class Link:
    """A linear layer as views of the flat vectors, and the activation after it."""

    weight: Tensor
    bias: Tensor | None
    weight_gradient: Tensor
    bias_gradient: Tensor | None
    rule: Rule | None


class _Buffers(NamedTuple):
    """Memory of one layer for a certain number of rows."""

    before: Tensor  # the activation
    after: Tensor
    delta: Tensor  # derivative with respect to `before`
    delta_transposed: Tensor


class Chain:
    """Forward and backward pass through links.

    Where the loss has no `loss_and_gradient`, autograd is asked, on the outputs only.
    """

    def __init__(self, links: list[Link], loss: Loss) -> None:
        self._links = links
        self._transposed = [link.weight.t() for link in links]
        self._loss = loss
        self._workspaces: dict[int, tuple[list[_Buffers], Tensor]] = {}

    def add_gradient(
        self, inputs: Inputs, target: Tensor, weight: Tensor, *, accumulate: bool
    ) -> Tensor:
        """Write the gradient where the links say, and return the value.

        See `sklearn_sparsenet.networks.backprop.GradientEngine`.
        """
        buffers, ones = self._workspace(len(inputs))
        output = self._forward(inputs, buffers)
        value = self._start_backward(output, target, weight, buffers[-1].delta)
        self._backward(inputs, buffers, ones, keep=1.0 if accumulate else 0.0)
        return value

    def _workspace(self, n_rows: int) -> tuple[list[_Buffers], Tensor]:
        found = self._workspaces.get(n_rows)
        if found is None:
            if len(self._workspaces) == _MAX_WORKSPACES:
                self._workspaces.clear()
            ones = self._links[0].weight.new_ones(n_rows)
            found = [_allocate(link, n_rows) for link in self._links], ones
            self._workspaces[n_rows] = found
        return found

    def _forward(self, inputs: Inputs, buffers: list[_Buffers]) -> Tensor:
        for link, weight, memory in zip(
            self._links, self._transposed, buffers, strict=True
        ):
            affine(inputs, weight, link.bias, memory.before)
            if link.rule is not None:
                link.rule.forward(memory.before, memory.after)
            inputs = memory.after
        return buffers[-1].after

    def _start_backward(
        self, output: Tensor, target: Tensor, weight: Tensor, delta: Tensor
    ) -> Tensor:
        """Write the derivative with respect to the outputs; return the value."""
        known = self._loss.loss_and_gradient(output, target)
        if known is not None:
            values, slopes = known
            torch.mul(slopes, weight[:, None], out=delta)
            return values @ weight
        # A copy: a user's function may keep it, and the buffer is used again.
        with torch.enable_grad():
            leaf = output.clone().requires_grad_()
            value = self._loss.per_sample(leaf, target) @ weight
            (slopes,) = torch.autograd.grad(value, leaf)
        delta.copy_(slopes)
        return value.detach()

    def _backward(
        self, inputs: Inputs, buffers: list[_Buffers], ones: Tensor, keep: float
    ) -> None:
        for k in range(len(self._links) - 1, -1, -1):
            link, memory = self._links[k], buffers[k]
            if link.rule is not None:
                kept = memory.after if link.rule.in_place else memory.before
                link.rule.backward(memory.delta, kept)
            below = buffers[k - 1].after if k else inputs
            add_outer_product(memory.delta, below, link.weight_gradient, keep)
            if link.bias_gradient is not None:
                link.bias_gradient.addmv_(memory.delta_transposed, ones, beta=keep)
            if k:
                torch.mm(memory.delta, link.weight, out=buffers[k - 1].delta)


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


def live_units(links: list[Link], support: Tensor) -> list[Tensor]:
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


def _allocate(link: Link, n_rows: int) -> _Buffers:
    shape = (n_rows, len(link.weight))
    before, delta = link.weight.new_empty(shape), link.weight.new_empty(shape)
    shares = link.rule is None or link.rule.in_place
    after = before if shares else link.weight.new_empty(shape)
    return _Buffers(before, after, delta, delta.t())
