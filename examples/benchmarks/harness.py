"""One fit of the benchmark, measured, and many of them in processes of their own."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from cached_runs import Record, run_jobs
from sklearn.exceptions import ConvergenceWarning

from benchmarks.methods import METHODS
from benchmarks.problems import PROBLEMS, Data, Schedule, layer_targets

__all__ = ["Job", "measure", "run_all", "warm_up"]


@dataclass(frozen=True)
class Job:
    """One fit.

    Attributes
    ----------
    problem, method : str
    density : float
        Share of the weights that is left; 1 for dense references.
    steps : int
        Budget of gradient steps; 0 for methods that know none.
    seed : int
    per_layer : bool
        Whether the density is asked of every layer instead of the network.
    """

    problem: str
    method: str
    density: float
    steps: int
    seed: int
    per_layer: bool = False


def measure(job: Job, data: Data) -> Record:
    """Fit once; return what is to be kept of it."""
    target: int | tuple[int, ...] = (
        layer_targets(data, job.density)
        if job.per_layer
        else max(1, round(job.density * sum(data.layer_sizes)))
    )
    schedule = Schedule.for_rows(len(data.X_train), max(1, job.steps))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        started = time.process_time()
        fitted = METHODS[job.method].fit(data, target, schedule, job.seed)
        seconds = time.process_time() - started
    said = [str(w.message) for w in caught if w.category is ConvergenceWarning]
    error = data.error(fitted.predict(data.X_test))
    return {
        **asdict(job),
        "target": target,
        "n_nonzero": sum(fitted.counts),
        "n_nonzero_per_layer": fitted.counts,
        "n_live": fitted.n_live,
        "error": error,
        "mse": None if data.n_classes else error * data.y_scale**2,
        "seconds": seconds,
        "epochs": fitted.epochs,
        "warning": "; ".join(said),
        "extra": fitted.extra,
    }


@lru_cache(maxsize=2)
def _load(problem: str, directory: Path, seed: int) -> Data:
    return PROBLEMS[problem].load(directory, seed)


def _run(job: Job, directory: Path) -> Record:
    _warm_up_once()
    return measure(job, _load(job.problem, directory, job.seed))


@lru_cache(maxsize=1)
def _warm_up_once() -> None:
    warm_up()


def warm_up() -> None:
    """Let PyTorch load what the first step of a process pays for."""
    X, y = np.ones((99, 2), np.float32), np.arange(99, dtype=np.float32)
    data = Data(X, y, X, y, (2,), 0)
    METHODS["dense"].fit(data, 1, Schedule.for_rows(99, 10), 0)


def run_all(
    jobs: Iterable[Job], directory: Path, out: Path, n_processes: int
) -> list[Record]:
    """Run the jobs that `out` does not have yet; return all that it has then."""
    return run_jobs(jobs, partial(_run, directory=directory), out, n_processes, _line)


def _line(record: Record) -> str:
    return (
        f"{record['problem']} {record['method']} {record['density']:.3g} "
        f"{record['steps']} steps, seed {record['seed']}: {record['n_nonzero']} of "
        f"{record['target']}, {record['n_live']} live, error {record['error']:.4f}, "
        f"{record['seconds']:.2f} s {record['warning']}"
    )
