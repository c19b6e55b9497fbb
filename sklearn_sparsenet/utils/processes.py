"""Processes that fit one network together, each with samples of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from torch import Tensor

__all__ = [
    "ALONE",
    "Alone",
    "Processes",
    "current_processes",
    "joined",
    "raise_if_shared",
]


class Processes(Protocol):
    """What the processes of a fit ask of each other, all at the same points of it."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""

    @property
    def size(self) -> int:
        """How many there are."""

    def sum(self, values: Tensor) -> None:
        """Replace values by their sums over all processes: the same bits in each."""

    def gather(self, value: Any) -> list[Any]:
        """Return what each of the processes gives, in their order."""


class Alone:
    """One process, which has all samples."""

    rank = 0
    size = 1

    def sum(self, values: Tensor) -> None: ...

    def gather(self, value: Any) -> list[Any]:
        return [value]


ALONE = Alone()
# Of the thread that calls `fit`: others, such as those of joblib, fit by themselves.
_current: ContextVar[Processes] = ContextVar("processes", default=ALONE)


def current_processes() -> Processes:
    """Return the processes that a fit, begun here and now, is shared by."""
    return _current.get()


@contextmanager
def joined(processes: Processes) -> Iterator[None]:
    """Let fits be shared by processes for a while."""
    token = _current.set(processes)
    try:
        yield
    finally:
        _current.reset(token)


def raise_if_shared() -> None:
    """Raise the exception that is being handled again if processes share the fit.

    A process that the user interrupts has nothing to bring to an end alone: the others
    would wait for it, or add numbers that are about something else.
    """
    if current_processes().size > 1:
        raise
