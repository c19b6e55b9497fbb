"""How many true and false inputs stability selection selects on madelon.

Usage, in the folder `examples`::

    python -m benchmarks.stability --data ../../shared/data \
        [--pairs 25] [--write ../docs/stability.md]

Each record has how many of the fits used each input, so that the page shows any
threshold.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cached_runs import Record, run_jobs
from generated_page import replace_part, table
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression

from benchmarks.arguments import page_parser, parse_problems
from benchmarks.inputs import TRUTH
from benchmarks.problems import PROBLEMS, Data
from sklearn_sparsenet import (
    SparseNetClassifier,
    StabilityResult,
    stability_selection,
)

__all__ = ["METHODS", "Job", "main", "measure", "page"]

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
SEEDS = 3
PAIRS = 25


@dataclass(frozen=True)
class Job:
    """One stability selection.

    Attributes
    ----------
    problem, method : str
    n_pairs : int
    seed : int
    """

    problem: str
    method: str
    n_pairs: int
    seed: int


def _network(n_units: int, target: Any, **settings: Any) -> SparseNetClassifier:
    return SparseNetClassifier((n_units,), target_sparsity=target, **settings)


def _first(number: int, model: Any) -> SelectFromModel:
    """Select the inputs that are most important to a model."""
    return SelectFromModel(model, max_features=number, threshold=-np.inf)


def _linear() -> LogisticRegression:
    return LogisticRegression(l1_ratio=1, solver="liblinear", C=0.1)


# Halves of madelon take 63 epochs by default.
METHODS: dict[str, Callable[[], Any]] = {
    "100 weights": lambda: _network(100, 100),
    "200 weights": lambda: _network(100, 200),
    "60 and 40 weights": lambda: _network(100, [60, 40]),
    "first 60 of 500 weights": lambda: _first(60, _network(100, 500)),
    "150 weights, wide": lambda: _network(300, 150),
    "100 weights, wide and short": lambda: _network(300, 100, max_iter=20),
    "150 weights, wide and short": lambda: _network(300, 150, max_iter=20),
    "first 40, ℓ1 linear": lambda: _first(40, _linear()),
}


def measure(job: Job, data: Data) -> Record:
    """Select, and keep how many of the fits used each input."""
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = stability_selection(
            METHODS[job.method](),
            data.X_train,
            data.y_train,
            n_pairs=job.n_pairs,
            stratify=data.y_train if data.n_classes else None,
            random_state=job.seed,
        )
    seconds = time.process_time() - started
    counts = np.rint(result.frequencies * 2 * job.n_pairs).astype(int)
    return {**asdict(job), "counts": counts.tolist(), "seconds": round(seconds, 1)}


def result_of(record: Record) -> StabilityResult:
    """Return the result that a record was made of."""
    frequencies = np.array(record["counts"]) / (2 * record["n_pairs"])
    names = np.arange(len(frequencies))
    return StabilityResult(frequencies, 0.75, record["n_pairs"], names)


def hits(record: Record, threshold: float) -> tuple[int, int]:
    """Return how many true and how many false inputs are selected."""
    selected = result_of(record).select(threshold)
    true = list(TRUTH[record["problem"]])
    n_true = int(selected[true].sum())
    return n_true, int(selected.sum()) - n_true


def page(records: list[Record]) -> str:
    """Return a table: a row for each method and threshold, means over the seeds."""
    header = [
        "each fit uses the inputs of",
        "seeds",
        "inputs a fit",
        "threshold",
        "true",
    ]
    header += ["false", "false discoveries", "recall", "bound", "unimodal"]
    header += ["r-concave", "seconds"]
    rows = []
    for name, group in _groups(records):
        n_true = len(TRUTH[group[0]["problem"]])
        results = [result_of(record) for record in group]
        used = np.mean([result.n_selected_mean for result in results])
        seconds = np.mean([record["seconds"] for record in group])
        for threshold in THRESHOLDS:
            found = np.mean([hits(record, threshold) for record in group], axis=0)
            is_first = threshold == THRESHOLDS[0]
            rows.append(
                [
                    name if is_first else "",
                    len(group) if is_first else "",
                    f"{used:.0f}" if is_first else "",
                    threshold,
                    f"{found[0]:.1f}",
                    f"{found[1]:.1f}",
                    f"{found[1] / found.sum():.0%}" if found.any() else "–",
                    f"{found[0] / n_true:.2f}",
                    *_bounds(results, threshold),
                    f"{seconds:.0f}" if is_first else "",
                ]
            )
    first = records[0]
    pairs = f"{first['problem']}, {first['n_pairs']} pairs, means of the seeds."
    return f"{table(header, rows)}\n\n{pairs}"


def _groups(records: list[Record]) -> list[tuple[str, list[Record]]]:
    names = [name for name in METHODS if any(r["method"] == name for r in records)]
    return [(name, [r for r in records if r["method"] == name]) for name in names]


def _bounds(results: list[StabilityResult], threshold: float) -> list[str]:
    if threshold <= 0.5:
        return ["–"] * 3
    means = [
        np.mean([one.error_bound(threshold, assumption=name) for one in results])
        for name in ("none", "unimodal", "r_concave")
    ]
    return [f"{mean:.0f}" if mean >= 10 else f"{mean:.1f}" for mean in means]


def _run(job: Job, directory: Path) -> Record:
    return measure(job, PROBLEMS[job.problem].load(directory, 0))


def _line(record: Record) -> str:
    found = [
        f"{level}: {'+'.join(map(str, hits(record, level)))}" for level in THRESHOLDS
    ]
    return f"{record['method']} seed {record['seed']}: {', '.join(found)}"


def main() -> None:
    """Parse the command line; run, print, write."""
    out = "../docs/stability.json"
    parser = page_parser(__doc__.splitlines()[0], ["madelon"], out, SEEDS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--pairs", type=int, default=PAIRS)
    arguments = parse_problems(parser)
    jobs = [
        Job(problem, method, arguments.pairs, seed)
        for problem in arguments.problems
        for seed in range(arguments.seeds)
        for method in arguments.methods
    ]
    run = partial(_run, directory=arguments.data)
    records = run_jobs(jobs, run, arguments.out, arguments.jobs, _line)
    text = page(records)
    print(text)
    if arguments.write:
        replace_part(arguments.write, "stability", text)


if __name__ == "__main__":
    main()
