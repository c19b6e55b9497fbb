"""Which inputs networks with few weights keep, next to the lasso and LassoNet.

A part of ``python -m benchmarks.inputs``: madelon has 500 columns, 20 of which matter,
and pumadyn32nm has 32 with 4. LassoNet (``pip install lassonet``) is left out if it is
not installed.
"""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from cached_runs import Record, run_jobs
from generated_page import table
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LassoCV, LogisticRegressionCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from benchmarks.input_problems import TRUTH
from benchmarks.problems import PROBLEMS, Data, Schedule
from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

__all__ = ["SEEDS", "Job", "measure", "page", "run_all"]

TARGETS = (50, 100, 200, 500, 1000)
LAYER_TARGETS = ((20, 100, 30), (60, 400, 100))
SEEDS = 3
STEPS = 1000
N_BAGGED = 10


@dataclass(frozen=True)
class Job:
    """One fit.

    Attributes
    ----------
    problem, method : str
    asked : int or tuple of int
        Weights, in the network or per layer; 0 for methods that are not told.
    seed : int
    """

    problem: str
    method: str
    asked: int | tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Found:
    """What a method found.

    Attributes
    ----------
    used : ndarray of bool, shape (n_inputs,)
    importances : ndarray of shape (n_inputs,) or None
        For the ranking, if there is one.
    error : float or None
        Of the model itself on the test rows.
    """

    used: np.ndarray
    importances: np.ndarray | None
    error: float | None


def ours(data: Data, job: Job, **settings: Any) -> Found:
    """Fit one network."""
    net = _network(data, job, **settings).fit(data.X_train, data.y_train)
    error = data.error(net.predict(data.X_test))
    return Found(net.support_, net.feature_importances_, error)


def short(data: Data, job: Job) -> Found:
    """Fit one network in a third of the epochs."""
    epochs = Schedule.for_rows(len(data.X_train), STEPS).epochs
    return ours(data, job, max_iter=epochs // 3)


def bagged(data: Data, job: Job) -> Found:
    """Fit networks to bootstrap samples; keep the inputs that half of them use."""
    kind = BaggingClassifier if data.n_classes else BaggingRegressor
    net = _network(data, job).set_params(random_state=None)
    bag = kind(net, n_estimators=N_BAGGED, random_state=job.seed)
    bag.fit(data.X_train, data.y_train)
    used = np.mean([e.support_ for e in bag.estimators_], axis=0) >= 0.5
    importances = np.mean([e.feature_importances_ for e in bag.estimators_], axis=0)
    return Found(used, importances, data.error(bag.predict(data.X_test)))


def _network(data: Data, job: Job, **settings: Any) -> Any:
    kind = SparseNetClassifier if data.n_classes else SparseNetRegressor
    return kind(
        data.hidden, target_sparsity=job.asked, random_state=job.seed, **settings
    )


def linear(data: Data, job: Job) -> Found:
    """Fit the lasso, or logistic regression with ℓ1; λ by cross-validation."""
    if data.n_classes:
        model: Any = LogisticRegressionCV(
            l1_ratios=(1.0,),
            solver="liblinear",
            scoring="neg_log_loss",
            use_legacy_attributes=False,
            random_state=job.seed,
        )
    else:
        model = LassoCV(random_state=job.seed)
    selector = SelectFromModel(model).fit(data.X_train, data.y_train)
    fitted = selector.estimator_
    error = data.error(fitted.predict(data.X_test))
    return Found(selector.get_support(), np.abs(fitted.coef_).ravel(), error)


def lassonet(data: Data, job: Job) -> Found:
    """Fit LassoNet's path; keep the network with the least loss on held-out rows."""
    from lassonet import LassoNetClassifier, LassoNetRegressor

    kind = LassoNetClassifier if data.n_classes else LassoNetRegressor
    model = kind(
        hidden_dims=data.hidden,
        path_multiplier=1.05,
        verbose=0,
        random_state=job.seed,
        torch_seed=job.seed,
    )
    y = data.y_train if data.n_classes else data.y_train[:, None]
    path = model.path(data.X_train, y, return_state_dicts=True)
    best = min(path[1:], key=lambda item: item.val_loss)
    model.load(best.state_dict)
    error = data.error(np.asarray(model.predict(data.X_test)))
    # The λ at which an input left for good.
    lasts = [np.where(item.selected.numpy(), item.lambda_, 0.0) for item in path]
    return Found(best.selected.numpy(), np.max(lasts, axis=0), error)


def truth(data: Data, job: Job) -> Found:
    """Take the true inputs."""
    mask = np.zeros(data.X_train.shape[1], dtype=bool)
    mask[list(TRUTH[job.problem])] = True
    return Found(mask, None, None)


def everything(data: Data, job: Job) -> Found:
    """Take all inputs."""
    mask = np.ones(data.X_train.shape[1], dtype=bool)
    return Found(mask, None, None)


METHODS: dict[str, tuple[str, Callable[[Data, Job], Found]]] = {
    "truth": ("the true inputs", truth),
    "everything": ("all inputs", everything),
    "ours": ("ours", ours),
    "layers": ("ours, per layer", ours),
    "early": ("ours, early stopping", partial(ours, early_stopping=True)),
    "short": ("ours, a third of the steps", short),
    "bagged": (f"ours, half of {N_BAGGED} networks", bagged),
    "linear": ("ℓ1, linear", linear),
    "lassonet": ("LassoNet", lassonet),
}


def jobs(problems: list[str], n_seeds: int) -> list[Job]:
    """Return what is run; what knows no chance is run once."""
    has_lassonet = importlib.util.find_spec("lassonet") is not None
    asked: dict[str, tuple[Any, ...]] = dict.fromkeys(METHODS, (TARGETS[0],))
    asked |= {"ours": TARGETS, "layers": LAYER_TARGETS}
    asked["bagged"] = (TARGETS[0], LAYER_TARGETS[-1])
    asked |= dict.fromkeys(("truth", "everything", "linear", "lassonet"), (0,))
    return [
        Job(problem, method, each, seed)
        for method in METHODS
        if method != "lassonet" or has_lassonet
        for problem in problems
        for each in asked[method]
        for seed in range(n_seeds)
        if seed == 0 or not _is_repetition(problem, method)
    ]


def _is_repetition(problem: str, method: str) -> bool:
    """Madelon has one split, and these methods draw nothing."""
    return problem == "madelon" and method in ("truth", "everything", "linear")


def measure(job: Job, data: Data) -> Record:
    """Fit and compare with the truth."""
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = METHODS[job.method][1](data, job)
    seconds = time.process_time() - started
    n_true = len(TRUTH[job.problem])
    used = np.flatnonzero(found.used)
    hits = _n_true(used, job.problem)
    first = None
    if found.importances is not None:
        first = np.argsort(-found.importances, kind="stable")[:n_true]
    return {
        **asdict(job),
        "asked": job.asked if isinstance(job.asked, int) else list(job.asked),
        "n_inputs": used.size,
        "recall": hits / n_true,
        "precision": hits / used.size if used.size else None,
        "first": None if first is None else _n_true(first, job.problem),
        "error": found.error,
        "neighbours": neighbours(data, used),
        "neighbours of first": neighbours(data, first),
        "seconds": seconds,
    }


def _n_true(inputs: np.ndarray, problem: str) -> int:
    return np.intersect1d(inputs, TRUTH[problem]).size


def neighbours(data: Data, used: np.ndarray | None) -> float | None:
    """Return the test error of 5 nearest neighbours, which feel superfluous inputs."""
    if used is None or used.size == 0:
        return None
    model = KNeighborsClassifier() if data.n_classes else KNeighborsRegressor()
    model.fit(data.X_train[:, used], data.y_train)
    return data.error(model.predict(data.X_test[:, used]))


@lru_cache(maxsize=1)
def _load(problem: str, directory: Path, seed: int) -> Data:
    return PROBLEMS[problem].load(directory, seed)


def _run(job: Job, directory: Path) -> Record:
    return measure(job, _load(job.problem, directory, job.seed))


def _line(record: Record) -> str:
    kept = {k: v for k, v in record.items() if k not in Job.__dataclass_fields__}
    return f"{record['problem']} {record['method']} {record['asked']}: {kept}"


def page(records: list[Record]) -> str:
    """Return a table for each problem, medians over the seeds."""
    parts = []
    for problem in dict.fromkeys(record["problem"] for record in records):
        of_problem = [r for r in records if r["problem"] == problem]
        n_true = len(TRUTH[problem])
        header = ["method", "weights asked for", "inputs kept", "recall", "precision"]
        header += ["test error", "neighbours", f"true among its first {n_true}"]
        header += ["neighbours with those", "seconds"]
        parts.append(f"{problem}:\n\n{table(header, _rows(of_problem))}")
    if not any(record["method"] == "lassonet" for record in records):
        parts.append("LassoNet was not installed.")
    return "\n\n".join(parts)


COLUMNS = {
    "n_inputs": ".0f",
    "recall": ".2f",
    "precision": ".2f",
    "error": ".3f",
    "neighbours": ".3f",
    "first": ".0f",
    "neighbours of first": ".3f",
    "seconds": ".1f",
}


def _rows(records: list[Record]) -> list[list[Any]]:
    rows = []
    for method, (name, _) in METHODS.items():
        of_method = [r for r in records if r["method"] == method]
        for asked in dict.fromkeys(str(r["asked"]) for r in of_method):
            group = [r for r in of_method if str(r["asked"]) == asked]
            told = "" if asked == "0" else f"`{asked}`"
            cells = [_median(group, column, form) for column, form in COLUMNS.items()]
            rows.append([name, told, *cells])
    return rows


def _median(group: list[Record], name: str, form: str) -> str:
    values = [r[name] for r in group if r[name] is not None]
    return format(np.median(values), form) if values else "–"


def run_all(
    problems: list[str], seeds: int, directory: Path, out: Path, n_processes: int
) -> list[Record]:
    """Run the fits that `out` does not have yet; return all that it has then."""
    run = partial(_run, directory=directory)
    return run_jobs(jobs(problems, seeds), run, out, n_processes, _line)
