"""The cost lines: process time of a fit against dense training and the bracket.

The three methods of a row take turns in one process of one thread, with the same
float32 data, shape, epochs and batches. Usage, in the folder `examples`::

    python -m benchmarks.cost --data ../../shared/data --out costs.json
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cached_runs import save_records
from sklearn.exceptions import ConvergenceWarning

from benchmarks.harness import warm_up
from benchmarks.methods import METHODS, bracket, sklearn_mlp
from benchmarks.problems import PROBLEMS, Data, Schedule

AUTO = 0
BATCHES = (AUTO, 200, 64)
MG_TARGET = 2000


def process_seconds(fit: Callable[[], Any]) -> float:
    """Return the process time of a call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        started = time.process_time()
        fit()
        return time.process_time() - started


def against_dense(name: str, data: Data, steps: int, batch: int, seed: int) -> dict:
    """Time the search, plain PyTorch and scikit-learn on one problem."""
    auto = Schedule.for_rows(len(data.X_train), steps)
    schedule = auto if batch == AUTO else auto.with_batch(len(data.X_train), batch)
    target = round(0.02 * sum(data.layer_sizes))
    fits = {
        "l1": lambda: METHODS["l1"].fit(data, target, schedule, seed),
        "dense": lambda: METHODS["dense"].fit(data, target, schedule, seed),
        "sklearn": lambda: sklearn_mlp.fit(
            data, target, schedule, seed, batch_size=schedule.batch_size
        ),
    }
    seconds = {method: process_seconds(fit) for method, fit in fits.items()}
    return {
        "problem": name,
        "rule": "auto" if batch == AUTO else "fixed",
        "batch_size": schedule.batch_size,
        "epochs": schedule.epochs,
        "seed": seed,
        **seconds,
    }


def against_bracket(data: Data, steps: int, paper_epochs: int, seed: int) -> dict:
    """Time the search and both brackets, to convergence, for one target on Mg."""
    schedule = Schedule.for_rows(len(data.X_train), steps)
    long = Schedule(len(data.X_train), paper_epochs, paper_epochs)
    fits = {
        "l1": lambda: METHODS["l1"].fit(data, MG_TARGET, schedule, seed),
        "bracket": lambda: bracket.fit_unlimited(
            data, MG_TARGET, schedule, seed, **bracket.LIBRARY
        ),
        "paper": lambda: bracket.fit_unlimited(
            data, MG_TARGET, long, seed, **bracket.PAPER
        ),
    }
    seconds = {method: process_seconds(fit) for method, fit in fits.items()}
    return {
        "problem": "mg",
        "rule": "bracket",
        "paper_epochs": paper_epochs,
        "seed": seed,
        **seconds,
    }


def main() -> None:
    """Parse the command line; time, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("costs.json"))
    parser.add_argument(
        "--problems", nargs="+", default=[n for n, p in PROBLEMS.items() if p.hidden]
    )
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--bracket-seeds", type=int, default=1)
    parser.add_argument("--paper-epochs", type=int, default=5000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warm_up()
    records: list[dict] = []

    def keep(record: dict) -> None:
        records.append(record)
        save_records(records, arguments.out)
        print(record, flush=True)

    present = [n for n in arguments.problems if not PROBLEMS[n].missing(arguments.data)]
    for seed in range(arguments.seeds):
        for name in present:
            data = PROBLEMS[name].load(arguments.data, seed)
            for batch in BATCHES:
                keep(against_dense(name, data, arguments.budget, batch, seed))
    for seed in range(arguments.bracket_seeds if "mg" in present else 0):
        data = PROBLEMS["mg"].load(arguments.data, seed)
        keep(against_bracket(data, arguments.budget, arguments.paper_epochs, seed))


if __name__ == "__main__":
    main()
