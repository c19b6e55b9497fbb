"""Processes that fit one network together, each with samples of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from torch import Tensor

__all__ = [
    "ALONE",
    "Alone",
    "Processes",
    "current_processes",
    "joined",
    "raise_if_shared",
]

A = TypeVar("A")
B = TypeVar("B")


class Processes(Protocol):
    """What the processes of a fit ask of each other, all at the same points of it."""

    rank: int  # the number of this process, from 0
    size: int  # how many there are

    def sum(self, values: Tensor) -> None:
        """Replace values by their sums over all processes: the same bits in each."""

    def gather(self, value: Any) -> list[Any]:
        """Return what each of the processes gives, in their order."""

    def joint(self, own: A, join: Callable[[A, Processes], B]) -> A | B:
        """Return what the processes have together, by `join`; one alone has its own."""
        return join(own, self)

    def refuse(self, message: str) -> None:
        """Refuse, with a ValueError, what one process alone can do."""
        raise ValueError(message)


class Alone(Processes):
    """One process, which has all samples."""

    rank = 0
    size = 1

    def sum(self, values: Tensor) -> None: ...

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def joint(self, own: A, join: Callable[[A, Processes], B]) -> A | B:
        return own

    def refuse(self, message: str) -> None: ...


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
