"""The table of docs/targets.md: which targets are reached, at what price.

Every kind of target on every data set, with default settings but for the tolerance,
several seeds. A seed draws the split, the initial network and the batches.

Usage::

    python examples/targets_table.py                          # print the table
    python examples/targets_table.py --mg mg.libsvm           # with the Mg data
    python examples/targets_table.py --write docs/targets.md  # put it into the page
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from generated_page import replace_part
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_svmlight_file,
    load_wine,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.search import BracketSearch

CLASSIFIERS = {
    "digits": load_digits,
    "breast cancer": load_breast_cancer,
    "wine": load_wine,
}
MG_LAYERS = [650, 1200, 1000, 45]


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    data: str
    hidden: tuple[int, ...]
    target: Any
    tol: float
    min_layers: int | None = None
    stop: str = "settled"


CASES = [
    Case("digits", (100,), 0.9, 0.01),
    Case("digits", (100,), 0.98, 0.01),
    Case("digits", (100,), 500, 0.01),
    Case("digits", (100,), [600, 300], 0.05),
    Case("digits", (100, 50), {"0.weight": 0.9, "*": 0.8}, 0.05, stop="in_flight"),
    Case("breast cancer", (100,), 0.9, 0.01),
    Case("breast cancer", (100,), 60, 0.01),
    Case("breast cancer", (100,), [150, 30], 0.05),
    Case("breast cancer", (100,), {"2.weight": 20}, 0.05),
    Case("wine", (100,), 0.9, 0.01),
    Case("wine", (100,), 50, 0.01),
    Case("wine", (100,), [130, 30], 0.05),
    Case("wine", (100,), {"*": 0.9}, 0.05),
    Case("diabetes", (100,), 0.9, 0.01),
    Case("diabetes", (100,), 30, 0.01),
    Case("diabetes", (50, 20), [60, 60, 6], 0.05),
    Case("diabetes", (50, 20), {"0.weight": 50, "*": 0.9}, 0.1),
]
MG_CASES = [
    Case("Mg", (128, 128, 64), 2000, 0.001),
    Case("Mg", (128, 128, 64), 200, 0.01),
    Case("Mg", (128, 128, 64), MG_LAYERS, 0.05, min_layers=3),
]
COLUMNS = (
    "data | hidden | target | tol | met | when | solves | weights | per layer | λ | "
    "KKT/λ | test error | dense | seconds"
)


def load(name: str, seed: int, mg_path: str | None):
    """Return a split with scaled inputs."""
    if name == "Mg":  # the authors' split, the same for every seed
        X, y = load_svmlight_file(mg_path)
        X = MinMaxScaler((-1, 1)).fit_transform(X.toarray())
        return X[:1000], X[1000:], y[:1000], y[1000:]
    X, y = CLASSIFIERS.get(name, load_diabetes)(return_X_y=True)
    parts = train_test_split(
        X, y, random_state=seed, stratify=y if name in CLASSIFIERS else None
    )
    scaler = StandardScaler().fit(parts[0])
    return scaler.transform(parts[0]), scaler.transform(parts[1]), *parts[2:]


def run(case: Case, seed: int, mg_path: str | None):
    """Fit one case; return the estimator, its test error, dense error and seconds."""
    X_train, X_test, y_train, y_test = load(case.data, seed, mg_path)
    kind = SparseNetClassifier if case.data in CLASSIFIERS else SparseNetRegressor
    estimator = kind(
        case.hidden,
        target_sparsity=case.target,
        tol=case.tol,
        min_layers_on_target=case.min_layers,
        search=BracketSearch(stop=case.stop),
        random_state=seed,
    )
    dense = kind(case.hidden, alpha=0.0, random_state=seed).fit(X_train, y_train)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # shown in column "met"
        estimator.fit(X_train, y_train)
    seconds = time.process_time() - started
    # 1 - score: the error rate, or the squared error over the variance of y.
    errors = [1 - e.score(X_test, y_test) for e in (estimator, dense)]
    return estimator, *errors, seconds


def row(case: Case, runs) -> str:
    """Format the medians of the runs; counts and λ are those of the first seed."""
    estimators, errors, dense, seconds = zip(*runs, strict=True)
    first = estimators[0]
    met = [e.converged_ for e in estimators]
    on_its_way = [e.search_history_["status"][-1] == "on_target" for e in estimators]
    when = case.stop.replace("_", " ") if any(on_its_way) else "converged"
    alphas = ", ".join(f"{alpha:.2g}" for alpha in np.atleast_1d(first.alpha_))
    return " | ".join(
        [
            case.data,
            "-".join(map(str, case.hidden)),
            f"`{case.target}`"
            + (f", {case.min_layers} layers" * bool(case.min_layers)),
            f"{case.tol:g}",
            f"{sum(met)}/{len(met)}",
            when,
            f"{np.median([e.n_outer_iter_ for e in estimators]):.0f}",
            ", ".join(str(e.n_nonzero_) for e in estimators),
            ", ".join(map(str, first.n_nonzero_per_layer_)),
            alphas,
            f"{np.median([e.kkt_residual_ for e in estimators]):.2g}",
            f"{np.median(errors):.3f}",
            f"{np.median(dense):.3f}",
            f"{np.median(seconds):.1f}",
        ]
    )


def main() -> None:
    """Parse the command line, run the cases, print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--mg", help="the Mg data in LIBSVM format")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    arguments = parser.parse_args()
    rows = [COLUMNS, " | ".join(["---"] * (COLUMNS.count("|") + 1))]
    for case in CASES + (MG_CASES if arguments.mg else []):
        runs = [run(case, seed, arguments.mg) for seed in range(arguments.seeds)]
        rows.append(row(case, runs))
        print(rows[-1], flush=True)
    if arguments.write:
        replace_part(arguments.write, "table", "\n".join(f"| {r} |" for r in rows))


if __name__ == "__main__":
    main()
