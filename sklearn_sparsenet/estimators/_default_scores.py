"""What a cross-validation scores by, unless the user says otherwise."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring, log_loss

from sklearn_sparsenet.estimators._coding import weigh
from sklearn_sparsenet.estimators._settings import Settings

__all__ = ["default_score_name", "minus_log_loss", "scorer_of"]


def default_score_name(estimator) -> str:
    """Return what `scoring=None` stands for, by the name of its scorer."""
    return "neg_log_loss" if is_classifier(estimator) else "R²"


def scorer_of(estimator, scoring):
    """Return the scorer that `scoring` names; for None that of the default."""
    if scoring is None and is_classifier(estimator):
        return minus_log_loss
    return check_scoring(estimator, scoring)


def minus_log_loss(net, X, y, sample_weight=None) -> float:
    """Return minus the log loss of a classifier; with several labels their mean.

    The classes count as they do in the fit, by `class_weight`, and all that the network
    knows are classes, whether or not y has them.
    """
    probabilities = net.predict_proba(X)
    y = y.toarray() if sparse.issparse(y) else np.asarray(y)
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
    weight = weigh(Settings.of(net), y, weight, net.classes_)
    if y.ndim == 1 or y.shape[1] == 1:
        return -log_loss(y, probabilities, labels=net.classes_, sample_weight=weight)
    labels = zip(y.T, probabilities.T, strict=True)
    losses = [log_loss(*one, labels=[0, 1], sample_weight=weight) for one in labels]
    return -float(np.mean(losses))
