"""The next item of an iterator is made in a thread while the present one is used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["read_ahead"]

T = TypeVar("T")


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
