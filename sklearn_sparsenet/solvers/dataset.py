"""Rows of X as tensors, batch by batch, whatever holds them.

Nothing here densifies or converts all of X unless it is small: CSR rows stay sparse
where they are but multiplied, and are densified per batch elsewhere; memory maps and
integer images are read and converted per batch.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sklearn_sparsenet.networks.sparse_inputs import (
    SPARSE_BELOW,
    Factors,
    SparseFactors,
    SubsetFactors,
)
from sklearn_sparsenet.solvers.rows import Rows, StoredRows, canonical_csr, to_tensor
from sklearn_sparsenet.solvers.streamed import StreamedTable, places_among
from sklearn_sparsenet.solvers.streamed_rows import StreamedRows
from sklearn_sparsenet.utils.processes import ALONE, Processes

__all__ = ["DatasetSubset", "batch_sizes", "make_dataset"]


@dataclass(frozen=True)
class TensorRows(StoredRows):
    """Samples that lie in one tensor on the training device.

    Of the dtype that is handed out, or of another one and converted when read: bytes
    take a quarter of the memory of floats, and of the time to get to a device.
    """

    values: Tensor
    dtype: torch.dtype

    @property
    def is_converted(self) -> bool:
        return self.values.dtype == self.dtype

    def take(self, index: Tensor) -> Tensor:
        return self.values.index_select(0, index).to(self.dtype)

    def slice(self, start: int, stop: int) -> Tensor:
        return self.values[start:stop].to(self.dtype)

    def columns(self, numbers: Tensor) -> Rows | None:
        n_bytes = self.n_samples * len(numbers) * self.dtype.itemsize
        is_table, few = self.values.ndim == 2, _FEW_COLUMNS * prod(self.sample_shape)
        if not is_table or len(numbers) > few or n_bytes > _CONVERT_AT_ONCE_BYTES:
            return None
        return TensorRows(self.values.index_select(1, numbers), self.dtype)

    def stored(self) -> Iterator[np.ndarray]:
        for piece in _pieces(self.values):
            yield np.ascontiguousarray(piece.cpu().numpy())


@dataclass(frozen=True)
class LazyRows(StoredRows):
    """Samples in an array of any dtype, a memory map say, converted when read."""

    values: Any
    dtype: torch.dtype
    device: torch.device

    @property
    def takes_long(self) -> bool:
        return True

    def take(self, index: Tensor) -> Tensor:
        return self._converted(self.values[index.cpu().numpy()])

    def slice(self, start: int, stop: int) -> Tensor:
        return self._converted(self.values[start:stop])

    def _converted(self, rows: Any) -> Tensor:
        return to_tensor(rows, self.dtype, self.device)

    def stored(self) -> Iterator[np.ndarray]:
        yield from map(np.ascontiguousarray, _pieces(self.values))


@dataclass(frozen=True)
class SparseRows(LazyRows):
    """Samples in a CSR matrix, densified when read but as factors."""

    @property
    def takes_long(self) -> bool:
        return False

    def _converted(self, rows: Any) -> Tensor:
        return to_tensor(rows.toarray(), self.dtype, self.device)

    @property
    def stays_sparse(self) -> bool:
        """Whether a sparse product is faster than that of a densified matrix."""
        few = self.values.nnz < SPARSE_BELOW * prod(self.values.shape)
        return self.device.type == "cpu" and bool(few)

    def factors(self) -> Factors:
        """Return sparse factors, if that many are zero, and on the CPU.

        In canonical format, so that what they are made of changes no bit.
        """
        if not self.stays_sparse:
            return self
        return SparseFactors(canonical_csr(self.values, self.dtype))

    def columns(self, numbers: Tensor) -> Rows | None:
        n_bytes = self.values.data.nbytes + self.values.indices.nbytes
        many = len(numbers) > _FEW_COLUMNS * self.values.shape[1]
        if not self.stays_sparse or (many and n_bytes > _CONVERT_AT_ONCE_BYTES):
            return None
        values = self.values[:, numbers.cpu().numpy()]
        return make_dataset(values, self.dtype, self.device)

    def stored(self) -> Iterator[np.ndarray]:
        yield from (self.values.data, self.values.indices, self.values.indptr)


@dataclass(frozen=True)
class DatasetSubset:
    """Some samples of another table, without a copy, in their order there."""

    rows: Rows
    index: Tensor

    @property
    def n_samples(self) -> int:
        return len(self.index)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.rows.sample_shape

    @property
    def is_converted(self) -> bool:
        return self.rows.is_converted

    def take(self, index: Tensor) -> Tensor:
        return self.rows.take(self.index[index])

    def slice(self, start: int, stop: int) -> Tensor:
        return self.rows.take(self.index[start:stop])

    @property
    def row_size(self) -> int:
        return self.rows.row_size

    def factors(self) -> Factors:
        factors = self.rows.factors()
        return self if factors is self.rows else SubsetFactors(factors, self.index)

    def columns(self, numbers: Tensor) -> Rows | None:
        rows = self.rows.columns(numbers)
        return None if rows is None else DatasetSubset(rows, self.index)

    def stored(self) -> Iterator[np.ndarray]:
        yield from self.rows.stored()
        yield self.index.cpu().numpy()

    def here(self) -> tuple[Rows, int, Processes]:
        rows, first, processes = self.rows.here()
        if rows is self.rows:
            return self, 0, ALONE
        ours = (self.index >= first) & (self.index < first + rows.n_samples)
        before = int((self.index < first).sum())  # as they are in their order
        return DatasetSubset(rows, self.index[ours] - first), before, processes

    @property
    def takes_long(self) -> bool:
        return self.rows.takes_long

    def epoch(self, generator: torch.Generator) -> Rows:
        rows = self.rows.epoch(generator)
        return self if rows is self.rows else DatasetSubset(rows, self.index)

    def order(self, generator: torch.Generator) -> Tensor | None:
        whole = self.rows.order(generator)
        if whole is None:
            return None
        places = places_among(whole.numpy(), self.index.cpu().numpy())
        return torch.from_numpy(places)


_PIECE_BYTES = 2**24


def _pieces(values: Any) -> Iterator[Any]:
    """Cut an array or a tensor into pieces of some rows each."""
    step = max(1, _PIECE_BYTES // max(1, values[:1].nbytes))
    return (values[i : i + step] for i in range(0, len(values), step))


def batch_sizes(n_rows: int, size: int) -> list[int]:
    """Return how many rows go together, `size` at a time.

    A single one that is left over joins those before it: batch normalisation cannot do
    with one.
    """
    starts = list(range(0, n_rows, size))
    if len(starts) > 1 and n_rows - starts[-1] == 1:
        starts.pop()
    return [stop - start for start, stop in pairwise([*starts, n_rows])]


# What is at most this large in floats is converted at once; larger sparse matrices,
# memory maps and integer arrays are read batch by batch.
_CONVERT_AT_ONCE_BYTES = 2**26
# Up to this part of the columns are copied where no others are read.
_FEW_COLUMNS = 0.5
# Of the free memory of an accelerator, the part that data may take. What fits is copied
# there once: a copy per batch takes longer than the step.
_ACCELERATOR_SHARE = 0.5
_ON_ACCELERATORS = [
    np.dtype(name) for name in ("bool", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
]


def make_dataset(
    X: np.ndarray | sparse.spmatrix | sparse.sparray | StreamedTable,
    dtype: torch.dtype,
    device: torch.device,
    numbers: np.ndarray | None = None,
    *,
    convert_at_once_bytes: int = _CONVERT_AT_ONCE_BYTES,
) -> Rows:
    """Choose how the rows of X, an array, a CSR or CSC matrix or a dataset, are read.

    What is larger than `convert_at_once_bytes` in floats is read batch by batch. With
    `numbers`, there are to be these rows only: what is converted at once is that of
    these alone, as if there were no others; what is read batch by batch is not copied.
    """
    n_elements = prod(X.shape[1:]) * (X.shape[0] if numbers is None else len(numbers))
    large = n_elements * dtype.itemsize > convert_at_once_bytes
    in_memory = isinstance(X, np.ndarray) and not _is_memory_mapped(X)
    lies_in_floats = in_memory and X.dtype.kind not in "bui"
    if isinstance(X, StreamedTable) or (large and not lies_in_floats):
        rows = _lazy_rows(X, dtype, device)
        if numbers is None:
            return rows
        return DatasetSubset(rows, torch.from_numpy(numbers).to(device))
    if isinstance(X, np.ndarray):
        values = X if numbers is None else X[numbers]
    else:
        values = (X if numbers is None else X.tocsr()[numbers]).toarray()
    return TensorRows(to_tensor(values, dtype, device), dtype)


def _lazy_rows(X: Any, dtype: torch.dtype, device: torch.device) -> Rows:
    if isinstance(X, StreamedTable):
        return StreamedRows(X, dtype, device)
    if not isinstance(X, np.ndarray):
        rows = SparseRows(X.tocsr(), dtype, device)
        if not rows.stays_sparse:
            return rows
        # Once, and not for every problem that has these rows.
        return replace(rows, values=canonical_csr(rows.values, dtype))
    known = X.dtype in _ON_ACCELERATORS
    if device.type != "cpu" and known and _fits(X.nbytes, device):
        return TensorRows(torch.tensor(np.asarray(X), device=device), dtype)
    return LazyRows(X, dtype, device)


def _fits(n_bytes: int, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= _ACCELERATOR_SHARE * free


def _is_memory_mapped(array: np.ndarray) -> bool:
    base: object = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return isinstance(base, mmap.mmap)
