"""Training runs that survive the process: what was solved, and the solve in progress.

A search is a deterministic function of the solutions that it is given. To go on after
an interruption it is therefore run again from the start, and gets the solutions that
are there already from the directory; only the solve that was interrupted, and those
after it, are computed.

A directory is of one run at a time; another one that is equal to it goes its own way
without. And whatever happens to the files, the run goes on: what cannot be written is
not kept, what cannot be read is computed again, and the user is told once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from sklearn_sparsenet.optimality import Certificate
from sklearn_sparsenet.solvers import Solution, Status
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.owned_directories import OwnedDirectory
from sklearn_sparsenet.utils.processes import raise_if_shared
from sklearn_sparsenet.utils.runtime import random_states, set_random_states
from sklearn_sparsenet.utils.state_files import bytes_of, read_state, write_state

__all__ = ["Checkpoint", "fingerprint"]

_EVERY_SECONDS = 30.0  # between two saves of a solve in progress
_LETTERS = 16  # of the name of a run

T = TypeVar("T")


def fingerprint(problem: Problem, settings: str) -> str:
    """Return a name for a training run that no other one has.

    Made of the settings, the initial network, the device, and the inputs, targets and
    weights of all samples.
    """
    digest = hashlib.sha256(settings.encode())
    parameters, buffers = problem.network.snapshot()
    facts = (problem.rows.sample_shape, parameters.device, sorted(buffers))
    digest.update(repr(facts).encode())
    for array in problem.rows.stored():
        digest.update(repr((array.dtype, array.shape)).encode())
        digest.update(array.data)
    tensors = [problem.target, problem.sample_weight, parameters]
    for tensor in [*tensors, *(buffers[name] for name in sorted(buffers))]:
        digest.update(repr((tensor.dtype, tensor.shape)).encode())
        digest.update(bytes_of(tensor).data)
    return digest.hexdigest()[:_LETTERS]


class Checkpoint:
    """A directory with the finished solves of a run and the state of the present one.

    The directory is of this run alone, and made with the first solve; `warn` is called
    at most once, with what is wrong with the files.
    """

    def __init__(self, directory: Path, warn: Callable[[str], None]) -> None:
        self._directory = OwnedDirectory(directory)
        self._warn = warn
        self._has_warned = False
        self._is_ours: bool | None = None  # None: not asked for yet
        self._number = 0
        self._saved_at = time.monotonic()

    def of_part(self, what: str) -> Checkpoint:
        """Return the checkpoint of a run that begins alike, and differs in `what`."""
        path = self._directory.path
        name = hashlib.sha256(f"{path.name} {what}".encode()).hexdigest()[:_LETTERS]
        return self._at(path.with_name(name))

    def _at(self, path: Path) -> Checkpoint:
        return Checkpoint(path, self._warn)

    def solve(
        self, problem: Problem, run: Callable[[Checkpoint | None], Solution]
    ) -> Solution:
        """Return the next solution, where the network then stands: kept, or by `run`.

        `run` solves; what it is given keeps the solve in progress (`solvers.Keeper`).
        """
        if not self._acquire():
            return run(None)
        self._number += 1
        self._problem = problem
        known = self._take(self._finished, self._take_over)
        if known is not None:
            return known
        solution = run(self)
        if solution.status.is_cut_short:
            return solution
        states = random_states(self._device)
        try:
            plain = _as_plain(solution)
            self._write(self._finished, lambda: {"random": states, "solution": plain})
        except KeyboardInterrupt:
            raise_if_shared()
            return replace(solution, status=Status.INTERRUPTED)
        self._drop(self._unfinished)
        return solution

    def _acquire(self) -> bool:
        if self._is_ours is None:
            try:
                self._is_ours = self._directory.acquire()
            except OSError as error:
                self._is_ours = False
                self._complain("made", self._directory.path, error)
        return self._is_ours

    @property
    def _device(self) -> torch.device:
        return self._problem.network.parameters.device

    @property
    def _finished(self) -> Path:
        return self._directory.path / f"solve-{self._number:03d}.state"

    @property
    def _unfinished(self) -> Path:
        return self._directory.path / f"unfinished-{self._number:03d}.state"

    def _take_over(self, content: dict[str, Any]) -> Solution:
        solution = _from_plain(content["solution"])
        self._problem.network.restore(solution.state)
        # Dropout of what comes next goes on where this solve ended.
        set_random_states(content["random"], self._device)
        return solution

    def resume(self, load: Callable[[dict[str, Any]], None]) -> None:
        """Give the state of the solve that was interrupted, if there is one."""
        self._take(self._unfinished, load)

    def offer(self, make_state: Callable[[], dict[str, Any]]) -> None:
        """Save the state of the solve in progress if it is time to."""
        if time.monotonic() - self._saved_at >= _EVERY_SECONDS:
            self._write(self._unfinished, make_state)
            self._saved_at = time.monotonic()

    def _take(self, path: Path, take: Callable[[dict[str, Any]], T]) -> T | None:
        """Return what is made of a file; None if there is none, or none of use."""
        network = self._problem.network
        before, states = network.snapshot(), random_states(self._device)
        try:
            content = self._read(path)
            return None if content is None else take(content)
        except Exception as error:  # anything can be in a file
            network.restore(before)
            set_random_states(states, self._device)
            self._complain("read", path, error)
            self._drop(path)
            return None

    def _read(self, path: Path) -> dict[str, Any] | None:
        if not os.path.lexists(path):
            return None
        return read_state(path, self._name(path), self._device)

    def _write(self, path: Path, make_state: Callable[[], dict[str, Any]]) -> None:
        try:
            write_state(path, self._name(path), make_state())
        except Exception as error:  # no reason to lose the run
            self._complain("written", path, error)

    def _drop(self, path: Path) -> None:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            self._complain("removed", path, error)

    def _name(self, path: Path) -> str:
        return f"{path.parent.name}/{path.name}"

    def _complain(self, what: str, path: Path, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._warn(
                f"checkpoint: {path} cannot be {what} ({type(error).__name__}: "
                f"{error}). The fit goes on without it, and finds the same."
            )

    def remove(self) -> None:
        """Delete the directory: the run is done."""
        if self._is_ours:
            try:
                self._directory.remove()
            except OSError as error:
                self._complain("removed", self._directory.path, error)

    def release(self) -> None:
        """Leave what is there to the next run that is equal."""
        if self._is_ours:
            self._directory.release()


def _as_plain(solution: Solution) -> dict[str, Any]:
    certificate, status = _fields(solution.certificate), solution.status.name
    return {**_fields(solution), "certificate": certificate, "status": status}


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _from_plain(plain: dict[str, Any]) -> Solution:
    certificate = Certificate(**plain["certificate"])
    known = {"certificate": certificate, "status": Status[plain["status"]]}
    return Solution(**{**plain, **known})
