"""Run many independent jobs in processes of one thread each; keep what they return.

Every record is saved as soon as it is there, so that an interrupted command goes on
where it was stopped, and one that is repeated has nothing to do.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["Record", "key", "load_records", "run_jobs", "save_records"]

Record = dict[str, Any]


def key(record: Record, kind: type) -> Any:
    """Return the job, a frozen dataclass of that kind, of a record."""
    return kind(**{f.name: _hashable(record[f.name]) for f in fields(kind)})


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def run_jobs(
    jobs: Iterable[Any],
    run: Callable[[Any], Record],
    out: Path,
    n_processes: int,
    describe: Callable[[Record], str],
) -> list[Record]:
    """Run the jobs that `out` does not have yet.

    Parameters
    ----------
    jobs : iterable of frozen dataclass, all of one kind
        Their fields are a part of the record.
    run : callable(job) -> record
        Can be pickled.
    out : Path
        JSON file.
    n_processes : int
    describe : callable(record) -> str
        A line for the user.

    Returns
    -------
    list of record
        All that are in `out` now. Jobs that failed are not; the next run tries them
        again.
    """
    jobs = list(dict.fromkeys(jobs))
    records = load_records(out)
    done = {key(record, type(jobs[0])) for record in records} if jobs else set()
    left = [job for job in jobs if job not in done]
    print(f"{len(left)} runs to do, {len(records)} records in {out}", flush=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, context, _start_worker) as pool:
        futures = {pool.submit(run, job): job for job in left}
        for number, future in enumerate(as_completed(futures), 1):
            record = _result(future, futures[future])
            if record is not None:
                records.append(record)
                save_records(records, out)
                print(f"{number}/{len(left)} {describe(record)}", flush=True)
    return records


def _start_worker() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _result(future: Future, job: Any) -> Record | None:
    try:
        return future.result()
    except Exception as error:  # the others go on; the next run tries it again
        print(f"FAILED {job}: {type(error).__name__}: {error}", flush=True)
        return None


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
