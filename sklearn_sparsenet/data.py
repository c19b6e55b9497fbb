"""Rows of X as tensors, batch by batch, whatever holds them.

Nothing here copies or densifies all of X unless it is small: CSR rows are densified
per batch, memory maps and integer images are read and converted per batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

__all__ = ["Rows", "make_rows"]


class Rows(Protocol):
    """A table of samples, read by row numbers."""

    @property
    def n_samples(self) -> int: ...

    @property
    def sample_shape(self) -> tuple[int, ...]: ...

    def take(self, index: Tensor) -> Tensor:
        """Return the rows of an index tensor, shape (len(index), *sample_shape)."""

    def slice(self, start: int, stop: int) -> Tensor:
        """Return rows start:stop."""


@dataclass(frozen=True)
class TensorRows:
    """Samples that lie in one tensor on the training device."""

    values: Tensor

    @property
    def n_samples(self) -> int:
        return len(self.values)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape[1:])

    def take(self, index: Tensor) -> Tensor:
        return self.values.index_select(0, index)

    def slice(self, start: int, stop: int) -> Tensor:
        return self.values[start:stop]


@dataclass(frozen=True)
class LazyRows:
    """Samples in an array of any dtype, a memory map say, converted when read."""

    values: np.ndarray
    dtype: torch.dtype
    device: torch.device

    @property
    def n_samples(self) -> int:
        return len(self.values)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape[1:])

    def _convert(self, rows: np.ndarray) -> Tensor:
        return torch.tensor(rows, device=self.device).to(self.dtype)

    def take(self, index: Tensor) -> Tensor:
        return self._convert(self.values[index.cpu().numpy()])

    def slice(self, start: int, stop: int) -> Tensor:
        return self._convert(np.asarray(self.values[start:stop]))


@dataclass(frozen=True)
class SparseRows:
    """Samples in a CSR matrix, densified when read."""

    values: sparse.csr_matrix | sparse.csr_array
    dtype: torch.dtype
    device: torch.device

    @property
    def n_samples(self) -> int:
        return int(self.values.shape[0])

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return (int(self.values.shape[1]),)

    def _convert(self, rows: sparse.csr_matrix | sparse.csr_array) -> Tensor:
        return torch.tensor(rows.toarray(), device=self.device).to(self.dtype)

    def take(self, index: Tensor) -> Tensor:
        return self._convert(self.values[index.cpu().numpy()])

    def slice(self, start: int, stop: int) -> Tensor:
        return self._convert(self.values[start:stop])


# Larger integer arrays stay as they are: a float copy would take up to eight times
# their memory.
_CONVERT_AT_ONCE_BYTES = 2**26


def make_rows(X: object, dtype: torch.dtype, device: torch.device) -> Rows:
    """Choose how the rows of X are read.

    Parameters
    ----------
    X : ndarray, np.memmap, CSR or CSC matrix of shape (n_samples, ...)
    dtype, device
        Of the tensors that are handed out.
    """
    if sparse.issparse(X):
        return SparseRows(X.tocsr(), dtype, device)
    assert isinstance(X, np.ndarray)
    stays_on_disk = isinstance(X, np.memmap) or isinstance(X.base, np.memmap)
    narrow = X.dtype.kind in "bui" and X.nbytes > _CONVERT_AT_ONCE_BYTES
    if stays_on_disk or narrow:
        return LazyRows(X, dtype, device)
    # A copy of our own has the same memory alignment in every process; results of
    # vectorised kernels depend on it in the last bit.
    return TensorRows(torch.tensor(X, device=device).to(dtype))
