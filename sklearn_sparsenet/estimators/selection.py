"""Which target to choose, by the scores of folds."""

from __future__ import annotations

import numpy as np

__all__ = ["SELECTIONS", "best", "standard_errors", "within_one_standard_error"]


def standard_errors(test_scores: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the folds, shape (n_targets,).

    Parameters
    ----------
    test_scores : ndarray of shape (n_targets, n_folds)
    """
    n_folds = test_scores.shape[1]
    if n_folds < 2:
        return np.zeros(len(test_scores))
    return test_scores.std(axis=1, ddof=1) / np.sqrt(n_folds)


def best(test_scores: np.ndarray) -> int:
    """Return where the mean score is best; of equals the sparsest.

    Parameters
    ----------
    test_scores : ndarray of shape (n_targets, n_folds)
        From dense to sparse, larger is better.
    """
    means = test_scores.mean(axis=1)
    return int(np.flatnonzero(means == means.max())[-1])


def within_one_standard_error(test_scores: np.ndarray) -> int:
    """Return the sparsest target whose mean is within one standard error of the best.

    Breiman et al. (1984), section 3.4.3. Parameters as `best`.
    """
    top = best(test_scores)
    means = test_scores.mean(axis=1)
    least = means[top] - standard_errors(test_scores)[top]
    return int(np.flatnonzero(means >= least)[-1])


SELECTIONS = {"min": best, "1se": within_one_standard_error}
