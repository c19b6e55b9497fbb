"""Which parameters change nothing in a fit, though somebody has set them."""

from __future__ import annotations

from inspect import signature

import numpy as np

from sklearn_sparsenet.estimators._settings import Settings
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.penalties import Penalty
from sklearn_sparsenet.search import Search, SearchBudget

__all__ = ["warn_of_idle_parameters"]

_HAPPENS_ANYWAY = {"tol": 0}  # where it changes nothing


def warn_of_idle_parameters(
    settings: Settings, search: Search, limits: SearchBudget, penalty: Penalty
) -> None:
    """Tell once of all parameters that were set and change nothing."""
    by_search = search.ignored(limits, penalty)
    given_alpha = settings.alpha is not None
    how = "a given alpha" if given_alpha else f"search={settings.search!r}"
    reasons = {
        how: by_search,
        "solver='lbfgs'": ("learning_rate_init", "learning_rate", "shuffle")
        if settings.solver == "lbfgs"
        else (),
        "early_stopping=False": ()
        if settings.early_stopping
        else ("validation_fraction", "n_iter_no_change"),
        "module=": ()
        if settings.module is None
        else ("hidden_layer_sizes", "activation"),
    }
    parts = []
    for reason, names in reasons.items():
        idle = [
            f"{name}={getattr(settings, name)!r}"
            for name in names
            if _is_set(settings, name)
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


def _is_set(settings: Settings, name: str) -> bool:
    """Tell whether a parameter has another value than the default."""
    known = signature(settings.kind).parameters
    if name not in known:  # of estimators that choose it themselves
        return False
    value = getattr(settings, name)
    usual = [known[name].default]
    if name in _HAPPENS_ANYWAY:
        usual.append(_HAPPENS_ANYWAY[name])
    return not any(value is one or np.array_equal(value, one) for one in usual)
