"""Rows of a table that are known by their numbers, and copied a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from sklearn_sparsenet.estimators._validation import safe_indexing
from sklearn_sparsenet.solvers.streamed import block_slices

__all__ = ["TableRows"]

_BLOCK_ELEMENTS = 2**23


@dataclass(frozen=True)
class TableRows:
    """Some rows of X, of a memory map say, that are asked about and not copied.

    Fitted networks predict for them as for X.
    """

    table: Any  # array-like, sparse matrix or frame
    numbers: np.ndarray  # of the rows

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self) -> Any:
        """Return a copy of the rows."""
        return safe_indexing(self.table, self.numbers)

    def blocks(self) -> Iterator[Any]:
        """Yield copies of some rows at a time, of all where they are small."""
        row_size = prod(getattr(self.table, "shape", (0,))[1:])
        for rows in block_slices(len(self), row_size, _BLOCK_ELEMENTS):
            yield safe_indexing(self.table, self.numbers[rows])
