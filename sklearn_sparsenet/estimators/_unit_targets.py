"""Targets on inputs and units: from parameters to what the core is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sklearn_sparsenet.estimators._settings import Settings
from sklearn_sparsenet.networks.network import find_layers
from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.networks.units import Units
from sklearn_sparsenet.search.targets import Target, has_entries
from sklearn_sparsenet.search.unit_targets import UnitTarget, UnitTargets
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.arguments import as_number

__all__ = ["has_unit_targets", "with_unit_targets"]


def has_unit_targets(settings: Settings) -> bool:
    """Tell whether inputs or units are asked for."""
    return settings.target_inputs is not None or settings.target_units is not None


def with_unit_targets(
    settings: Settings,
    target: Target | None,
    problem: Problem,
    features: dict[str, Any],
) -> Target | None:
    """Return a target with those on inputs and units, if any.

    Parameters
    ----------
    settings : Settings
    target : Target or None
        On weights; None with a fixed λ, which takes no targets.
    problem : Problem
    features : dict
        Of the columns of X, their number and names, as fitted attributes.

    Raises
    ------
    ValueError, TypeError
        If there are not so many, if no network can have all that is asked for, or if
        the units of the network are not known.
    """
    if target is None:
        return None
    if settings.target_inputs is None:
        _refuse_without_inputs(settings)
    if not has_unit_targets(settings):
        return target
    network = problem.network
    left_out = find_layers(network.module).keys() - {x.name for x in network.layers}
    if left_out:
        raise ValueError(
            "target_inputs and target_units need a target_sparsity that covers all "
            f"layers; it leaves out {sorted(left_out)}."
        )
    flow = SynapticFlow.of(network, problem.rows.sample_shape)
    if flow is None:
        raise ValueError(
            "target_inputs and target_units need a network through which paths from "
            "inputs to outputs can be followed, that is, chains and sums of layers. "
            "Differences, gates and attention cannot be followed."
        )
    units = Units.of(network, flow)
    targets = []
    if settings.target_inputs is not None:
        targets.append(_inputs(settings, units, features))
    if settings.target_units is not None:
        targets += _hidden_units(settings.target_units, units)
    return target.with_units(UnitTargets(units, tuple(targets)))


def _refuse_without_inputs(settings: Settings) -> None:
    for name in ("input_groups", "always_keep"):
        if getattr(settings, name) is not None:
            raise ValueError(
                f"{name}= has no effect without target_inputs=, which says how many "
                "inputs stay. Set that, too."
            )


def _count_of(entry: object, size: int, parameter: str, what: str) -> int:
    """Return how many of `size` inputs or units stay.

    Raises
    ------
    ValueError
        If `entry` is neither an int from 1 to `size`, nor a fraction in [0, 1).
    """
    number = as_number(entry)
    if isinstance(number, int) and 1 <= number <= size:
        return number
    if isinstance(number, float) and 0 <= number < 1:
        return max(1, math.floor((1 - number) * size + 0.5))
    raise ValueError(
        f"{parameter}={entry!r}: an int from 1 to {size} says how many of the {size} "
        f"{what} stay in use, a float in [0, 1) which fraction of them does not."
    )


def _inputs(settings: Settings, units: Units, features: dict[str, Any]) -> UnitTarget:
    """Return the target on inputs, which may be groups of columns."""
    if not units.knows_inputs:
        raise ValueError(
            "target_inputs needs a network whose first counted layer is linear or a "
            "convolution, and alone reads X."
        )
    n_inputs = units.sizes[0]
    labels = np.arange(n_inputs)
    if settings.input_groups is not None:
        labels = _group_numbers(settings.input_groups, n_inputs)
    n_groups = int(labels.max()) + 1
    always = np.zeros(n_groups, dtype=bool)
    always[labels[_columns(settings.always_keep, n_inputs, features)]] = True
    what = "inputs" if settings.input_groups is None else "groups of inputs"
    goal = _count_of(settings.target_inputs, n_groups, "target_inputs", what)
    if goal < always.sum():
        raise ValueError(
            f"always_keep names {always.sum()} {what}, more than the {goal} that "
            "target_inputs asks for."
        )
    group = torch.full((units.n_units,), -1)
    group[units.row(0)] = torch.from_numpy(labels)
    return _target(what, group, n_groups, goal, units, torch.from_numpy(always))


def _target(
    name: str,
    group: torch.Tensor,
    n_groups: int,
    goal: int,
    units: Units,
    always: torch.Tensor | None = None,
) -> UnitTarget:
    device = units.sink.device
    if always is None:
        always = torch.zeros(n_groups, dtype=torch.bool)
    return UnitTarget(name, group.to(device), n_groups, goal, always.to(device))


def _group_numbers(labels: object, n_inputs: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (n_inputs,):
        raise ValueError(
            f"input_groups must have one label for each of the {n_inputs} inputs; its "
            f"shape is {labels.shape}."
        )
    try:
        return np.unique(labels, return_inverse=True)[1]
    except TypeError as error:  # of labels that have no order
        raise TypeError(
            "input_groups must have labels of one kind, all numbers or all texts; got "
            f"{labels!r}."
        ) from error


def _columns(asked: object, n_inputs: int, features: dict[str, Any]) -> np.ndarray:
    """Return the numbers of columns that are given by number or by name."""
    if asked is None:
        return np.zeros(0, dtype=int)
    names = list(features.get("feature_names_in_", ()))
    found = []
    for entry in np.atleast_1d(np.asarray(asked, dtype=object)).tolist():
        number = as_number(entry)
        if isinstance(entry, str) and entry in names:
            found.append(names.index(entry))
        elif isinstance(number, int) and -n_inputs <= number < n_inputs:
            found.append(number)
        else:
            raise ValueError(
                f"always_keep has {entry!r}: it is neither the name of a column of X "
                f"nor a number below {n_inputs}."
            )
    return np.array(found)


def _hidden_units(asked: object, units: Units) -> list[UnitTarget]:
    """Return the targets on units: one for all hidden layers, or one for each."""
    sizes = units.sizes[1:-1]
    if not sizes:
        raise ValueError("target_units needs a hidden layer, and there is none.")
    if not has_entries(asked):
        total = sum(sizes)
        goal = _count_of(asked, total, "target_units", "hidden units")
        if goal < len(sizes):
            raise ValueError(
                f"target_units={asked!r}: each of the {len(sizes)} hidden layers needs "
                "a unit at least."
            )
        group = torch.full((units.n_units,), -1)
        group[units.row(1).start : units.row(len(sizes)).stop] = torch.arange(total)
        target = _target("hidden units", group, total, goal, units)
        rows = tuple(units.row(row) for row in range(1, len(sizes) + 1))
        return [replace(target, rows=rows)]
    if isinstance(asked, Mapping):
        raise TypeError(
            f"target_units={asked!r} must be a number, or one for each hidden layer."
        )
    entries = list(asked)  # type: ignore[call-overload]
    if len(entries) != len(sizes):
        raise ValueError(
            f"target_units has {len(entries)} entries, the network {len(sizes)} hidden "
            f"layers, of {sizes} units."
        )
    targets = []
    for row, (entry, size) in enumerate(zip(entries, sizes, strict=True), 1):
        what = f"units of hidden layer {row}"
        goal = _count_of(entry, size, "target_units", what)
        group = torch.full((units.n_units,), -1)
        group[units.row(row)] = torch.arange(size)
        targets.append(_target(what, group, size, goal, units))
    return targets
