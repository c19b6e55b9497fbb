"""Convolutional networks on several threads: the rows of a batch in blocks.

How many blocks there are depends on shapes, and the gradients are added up in their
order, so that the number of threads changes no bit. It is for an `nn.Sequential` of
layers of PyTorch whose outputs for a row depend on that row alone and not on chance:
neither batch normalisation nor dropout. Classes of users stay whole: what they keep of
a call, or do to all rows, cannot be told from outside.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_sparsenet.losses import Loss, known_losses
from sklearn_sparsenet.networks.activations import activation_of
from sklearn_sparsenet.networks.module_copies import copy_of
from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.networks.stages import has_hooks, leaves
from sklearn_sparsenet.networks.steps import Reshape, SelectInputs
from sklearn_sparsenet.networks.unit_steps import BATCH_NORMS, DROPOUTS, POOLS, WEIGHTED
from sklearn_sparsenet.utils.workers import run_tasks

__all__ = ["RowBlocks", "predicts_each_row"]

# Multiplications that are worth a block of rows, a millisecond or two; how many blocks
# there are at most; and how many multiplications each of them has, at least, for an
# entry of the gradient, which has to be added up.
_WORTH_A_BLOCK, _MOST_BLOCKS, _FOR_AN_ENTRY = 2**25, 16, 2**5
_FEWEST_ROWS = 2  # of a block: some normalisations refuse a single one
_OF_EACH_ROW = (
    *(*WEIGHTED, *POOLS, nn.Identity, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
    *(Reshape, SelectInputs),
)
_IDLE_IN_PREDICTIONS = (*BATCH_NORMS, *DROPOUTS)


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

    @classmethod
    def of(
        cls, network: Network, loss: Loss, sample_shape: torch.Size
    ) -> RowBlocks | None:
        """Return None if rows of this shape cannot be divided."""
        module = network.module
        is_plain = _is_plain(module) and all(map(_is_of_each_row, leaves(module)))
        is_known = type(loss) in known_losses().values()  # others may mix rows
        if network.parameters.device.type != "cpu" or not (is_plain and is_known):
            return None
        two = network.parameters.new_zeros(_FEWEST_ROWS, *sample_shape)
        n_multiplications = _count_multiplications(module, two) // len(two)
        return cls(network, loss, n_multiplications)

    def sizes(self, n_rows: int) -> list[int]:
        """Return how many rows each block has."""
        least = max(_WORTH_A_BLOCK, _FOR_AN_ENTRY * len(self._network.parameters))
        n_worth = max(self._n_multiplications * n_rows // least, 1)
        most = min(_MOST_BLOCKS, n_rows // _FEWEST_ROWS)
        n_blocks = max(min(2 ** int(math.log2(n_worth)), most), 1)
        size, more = divmod(n_rows, n_blocks)
        return [size + (number < more) for number in range(n_blocks)]

    def add_gradient(
        self, inputs: Tensor, target: Tensor, weight: Tensor, sizes: list[int]
    ) -> Tensor:
        """Add to ``network.gradient`` that of all blocks, and return their loss."""
        trained = [p for p in self._network.module.parameters() if p.requires_grad]
        pieces = zip(*(v.split(sizes) for v in (inputs, target, weight)), strict=True)
        found: list[tuple[Tensor, ...]] = [()] * len(sizes)

        @torch.enable_grad()
        def compute(
            number: int, inputs: Tensor, target: Tensor, weight: Tensor
        ) -> None:
            value = self._loss.per_sample(self._network(inputs), target) @ weight
            slopes = torch.autograd.grad(value, trained, allow_unused=True)
            found[number] = (value.detach(), *slopes)

        run_tasks([partial(compute, i, *piece) for i, piece in enumerate(pieces)])
        values, *slopes = zip(*found, strict=True)
        run_tasks(
            [
                partial(_add_up, parameter, parts)
                for parameter, parts in zip(trained, slopes, strict=True)
            ]
        )
        return torch.stack(values).sum()


def _add_up(parameter: nn.Parameter, parts: tuple[Tensor | None, ...]) -> None:
    gradient = parameter.grad
    assert gradient is not None
    for part in parts:
        if part is not None:
            gradient.add_(part)


def predicts_each_row(module: nn.Module) -> bool:
    """Tell whether threads may predict with a module at the same time."""
    is_here = all(p.device.type == "cpu" for p in module.parameters())
    return (is_here and _is_plain(module)) and all(
        _is_of_each_row(step) or type(step) in _IDLE_IN_PREDICTIONS
        for step in leaves(module)
    )


def _is_plain(module: nn.Module) -> bool:
    """Tell whether nobody else is told of what a module computes."""
    on_modules = (m._backward_hooks or m._backward_pre_hooks for m in module.modules())
    on_parameters = (
        p._backward_hooks or p._post_accumulate_grad_hooks for p in module.parameters()
    )
    return not (has_hooks(module) or any(on_modules) or any(on_parameters))


def _is_of_each_row(step: nn.Module) -> bool:
    """Tell whether what a step gives for a row depends on that row alone."""
    if type(step) is nn.Flatten:
        return step.start_dim == 1
    return type(step) in _OF_EACH_ROW or activation_of(step) is not None


def _count_multiplications(module: nn.Module, rows: Tensor) -> int:
    """Return the multiplications of layers with weights."""
    counts = []

    def count(layer: Any, inputs: Any, output: Tensor) -> None:
        counts.append(output.numel() * layer.weight[:1].numel())

    called = copy_of(module)
    for layer in called.modules():
        if isinstance(layer, WEIGHTED):
            layer.register_forward_hook(count)
    with torch.no_grad():
        called(rows)
    return sum(counts)
