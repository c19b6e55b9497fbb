"""Training runs that survive the process: what was solved, and the solve in progress.

A search is a deterministic function of the solutions that it is given. To go on after
an interruption it is therefore run again from the start, and gets the solutions that
are there already from the directory; only the solve that was interrupted, and those
after it, are computed.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from sklearn_sparsenet.optimality import Certificate
from sklearn_sparsenet.problem import Problem
from sklearn_sparsenet.runtime import random_states, set_random_states
from sklearn_sparsenet.solvers import Solution, Status

__all__ = ["Checkpoint", "fingerprint"]

_EVERY_SECONDS = 30.0  # between two saves of a solve in progress
_ROWS = 64  # of the inputs that go into a fingerprint


def fingerprint(problem: Problem, settings: str) -> str:
    """Return a name for a training run that no other one has.

    Made of the settings, the initial network, targets and weights of all samples, and
    the shape and the first rows of the inputs.
    """
    digest = hashlib.sha256(settings.encode())
    rows = problem.rows
    digest.update(repr((rows.n_samples, rows.sample_shape)).encode())
    first = rows.slice(0, min(_ROWS, rows.n_samples))
    network = problem.network
    for tensor in (first, problem.target, problem.sample_weight, network.parameters):
        digest.update(str(tensor.dtype).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


class Checkpoint:
    """A directory with the finished solves of a run and the state of the present one.

    Nothing that is read back is executed: the files hold tensors and plain values.

    Parameters
    ----------
    directory : Path
        Of this run alone; made with the first file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = 0
        self._saved_at = time.monotonic()

    def solve(
        self, problem: Problem, run: Callable[[Checkpoint], Solution]
    ) -> Solution:
        """Return the next solution: from the directory, or by `run`.

        Parameters
        ----------
        problem : Problem
            Its network stands at the solution afterwards.
        run : callable(keeper) -> Solution
            Solves; `keeper` is for `sklearn_sparsenet.solvers.solve`.
        """
        self._number += 1
        path = self._directory / f"solve-{self._number:03d}.pt"
        if path.exists():
            content = _read(path, problem)
            # Dropout of what comes next goes on where this solve ended.
            set_random_states(content.pop("random"), problem.network.parameters.device)
            solution = _from_plain(content)
            problem.network.restore(solution.state)
            return solution
        self._problem = problem
        solution = run(self)
        if not solution.status.is_cut_short:
            states = random_states(problem.network.parameters.device)
            self._write(path, _as_plain(solution) | {"random": states})
            self._unfinished.unlink(missing_ok=True)
        return solution

    @property
    def _unfinished(self) -> Path:
        return self._directory / f"unfinished-{self._number:03d}.pt"

    def unfinished(self) -> dict[str, Any] | None:
        """Return the state of the solve that was interrupted, if there is one."""
        if not self._unfinished.exists():
            return None
        return _read(self._unfinished, self._problem)

    def offer(self, make_state: Callable[[], dict[str, Any]]) -> None:
        """Save the state of the solve in progress if it is time to."""
        if time.monotonic() - self._saved_at >= _EVERY_SECONDS:
            self._write(self._unfinished, make_state())
            self._saved_at = time.monotonic()

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(content, partial)
        partial.replace(path)  # never half a file

    def remove(self) -> None:
        """Delete the directory: the run is done."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _read(path: Path, problem: Problem) -> dict[str, Any]:
    device = problem.network.parameters.device
    content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return content


def _as_plain(solution: Solution) -> dict[str, Any]:
    plain = {f.name: getattr(solution, f.name) for f in fields(solution)}
    certificate = solution.certificate
    plain["certificate"] = {
        f.name: getattr(certificate, f.name) for f in fields(certificate)
    }
    plain["status"] = solution.status.name
    return plain


def _from_plain(plain: dict[str, Any]) -> Solution:
    return Solution(
        **{
            **plain,
            "certificate": Certificate(**plain["certificate"]),
            "status": Status[plain["status"]],
        }
    )
