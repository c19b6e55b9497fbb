"""Products of sparse rows and the weights of a first layer.

Neither time nor memory grows with what is zero: a batch touches the columns that it
has entries in, and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from math import prod
from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

__all__ = [
    "SPARSE_BELOW",
    "Factors",
    "Inputs",
    "SparseFactors",
    "SparseInputs",
    "SubsetFactors",
    "add_outer_product",
    "affine",
    "column_moments",
    "work_per_unit",
]

_SPARSE_WORK = 32  # of a stored entry, next to that of a dense one


# Below this part of entries that are stored, a sparse product is faster.
SPARSE_BELOW = 0.05
# Up to so many elements, nothing is saved by it.
_DENSIFIED = 2**20


class SparseInputs:
    """Some rows of a CSR matrix in canonical format, as a factor of matrix products.

    Its numbers are of the type of the weights.
    """

    def __init__(self, rows: sparse.csr_array | sparse.csr_matrix) -> None:
        self._rows = rows

    @cached_property
    def _used(self) -> tuple[sparse.csr_array, Tensor]:
        """The columns that have entries, and which they are."""
        rows = self._rows
        place = np.zeros(rows.shape[1], np.intp)
        place[rows.indices] = 1
        columns = np.flatnonzero(place)
        place[columns] = np.arange(len(columns))
        parts = (rows.data, place[rows.indices], rows.indptr)
        entries = sparse.csr_array(parts, shape=(rows.shape[0], len(columns)))
        return entries, torch.from_numpy(columns)

    def __len__(self) -> int:
        return int(self._rows.shape[0])

    @property
    def n_stored(self) -> int:
        """How many entries are stored."""
        return int(self._rows.nnz)

    def split(self, sizes: Sequence[int]) -> Iterator[SparseInputs]:
        """Yield these rows in order, that many at a time."""
        for start, stop in pairwise(accumulate(sizes, initial=0)):
            yield SparseInputs(self._rows[start:stop])

    def clone(self) -> SparseInputs:
        """Return rows that do not depend on others; these are."""
        return self

    def times(self, weight: Tensor) -> Tensor:
        """Return the product with a transposed weight, of shape (n_rows, n_units)."""
        entries, columns = self._used
        used = weight.t().index_select(1, columns).t().contiguous()
        return torch.from_numpy(entries @ used.numpy())

    def moments(self, weight: Tensor) -> Tensor:
        """Return sums over the rows; see `column_moments`."""
        rows = self._rows
        each = np.repeat(weight.numpy(), np.diff(rows.indptr))
        values = rows.data.astype(np.float64)
        terms = (each * values, each * values**2, each * (values != 0))
        size = rows.shape[1]
        sums = [np.bincount(rows.indices, term, minlength=size) for term in terms]
        return torch.from_numpy(np.stack(sums))

    def columns(self, numbers: Tensor) -> Inputs:
        """Return some columns of these rows, densified where they are few or full."""
        part = self._rows[:, numbers.numpy()]
        n_elements = prod(part.shape)
        if n_elements > _DENSIFIED and part.nnz < SPARSE_BELOW * n_elements:
            return SparseInputs(part)
        return torch.from_numpy(part.toarray())

    def add_transposed_product(
        self, delta: Tensor, gradient: Tensor, keep: float
    ) -> None:
        """Make a gradient ``keep * gradient + delta.t() @ rows``, in place.

        `delta` has shape (n_rows, n_units); `keep` is 1 to add, 0 to overwrite.
        """
        entries, columns = self._used
        product = torch.from_numpy(entries.T @ delta.numpy()).t()
        if not keep:
            gradient.zero_()
        gradient.index_add_(1, columns, product)


Inputs = Tensor | SparseInputs


class Factors(Protocol):
    """Rows as factors of matrix products."""

    @property
    def row_size(self) -> int:
        """How many elements a row takes up."""

    def take(self, index: Tensor) -> Inputs: ...

    def slice(self, start: int, stop: int) -> Inputs: ...


@dataclass(frozen=True)
class SparseFactors:
    """Rows of a CSR matrix, which stay sparse."""

    values: sparse.csr_array

    @property
    def row_size(self) -> int:
        return -(-self.values.nnz // max(1, self.values.shape[0]))

    def take(self, index: Tensor) -> SparseInputs:
        return SparseInputs(self.values[index.numpy()])

    def slice(self, start: int, stop: int) -> SparseInputs:
        return SparseInputs(self.values[start:stop])


@dataclass(frozen=True)
class SubsetFactors:
    """Some rows among factors, without a copy."""

    factors: Factors
    index: Tensor

    @property
    def row_size(self) -> int:
        return self.factors.row_size

    def take(self, index: Tensor) -> Inputs:
        return self.factors.take(self.index[index])

    def slice(self, start: int, stop: int) -> Inputs:
        return self.factors.take(self.index[start:stop])


def work_per_unit(inputs: Inputs) -> int:
    """Return how much work there is for each unit that reads rows.

    In multiplications of a dense product; those of a sparse one take longer.
    """
    if isinstance(inputs, SparseInputs):
        return _SPARSE_WORK * inputs.n_stored
    return inputs.numel()


def affine(inputs: Inputs, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """Write inputs · weight + bias; the weight is transposed, as it is multiplied."""
    if isinstance(inputs, SparseInputs):
        product = inputs.times(weight)
        out.copy_(product if bias is None else product.add_(bias))
    elif bias is None:
        torch.mm(inputs, weight, out=out)
    else:
        torch.addmm(bias, inputs, weight, out=out)


def column_moments(inputs: Inputs, weight: Tensor) -> Tensor:
    """Return weighted sums of x, of x², and of 1 where x is not zero, (3, n_columns).

    In double precision, on the CPU.
    """
    weight = weight.cpu().double()
    if isinstance(inputs, SparseInputs):
        return inputs.moments(weight)
    dense = inputs.cpu().double()
    return torch.stack([weight @ x for x in (dense, dense**2, (dense != 0).double())])


def add_outer_product(
    delta: Tensor, inputs: Inputs, gradient: Tensor, keep: float
) -> None:
    """Make a gradient ``keep * gradient + delta.t() @ inputs``, in place."""
    if isinstance(inputs, SparseInputs):
        inputs.add_transposed_product(delta, gradient, keep)
    else:
        gradient.addmm_(delta.t(), inputs, beta=keep)
