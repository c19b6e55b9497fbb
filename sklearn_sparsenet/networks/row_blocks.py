"""Gradients of modules of any kind on several threads: the rows of a batch in blocks.

How many blocks there are depends on shapes, and the gradients are added up in their
order, so that the number of threads changes no bit. It is for modules, convolutional
networks above all, whose outputs for a row depend on that row alone and not on chance:
neither batch normalisation nor dropout.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_sparsenet.losses import Loss, known_losses
from sklearn_sparsenet.networks.activations import activation_of
from sklearn_sparsenet.networks.module_copies import keeps_nothing
from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.networks.steps import (
    Arithmetic,
    Concatenation,
    ConstantArithmetic,
    Reshape,
    SelectInputs,
)
from sklearn_sparsenet.networks.tracing import trace, trace_training
from sklearn_sparsenet.networks.unit_steps import POOLS, WEIGHTED
from sklearn_sparsenet.utils.workers import run_tasks

__all__ = ["RowBlocks"]

# Multiplications that are worth a block of rows, a millisecond or two; how many blocks
# there are at most; and how many multiplications each of them has, at least, for an
# entry of the gradient, which has to be added up.
_WORTH_A_BLOCK, _MOST_BLOCKS, _FOR_AN_ENTRY = 2**25, 16, 2**5
_OF_EACH_ROW = (
    *(*WEIGHTED, *POOLS, nn.Identity, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
    *(Arithmetic, ConstantArithmetic, Concatenation, Reshape, SelectInputs),
)


class RowBlocks:
    """Adds up the gradients of blocks of rows, which threads compute at the same time.

    Parameters
    ----------
    network : Network
        On the CPU, of which `of` has found that its rows can be divided.
    loss : Loss
    n_multiplications : int
        In the forward pass of one row.
    """

    def __init__(self, network: Network, loss: Loss, n_multiplications: int) -> None:
        self._network, self._loss = network, loss
        self._n_multiplications = n_multiplications
        self._trained = [p for p in network.module.parameters() if p.requires_grad]

    @classmethod
    def of(
        cls, network: Network, loss: Loss, sample_shape: torch.Size
    ) -> RowBlocks | None:
        """Return None if rows of this shape cannot be divided."""
        module, shape = network.module, tuple(sample_shape)
        has_hooks = any(
            p._backward_hooks or p._post_accumulate_grad_hooks
            for p in module.parameters()
        )
        is_known = type(loss) in known_losses().values()  # others may mix rows
        if network.parameters.device.type != "cpu" or has_hooks or not is_known:
            return None
        try:
            traces = [trace(module, shape), trace_training(module, shape)]
        except TypeError:
            return None
        one = network.parameters.new_zeros(1, *shape)
        steps = (step for each in traces for step in each.network)
        if not all(map(_is_of_each_row, steps)) or not keeps_nothing(module, one):
            return None
        return cls(network, loss, _count_multiplications(traces[0].network, one))

    def sizes(self, n_rows: int) -> list[int]:
        """Return how many rows each block has."""
        least = max(_WORTH_A_BLOCK, _FOR_AN_ENTRY * len(self._network.parameters))
        n_worth = max(self._n_multiplications * n_rows // least, 1)
        n_blocks = min(2 ** int(math.log2(n_worth)), _MOST_BLOCKS, n_rows)
        size, more = divmod(n_rows, max(n_blocks, 1))
        return [size + (number < more) for number in range(n_blocks)]

    def add_gradient(
        self, inputs: Tensor, target: Tensor, weight: Tensor, sizes: list[int]
    ) -> Tensor:
        """Add to ``network.gradient`` that of all blocks, and return their loss."""
        pieces = zip(*(v.split(sizes) for v in (inputs, target, weight)), strict=True)
        found: list[tuple[Tensor, ...]] = [()] * len(sizes)

        @torch.enable_grad()
        def compute(
            number: int, inputs: Tensor, target: Tensor, weight: Tensor
        ) -> None:
            value = self._loss.per_sample(self._network(inputs), target) @ weight
            slopes = torch.autograd.grad(value, self._trained, allow_unused=True)
            found[number] = (value.detach(), *slopes)

        run_tasks([partial(compute, i, *piece) for i, piece in enumerate(pieces)])
        values, *slopes = zip(*found, strict=True)
        run_tasks(
            [
                partial(_add_up, parameter, parts)
                for parameter, parts in zip(self._trained, slopes, strict=True)
            ]
        )
        return torch.stack(values).sum()


def _add_up(parameter: nn.Parameter, parts: tuple[Tensor | None, ...]) -> None:
    gradient = parameter.grad
    assert gradient is not None
    for part in parts:
        if part is not None:
            gradient.add_(part)


def _is_of_each_row(step: nn.Module) -> bool:
    """Tell whether what a step gives for a row depends on that row alone."""
    if isinstance(step, nn.Flatten):
        return step.start_dim == 1
    return type(step) in _OF_EACH_ROW or activation_of(step) is not None


def _count_multiplications(network: nn.Module, one: Tensor) -> int:
    """Return the multiplications of layers with weights for one row."""
    counts = []

    def count(layer: Any, inputs: Any, output: Tensor) -> None:
        counts.append(output.numel() * layer.weight[0].numel())

    for layer in network.modules():
        if isinstance(layer, WEIGHTED):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(one)
    return sum(counts)
