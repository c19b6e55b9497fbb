"""Data of users that are read some rows at a time: what they implement, and checks.

What can be told without reading everything is checked at the beginning; the rest, in
each piece that is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, prod, sqrt
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse

from sklearn_sparsenet.utils.arguments import checked_number
from sklearn_sparsenet.utils.sparse_input import check_sparse

__all__ = [
    "Dataset",
    "DatasetPart",
    "StreamedTable",
    "block_slices",
    "is_dataset",
    "largest_number",
    "places_among",
]

_SHOWN_ROWS = 5  # of those that are named in a message
_DENSITY_ROWS = 256  # that tell how much is stored in a row of CSR
# Elements that are read at once where all rows are asked for, and the multiple of rows
# that predictions take at once: the same bits, however they are cut.
_BLOCK_ELEMENTS, _BLOCK_ROWS = 2**20, 1024


class Dataset(Protocol):
    """Samples that are read some rows at a time.

    Any object with these three members will do, in place of X: in `fit`, `predict`,
    `predict_proba`, `score`, cross-validation and stable selection. Rows are arrays of
    numbers of shape (n_rows, n_features), with `module=` (n_rows, ...), or CSR
    matrices. They have to be the same whenever they are read. A few batches at most are
    in memory.

    A dataset may also have

    - ``target``, an array of shape (n_samples,) or (n_samples, n_outputs), which `fit`
      takes where y is None;
    - ``feature_names``, a sequence of n_features str;
    - ``fingerprint``, a str that no other data have, without which there is no
      ``checkpoint=``;
    - ``order(rng)``, which returns all row numbers in a random order that is cheap to
      read, drawn from a `numpy.random.Generator`; by default it is any order;
    - ``epoch(rng)``, which returns the dataset as one epoch of training sees it, with
      random changes of the samples drawn from a `numpy.random.Generator`.

    Where there is no ``epoch``, the next batch is read in a thread while the present
    one is trained on.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_sparsenet import SparseNetRegressor
    >>> class Waves:
    ...     n_samples = 1000
    ...     def take(self, index):
    ...         return np.sin(index[:, None] * [1.0, 2.0, 3.0])
    ...     def slice(self, start, stop):
    ...         return self.take(np.arange(start, stop))
    >>> X, y = Waves(), np.sin(2.0 * np.arange(1000))
    >>> net = SparseNetRegressor((8,), target_sparsity=6, random_state=0).fit(X, y)
    >>> net.predict(X).shape
    (1000,)
    """

    @property
    def n_samples(self) -> int:
        """How many samples there are."""

    def take(self, index: np.ndarray) -> Any:
        """Return some rows, whose numbers are in an array of int64."""

    def slice(self, start: int, stop: int) -> Any:
        """Return rows start:stop."""


def is_dataset(X: object) -> bool:
    """Tell whether an object is a `Dataset`.

    Judged by methods of its class: columns of frames may have any name.
    """
    methods = all(callable(getattr(type(X), name, None)) for name in ("take", "slice"))
    return methods and hasattr(X, "n_samples")


@dataclass(frozen=True)
class DatasetPart:
    """Some rows of a dataset, as a dataset of their own."""

    dataset: Dataset
    numbers: np.ndarray  # of the rows, of int64

    @property
    def n_samples(self) -> int:
        """How many rows these are."""
        return len(self.numbers)

    @property
    def feature_names(self) -> Any:
        """Names of the columns, if there are any."""
        return getattr(self.dataset, "feature_names", None)

    def take(self, index: np.ndarray) -> Any:
        """Return some rows."""
        return self.dataset.take(self.numbers[index])

    def slice(self, start: int, stop: int) -> Any:
        """Return rows start:stop."""
        return self.dataset.take(self.numbers[start:stop])

    @property
    def order(self) -> Callable[[np.random.Generator], np.ndarray] | None:
        """An order of these rows that is cheap to read, if the dataset has one."""
        whole = getattr(self.dataset, "order", None)
        if whole is None:
            return None
        return lambda rng: places_among(whole(rng), self.numbers)

    @property
    def epoch(self) -> Callable[[np.random.Generator], DatasetPart] | None:
        """The rows as an epoch sees them, if the dataset changes them."""
        begin = getattr(self.dataset, "epoch", None)
        if begin is None:
            return None
        return lambda rng: DatasetPart(begin(rng), self.numbers)


def places_among(order: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return where the rows of an order stand among some `numbers`; others are left."""
    place = np.full(len(order), -1)
    place[numbers] = np.arange(len(numbers))
    places = place[order]
    return places[places >= 0]


class StreamedTable:
    """A dataset of a user as a table of which some rows are read, and checked.

    Like an array it has `shape` and `dtype`, those of its first row, and rows are read
    as ``table[index]`` or ``table[start:stop]``.

    Raises
    ------
    ValueError
        Here and when rows are read: if they are no numbers, not finite, not as many as
        were asked for, or have another shape than the first one.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        n_samples = checked_number(
            "X.n_samples", dataset.n_samples, _is_count, "a positive int"
        )
        first = self._as_rows(dataset.slice(0, 1), 1)
        self.shape: tuple[int, ...] = (int(n_samples), *first.shape[1:])
        self.dtype: np.dtype = first.dtype
        self.is_sparse = bool(sparse.issparse(first))

    def offered(self, name: str) -> Any:
        """Return what the dataset may have, or None; it may be costly to make."""
        return getattr(self.dataset, name, None)

    @property
    def ndim(self) -> int:
        """Number of dimensions, that of the samples included."""
        return len(self.shape)

    @property
    def row_size(self) -> int:
        """How many elements are stored in a row, about."""
        if not self.is_sparse:
            return prod(self.shape[1:])
        some = self[: min(_DENSITY_ROWS, self.shape[0])]
        return max(1, ceil(some.nnz / some.shape[0]))

    def __getitem__(self, rows: np.ndarray | slice) -> Any:
        return self.read(rows, float(np.finfo(np.float64).max))

    def read(self, rows: np.ndarray | slice, limit: float) -> Any:
        """Return some rows, none of whose numbers is larger than the limit."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self.shape[0])
            numbers = np.arange(start, stop, step)
            is_plain = step == 1
            part = self.dataset
            found = part.slice(start, stop) if is_plain else part.take(numbers)
        else:
            numbers = np.asarray(rows, dtype=np.int64)
            found = self.dataset.take(numbers)
        found = self._as_rows(found, len(numbers))
        if found.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"X has rows of shape {found.shape[1:]} from row {numbers[0]} on, and "
                f"of shape {self.shape[1:]} at its beginning."
            )
        _check_values(found, numbers, limit)
        return found

    def _as_rows(self, found: Any, n_rows: int) -> Any:
        """Return rows as an array or CSR matrix, if they can be."""
        rows = check_sparse(found, "X")
        rows = rows.tocsr() if sparse.issparse(rows) else np.asarray(rows)
        if rows.dtype.kind not in "biuf":
            raise ValueError(f"X must have rows of numbers; got dtype {rows.dtype}.")
        if rows.ndim < 2 or rows.shape[0] != n_rows:
            raise ValueError(
                f"X was asked for {n_rows} rows, and returned an array of shape "
                f"{rows.shape}; rows come first, and make two dimensions or more."
            )
        return rows

    def blocks(self) -> Iterator[Any]:
        """Yield all rows in their order, some at a time."""
        for rows in block_slices(self.shape[0], self.row_size, _BLOCK_ELEMENTS):
            yield self[rows]


def block_slices(n_rows: int, row_size: int, n_elements: int) -> Iterator[slice]:
    """Cut rows into blocks of about so many elements, and full rows of predictions."""
    size = max(1, n_elements // max(1, row_size))
    if size > _BLOCK_ROWS:
        size -= size % _BLOCK_ROWS
    n_blocks = max(1, n_rows // size)
    for number in range(n_blocks):
        stop = n_rows if number == n_blocks - 1 else (number + 1) * size
        yield slice(number * size, stop)


def _is_count(number: float) -> bool:
    return isinstance(number, int) and number > 0


def largest_number(dtype: torch.dtype) -> float:
    """Return the largest number whose square a floating type has."""
    return sqrt(torch.finfo(dtype).max)


def _check_values(rows: Any, numbers: np.ndarray, limit: float) -> None:
    values = rows.data if sparse.issparse(rows) else rows
    if values.dtype.kind != "f" or not values.size:
        return
    with np.errstate(invalid="ignore"):
        largest = max(float(values.max()), -float(values.min()))
        if largest <= limit:  # NaN is not
            return
        bad = ~(np.abs(values) <= limit)
    if sparse.issparse(rows):
        places = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))[bad]
    else:
        places = np.flatnonzero(bad.reshape(len(rows), -1).any(axis=1))
    named = np.unique(numbers[places])
    shown = ", ".join(map(str, named[:_SHOWN_ROWS]))
    more = ", …" if len(named) > _SHOWN_ROWS else ""
    what = "NaN or infinite numbers"
    if np.isfinite(largest):
        what = f"numbers beyond {limit:.0e}, too large to be computed with,"
    raise ValueError(f"X has {what} in row {shown}{more}.")
