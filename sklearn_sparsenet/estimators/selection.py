"""Which target to choose, by the scores of folds."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

import numpy as np
from scipy.stats import rankdata

from sklearn_sparsenet.estimators.path import Grid

__all__ = [
    "SELECTIONS",
    "best",
    "choose",
    "mean_scores",
    "paired_errors",
    "within_one_standard_error",
]


def _defined(test_scores: np.ndarray) -> np.ndarray:
    """Return the scores without the folds in which no target has one.

    Scores have the shape (n_targets, n_folds). There is no area under a ROC curve, say,
    where the test part of a fold lacks a class. All of them if no fold has a score.
    """
    has_scores = ~np.isnan(test_scores).all(axis=0)
    return test_scores[:, has_scores] if has_scores.any() else test_scores


def mean_scores(test_scores: np.ndarray) -> np.ndarray:
    """Return the mean over the folds; -inf, the worst, where it is not defined."""
    means = _defined(test_scores).mean(axis=1)
    return np.where(np.isnan(means), -np.inf, means)


def _checked(index: object, n_targets: int) -> int:
    """Return the index that a function of the user's chose, if it is one."""
    if not isinstance(index, Integral):
        raise TypeError(f"selection= must return an int, an index; got {index!r}.")
    if not 0 <= index < n_targets:
        raise IndexError(
            f"selection= returned {index}, which is out of range for {n_targets} "
            "targets."
        )
    return int(index)


def paired_errors(test_scores: np.ndarray, index: int) -> np.ndarray:
    """Return the standard errors of the mean differences to the target at `index`.

    That one fold is harder than another makes all scores differ between folds, and says
    nothing of the targets: it is not in the differences within each fold. The errors,
    (n_targets,), are 0 at `index`, and for all with a single fold.
    """
    scores = _defined(test_scores)
    n_folds = scores.shape[1]
    if n_folds < 2:
        return np.zeros(len(scores))
    return (scores[index] - scores).std(axis=1, ddof=1) / np.sqrt(n_folds)


def best(test_scores: np.ndarray) -> int:
    """Return where the mean score is best; of equals the sparsest.

    Scores, (n_targets, n_folds), go from dense to sparse; larger is better. It is an
    error if no target has a mean.
    """
    if np.isnan(_defined(test_scores)).any(axis=1).all():
        raise ValueError(
            "No target has a score in every fold (NaN), so that none can be chosen. R² "
            "needs two rows in each test part, the area under a ROC curve rows of each "
            "class: with cv=LeaveOneOut() say, choose "
            "scoring='neg_mean_squared_error' or 'neg_log_loss'."
        )
    means = mean_scores(test_scores)
    return int(np.flatnonzero(means == means.max())[-1])


def within_one_standard_error(test_scores: np.ndarray) -> int:
    """Return the sparsest target that is worse than the best by one error at most.

    The rule of Breiman et al. (1984), section 3.4.3, but with the standard error of
    the difference, fold by fold.
    """
    top = best(test_scores)
    means = mean_scores(test_scores)
    close = means[top] - means <= paired_errors(test_scores, top)
    return int(np.flatnonzero(close)[-1])


SELECTIONS = {"min": best, "1se": within_one_standard_error}


def choose(grid: Grid, results: list[dict], selection: str | Callable) -> dict:
    """Choose a target by what the folds gave; return both, as attributes.

    Targets go from dense to sparse. The result of a fold has the scores "train" and
    "test", "n_nonzero", "n_inputs" and "alpha" of each target.
    """
    test, train = (
        np.stack([result[kind] for result in results], axis=1)
        for kind in ("test", "train")
    )
    cv_results = _as_results(grid, test, train)
    if callable(selection):
        index = _checked(selection(cv_results), len(test))
    else:
        index = SELECTIONS[selection](test)
    return {
        "test_scores_": test,
        "train_scores_": train,
        "n_nonzeros_": np.mean([result["n_nonzero"] for result in results], axis=0),
        "n_inputs_": np.mean([result["n_inputs"] for result in results], axis=0),
        "alphas_": np.stack([result["alpha"] for result in results], axis=1),
        "cv_results_": cv_results,
        "best_index_": index,
        "best_score_": float(_defined(test)[index].mean()),
    }


def _as_results(grid: Grid, test: np.ndarray, train: np.ndarray) -> dict:
    """Return the scores in the form of `GridSearchCV.cv_results_`."""
    results = {f"param_{grid.parameter}": grid.values}
    for kind, scores in (("test", test), ("train", train)):
        for number, fold in enumerate(scores.T):
            results[f"split{number}_{kind}_score"] = fold
        scores = _defined(scores)
        results[f"mean_{kind}_score"] = scores.mean(axis=1)
        results[f"std_{kind}_score"] = scores.std(axis=1)
    ranks = rankdata(-mean_scores(test), method="min")
    return {**results, "rank_test_score": ranks.astype(np.int32)}
