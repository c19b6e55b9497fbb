"""Sparse networks on text, next to linear models with ℓ1.

Usage, in the folder `examples`::

    python -m benchmarks.text [--seeds 3] [--write ../docs/text.md]

TF-IDF of the standard library's sources (`benchmarks.standard_library`). Each fit runs
in a process of its own, so that its peak memory is known. Linear models are asked for
as many weights as the networks by bisection over C; the seconds are those of the last
fit alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from generated_page import table
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MaxAbsScaler
from sklearn.svm import LinearSVC

from benchmarks.standard_library import load_corpus
from sklearn_sparsenet import SparseNetClassifier

__all__ = ["main"]

N_WEIGHTS = 500
_BISECTIONS, _CLOSE = 10, 0.03


def _svc(C: float) -> Any:
    return LinearSVC(penalty="l1", dual=False, C=C)


def _logistic(C: float) -> Any:
    model = LogisticRegression(l1_ratio=1, solver="liblinear", C=C)
    return OneVsRestClassifier(model)


LINEAR: dict[str, Callable[[float], Any]] = {
    "LinearSVC ℓ1": _svc,
    "logistic ℓ1": _logistic,
}
HIDDEN: dict[str, tuple[int, ...]] = {"ours ()": (), "ours (100,)": (100,)}


def _count(model: Any) -> int:
    parts = getattr(model, "estimators_", [model])
    return sum(int(np.count_nonzero(part.coef_)) for part in parts)


def _fit_linear(make: Callable[[float], Any], X: Any, y: Any) -> tuple[Any, int, float]:
    """Return the model of about as many weights as asked, its count and seconds."""
    low, high = 1e-2, 1e3
    for _ in range(_BISECTIONS):
        C = (low * high) ** 0.5
        started = time.process_time()
        model = make(C).fit(X, y)
        seconds, count = time.process_time() - started, _count(model)
        if abs(count - N_WEIGHTS) <= _CLOSE * N_WEIGHTS:
            break
        low, high = (low, C) if count > N_WEIGHTS else (C, high)
    return model, count, seconds


def measure(method: str, is_scaled: bool, seed: int) -> dict[str, Any]:
    """Fit one model in this process; return what it is worth and what it takes."""
    corpus = load_corpus(seed)
    X, X_test = corpus.X_train, corpus.X_test
    if is_scaled:
        scaler = MaxAbsScaler().fit(X)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method in LINEAR:
            model, count, seconds = _fit_linear(LINEAR[method], X, corpus.y_train)
        else:
            started = time.process_time()
            model = SparseNetClassifier(
                HIDDEN[method], target_sparsity=N_WEIGHTS, random_state=seed
            ).fit(X, corpus.y_train)
            seconds, count = time.process_time() - started, model.n_nonzero_
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "method": method,
        "scaled": is_scaled,
        "seed": seed,
        "shape": X.shape,
        "accuracy": round(float(model.score(X_test, corpus.y_test)), 4),
        "weights": count,
        "seconds": round(seconds, 2),
        "peak_mb": round(peak),
    }


def _measure_apart(method: str, is_scaled: bool, seed: int) -> dict[str, Any]:
    one = json.dumps([method, is_scaled, seed])
    command = [sys.executable, "-m", "benchmarks.text", "--one", one]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    print(found.stdout.strip(), flush=True)
    return json.loads(found.stdout)


def page(records: list[dict[str, Any]]) -> str:
    """Return the page as Markdown."""
    rows = []
    for method in [*LINEAR, *HIDDEN]:
        for is_scaled in (False, True):
            runs = [
                r for r in records if (r["method"], r["scaled"]) == (method, is_scaled)
            ]
            means = [np.mean([r[key] for r in runs]) for key in _COLUMNS]
            accuracy, weights, seconds, peak = means
            rows.append(
                [
                    method,
                    "yes" if is_scaled else "no",
                    f"{accuracy:.3f}",
                    f"{weights:.0f}",
                    f"{seconds:.1f}",
                    f"{peak:.0f}",
                ]
            )
    header = ["model", "MaxAbsScaler", "accuracy", "weights", "seconds", "peak MB"]
    n_rows, n_columns = records[0]["shape"]
    n_splits = len({r["seed"] for r in records})
    return f"""# Text

Take a linear model with ℓ1 for texts. It is about as accurate as our networks, with
hidden units or without, and many times faster. Do not scale TF-IDF: rare words would
count as much as frequent ones.

The texts are the sources of Python's standard library, as TF-IDF with {n_rows} rows
and {n_columns} columns. Classes are packages, and no file is in both parts. Figures
are means of {n_splits} splits. The goal for *ours* is the accuracy of the linear models
with the same scaling, or .03 less with hidden units, and at most twice their memory.
Written by
`python -m benchmarks.text --write ../docs/text.md`, in the folder `examples`.

{table(header, rows)}
"""


_COLUMNS = ("accuracy", "weights", "seconds", "peak_mb")


def main() -> None:
    """Parse the command line, run the fits, write JSON and page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("../docs/text.json"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one), ensure_ascii=False))
        return
    records = [
        _measure_apart(method, is_scaled, seed)
        for seed in range(arguments.seeds)
        for method in [*LINEAR, *HIDDEN]
        for is_scaled in (False, True)
    ]
    lines = ",\n".join(json.dumps(r, ensure_ascii=False) for r in records)
    arguments.json.write_text(f"[\n{lines}\n]\n")
    if arguments.write:
        arguments.write.write_text(page(records))


if __name__ == "__main__":
    main()
