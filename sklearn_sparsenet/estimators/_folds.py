"""The folds of a cross-validation: their rows, their networks, what to warn of."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsenet.estimators._jobs import as_here
from sklearn_sparsenet.estimators._scoring import (
    only_predicts,
    weights_for,
    with_labels,
)
from sklearn_sparsenet.estimators._table_rows import TableRows
from sklearn_sparsenet.estimators._validation import count_samples, safe_indexing
from sklearn_sparsenet.estimators._warnings import told_before, warn_user
from sklearn_sparsenet.estimators.path import Grid, count_inputs, run_path

__all__ = ["make_folds", "run_folds", "warn_of_the_folds"]


def make_folds(cv, X, y, sample_weight, groups, is_classifier: bool) -> list[tuple]:
    """Return the rows to train and to test with, of each fold.

    Rows of weight 0 are in none of them. No folds at all are refused, and one that has
    no rows of positive weight in a part.
    """
    from sklearn.model_selection import check_cv  # slow to import

    n_samples = count_samples(X)
    kept = np.arange(n_samples)
    if sample_weight is not None and not sample_weight.all():
        kept = np.flatnonzero(sample_weight)
        y, groups = _rows_of(y, kept), _rows_of(groups, kept)
    if cv is None or isinstance(cv, Integral) or hasattr(cv, "split"):
        splitter = check_cv(cv, y, classifier=is_classifier)
        # Those of scikit-learn only count the rows of X.
        is_known = type(splitter).__module__.startswith("sklearn.model_selection.")
        X = kept if is_known else safe_indexing(X, kept)
        parts = splitter.split(X, y, groups)
        folds = [(kept[train], kept[test]) for train, test in parts]
    else:  # rows, which the user has numbered
        given = [[np.arange(n_samples)[rows] for rows in fold] for fold in cv]
        folds = [
            (train[np.isin(train, kept)], test[np.isin(test, kept)])
            for train, test in given
        ]
    if not folds:
        raise ValueError(f"cv={cv!r} gives no folds; an iterator is empty after use.")
    for number, fold in enumerate(folds):
        for part, rows in zip(("train", "test"), fold, strict=True):
            if not len(rows):
                raise ValueError(
                    f"The {part} part of fold {number} has no rows of positive weight. "
                    "Shuffle (cv=KFold(shuffle=True)), or leave these rows out."
                )
    return folds


def _rows_of(part, numbers):
    return None if part is None else safe_indexing(part, numbers)


def run_folds(estimator, root, folds: list[tuple], *what) -> list[dict]:
    """Return what `_fit_fold` gives for each fold, tasks of their own below `root`.

    `what` are its other arguments; the estimator is the one that chooses by the folds.
    """
    tasks = root.subcontext(
        task_name="folds", max_subtasks=len(folds), sequential_subtasks=False
    )
    tasks.call_on_fit_task_begin(estimator=estimator)
    # All of them before the first is pickled.
    each = [tasks.subcontext(task_name="fold", task_id=k) for k in range(len(folds))]
    work = as_here(_fit_fold)
    results = Parallel(n_jobs=estimator.n_jobs)(
        delayed(work)(fold, task, *what) for fold, task in zip(folds, each, strict=True)
    )
    tasks.call_on_fit_task_end(estimator=estimator)
    return results


def _fit_fold(
    fold, task, single, data, grid: Grid, scorer: Callable, classes: np.ndarray | None
) -> dict:
    """Fit the path to the training rows of a fold and score it on both parts.

    Parameters
    ----------
    fold : tuple of rows to train with, and to test with
    task : CallbackContext
        Is begun and ended here.
    single : SparseNet
    data : tuple of X, y, sample_weight
    grid : Grid
        The target of each point.
    scorer : callable
    classes : ndarray of shape (n_classes,), or None
        Those of all folds together, which the networks know and the scores are about.

    Returns
    -------
    dict
        train, test, n_nonzero, n_inputs and alpha of each point; the messages of what
        did not converge.
    """
    table, *others = data
    train, test = (
        [TableRows(table, rows), *(_rows_of(part, rows) for part in others)]
        for rows in fold
    )
    facts = {"estimator": single, "y": train[1]}
    if task._callbacks:
        facts["X"] = train[0].take()
    task.call_on_fit_task_begin(**facts)
    with told_before():
        how = (grid, fold[0], classes, f"fold {task.task_id + 1}")
        points, messages = run_path(clone(single), *data, *how)

    about_all = scorer if classes is None else with_labels(scorer, classes)

    def score(X, y, sample_weight) -> np.ndarray:
        weights = weights_for(about_all, sample_weight)
        if not only_predicts(scorer):
            X = X.take()
        return np.array([about_all(point, X, y, **weights) for point in points])

    found = {
        "train": score(*train),
        "test": score(*test),
        "n_nonzero": np.array([point.n_nonzero_ for point in points]),
        "n_inputs": count_inputs(points),
        "alpha": np.array([point.alpha_ for point in points]),
        "messages": messages,
    }
    task.call_on_fit_task_end(**facts)
    return found


def warn_of_the_folds(results: list[dict], name: str) -> None:
    """Warn once of all networks of the folds that did not converge."""
    messages = [message for result in results for message in result["messages"]]
    if messages:
        n_networks = sum(len(result["test"]) for result in results)
        warn_user(
            f"{name}: {len(messages)} of the {n_networks} networks of the folds "
            f"missed their targets or did not converge; the first: {messages[0]}",
            ConvergenceWarning,
        )
