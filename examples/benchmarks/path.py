"""A path of 20 targets next to single fits: cost, and error at each target.

Usage, in the folder `examples`::

    OMP_NUM_THREADS=1 python -m benchmarks.path --data ../../shared/data

For each problem and seed `sparsenet_path` runs once, and a single fit is made at every
fifth of its targets. *cost* is the process time of the path in mean single fits, each
with the score on the training data, which a path tells as well; median of the seeds.
At each target the median error of the paths stands next to that of the single fits and
their range over the seeds; *within* counts the targets where the former lies in the
latter, or below.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from cached_runs import Record, run_jobs
from generated_page import replace_part, table

from benchmarks.problems import PROBLEMS, Data, Schedule
from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor, sparsenet_path

__all__ = ["Job", "main", "measure", "report"]

N_TARGETS = 20
COMPARED = (0, 5, 10, 15, 19)  # of the targets, from dense to sparse
STEPS = 1000


@dataclass(frozen=True)
class Job:
    """A path, and the single fits that it is compared with.

    Attributes
    ----------
    problem : str
    seed : int
    """

    problem: str
    seed: int


def measure(job: Job, directory: Path) -> Record:
    """Fit all of them; return errors and process times."""
    warnings.simplefilter("ignore")
    data = PROBLEMS[job.problem].load(directory, job.seed)
    net = make_estimator(data, job.seed)
    net.fit(data.X_train, data.y_train)  # what is loaded on the first fit counts not
    started = time.process_time()
    path = sparsenet_path(net, data.X_train, data.y_train, target_sparsities=N_TARGETS)
    seconds = time.process_time() - started
    errors, times = [], []
    for index in COMPARED:
        net.set_params(target_sparsity=path.targets[index])
        started = time.process_time()
        net.fit(data.X_train, data.y_train).score(data.X_train, data.y_train)
        times.append(time.process_time() - started)
        errors.append(data.error(net.predict(data.X_test)))
    return {
        **asdict(job),
        "targets": [path.targets[index] for index in COMPARED],
        "exact": path.targets == path.n_nonzeros.tolist(),
        "path": [
            data.error(path.estimators[index].predict(data.X_test))
            for index in COMPARED
        ],
        "single": errors,
        "cost": seconds / mean(times),
        "steps": float(path.n_iters.sum() / net.n_iter_),
    }


def make_estimator(data: Data, seed: int) -> Any:
    """Return the estimator with a budget of about `STEPS` steps."""
    kind = SparseNetClassifier if data.n_classes else SparseNetRegressor
    schedule = Schedule.for_rows(len(data.X_train), STEPS)
    return kind(
        data.hidden,
        tol=0,
        max_iter=schedule.epochs,
        batch_size=schedule.batch_size,
        random_state=seed,
    )


def report(records: list[Record]) -> str:
    """Return a table with a row for each problem."""
    rows = []
    for problem in dict.fromkeys(record["problem"] for record in records):
        runs = [record for record in records if record["problem"] == problem]
        cells, within = [], 0
        paths, singles = (np.array([r[k] for r in runs]) for k in ("path", "single"))
        for path, single in zip(paths.T, singles.T, strict=True):
            middle = median(path)
            within += middle <= max(single)
            spread = f"{min(single):.3f} – {max(single):.3f}"
            cells.append(f"{middle:.3f} · {median(single):.3f} ({spread})")
        cost = median(record["cost"] for record in runs)
        exact = sum(record["exact"] for record in runs)
        rows.append(
            [problem, len(runs), f"{exact}/{len(runs)}", f"{cost:.1f}", *cells,
             f"{within}/{len(cells)}"]
        )  # fmt: skip
    shares = [f"{0.5 * 0.01 ** (i / (N_TARGETS - 1)):.1%}" for i in COMPARED]
    header = ["problem", "seeds", "exact", "cost", *shares, "within"]
    return table(header, rows)


def describe(record: Record) -> str:
    """Return a line for the user."""
    return f"{record['problem']} seed {record['seed']}: cost {record['cost']:.1f}"


def main() -> None:
    """Run what is missing; print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/path.json"))
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--problems", nargs="+",
        default=["digits", "mg", "california", "madelon", "pumadyn"],
    )  # fmt: skip
    parser.add_argument("--write", type=Path, help="page with a part for the table")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    jobs = [Job(p, seed) for p in arguments.problems for seed in range(arguments.seeds)]
    run = partial(measure, directory=arguments.data)
    records = run_jobs(jobs, run, arguments.out, arguments.jobs, describe)
    text = report(records)
    print(text)
    if arguments.write is not None:
        replace_part(arguments.write, "path", text)


if __name__ == "__main__":
    main()
