"""What the core asks of the rows of X, whatever holds them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sklearn_sparsenet.networks.sparse_inputs import Factors
from sklearn_sparsenet.utils.processes import ALONE, Processes

__all__ = ["Rows", "StoredRows", "canonical_csr", "to_tensor"]


class Rows(Protocol):
    """A table of samples, read by row numbers."""

    @property
    def n_samples(self) -> int: ...

    @property
    def sample_shape(self) -> tuple[int, ...]: ...

    @property
    def row_size(self) -> int:
        """How many elements a row takes up when it is read."""

    @property
    def is_converted(self) -> bool:
        """Whether the rows lie in a tensor already, so that reading is a copy."""

    def take(self, index: Tensor) -> Tensor:
        """Return the rows of an index tensor, shape (len(index), *sample_shape)."""

    def slice(self, start: int, stop: int) -> Tensor:
        """Return rows start:stop."""

    def factors(self) -> Factors:
        """Return what is read where rows are but multiplied: these, or sparse ones."""

    def columns(self, numbers: Tensor) -> Rows | None:
        """Return some columns as rows of their own.

        None where it saves nothing to read fewer.
        """

    def stored(self) -> Iterator[np.ndarray]:
        """Yield the arrays that hold the rows as they are, piece by piece.

        All that tells these rows from others is in them.
        """

    @property
    def takes_long(self) -> bool:
        """Whether to read a batch may take as long as a step of the training."""

    def epoch(self, generator: torch.Generator) -> Rows:
        """Return the rows as one epoch of training sees them."""

    def order(self, generator: torch.Generator) -> Tensor | None:
        """Return the row numbers in a random order that is cheap to read.

        None where all orders are.
        """

    def here(self) -> tuple[Rows, int, Processes]:
        """Return the rows that this process has, which are consecutive.

        With the number of the first of them, and the processes that have the others.
        """


class StoredRows(Rows, Protocol):
    """Rows in one array, tensor or matrix, multiplied as they are read."""

    values: Any

    @property
    def n_samples(self) -> int:
        return int(self.values.shape[0])

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape[1:])

    @property
    def row_size(self) -> int:
        return prod(self.sample_shape)

    @property
    def is_converted(self) -> bool:
        return False

    def factors(self) -> Factors:
        return self

    def columns(self, numbers: Tensor) -> Rows | None:
        return None

    @property
    def takes_long(self) -> bool:
        return False

    def epoch(self, generator: torch.Generator) -> Rows:
        return self

    def order(self, generator: torch.Generator) -> Tensor | None:
        return None

    def here(self) -> tuple[Rows, int, Processes]:
        return self, 0, ALONE


def to_tensor(rows: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return numbers of any type as a tensor of the training's, a copy of them."""
    # torch.tensor copies into memory that is aligned alike in every process; results
    # of vectorised kernels depend on the alignment in their last bit.
    numpy_dtype = np.float64 if dtype == torch.float64 else np.float32
    return torch.tensor(np.ascontiguousarray(rows, numpy_dtype), device=device).to(
        dtype
    )


def canonical_csr(values: Any, dtype: torch.dtype) -> sparse.csr_array:
    """Return a CSR matrix in canonical format, which is what products take.

    It is the matrix itself if that is one.
    """
    numpy_dtype = np.float64 if dtype == torch.float64 else np.float32
    is_array = isinstance(values, sparse.csr_array)
    if not is_array or values.dtype != numpy_dtype:
        values = sparse.csr_array(values, dtype=numpy_dtype)
    if not values.has_canonical_format:
        values = values.copy()
        values.sum_duplicates()
    return values
