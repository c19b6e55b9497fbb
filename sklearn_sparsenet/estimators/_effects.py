"""Which parameters change nothing in a fit, though somebody has set them."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np

from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.penalties import Penalty
from sklearn_sparsenet.search import Search, SearchBudget

__all__ = ["warn_of_idle_parameters"]

_HAPPENS_ANYWAY = {"tol": 0}  # where it changes nothing


def warn_of_idle_parameters(
    estimator: Any, search: Search, limits: SearchBudget, penalty: Penalty
) -> None:
    """Tell once of all parameters that were set and change nothing."""
    by_search = search.ignored(limits, penalty)
    given_alpha = estimator.alpha is not None
    how = "a given alpha" if given_alpha else f"search={estimator.search!r}"
    reasons = {
        how: by_search,
        "solver='lbfgs'": ("learning_rate_init", "learning_rate", "shuffle")
        if estimator.solver == "lbfgs"
        else (),
        "early_stopping=False": ()
        if estimator.early_stopping
        else ("validation_fraction", "n_iter_no_change"),
        "module=": ()
        if estimator.module is None
        else ("hidden_layer_sizes", "activation"),
    }
    parts = []
    for reason, names in reasons.items():
        idle = [
            f"{name}={getattr(estimator, name)!r}"
            for name in names
            if _is_set(estimator, name)
        ]
        if idle:
            parts.append(f"{', '.join(idle)} (with {reason})")
    if parts:
        warn_user(
            f"Parameters that change nothing in this network: {'; '.join(parts)}. "
            "Leave them at their defaults, or see their description for what they "
            "go with.",
            UserWarning,
        )


def _is_set(estimator: Any, name: str) -> bool:
    """Tell whether a parameter has another value than the default."""
    known = signature(type(estimator)).parameters
    if name not in known:  # of estimators that choose it themselves
        return False
    value = getattr(estimator, name)
    usual = [known[name].default]
    if name in _HAPPENS_ANYWAY:
        usual.append(_HAPPENS_ANYWAY[name])
    return not any(value is one or np.array_equal(value, one) for one in usual)
