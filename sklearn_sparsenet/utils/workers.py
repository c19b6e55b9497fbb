"""Threads that share the work of one fit.

Work is divided by its shape alone, never by how many threads there are, so that their
number changes no bit. Each of them computes on one core (`single_threaded`) and sleeps
while there is nothing to do: threads that wait in a loop, as those of OpenMP do, made a
fit beside a busy core eight times slower.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor

from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["over_ranges", "run_tasks", "sharing_work"]

Task = Callable[[], object]

# Entries of a vector that are worth a task of their own, which is about a millisecond.
_RANGE = 2**18


class _Shared:
    """Tasks that some threads take from, until there are none left."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.left = deque(tasks)
        self._n_running = 0  # by others than the thread that has to have them done
        self._changed = threading.Condition()
        self._errors: list[BaseException] = []
        self._context = copy_context()  # NumPy's handling of errors is in it

    def help(self) -> None:
        """Take part, in another thread."""
        run = self._context.copy().run
        while True:
            with self._changed:
                if not self.left:
                    return
                task = self.left.popleft()
                self._n_running += 1
            try:
                run(task)
            except BaseException as error:  # is raised where the result is needed
                self._errors.append(error)
                self.left.clear()
            with self._changed:
                self._n_running -= 1
                self._changed.notify_all()

    def complete(self) -> None:
        """Take part, and return once all is done; raise what was raised."""
        try:
            while (task := self._next()) is not None:
                task()
        finally:
            self._end()
        if self._errors:
            raise self._errors[0]

    def _next(self) -> Task | None:
        try:
            return self.left.popleft()
        except IndexError:
            return None

    def _end(self) -> None:
        """Leave no thread at work, whatever happens: it writes into shared memory."""
        self.left.clear()
        interruption = None
        while True:
            try:
                with self._changed:
                    self._changed.wait_for(lambda: not self._n_running)
                break
            except KeyboardInterrupt as error:
                interruption = error
        if interruption is not None:
            raise interruption


class _Workers:
    """As many threads as are asked for, the one that asks among them.

    The others begin when there is something to share.
    """

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads
        self._wake: SimpleQueue[_Shared | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def run(self, tasks: Sequence[Task]) -> None:
        shared = _Shared(tasks)
        n_helpers = min(len(tasks), self._n_threads) - 1
        for _ in range(n_helpers):
            self._wake.put(shared)
        while len(self._threads) < n_helpers:
            thread = threading.Thread(
                target=self._work, name="shares_work", daemon=True
            )
            self._threads.append(thread)  # first: the start may be interrupted
            thread.start()
        shared.complete()

    @single_threaded()
    @torch.no_grad()
    def _work(self) -> None:
        while (shared := self._wake.get()) is not None:
            shared.help()

    def close(self) -> None:
        for _ in self._threads:
            self._wake.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()


class _Ambient(threading.local):
    workers: _Workers | None = None


_ambient = _Ambient()


def _forget_threads() -> None:
    """A forked process has but the thread that forked it."""
    _ambient.workers = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@contextmanager
def sharing_work(n_threads: int) -> Iterator[None]:
    """Let the calling thread have others to share its work with, in all `n_threads`.

    They end with the context. One thread needs none.
    """
    before = _ambient.workers
    workers = _Workers(n_threads) if n_threads > 1 else None
    _ambient.workers = workers
    try:
        yield
    finally:
        _ambient.workers = before
        if workers is not None:
            workers.close()


def run_tasks(tasks: Sequence[Task]) -> None:
    """Do all tasks, which may be done in any order, and at the same time.

    Gradients are not recorded in those that another thread does.
    """
    workers = _ambient.workers
    if workers is None or len(tasks) < 2:
        for task in tasks:
            task()
    else:
        workers.run(tasks)


def over_ranges(function: Callable[..., object], *values: Any) -> None:
    """Call a function on vectors, or on ranges of long ones at the same time.

    The function is elementwise, and writes into what it is given. Vectors as long as
    the first one are divided; all else is handed over as it is.
    """
    first = values[0]
    n_entries = first.numel()
    if n_entries < 2 * _RANGE or first.ndim != 1 or first.device.type != "cpu":
        function(*values)
        return

    def cut(value: Any, where: slice) -> Any:
        is_long = isinstance(value, Tensor) and value.shape == first.shape
        return value[where] if is_long else value

    def make(start: int) -> Task:
        where = slice(start, start + _RANGE)
        return lambda: function(*(cut(value, where) for value in values))

    run_tasks([make(start) for start in range(0, n_entries, _RANGE)])
