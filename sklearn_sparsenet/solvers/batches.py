"""Batches of a problem's samples: what a step of the training sees."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_sparsenet.networks.sparse_inputs import Factors, Inputs
from sklearn_sparsenet.solvers.reading_ahead import read_batches
from sklearn_sparsenet.solvers.rows import Rows
from sklearn_sparsenet.solvers.shares import Share

__all__ = ["Batch", "Batches"]

# An X up to this size is put into the order of an epoch once, not batch by batch: that
# saves small networks a twentieth of a step, and larger data nothing but a copy.
_GATHER_BYTES = 2**22
# Batches whose targets and weights are gathered at once.
_BATCHES_AT_ONCE = 256
# Kernels round by the alignment of their input: batches are cut from a gathered X only
# where they are aligned as tensors of their own, or the bits depended on what holds X.
_ALIGNMENT = 64


class Batch(NamedTuple):
    """Rows of a problem."""

    inputs: Inputs
    target: Tensor
    # Divided by the mean over *all* samples and by the number of rows; dividing by the
    # batch's own sum would bias the gradient.
    weight: Tensor


@dataclass(frozen=True)
class Batches:
    """Draws batches from samples, of which this process has a share."""

    rows: Rows  # of all samples
    target: Tensor
    sample_weight: Tensor
    inputs: Factors  # what is read of the rows of the share
    share: Share

    def draw(
        self, order: Tensor, sizes: Sequence[int], rows: Rows | None = None
    ) -> Generator[Batch]:
        """Yield the rows of `order`, that many at a time.

        Of each batch those that this process has, which may be none. With `rows`,
        inputs are those of the same samples there.
        """
        whole_sizes = list(sizes)  # those of the batches of all processes
        if not self.share.is_everything:
            ours, sizes = self.share.of_batches(order, whole_sizes)
            order = order[ours]
        with closing(self._batches_of_inputs(order, sizes, rows)) as inputs:
            for start in range(0, len(sizes), _BATCHES_AT_ONCE):
                some = slice(start, start + _BATCHES_AT_ONCE)
                n_rows = sum(sizes[some])
                index, order = order[:n_rows], order[n_rows:]
                what = (index, list(sizes[some]), whole_sizes[some])
                beside = zip(*self._targets_and_weights(*what), strict=True)
                for target, weight in beside:
                    yield Batch(next(inputs), target, weight)

    def _targets_and_weights(
        self, order: Tensor, sizes: list[int], whole_sizes: list[int]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        lengths = torch.tensor(sizes, device=order.device)
        divisor = torch.tensor(whole_sizes, device=order.device)
        # The output size spares accelerators a synchronisation.
        divisor = divisor.repeat_interleave(lengths, output_size=len(order))
        weights = (self.sample_weight[order] / divisor).split(sizes)
        return self.target[order].split(sizes), weights

    def _batches_of_inputs(
        self, order: Tensor, sizes: Sequence[int], rows: Rows | None
    ) -> Generator[Inputs]:
        here, source = self.share.rows, self.inputs
        if self.share.first:
            order = order - self.share.first
        if rows is not None and rows is not self.rows:
            here = source = Share.of(rows).rows
        if self._may_gather(len(order), sizes[0]):
            yield from here.take(order).split(list(sizes))
        elif here.takes_long:
            for batch in read_batches(source, order, sizes):
                yield batch if self._is_aligned(sizes[0]) else batch.clone()
        else:
            for index in order.split(list(sizes)):
                yield source.take(index)

    def _may_gather(self, n_rows: int, batch_size: int) -> bool:
        return (
            self.share.rows.is_converted
            and n_rows * self._row_bytes <= _GATHER_BYTES
            and self._is_aligned(batch_size)
        )

    @property
    def _row_bytes(self) -> int:
        return prod(self.rows.sample_shape) * self.sample_weight.itemsize

    def _is_aligned(self, batch_size: int) -> bool:
        """Tell whether batches in one tensor are aligned as tensors of their own."""
        return batch_size * self._row_bytes % _ALIGNMENT == 0
