r"""Log loss and 1 - R² on small tables, next to what users would take instead.

Usage, in the folder `examples`::

    python -m benchmarks.small_tables --data ../../shared/data \
        [--methods default "default weight_decay=0.01"] \
        [--write ../docs/small_tables.md]

Rivals are linear models (RidgeCV, LogisticRegressionCV), scikit-learn's MLP, random
forests and histogram boosting. Parameters of ours may follow the name of a method;
"unscaled" is "default" without a scaler.
"""

from __future__ import annotations

import argparse
import ast
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
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
)
from sklearn_sparsenet.utils.exceptions import DataScaleWarning

__all__ = ["Job", "compare", "main", "measure", "page", "read"]

BUNDLED = {
    "diabetes": load_diabetes,
    "breast_cancer": load_breast_cancer,
    "wine": load_wine,
    "iris": load_iris,
    "digits": load_digits,
}
LINEAR, RIVALS = ("linear", "mlp"), ("linear", "mlp", "forest", "boosting")
SEEDS = 3
FOLDS = 5
FAR_BEHIND = 1.15


@dataclass(frozen=True)
class Job:
    """The folds of one split of a table.

    Attributes
    ----------
    table, method : str
    seed : int
        Of the split and of the model.
    """

    table: str
    method: str
    seed: int


def _linear(classes: bool, seed: int) -> Any:
    if not classes:
        return RidgeCV(np.logspace(-2, 4, 13))
    return LogisticRegressionCV(
        scoring="neg_log_loss",
        l1_ratios=(0.0,),
        max_iter=1000,
        use_legacy_attributes=False,
    )


def _mlp(classes: bool, seed: int) -> Any:
    if classes:
        return MLPClassifier(random_state=seed)
    model = MLPRegressor(random_state=seed)
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def _of_kind(classifier: type, regressor: type, **settings: Any) -> Callable[..., Any]:
    """Return what makes either of them; settings of a job come on top."""

    def make(classes: bool, seed: int, **more: Any) -> Any:
        kind = classifier if classes else regressor
        return kind(random_state=seed, **settings, **more)

    return make


_cross_validated = partial(_of_kind, SparseNetClassifierCV, SparseNetRegressorCV)
METHODS: dict[str, Callable[..., Any]] = {
    "linear": _linear,
    "mlp": _mlp,
    "forest": _of_kind(RandomForestClassifier, RandomForestRegressor),
    "boosting": _of_kind(HistGradientBoostingClassifier, HistGradientBoostingRegressor),
    "default": _of_kind(SparseNetClassifier, SparseNetRegressor),
    "unscaled": _of_kind(SparseNetClassifier, SparseNetRegressor),
    "cv": _cross_validated(),
    "cv_1se": _cross_validated(selection="1se"),
}


def make_model(method: str, classes: bool, seed: int) -> Any:
    """Return a model as ``"name parameter=value ..."`` says, mostly with a scaler."""
    name, *settings = method.split()
    pairs = (setting.split("=", 1) for setting in settings)
    more = {key: ast.literal_eval(value) for key, value in pairs}
    model = METHODS[name](classes, seed, **more)
    return make_pipeline(*([] if name == "unscaled" else [StandardScaler()]), model)


def tables_of(directory: Path) -> list[str]:
    """Return the names of the tables that there are."""
    given = sorted(path.stem for path in (directory / "tabular").glob("*.npz"))
    return [*BUNDLED, *given, *(["mg"] if (directory / "mg.csv").exists() else [])]


def read(name: str, directory: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return X, y and whether y are classes."""
    if name in BUNDLED:
        X, y = BUNDLED[name](return_X_y=True)
        return X, y, name != "diabetes"
    if name == "mg":
        values = np.loadtxt(directory / "mg.csv", delimiter=",", skiprows=1)
        return values[:, 1:], values[:, 0], False
    with np.load(directory / "tabular" / f"{name}.npz") as file:
        return file["X"], file["y"], str(file["task"]) == "classification"


def measure(job: Job, X: np.ndarray, y: np.ndarray, classes: bool) -> Record:
    """Fit and score each fold once."""
    kind = StratifiedKFold if classes else KFold
    folds = kind(FOLDS, shuffle=True, random_state=job.seed).split(X, y)
    errors, counts, started = [], [], time.process_time()
    for train, test in folds:
        model = make_model(job.method, classes, job.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", DataScaleWarning)
            model.fit(X[train], y[train])
        errors.append(_error(model, X[test], y[test], classes))
        counts.append(getattr(model[-1], "n_nonzero_", None))
    seconds = (time.process_time() - started) / FOLDS
    error = float(np.mean(errors))
    found = {"error": error, "errors": errors, "n_nonzero": counts, "seconds": seconds}
    return {**asdict(job), "classes": classes, **found}


def _error(model: Any, X: np.ndarray, y: np.ndarray, classes: bool) -> float:
    if classes:
        return float(log_loss(y, model.predict_proba(X), labels=model.classes_))
    return float(1 - r2_score(y, model.predict(X)))


def compare(errors: dict[str, dict[str, float]], ours: str, rivals: tuple) -> dict:
    """Compare a method with the best of some rivals of each table.

    Parameters
    ----------
    errors : dict of dict
        By table and by method.
    ours : str
    rivals : tuple of str

    Returns
    -------
    dict
        The geometric mean of the ratios, how many tables are far behind, and which is
        the worst, for the tables that have all of these methods.
    """
    complete = {
        name: found for name, found in errors.items() if {ours, *rivals} <= found.keys()
    }
    if not complete:
        return {}
    ratios = {
        name: found[ours] / min(found[rival] for rival in rivals)
        for name, found in complete.items()
    }
    return {
        "mean": float(np.exp(np.mean(np.log(list(ratios.values()))))),
        "n_tables": len(ratios),
        "n_behind": sum(ratio > FAR_BEHIND for ratio in ratios.values()),
        "worst": max(ratios, key=lambda name: ratios[name]),
        "largest": max(ratios.values()),
    }


def page(records: list[Record]) -> str:
    """Return the tables: errors, means over the seeds, and what they come to."""
    methods = list(dict.fromkeys(record["method"] for record in records))
    methods.sort(key=lambda name: [*METHODS].index(name.split()[0]))
    parts = []
    for classes, what in ((True, "log loss"), (False, "1 - R²")):
        errors = _by_table([r for r in records if r["classes"] == classes])
        rows = [
            [name, *(_cell(found.get(method)) for method in methods)]
            for name, found in sorted(errors.items())
        ]
        if rows:
            parts.append(table([what, *methods], rows))
    parts.append(_summary(records, methods))
    seeds = len({record["seed"] for record in records})
    n_tables = len({record["table"] for record in records})
    parts.append(f"{FOLDS} folds, seeds: at most {seeds}, tables: {n_tables}.")
    return "\n\n".join(parts)


def _by_table(records: list[Record]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for record in records:
        by_method = found.setdefault(record["table"], {})
        by_method.setdefault(record["method"], []).append(record["error"])
    return {
        name: {method: float(np.mean(each)) for method, each in by_method.items()}
        for name, by_method in found.items()
    }


def _cell(error: float | None) -> str:
    return "–" if error is None else f"{error:.3f}"


def _summary(records: list[Record], methods: list[str]) -> str:
    """Compare each method with rivals on the seeds that it was run with."""
    header = ["method", "seeds", "against the best of", "geometric mean of the ratios"]
    header += [f"tables above {FAR_BEHIND}", "largest ratio"]
    rows = []
    for method in methods:
        if method in RIVALS:
            continue
        seeds = {r["seed"] for r in records if r["method"] == method}
        errors = _by_table([r for r in records if r["seed"] in seeds])
        for rivals in (LINEAR, RIVALS):
            if found := compare(errors, method, rivals):
                behind = f"{found['n_behind']} of {found['n_tables']}"
                worst = f"{found['largest']:.2f} ({found['worst']})"
                mean = f"{found['mean']:.3f}"
                against = ", ".join(rivals)
                rows.append([method, len(seeds), against, mean, behind, worst])
    return table(header, rows)


def _run(job: Job, directory: Path) -> Record:
    return measure(job, *read(job.table, directory))


def _line(record: Record) -> str:
    return (
        f"{record['table']} {record['method']} seed {record['seed']}: error "
        f"{record['error']:.4f}, weights {record['n_nonzero']}, "
        f"{record['seconds']:.1f} s a fold"
    )


def main() -> None:
    """Parse the command line; run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("small_tables.json"))
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    parser.add_argument("--tables", nargs="+", help="all that there are by default")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args()
    jobs = [
        Job(name, method, seed)
        for seed in range(arguments.seeds)
        for name in arguments.tables or tables_of(arguments.data)
        for method in arguments.methods
    ]
    run = partial(_run, directory=arguments.data)
    records = run_jobs(jobs, run, arguments.out, arguments.jobs, _line)
    text = page(records)
    print(text)
    if arguments.write:
        replace_part(arguments.write, "small tables", text)


if __name__ == "__main__":
    main()
