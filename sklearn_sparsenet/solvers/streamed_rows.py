"""Rows of a user's dataset as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sklearn_sparsenet.networks.sparse_inputs import Factors, SparseInputs
from sklearn_sparsenet.solvers.rows import Rows, StoredRows, canonical_csr, to_tensor
from sklearn_sparsenet.solvers.streamed import StreamedTable, largest_number

__all__ = ["StreamedFactors", "StreamedRows"]


@dataclass(frozen=True)
class StreamedRows(StoredRows):
    """Samples of a user's dataset, checked and converted when read."""

    values: StreamedTable
    dtype: torch.dtype
    device: torch.device

    def read(self, rows: Any) -> Any:
        """Return rows as the user's dataset has them."""
        return self.values.read(rows, largest_number(self.dtype))

    def take(self, index: Tensor) -> Tensor:
        return self._converted(self.read(index.cpu().numpy()))

    def slice(self, start: int, stop: int) -> Tensor:
        return self._converted(self.read(slice(start, stop)))

    def _converted(self, rows: Any) -> Tensor:
        dense = rows.toarray() if sparse.issparse(rows) else rows
        return to_tensor(dense, self.dtype, self.device)

    def factors(self) -> Factors:
        """Return sparse factors of CSR rows, on the CPU."""
        if self.values.is_sparse and self.device.type == "cpu":
            return StreamedFactors(self, self.values.row_size)
        return self

    def stored(self) -> Iterator[np.ndarray]:
        fingerprint = self.values.offered("fingerprint")
        if not isinstance(fingerprint, str):
            raise ValueError(
                "checkpoint= needs X.fingerprint, a str that no other data have: a fit "
                "goes on with the data that it began with."
            )
        yield np.frombuffer(fingerprint.encode(), np.uint8)

    @property
    def takes_long(self) -> bool:
        """Not said of rows with random changes: their numbers are drawn in order."""
        return self.values.offered("epoch") is None

    def epoch(self, generator: torch.Generator) -> Rows:
        begin = self.values.offered("epoch")
        if begin is None:
            return self
        dataset = begin(_numpy_generator(generator))
        return StreamedRows(StreamedTable(dataset), self.dtype, self.device)

    def order(self, generator: torch.Generator) -> Tensor | None:
        draw = self.values.offered("order")
        if draw is None:
            return None
        order = np.asarray(draw(_numpy_generator(generator)))
        counts = np.bincount(order, minlength=self.n_samples)
        if order.shape != (self.n_samples,) or not (counts == 1).all():
            raise ValueError(
                "X.order(rng) must return each of the row numbers from 0 to "
                f"{self.n_samples - 1} once."
            )
        return torch.from_numpy(order.astype(np.int64))


@dataclass(frozen=True)
class StreamedFactors:
    """CSR rows of a user's dataset, which stay sparse."""

    rows: StreamedRows
    row_size: int

    def take(self, index: Tensor) -> SparseInputs:
        rows = self.rows.read(index.numpy())
        return SparseInputs(canonical_csr(rows, self.rows.dtype))

    def slice(self, start: int, stop: int) -> SparseInputs:
        rows = self.rows.read(slice(start, stop))
        return SparseInputs(canonical_csr(rows, self.rows.dtype))


def _numpy_generator(generator: torch.Generator) -> np.random.Generator:
    seed = torch.randint(2**62, (1,), generator=generator)
    return np.random.default_rng(int(seed))
