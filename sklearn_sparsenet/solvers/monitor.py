"""What may watch a fit, and end it: its solves and their epochs as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from sklearn_sparsenet.solvers.solution import Solution
from sklearn_sparsenet.utils.processes import Processes, raise_if_shared

__all__ = ["Course", "Monitor", "Monitors", "Progress", "SharedMonitor"]


class Course(Protocol):
    """A solve in progress. To look at it waits for the device."""

    @property
    def last_loss(self) -> float:
        """The loss of the last epoch, without penalty."""

    @property
    def last_score(self) -> float | None:
        """The validation score after the last epoch; None: there is none."""

    @property
    def support(self) -> Tensor:
        """Which weights are left: those that the last cut left, if there was one."""


class Monitor(Protocol):
    """Is told of one solve after the other, and of the epochs of each."""

    def begin_solve(self, name: str, n_epochs: int) -> None:
        """Take notice of a solve of at most so many epochs; 0: it tells of none."""

    def begin_epoch(self, epoch: int) -> None:
        """Take notice of an epoch, counted from 0.

        The first one need not be 0, and an epoch may come again: runs go on after an
        interruption, and go back to their last good state.
        """

    def end_epoch(self, epochs: int, course: Course) -> bool:
        """Take notice of the number of epochs done; return whether to stop here."""

    def end_solve(self, found: Solution) -> bool:
        """Take notice of the end of a solve; return whether to end the search."""


class Monitors:
    """Several monitors as one: it stops if one of them says so."""

    def __init__(self, *monitors: Monitor) -> None:
        self._monitors = monitors

    def begin_solve(self, name: str, n_epochs: int) -> None:
        for each in self._monitors:
            each.begin_solve(name, n_epochs)

    def begin_epoch(self, epoch: int) -> None:
        for each in self._monitors:
            each.begin_epoch(epoch)

    def end_epoch(self, epochs: int, course: Course) -> bool:
        return any([each.end_epoch(epochs, course) for each in self._monitors])

    def end_solve(self, found: Solution) -> bool:
        return any([each.end_solve(found) for each in self._monitors])


class Progress:
    """Tells a monitor, if there is one, of solves; knows whether to stop."""

    def __init__(self, monitor: Monitor | None = None) -> None:
        self.monitor = monitor
        # The monitor has asked for the end, or the user interrupted it at the end of a
        # solve, which is such a request, too.
        self.stopped = self.interrupted = False

    def watch(self, monitor: Monitor) -> None:
        """Tell this one, too."""
        others = () if self.monitor is None else (self.monitor,)
        self.monitor = Monitors(*others, monitor)

    def solve(
        self, name: str, run: Callable[[], Solution], n_epochs: int = 0
    ) -> Solution:
        """Run a solve, and tell of its start and its end, where the network stands."""
        if self.monitor is not None:
            self.monitor.begin_solve(name, n_epochs)
        found = run()
        try:
            if self.monitor is not None and self.monitor.end_solve(found):
                self.stopped = True
        except KeyboardInterrupt:
            raise_if_shared()
            self.stopped = self.interrupted = True
        return found


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

    def end_epoch(self, epochs: int, course: Course) -> bool:
        monitor = self._monitor
        return self._any(monitor is not None and monitor.end_epoch(epochs, course))

    def end_solve(self, found: Solution) -> bool:
        return self._any(self._monitor is not None and self._monitor.end_solve(found))

    def _any(self, stops: bool) -> bool:
        votes = torch.tensor([float(stops)])
        self._processes.sum(votes)
        return bool(votes > 0)
