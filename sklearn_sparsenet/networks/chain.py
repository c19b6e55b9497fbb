"""Backpropagation by hand through linear layers and elementwise activations.

Large layers are divided into parts, some units each, that threads may compute at the
same time: their products are next to each other, and nothing has to be added up. How
many parts there are depends on the shapes, and for sparse rows on the entries of the
first batch, but never on the number of threads. (Divided by rows, the products of a
batch are slower by a third, and there is a gradient for each part to be summed; figures
in docs/design_notes.md.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks.activations import Rule
from sklearn_sparsenet.networks.sparse_inputs import (
    Inputs,
    add_outer_product,
    affine,
    work_per_unit,
)
from sklearn_sparsenet.utils.workers import run_tasks

__all__ = ["Chain", "Link"]

# Memory for batches and for the full gradient, each with a shorter last piece.
_MAX_WORKSPACES = 4
# Multiplications that are worth a part of their own, half a millisecond; how many parts
# there are at most, and of how many units each has a multiple.
_WORTH_A_PART, _MOST_PARTS, _UNITS_ALIKE = 2**25, 32, 16


@dataclass(frozen=True)
class Link:
    """A linear layer as views of the flat vectors, and the activation after it."""

    weight: Tensor
    bias: Tensor | None
    weight_gradient: Tensor
    bias_gradient: Tensor | None
    rule: Rule | None


class _Memory:
    """What one layer computes for a certain number of rows."""

    def __init__(self, link: Link, n_rows: int) -> None:
        shape = (n_rows, len(link.weight))
        self.before = link.weight.new_empty(shape)  # the activation
        self.delta = link.weight.new_empty(shape)  # derivative with respect to `before`
        shares = link.rule is None or link.rule.in_place
        self.after = self.before if shares else link.weight.new_empty(shape)
        self.parts: list[_Part] = []


class _Part:
    """Some units of a layer, all of them if it is small."""

    def __init__(
        self, link: Link, above: Link | None, memory: _Memory, units: slice
    ) -> None:
        self._transposed = link.weight[units].t()
        self._bias = None if link.bias is None else link.bias[units]
        self._weight_gradient = link.weight_gradient[units]
        gradient = link.bias_gradient
        self._bias_gradient = None if gradient is None else gradient[units]
        self._rule = link.rule
        self._before, self._after = memory.before[:, units], memory.after[:, units]
        self._delta = memory.delta[:, units]
        self._delta_transposed = self._delta.t()
        # Of the layer above, what leaves these units.
        self._above = None if above is None else above.weight[:, units]

    def compute(self, inputs: Inputs) -> None:
        """Write what these units make of the outputs of those below."""
        affine(inputs, self._transposed, self._bias, self._before)
        if self._rule is not None:
            self._rule.forward(self._before, self._after)

    def pull_back(self, delta: Tensor) -> None:
        """Write the derivative, given that of the layer above."""
        assert self._above is not None
        torch.mm(delta, self._above, out=self._delta)
        self.pass_activation()

    def pass_activation(self) -> None:
        """Multiply the derivative by that of the activation."""
        if self._rule is not None:
            kept = self._after if self._rule.in_place else self._before
            self._rule.backward(self._delta, kept)

    def add_gradient(self, below: Inputs, ones: Tensor, keep: float) -> None:
        """Write the gradient with respect to the weights and biases."""
        add_outer_product(self._delta, below, self._weight_gradient, keep)
        if self._bias_gradient is not None:
            self._bias_gradient.addmv_(self._delta_transposed, ones, beta=keep)


class Chain:
    """Forward and backward pass through links.

    Where the loss has no `loss_and_gradient`, autograd is asked, on the outputs only.
    """

    def __init__(self, links: list[Link], loss: Loss) -> None:
        self._links = links
        self._loss = loss
        self._workspaces: dict[int, tuple[list[_Memory], Tensor]] = {}

    def add_gradient(
        self, inputs: Inputs, target: Tensor, weight: Tensor, *, accumulate: bool
    ) -> Tensor:
        """Write the gradient where the links say, and return the value."""
        layers, ones = self._workspace(inputs)
        below = inputs
        for layer in layers:
            if len(layer.parts) == 1:  # the usual case, in which microseconds count
                layer.parts[0].compute(below)
            else:
                run_tasks([partial(part.compute, below) for part in layer.parts])
            below = layer.after
        value = self._start_backward(layers[-1], target, weight)
        self._backward(inputs, layers, ones, keep=1.0 if accumulate else 0.0)
        return value

    def _workspace(self, inputs: Inputs) -> tuple[list[_Memory], Tensor]:
        n_rows = len(inputs)
        found = self._workspaces.get(n_rows)
        if found is None:
            if len(self._workspaces) == _MAX_WORKSPACES:
                self._workspaces.clear()
            ones = self._links[0].weight.new_ones(n_rows)
            found = self._allocate(inputs), ones
            self._workspaces[n_rows] = found
        return found

    def _allocate(self, inputs: Inputs) -> list[_Memory]:
        layers, work = [], work_per_unit(inputs)
        for link, above in pairwise([*self._links, None]):
            assert link is not None
            layer = _Memory(link, len(inputs))
            is_shared = link.weight.device.type == "cpu"
            layer.parts = [
                _Part(link, above, layer, units)
                for units in _divided(len(link.weight), work if is_shared else 0)
            ]
            layers.append(layer)
            work = layer.after.numel()
        return layers

    def _start_backward(self, last: _Memory, target: Tensor, weight: Tensor) -> Tensor:
        """Write the derivative with respect to the last layer; return the value."""
        output = last.after
        known = self._loss.loss_and_gradient(output, target)
        if known is not None:
            values, slopes = known
            torch.mul(slopes, weight[:, None], out=last.delta)
            value = values @ weight
        else:
            # A copy: a user's function may keep it, and the buffer is used again.
            with torch.enable_grad():
                leaf = output.clone().requires_grad_()
                value = self._loss.per_sample(leaf, target) @ weight
                (slopes,) = torch.autograd.grad(value, leaf)
            last.delta.copy_(slopes)
        for part in last.parts:
            part.pass_activation()
        return value.detach()

    def _backward(
        self, inputs: Inputs, layers: list[_Memory], ones: Tensor, keep: float
    ) -> None:
        for k in range(len(layers) - 1, -1, -1):
            below = layers[k - 1].after if k else inputs
            upper, lower = layers[k].parts, layers[k - 1].parts if k else []
            delta = layers[k].delta
            if len(upper) == 1 and len(lower) <= 1:
                upper[0].add_gradient(below, ones, keep)
                if k:
                    lower[0].pull_back(delta)
                continue
            tasks = [partial(part.add_gradient, below, ones, keep) for part in upper]
            run_tasks([*tasks, *(partial(part.pull_back, delta) for part in lower)])


def _divided(n_units: int, work: int) -> list[slice]:
    """Return the units of each part of a layer, given the multiplications of each."""
    n_parts = 2 ** round(math.log2(max(work * n_units / _WORTH_A_PART, 1)))
    if n_parts == 1:
        return [slice(0, n_units)]
    size = math.ceil(n_units / min(n_parts, _MOST_PARTS) / _UNITS_ALIKE) * _UNITS_ALIKE
    return [slice(i, min(i + size, n_units)) for i in range(0, n_units, size)]
