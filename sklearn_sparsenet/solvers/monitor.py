"""What may watch a fit, and end it: its solves and their epochs as they come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch

from sklearn_sparsenet.utils.processes import Processes, raise_if_shared

__all__ = ["Monitor", "Progress", "SharedMonitor"]


class Monitor(Protocol):
    """Is told of one solve after the other, and of the epochs of each."""

    def begin_solve(self, name: str, n_epochs: int) -> None:
        """Take notice of a solve of at most so many epochs; 0: it tells of none."""

    def begin_epoch(self, epoch: int) -> None:
        """Take notice of an epoch, counted from 0.

        The first one need not be 0, and an epoch may come again: runs go on after an
        interruption, and go back to their last good state.
        """

    def end_epoch(self, epochs: int) -> bool:
        """Take notice of the number of epochs done; return whether to stop here."""

    def end_solve(self) -> bool:
        """Take notice of the end of a solve; return whether to end the search."""


class Progress:
    """Tells a monitor, if there is one, of solves; knows whether to stop."""

    def __init__(self, monitor: Monitor | None = None) -> None:
        self.monitor = monitor
        # The monitor has asked for the end, or the user interrupted it at the end of a
        # solve, which is such a request, too.
        self.stopped = self.interrupted = False

    @contextmanager
    def solve(self, name: str, n_epochs: int = 0) -> Iterator[None]:
        """Tell of a solve: the network stands at its start, then at its end."""
        if self.monitor is not None:
            self.monitor.begin_solve(name, n_epochs)
        yield
        try:
            if self.monitor is not None and self.monitor.end_solve():
                self.stopped = True
        except KeyboardInterrupt:
            raise_if_shared()
            self.stopped = self.interrupted = True


class SharedMonitor:
    """The monitors of processes that share a fit: it stops if one of them says so."""

    def __init__(self, monitor: Monitor | None, processes: Processes) -> None:
        self._monitor, self._processes = monitor, processes

    def begin_solve(self, name: str, n_epochs: int) -> None:
        if self._monitor is not None:
            self._monitor.begin_solve(name, n_epochs)

    def begin_epoch(self, epoch: int) -> None:
        if self._monitor is not None:
            self._monitor.begin_epoch(epoch)

    def end_epoch(self, epochs: int) -> bool:
        return self._any(self._monitor is not None and self._monitor.end_epoch(epochs))

    def end_solve(self) -> bool:
        return self._any(self._monitor is not None and self._monitor.end_solve())

    def _any(self, stops: bool) -> bool:
        votes = torch.tensor([float(stops)])
        self._processes.sum(votes)
        return bool(votes > 0)
