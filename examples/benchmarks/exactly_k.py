"""Exactly k inputs by each method, judged by models that see nothing else.

A part of ``python -m benchmarks.inputs``; `selectors/` has a file for each method.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from cached_runs import Record, run_jobs
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR

from benchmarks.input_problems import COUNTS, INPUT_PROBLEMS, TRUTH
from benchmarks.problems import Data
from benchmarks.selectors import SELECTORS, Selection, chance
from benchmarks.selectors.base import Ranking

__all__ = [
    "JUDGES",
    "REFERENCE",
    "SEEDS",
    "Job",
    "cells",
    "jobs",
    "judge",
    "measure",
    "run_all",
]

SEEDS = 5
JUDGES = {"svm": "SVM", "nearest": "1-NN", "trees": "ExtraTrees"}
CACHE = 500  # MB, for the SVM
REFERENCE = "truth"  # the true inputs, then chance, where they are known


@dataclass(frozen=True)
class Job:
    """All counts of a problem by one method.

    Attributes
    ----------
    problem, method : str
    counts : tuple of int
    seed : int
        Of the rows where no split is given, and of all that a method draws.
    """

    problem: str
    method: str
    counts: tuple[int, ...]
    seed: int


def jobs(
    problems: Sequence[str], methods: Sequence[str], seeds: Sequence[int]
) -> list[Job]:
    """Return the jobs, seed by seed; tell which methods cannot be run."""
    available = []
    for method in methods:
        if reason := method in SELECTORS and SELECTORS[method].missing():
            print(f"skipped {method}: {reason}")
        else:
            available.append(method)
    return [
        Job(problem, method, COUNTS[problem], seed)
        for seed in seeds
        for problem in problems
        for method in available
        if method != REFERENCE or problem in TRUTH
    ]


def measure(job: Job, data: Data) -> Record:
    """Select, and judge every selection."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _selector(job)(data, job.counts, job.seed)
    return {
        "problem": job.problem,
        "method": job.method,
        "counts": list(job.counts),
        "seed": job.seed,
        "cells": [
            _cell(job, selection, k, data)
            for k, selection in zip(job.counts, found, strict=True)
        ],
    }


def _selector(job: Job) -> Callable[[Data, Sequence[int], int], list[Selection]]:
    if job.method == REFERENCE:
        return Ranking(partial(chance.score_truth, true=TRUTH[job.problem]))
    return SELECTORS[job.method].select


def _cell(job: Job, selection: Selection, k: int, data: Data) -> Record:
    chosen = np.unique(selection.chosen)
    if len(chosen) != k:
        raise ValueError(f"{job} gave {len(chosen)} inputs for {k}.")
    true = TRUTH.get(job.problem)
    hits = None if true is None else int(np.isin(true, chosen).sum())
    own = None if selection.error is None else round(selection.error, 5)
    return {
        "k": k,
        "n_own": selection.n_own,
        "true": hits,
        "own": own,
        "seconds": round(selection.seconds, 2),
        **judge(data, chosen, job.seed),
    }


def judge(data: Data, chosen: np.ndarray, seed: int) -> dict[str, float]:
    """Return the test error of each judge with the inputs chosen alone.

    Parameters
    ----------
    data : Data
        Scaled as its problem says: the judges get it as it is.
    chosen : ndarray of int
    seed : int
        Of the trees.
    """
    trees = {"n_estimators": 50, "random_state": seed}
    models: tuple[Any, ...] = (
        (
            SVC(cache_size=CACHE),
            KNeighborsClassifier(1),
            ExtraTreesClassifier(**trees),
        )
        if data.n_classes
        else (
            SVR(cache_size=CACHE),
            KNeighborsRegressor(1),
            ExtraTreesRegressor(**trees),
        )
    )
    X, X_test = data.X_train[:, chosen], data.X_test[:, chosen]
    return {
        name: round(data.error(model.fit(X, data.y_train).predict(X_test)), 5)
        for name, model in zip(JUDGES, models, strict=True)
    }


def cells(records: list[Record]) -> list[Record]:
    """Return one record for each problem, method, seed and count."""
    return [
        {"problem": r["problem"], "method": r["method"], "seed": r["seed"], **cell}
        for r in records
        for cell in r["cells"]
    ]


@lru_cache(maxsize=1)
def _load(problem: str, directory: Path, seed: int) -> Data:
    return INPUT_PROBLEMS[problem].load(directory, seed)


def _run(job: Job, directory: Path) -> Record:
    return measure(job, _load(job.problem, directory, job.seed))


def _line(record: Record) -> str:
    shown = "; ".join(
        f"{c['k']} ({c['n_own']}): {c['svm']:.4f}, {c['true']} true, own {c['own']}"
        for c in record["cells"]
    )
    seconds = max(cell["seconds"] for cell in record["cells"])
    return (
        f"{record['problem']} {record['method']} {record['seed']}: {shown}; {seconds} s"
    )


def run_all(
    todo: list[Job], directory: Path, out: Path, n_processes: int
) -> list[Record]:
    """Run the jobs that `out` does not have yet; return all that it has then."""
    return run_jobs(todo, partial(_run, directory=directory), out, n_processes, _line)
