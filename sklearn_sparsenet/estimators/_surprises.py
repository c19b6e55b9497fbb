"""Warnings of parameters that do nothing, or what few people mean by them."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from math import ceil

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsenet.estimators._settings import Settings
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.penalties import Penalty
from sklearn_sparsenet.search import Search, SearchBudget
from sklearn_sparsenet.search.targets import (
    Target,
    has_entries,
    match_layers,
    n_nonzero_of,
)
from sklearn_sparsenet.solvers import SolverOptions
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.arguments import as_number

__all__ = ["warn_of_idle_parameters", "warn_of_surprises"]

_HAPPENS_ANYWAY = {"tol": 0}  # where it changes nothing
_DENSE = 0.1  # shares of zeros below this are probably meant to be shares of weights


def warn_of_idle_parameters(
    settings: Settings, search: Search, limits: SearchBudget, penalty: Penalty
) -> None:
    """Tell once of all parameters that were set and change nothing."""
    is_given = settings.alpha is not None
    how = "a given alpha" if is_given else f"search={settings.search!r}"
    reasons = {how: search.ignored(limits, penalty)}
    if settings.solver == "lbfgs":
        reasons["solver='lbfgs'"] = ("learning_rate_init", "learning_rate", "shuffle")
    if not settings.early_stopping:
        reasons["early_stopping=False"] = ("validation_fraction", "n_iter_no_change")
    if settings.module is not None:
        reasons["module="] = ("hidden_layer_sizes", "activation")
    parts = []
    for reason, names in reasons.items():
        idle = [name for name in names if _is_set(settings, name)]
        if idle:
            told = ", ".join(f"{name}={getattr(settings, name)!r}" for name in idle)
            parts.append(f"{told} (with {reason})")
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


def warn_of_surprises(
    settings: Settings,
    search: Search,
    target: Target | None,
    problem: Problem,
    options: SolverOptions,
) -> None:
    """Tell of so few steps, and of such targets, that something else may be meant."""
    _warn_of_few_steps(search, problem.n_samples, options)
    if target is None:
        return
    sizes = {layer.name: layer.size for layer in problem.network.layers}
    _warn_of_dense_targets(settings.target_sparsity, sizes)
    _warn_of_counts_for_many(settings.target_sparsity, sizes)


def _warn_of_few_steps(search: Search, n_samples: int, options: SolverOptions) -> None:
    min_steps = search.min_steps
    per_epoch = ceil(n_samples / options.batch_size)
    n_steps = round(options.max_iter * per_epoch)
    if n_steps < min_steps:
        warn_user(
            f"Too few steps: max_iter={options.max_iter} with batches of "
            f"{options.batch_size} rows makes {n_steps}. To learn, to cut weights and "
            f"to learn again takes {min_steps} at least, and errors are large with "
            f"less. Write max_iter={ceil(min_steps / per_epoch)} or more; 'auto' makes "
            "about 1000 steps.",
            ConvergenceWarning,
        )


def _warn_of_dense_targets(asked: object, sizes: dict[str, int]) -> None:
    entries = {"the network": asked}
    if has_entries(asked):
        entries = match_layers(asked, sizes, "target_sparsity")
    for name, entry in entries.items():
        share = as_number(entry)
        if isinstance(share, float) and 0 < share < _DENSE:
            size = sizes.get(name, sum(sizes.values()))
            kept = n_nonzero_of(entry, size, name)
            warn_user(
                f"target_sparsity={share:g} keeps {kept} of the {size} weights of "
                f"{name} and makes {size - kept} zero: a float is the fraction of "
                f"zeros. To keep a fraction of {share:g}, write {1 - share:g}.",
                UserWarning,
            )
            return


def _warn_of_counts_for_many(asked: object, sizes: dict[str, int]) -> None:
    if not isinstance(asked, Mapping):
        return
    key_of = match_layers({key: key for key in asked}, sizes, "target_sparsity")
    for key, entry in asked.items():
        names = [name for name in key_of if key_of[name] == key]
        count = as_number(entry)
        if isinstance(count, int) and len(names) > 1:
            warn_user(
                f"target_sparsity={asked!r} keeps {count} weights in each of the "
                f"{len(names)} layers that {key!r} matches, {count * len(names)} in "
                f"all. For {count} in all write target_sparsity={count}; if it is "
                f"meant, name the layers: {dict.fromkeys(names, count)}.",
                UserWarning,
            )
            return
