"""Rows of Parquet and Arrow files, of which a few row groups are in memory."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sklearn_sparsenet.utils.arguments import checked_number

__all__ = ["ParquetRows"]

_PIECE_BYTES = 2**24
_ARROW = b"ARROW1"  # what Arrow's files begin with


class ParquetRows:
    """Rows of Parquet files, or of Arrow's own (Feather): a `Dataset`.

    Files are read a row group at a time (of Arrow: a record batch), and few of them are
    in memory. In each epoch of a training the groups come in a random order, and each
    batch has rows of `buffer` of them, so that every group is read once. Where a file
    is sorted, its groups differ: choose a buffer of many, or write smaller groups.

    Needs pyarrow: ``pip install sklearn-sparsenet[parquet]``.

    Parameters
    ----------
    paths : str, path or sequence of them
        Files with the same columns, whose rows follow each other.
    columns : sequence of str, optional
        Which columns are the inputs, in this order; by default all but the target.
        They have to be numbers or booleans.
    target : str, optional
        The column of the target; `fit` takes it where y is None.
    dtype : dtype, optional
        Of the rows; by default one that holds all columns.
    buffer : int, default=4
        From how many row groups batches are drawn; one more is in memory.

    Attributes
    ----------
    n_samples : int
    feature_names : list of str
        The columns.

    Raises
    ------
    ValueError
        If there are no rows, or files or columns do not suit each other.

    Examples
    --------
    >>> from sklearn_sparsenet import ParquetRows
    >>> rows = ParquetRows(["2025.parquet", "2026.parquet"],
    ...                    target="price")  # doctest: +SKIP
    >>> net = SparseNetRegressor().fit(rows)  # doctest: +SKIP
    """

    def __init__(
        self,
        paths: str | os.PathLike | Sequence[str | os.PathLike],
        *,
        columns: Sequence[str] | None = None,
        target: str | None = None,
        dtype: Any = None,
        buffer: int = 4,
    ) -> None:
        given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        self._paths = [os.fspath(path) for path in given]
        self._target = target
        is_count = {"accepts": lambda n: isinstance(n, int) and n > 0}
        self._buffer = int(
            checked_number("buffer", buffer, **is_count, accepted="a positive int")
        )
        self._start()
        if not self._groups:
            raise ValueError(f"paths={paths!r} have no rows.")
        schema = self._files[0].schema
        names = [name for name in schema.names if name != target]
        self.feature_names = names if columns is None else list(columns)
        types = [self._type_of(name) for name in self.feature_names]
        self._dtype = np.result_type(*types) if dtype is None else np.dtype(dtype)

    def _start(self) -> None:
        self._files = [_open(path) for path in self._paths]
        self._groups = [
            (file, number)
            for file in self._files
            for number, size in enumerate(file.sizes)
            if size
        ]
        sizes = [file.sizes[number] for file, number in self._groups]
        self._ends = list(accumulate(sizes))
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is known without the open files."""
        names = ("_paths", "_target", "_buffer", "feature_names", "_dtype")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def _type_of(self, name: str) -> np.dtype:
        """Return the NumPy type of a column, which has to be a number in all files."""
        types = []
        for path, file in zip(self._paths, self._files, strict=True):
            if name not in file.schema.names:
                raise ValueError(
                    f"{path} has no column {name!r}; it has {file.schema.names}."
                )
            types.append(file.schema.field(name).type)
        try:
            found = np.result_type(*(kind.to_pandas_dtype() for kind in types))
        except (NotImplementedError, TypeError):
            found = np.dtype(object)
        if found.kind not in "biuf":
            raise ValueError(
                f"The column {name!r} has the type {types[0]}, and inputs are numbers. "
                "Leave it out of columns=, or encode it when the file is written."
            )
        return found

    @property
    def n_samples(self) -> int:
        """How many rows the files have."""
        return self._ends[-1]

    @cached_property
    def target(self) -> np.ndarray | None:
        """The column of the target, of all rows."""
        if self._target is None:
            return None
        parts = [
            file.read(number, [self._target]).column(0).to_numpy(zero_copy_only=False)
            for file, number in self._groups
        ]
        return np.concatenate(parts)

    @property
    def fingerprint(self) -> str:
        """A digest of the files and columns; reads all of them once."""
        digest = hashlib.sha256(repr([self.feature_names, self._dtype]).encode())
        for path in self._paths:
            digest.update(str(Path(path).stat().st_size).encode())
            with open(path, "rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    digest.update(piece)
        return digest.hexdigest()

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the rows in a random order in which every group is read once.

        A group is dealt to `buffer` steps, each of which begins with another one, and
        the rows of a step are shuffled: one group is read at a time, so that a thread
        can do it while those before are trained on.
        """
        groups = rng.permutation(len(self._ends)).tolist()
        starts = [0, *self._ends]
        steps: list[list[np.ndarray]] = [[] for _ in range(len(groups) + self._buffer)]
        for begin, group in enumerate(groups):
            rows = rng.permutation(np.arange(starts[group], starts[group + 1]))
            for step, part in enumerate(np.array_split(rows, self._buffer), begin):
                steps[step].append(part)
        return np.concatenate([rng.permutation(np.concatenate(s)) for s in steps if s])

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Return rows start:stop."""
        return self.take(np.arange(start, stop))

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return some rows, shape (len(index), n_features)."""
        found = np.empty((len(index), len(self.feature_names)), self._dtype)
        group_of = np.searchsorted(self._ends, index, side="right")
        groups, last = np.unique(group_of[::-1], return_index=True)
        needed = groups[np.argsort(-last)].tolist()
        with self._lock:
            # Those in memory first: they may have to leave for others. Those that come
            # last are asked for last, and are still there for the next rows.
            for group in sorted(needed, key=lambda g: g not in self._cache):
                where = np.flatnonzero(group_of == group)
                start = self._ends[group - 1] if group else 0
                found[where] = self._group(group)[index[where] - start]
        return found

    def _group(self, group: int) -> np.ndarray:
        if group not in self._cache:
            while len(self._cache) > self._buffer:
                self._cache.popitem(last=False)
            self._cache[group] = self._read(group)
        self._cache.move_to_end(group)
        return self._cache[group]

    def _read(self, group: int) -> np.ndarray:
        file, number = self._groups[group]
        table = file.read(number, self.feature_names)
        values = np.empty((table.num_rows, len(self.feature_names)), self._dtype)
        for place, name in enumerate(self.feature_names):
            values[:, place] = table.column(name).to_numpy(zero_copy_only=False)
        return values


class _File(NamedTuple):
    """An open file: its columns, the rows of each group, and how to read one."""

    schema: Any
    sizes: list[int]
    read: Any  # (number, columns) -> table


def _open(path: str) -> _File:
    try:
        from pyarrow import ipc, memory_map, parquet
    except ImportError as error:
        raise ImportError(
            "ParquetRows needs pyarrow: pip install sklearn-sparsenet[parquet]"
        ) from error
    with open(path, "rb") as start:
        is_arrow = start.read(len(_ARROW)) == _ARROW
    if is_arrow:
        return _open_arrow(ipc, memory_map(path))
    return _open_parquet(parquet, path)


def _open_arrow(ipc: Any, memory: Any) -> _File:
    file = ipc.open_file(memory)
    batches = range(file.num_record_batches)
    sizes = [file.get_batch(number).num_rows for number in batches]
    return _File(file.schema, sizes, lambda k, names: file.get_batch(k).select(names))


def _open_parquet(parquet: Any, path: str) -> _File:
    file = parquet.ParquetFile(path)
    groups = (file.metadata.row_group(k) for k in range(file.num_row_groups))

    def read(number: int, names: list[str]) -> Any:
        return file.read_row_group(number, columns=names, use_threads=False)

    return _File(file.schema_arrow, [group.num_rows for group in groups], read)
