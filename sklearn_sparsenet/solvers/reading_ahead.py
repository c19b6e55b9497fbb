"""Batches whose rows are read in a thread, while those before are trained on.

They are read in pieces of many batches: a thread that is asked for each batch costs
more time than it saves (figures in docs/design_notes.md).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from torch import Tensor

from sklearn_sparsenet.networks.sparse_inputs import Factors, Inputs
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["read_ahead", "read_batches"]

# Elements of X in a piece; two of them are in memory.
_PIECE_ELEMENTS = 2**19

T = TypeVar("T")


def read_batches(
    rows: Factors, order: Tensor, sizes: Sequence[int]
) -> Generator[Inputs]:
    """Yield the rows of an order, that many at a time, read ahead."""
    at_once = max(1, _PIECE_ELEMENTS // max(1, rows.row_size * sizes[0]))
    groups = [list(sizes[i : i + at_once]) for i in range(0, len(sizes), at_once)]
    indices = order.split([sum(group) for group in groups])
    with closing(read_ahead(map(rows.take, indices))) as pieces:
        for piece, group in zip(pieces, groups, strict=True):
            yield from piece.split(group)


def read_ahead(items: Iterator[T]) -> Generator[T]:
    """Yield the same items in the same order, one of them made ahead.

    What is raised where they are made is raised here, with its traceback. The thread
    ends with the generator: close it if not all items are taken.
    """
    with ThreadPoolExecutor(1, "read_ahead") as thread:
        coming = thread.submit(_next, items)
        while (item := coming.result()) is not None:
            coming = thread.submit(_next, items)
            yield item


@single_threaded()
def _next(items: Iterator[T]) -> T | None:
    return next(items, None)
