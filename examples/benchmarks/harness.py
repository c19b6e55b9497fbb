"""Run fits in processes of one thread each, and keep their records in a JSON file."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks.methods import METHODS
from benchmarks.problems import PROBLEMS, Data, Schedule, layer_targets

__all__ = [
    "Job",
    "Record",
    "load_records",
    "measure",
    "run_jobs",
    "save_records",
    "warm_up",
]

Record = dict[str, Any]


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


def key(record: Record) -> Job:
    """Return the job of a record."""
    return Job(**{name: record[name] for name in Job.__dataclass_fields__})


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
    return measure(job, _load(job.problem, directory, job.seed))


def _start_worker() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    warm_up()


def warm_up() -> None:
    """Let PyTorch load what the first step of a process pays for."""
    X, y = np.ones((99, 2), np.float32), np.arange(99, dtype=np.float32)
    data = Data(X, y, X, y, (2,), 0)
    METHODS["dense"].fit(data, 1, Schedule.for_rows(99, 10), 0)


def run_jobs(
    jobs: Iterable[Job], directory: Path, out: Path, n_processes: int
) -> list[Record]:
    """Run the jobs that `out` does not have yet; save each record at once."""
    records = load_records(out)
    done = {key(record) for record in records}
    left = [job for job in dict.fromkeys(jobs) if job not in done]
    print(f"{len(left)} fits to run, {len(done)} records in {out}", flush=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(
        n_processes, multiprocessing.get_context("spawn"), _start_worker
    ) as pool:
        futures = {pool.submit(_run, job, directory): job for job in left}
        for number, future in enumerate(as_completed(futures), 1):
            record = _result(future, futures[future])
            if record is None:
                continue
            records.append(record)
            save_records(records, out)
            print(f"{number}/{len(left)} {_line(record)}", flush=True)
    return records


def _result(future, job: Job) -> Record | None:
    try:
        return future.result()
    except Exception as error:  # the others go on; the next run tries it again
        print(f"FAILED {job}: {type(error).__name__}: {error}", flush=True)
        return None


def _line(record: Record) -> str:
    return (
        f"{record['problem']} {record['method']} {record['density']:.3g} "
        f"{record['steps']} steps, seed {record['seed']}: {record['n_nonzero']} of "
        f"{record['target']}, {record['n_live']} live, error {record['error']:.4f}, "
        f"{record['seconds']:.2f} s {record['warning']}"
    )


def load_records(path: Path) -> list[Record]:
    """Return the records of a file; none if it does not exist."""
    return json.loads(path.read_text()) if path.exists() else []


def save_records(records: list[Record], path: Path) -> None:
    """Write a JSON array, one record a line, in one go."""
    lines = ",\n".join(json.dumps(record, default=_plain) for record in records)
    partial = path.with_suffix(".partial")
    partial.write_text(f"[\n{lines}\n]\n")
    partial.replace(path)


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist()
