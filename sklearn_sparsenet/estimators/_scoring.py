"""What a cross-validation scores by, and what scorers are told."""

from __future__ import annotations

import copy
from collections.abc import Callable
from inspect import signature

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.base import is_classifier

from sklearn_sparsenet.estimators._coding import weigh
from sklearn_sparsenet.estimators._settings import Settings

__all__ = [
    "default_score_name",
    "minus_log_loss",
    "only_predicts",
    "scorer_of",
    "weights_for",
    "with_labels",
]


def default_score_name(estimator) -> str:
    """Return what `scoring=None` stands for, by the name of its scorer."""
    return "neg_log_loss" if is_classifier(estimator) else "R²"


def scorer_of(estimator, scoring):
    """Return the scorer that `scoring` names; for None that of the default."""
    from sklearn.metrics import check_scoring  # slow to import

    if scoring is None and is_classifier(estimator):
        return minus_log_loss
    return check_scoring(estimator, scoring)


def minus_log_loss(net, X, y, sample_weight=None) -> float:
    """Return minus the log loss of a classifier; with several labels their mean.

    The classes count as they do in the fit, by `class_weight`, and all that the network
    knows are classes, whether or not y has them.
    """
    from sklearn.metrics import log_loss  # slow to import

    probabilities = net.predict_proba(X)
    y = y.toarray() if sparse.issparse(y) else np.asarray(y)
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
    weight = weigh(Settings.of(net), y, weight, net.classes_)
    if y.ndim == 1 or y.shape[1] == 1:
        return -log_loss(y, probabilities, labels=net.classes_, sample_weight=weight)
    labels = zip(y.T, probabilities.T, strict=True)
    losses = [log_loss(*one, labels=[0, 1], sample_weight=weight) for one in labels]
    return -float(np.mean(losses))


def only_predicts(scorer: Callable) -> bool:
    """Whether a scorer looks at predictions only: those of scikit-learn, and ours."""
    known = type(scorer).__module__ == "sklearn.metrics._scorer"
    return known or scorer is minus_log_loss


def with_labels(scorer: Callable, classes: np.ndarray) -> Callable:
    """Return a scorer that tells its metric which classes there are.

    Metrics that ask for them (``labels``) would take those of the rows that they are
    given for all. A scorer that has been told is left as it is, as is a function.
    """
    metric = getattr(scorer, "_score_func", None)
    if metric is None or "labels" not in signature(metric).parameters:
        return scorer
    told = copy.copy(scorer)
    told._kwargs = {"labels": classes, **scorer._kwargs}
    return told


def weights_for(scorer: Callable, sample_weight) -> dict:
    """Return the keyword arguments that tell a scorer the weights.

    None where metadata routing says that it does not want them.
    """
    if sample_weight is None:
        return {}
    routing = getattr(scorer, "get_metadata_routing", None)
    if get_config()["enable_metadata_routing"] and routing is not None:
        score = getattr(routing(), "score", None)
        if score is not None and score.requests.get("sample_weight") is False:
            return {}
    return {"sample_weight": sample_weight}
