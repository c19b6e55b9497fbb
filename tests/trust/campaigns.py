"""Campaigns: one check for many seeds, in processes that may crash or hang.

A check gets a seed and returns what it found. It runs in a forked child, so that a
crash of the interpreter or a hang is a finding like any other, and the rest of the
seeds is still checked.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

__all__ = ["Finding", "Tally", "run_campaign"]

_FORK = multiprocessing.get_context("fork")
_FAILURES_KEPT = 200  # in a tally; the others are counted


@dataclass
class Finding:
    """What one seed showed.

    Attributes
    ----------
    facts : Counter
        What happened, by name; added up over the campaign.
    failures : list of str
        Promises that were broken.
    """

    facts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def check(self, holds: object, promise: str) -> None:
        """Note a failure unless a promise holds."""
        if not holds:
            self.failures.append(promise)


@dataclass
class Tally:
    """The findings of a campaign, added up."""

    name: str
    first_seed: int
    cases: int = 0
    seconds: float = 0.0
    facts: Counter[str] = field(default_factory=Counter)
    n_failures: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, seed: int, finding: Finding) -> None:
        """Add the finding of one seed."""
        self.cases += 1
        self.facts.update(finding.facts)
        for text in finding.failures:
            self.n_failures += 1
            if len(self.failures) < _FAILURES_KEPT:
                self.failures.append({"seed": seed, "failure": text})

    def as_dict(self) -> dict[str, Any]:
        """Return the tally as JSON has it."""
        return {
            "name": self.name,
            "first_seed": self.first_seed,
            "cases": self.cases,
            "seconds": round(self.seconds),
            "facts": dict(sorted(self.facts.items())),
            "n_failures": self.n_failures,
            "failures": self.failures,
        }


Check = Callable[[int], Finding]


def _work(check: Check, seeds: Sequence[int], sender: Connection) -> None:
    os.setsid()  # so that what a check has started can be ended with it
    for seed in seeds:
        try:
            finding = check(seed)
        except BaseException:  # the check itself is what failed
            finding = Finding(failures=[f"check failed: {traceback.format_exc()}"])
        sender.send((seed, finding))
    os._exit(0)  # without waiting for what a check has left running


class _Worker:
    """A forked child with a block of seeds."""

    def __init__(self, check: Check, seeds: Sequence[int], patience: float) -> None:
        self._left = list(seeds)
        self._patience = patience
        self.receiver, sender = _FORK.Pipe(duplex=False)
        args = (check, self._left, sender)
        self._process = _FORK.Process(target=_work, args=args)
        self._process.start()
        self._group = self._process.pid
        sender.close()
        self._heard = time.monotonic()

    def take(self) -> tuple[int, Finding] | None:
        """Return the next finding; None at the end of the child's life."""
        try:
            seed, finding = self.receiver.recv()
        except EOFError:
            return None
        self._left.remove(seed)
        self._heard = time.monotonic()
        return seed, finding

    @property
    def hangs(self) -> bool:
        """Whether nothing has come for longer than a check may take."""
        return time.monotonic() - self._heard > self._patience

    def bury(self, hung: bool) -> tuple[list[int], Finding | None]:
        """End the child; return the seeds to do, and how the first of them ended."""
        if not hung:  # it has ended, or closes its side just before it does
            self._process.join()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)
        self._process.join()
        self.receiver.close()
        if not self._left:
            return [], None
        code = self._process.exitcode
        ended = "hang" if hung else f"crash of the interpreter (exit code {code})"
        return self._left, Finding(failures=[ended])


def _blocks(seeds: range, size: int) -> Iterable[list[int]]:
    for start in range(0, len(seeds), size):
        yield list(seeds[start : start + size])


def run_campaign(
    name: str,
    check: Check,
    seeds: range,
    *,
    jobs: int = 1,
    patience: float = 120.0,
    until: float = float("inf"),
    block: int = 50,
) -> Tally:
    """Check all seeds, and go on behind those that crash or hang.

    Parameters
    ----------
    name : str
    check : callable(seed) -> Finding
    seeds : range
    jobs : int
        Children at a time.
    patience : float
        Seconds that one check may take.
    until : float
        Value of `time.monotonic` from which on no further block is begun.
    block : int
        Seeds that one child checks.
    """
    tally = Tally(name, seeds.start)
    started = time.monotonic()
    waiting = _blocks(seeds, block)
    todo: list[list[int]] = []
    workers: list[_Worker] = []
    while True:
        while len(workers) < jobs and time.monotonic() < until:
            seeds_next = todo.pop() if todo else next(waiting, None)
            if seeds_next is None:
                break
            workers.append(_Worker(check, seeds_next, patience))
        if not workers:
            break
        ready = wait([worker.receiver for worker in workers], timeout=1.0)
        for worker in list(workers):
            found = worker.take() if worker.receiver in ready else None
            if found is not None:
                tally.add(*found)
            elif worker.receiver in ready or worker.hangs:
                workers.remove(worker)
                left, ended = worker.bury(worker.hangs)
                if ended is not None:
                    tally.add(left[0], ended)
                if left[1:]:
                    todo.append(left[1:])
    tally.seconds = time.monotonic() - started
    return tally
