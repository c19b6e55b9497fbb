"""Filters: a score of each input by itself (scikit-learn's, with its defaults)."""

from __future__ import annotations

import numpy as np
from sklearn.feature_selection import (
    f_classif,
    f_regression,
    mutual_info_classif,
    mutual_info_regression,
)

from benchmarks.problems import Data

__all__ = ["score_anova", "score_mutual_information"]


def score_mutual_information(data: Data, seed: int) -> np.ndarray:
    """Return the mutual information with the target, by 3 nearest neighbours."""
    score = mutual_info_classif if data.n_classes else mutual_info_regression
    return score(data.X_train, data.y_train, random_state=seed)


def score_anova(data: Data, seed: int) -> np.ndarray:
    """Return the F statistic; 0 for constant columns."""
    score = f_classif if data.n_classes else f_regression
    varies = np.ptp(data.X_train, axis=0) > 0
    scores = np.zeros(len(varies))
    scores[varies] = score(data.X_train[:, varies].astype(float), data.y_train)[0]
    return scores
