"""MLPNet: 784-40-20-10 without biases on MNIST, 2 % of the weights; pruning beside it.

32360 weights, of which 647 are left; the bar is 94.0 %, what the dense network has in
the literature on one-shot pruning. All have the same epochs, batches of 200, and Adam.
Usage, in the folder `examples`::

    python -m benchmarks.mlpnet --data ../../shared/data --write ../docs/supports.md
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
from cached_runs import Record, run_jobs
from generated_page import replace_part, table
from torch import nn

from benchmarks.methods import METHODS
from benchmarks.methods.base import Fitted, build_network, fitted
from benchmarks.problems import PROBLEMS, Data, Schedule
from benchmarks.report import verdict
from sklearn_sparsenet import SparseNetClassifier

SHAPE, TARGET, BATCH, BAR = (40, 20), 647, 200, 0.94


@dataclass(frozen=True)
class Job:
    """One fit."""

    method: str
    epochs: int
    seed: int


def fit_ours(data: Data, target: int, schedule: Schedule, seed: int) -> Fitted:
    """Fit our estimator to the layers without biases; the default but for `tol=0`."""
    network = build_network(data.sizes, seed, data.bias)
    estimator = SparseNetClassifier(
        module=network,
        target_sparsity=target,
        tol=0.0,
        batch_size=schedule.batch_size,
        max_iter=schedule.epochs,
        random_state=seed,
    ).fit(data.X_train, data.y_train)
    trained = estimator.module_.float()
    assert isinstance(trained, nn.Sequential)
    return replace(
        fitted(trained, data, int(estimator.n_iter_)), predict=estimator.predict
    )


FITS = {"ours": fit_ours} | {name: METHODS[name].fit for name in ("gmp", "gmp_tuned")}


def measure(job: Job, directory: Path) -> Record:
    """Fit once; return the accuracy on the test rows."""
    data = replace(
        PROBLEMS["mnist"].load(directory, job.seed), hidden=SHAPE, bias=False
    )
    steps = job.epochs * ceil(len(data.X_train) / BATCH)
    started = time.process_time()
    found = FITS[job.method](data, TARGET, Schedule(BATCH, job.epochs, steps), job.seed)
    seconds = time.process_time() - started
    accuracy = 1 - data.error(found.predict(data.X_test))
    counts = {"n_nonzero": sum(found.counts), "n_live": found.n_live}
    return asdict(job) | counts | {"accuracy": accuracy, "seconds": seconds}


def page(records: list[Record]) -> str:
    """Return a row for each method and number of epochs: medians over the seeds."""
    rows = []
    for method, epochs in dict.fromkeys((r["method"], r["epochs"]) for r in records):
        group = [r for r in records if (r["method"], r["epochs"]) == (method, epochs)]
        accuracies = [r["accuracy"] for r in group]
        accuracy = float(np.median(accuracies))
        spread = f"{min(accuracies):.2%} to {max(accuracies):.2%}"
        counts = ", ".join(str(r["n_nonzero"]) for r in group)
        seconds = f"{np.median([r['seconds'] for r in group]):.0f}"
        judged = verdict(accuracy >= BAR)
        cells = [len(group), counts, f"{accuracy:.2%}", spread, seconds, judged]
        rows.append([method, epochs, *cells])
    header = ["method", "epochs", "seeds", "weights", "accuracy", "range", "seconds"]
    return table([*header, f"bar: {BAR:.0%}"], rows)


def _line(record: Record) -> str:
    return str(record)


def main() -> None:
    """Parse the command line; run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("../docs/mlpnet.json"))
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    parser.add_argument("--methods", nargs="+", choices=FITS, default=list(FITS))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args()
    jobs = [
        Job(method, arguments.epochs, seed)
        for seed in range(arguments.seeds)
        for method in arguments.methods
    ]
    run = partial(measure, directory=arguments.data)
    text = page(run_jobs(jobs, run, arguments.out, arguments.jobs, _line))
    print(text)
    if arguments.write:
        replace_part(arguments.write, "mlpnet", text)


if __name__ == "__main__":
    main()
