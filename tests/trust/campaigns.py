"""Campaigns: one check for many seeds, in processes that may crash or hang.

A check gets a seed and returns what it found. It runs in a forked child, so that a
crash of the interpreter or a hang is a finding like any other, and the rest of the
seeds is still checked.
"""

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from multiprocessing.connection import wait
from typing import Any

import numpy as np

_FORK = multiprocessing.get_context("fork")
_FAILURES_KEPT = 200  # in a tally; the others are counted


@dataclass
class Finding:
    """What one seed showed: what happened, by name, and promises that were broken."""

    facts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def check(self, holds, promise):
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

    def add(self, seed, finding):
        """Add the finding of one seed."""
        self.cases += 1
        self.facts.update(finding.facts)
        for text in finding.failures:
            self.n_failures += 1
            if len(self.failures) < _FAILURES_KEPT:
                self.failures.append({"seed": seed, "failure": text})

    def as_dict(self):
        """Return the tally as JSON has it."""
        facts = dict(sorted(self.facts.items()))
        return vars(self) | {"seconds": round(self.seconds), "facts": facts}


Check = Callable[[int], Finding]


def attack(try_it):
    """Make a check of a seed of what draws numbers, notes findings, and names itself.

    What it returns, if anything, is put in front of its failures.
    """

    @wraps(try_it)
    def check(seed):
        found = Finding()
        name = try_it(np.random.default_rng(seed), found)
        if name:
            found.failures = [f"{name}: {text}" for text in found.failures]
        return found

    return check


def _work(check, seeds, sender):
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

    def __init__(self, check, seeds, patience):
        self._left = list(seeds)
        self._patience = patience
        self.receiver, sender = _FORK.Pipe(duplex=False)
        args = (check, self._left, sender)
        self._process = _FORK.Process(target=_work, args=args)
        self._process.start()
        self._group = self._process.pid
        sender.close()
        self._heard = time.monotonic()

    def take(self):
        """Return the next finding; None at the end of the child's life."""
        try:
            seed, finding = self.receiver.recv()
        except EOFError:
            return None
        self._left.remove(seed)
        self._heard = time.monotonic()
        return seed, finding

    @property
    def hangs(self):
        """Whether nothing has come for longer than a check may take."""
        return time.monotonic() - self._heard > self._patience

    def bury(self, hung):
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


def run_campaign(
    name,
    check,
    seeds,
    *,
    jobs=1,
    patience=120.0,
    block=50,
):
    """Check all seeds, and go on behind those that crash or hang.

    There are `jobs` children at a time, each of which checks `block` seeds, and one
    check may take `patience` seconds.
    """
    tally = Tally(name, seeds.start)
    started = time.monotonic()
    # The seeds that a child has left are done first.
    todo = [list(seeds[i : i + block]) for i in range(0, len(seeds), block)][::-1]
    workers = []
    while True:
        while todo and len(workers) < jobs:
            workers.append(_Worker(check, todo.pop(), patience))
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
