"""The samples of a problem that this process computes with, and sums over all.

A training that several processes share is that of one process: samples are numbered
through, one process after the other, and every process draws the same batches. It
computes the gradient of the samples of a batch that it has, and a sum over the
processes, one per step, gives all of them the gradient of the whole batch. All else is
computed everywhere, from equal numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sklearn_sparsenet.networks.sparse_inputs import Factors
from sklearn_sparsenet.solvers.rows import Rows
from sklearn_sparsenet.utils.processes import Processes

__all__ = ["Share", "SharedRows"]


@dataclass(frozen=True)
class Share:
    """Consecutive samples of a problem, which this process computes with."""

    rows: Rows
    first: int  # the number of the first of them, among all samples
    processes: Processes

    @classmethod
    def of(cls, rows: Rows) -> Share:
        """Return those of the rows that this process has."""
        return cls(*rows.here())

    @property
    def is_everything(self) -> bool:
        """Whether there are no other samples."""
        return self.processes.size == 1

    def of_batches(
        self, order: Tensor, sizes: Sequence[int]
    ) -> tuple[Tensor, list[int]]:
        """Return which of the samples in `order` are in the share, as places in it.

        And how many of them belong to each of the batches of these sizes.
        """
        ours = (order >= self.first) & (order < self.first + self.rows.n_samples)
        lengths = torch.tensor(sizes, device=order.device)
        number = torch.arange(len(sizes), dtype=torch.int32, device=order.device)
        number = number.repeat_interleave(lengths, output_size=len(order))[ours]
        counts = number.bincount(minlength=len(sizes)).tolist()
        return ours.nonzero().flatten(), counts

    def sum(self, *tensors: Tensor) -> None:
        """Replace tensors of one type by their sums over the processes, all at once."""
        if self.is_everything:
            return
        values = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self.processes.sum(values)
        parts = values.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def whole(self, pieces: Sequence[Tensor]) -> Tensor:
        """Return what is said of these samples, piece by piece, for all samples."""
        if self.is_everything:
            return torch.cat(list(pieces))
        found = self.processes.gather([piece.cpu() for piece in pieces])
        known = [piece for of_process in found for piece in of_process]
        return torch.cat(known).to(self.rows.slice(0, 0).device)


@dataclass(frozen=True)
class SharedRows:
    """Samples of all processes, one process after the other.

    To read them is a sum over the processes, so that all have to read the same ones at
    the same time. It is meant for some of them; training reads those of its `Share`.
    """

    local: Rows
    first: int  # the number of the first sample of this process
    n_samples: int  # of all processes
    row_size: int
    processes: Processes

    @classmethod
    def of(cls, local: Rows, processes: Processes) -> SharedRows:
        """Put the samples of the processes together."""
        facts = processes.gather((local.n_samples, local.row_size))
        sizes = [n_samples for n_samples, _ in facts]
        elements = sum(n_samples * row_size for n_samples, row_size in facts)
        first = sum(sizes[: processes.rank])
        row_size = -(-elements // sum(sizes))
        return cls(local, first, sum(sizes), row_size, processes)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.local.sample_shape

    @property
    def device(self) -> torch.device:
        return self.local.slice(0, 0).device

    @property
    def is_converted(self) -> bool:
        return False

    def take(self, index: Tensor) -> Tensor:
        ours = (index >= self.first) & (index < self.first + self.local.n_samples)
        found = self.local.take(index[ours] - self.first)
        rows = found.new_zeros(len(index), *self.sample_shape)
        rows[ours] = found
        self.processes.sum(rows)
        return rows

    def slice(self, start: int, stop: int) -> Tensor:
        return self.take(torch.arange(start, stop, device=self.device))

    def factors(self) -> Factors:
        return self

    def columns(self, numbers: Tensor) -> Rows | None:
        local = self.local.columns(numbers)
        if any(self.processes.gather(local is None)):
            return None
        assert local is not None
        return SharedRows.of(local, self.processes)

    def stored(self) -> Iterator[np.ndarray]:
        digest = hashlib.sha256()
        for array in self.local.stored():
            digest.update(repr((array.dtype, array.shape)).encode())
            digest.update(array.data)
        for content in self.processes.gather(digest.digest()):
            yield np.frombuffer(content, np.uint8)

    @property
    def takes_long(self) -> bool:
        return self.local.takes_long

    def epoch(self, generator: torch.Generator) -> Rows:
        local = self.local.epoch(generator)
        return self if local is self.local else replace(self, local=local)

    def order(self, generator: torch.Generator) -> Tensor | None:
        """Return the orders of the processes, each spread over the whole epoch."""
        local = self.local.order(generator)
        found = self.processes.gather(None if local is None else local + self.first)
        if any(order is None for order in found):
            return None
        places = [(torch.arange(len(order)) + 0.5) / len(order) for order in found]
        return torch.cat(found)[torch.cat(places).argsort(stable=True)]

    def here(self) -> tuple[Rows, int, Processes]:
        return self.local, self.first, self.processes
