"""What the user asks for: targets per network or per layer, in numbers of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from numbers import Real
from typing import TypeGuard

import numpy as np
from torch import Tensor

from sklearn_sparsenet.search.unit_targets import UnitTargets
from sklearn_sparsenet.utils.arguments import as_number

__all__ = [
    "Target",
    "has_entries",
    "match_layers",
    "n_nonzero_of",
    "resolve_target",
    "shared_out",
]


@dataclass(frozen=True)
class Target:
    """How many weights are to be left, and how exactly."""

    layer_names: tuple[str, ...]  # The layers that are penalised and counted.
    n_nonzero: tuple[int, ...]  # For the whole network, or for each layer.
    per_layer: bool
    # Relative tolerance: met means ``|count - n| <= tol * n``, equation (37).
    tol: float = 0.0
    # With targets per layer: how many must be met (the paper's N0); None: all.
    min_layers: int | None = None
    # Whether fewer weights are as good: between as many inputs and units as are asked
    # for there may be less room than a fraction of all weights takes.
    at_most: bool = False
    # How many inputs and units are to be in use, besides.
    units: UnitTargets | None = None

    def with_units(self, units: UnitTargets) -> Target:
        """Return the target together with targets on inputs and units.

        Raises
        ------
        ValueError
            If no network can have so many weights between so many units.
        """
        layers = [layer.slice for layer in units.units.layers]
        groups = layers if self.per_layer else [slice(0, layers[-1].stop)]
        bounds = units.bounds(groups)
        goals = self.n_nonzero
        if self.at_most:
            enough = units.enough(groups)
            room = [most for _, most in bounds]
            goals = tuple(map(min, map(max, goals, enough), room))
        for goal, (fewest, most) in zip(goals, bounds, strict=True):
            if not fewest <= goal <= most:
                raise ValueError(
                    f"target_sparsity asks for {goal} weights, but the inputs and "
                    f"units that stay have {fewest} to {most} between them. Ask for "
                    "so many, or for all with target_sparsity=None."
                )
        return replace(self, n_nonzero=goals, units=units)

    @property
    def n_groups_of_units(self) -> int:
        """How many groups of inputs and units are to be in use, where that is asked."""
        return 0 if self.units is None else sum(t.goal for t in self.units.targets)

    def grouped(self, counts: Sequence[int]) -> list[int]:
        """Return the counts per layer as the target has them: summed, or as is."""
        return list(counts) if self.per_layer else [sum(counts)]

    def met_by_group(self, counts: Sequence[int]) -> list[bool]:
        """Tell for each entry of the target whether `counts` per layer meet it."""
        return [excess <= self.tol for excess in self._distances(counts)]

    def is_met(self, counts: Sequence[int]) -> bool:
        """Tell whether enough entries of the target are met."""
        met = self.met_by_group(counts)
        needed = len(met) if self.min_layers is None else min(self.min_layers, len(met))
        return sum(met) >= needed

    def distance(self, counts: Sequence[int]) -> float:
        """Return the mean relative distance, by which solves are ranked."""
        return sum(self._distances(counts)) / len(self.n_nonzero)

    def is_exact(self, counts: Sequence[int]) -> bool:
        """Tell whether `counts` per layer, or of all, are those that were asked for."""
        return not any(self._distances(counts))

    def reached(self, counts: Sequence[int]) -> tuple[int, ...]:
        """Return the numbers of weights asked for, once `counts` are left."""
        if not self.at_most:
            return self.n_nonzero
        return tuple(map(min, self.grouped(counts), self.n_nonzero))

    def _distances(self, counts: Sequence[int]) -> list[float]:
        pairs = zip(self.grouped(counts), self.n_nonzero, strict=True)
        gaps = ((count - goal, goal) for count, goal in pairs)
        return [
            (max(gap, 0) if self.at_most else abs(gap)) / goal for gap, goal in gaps
        ]


def has_entries(value: object) -> TypeGuard[Sequence | np.ndarray | Tensor | Mapping]:
    """Tell whether a parameter has entries for layers: is no number, and no text."""
    if isinstance(value, str | bytes | bytearray):
        return False
    return isinstance(value, Mapping | Sequence) or getattr(value, "ndim", 0) > 0


def n_nonzero_of(entry: object, size: int, where: str) -> int:
    """Return the number of weights that one entry of `target_sparsity` leaves.

    That is a count from 1 to `size`, the number of weights, or a fraction of zeros in
    [0, 1); `where` names in messages what has them.

    Raises
    ------
    TypeError, ValueError
        For anything else; the message tells how many weights there are.
    """
    accepted = (
        f"for {where}, which has {size} weights, target_sparsity must be an int from 1 "
        f"to {size} (the number of nonzero weights to keep) or a float in [0, 1) (the "
        "fraction of weights that are zero)"
    )
    number = as_number(entry)
    if number is None:
        value = entry[()] if isinstance(entry, np.ndarray) else entry
        kind = ValueError if isinstance(value, Real | np.bool_) else TypeError
        raise kind(f"target_sparsity={value!r} is not a target: {accepted}.")
    in_range = 1 <= number <= size if isinstance(number, int) else 0 <= number < 1
    if not in_range:  # NaN is not
        raise ValueError(f"target_sparsity={entry!r} is out of range: {accepted}.")
    if isinstance(number, int):
        return number
    return max(1, math.floor((1 - number) * size + 0.5))


def shared_out(
    n_nonzero: int, shapes: Sequence[tuple[int, ...]]
) -> tuple[int, ...] | None:
    """Return how many weights each layer gets where inputs are mostly zero.

    Layers above the first get two for each output, for a unit that speaks for it and
    one that speaks against it; or the root of the number, where inputs have to be
    combined; or twice as large a part of their weights as all layers keep: whichever is
    most. The first layer has the rest (figures in docs/design_notes.md). `shapes` are
    those of the weights, outputs first. None: the units that can be in use have no
    place for so many.
    """
    sizes = [math.prod(shape) for shape in shapes]
    density, most = n_nonzero / sum(sizes), n_nonzero // (len(sizes) + 1)
    usual = max(2 * shapes[-1][0], math.isqrt(n_nonzero))
    later = [
        max(1, min(max(usual, math.ceil(2 * density * size)), most, size))
        for size in sizes[1:]
    ]
    goals = (n_nonzero - sum(later), *later)
    return goals if goals[0] > 0 and _have_places(goals, shapes) else None


def _have_places(goals: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> bool:
    """Tell whether there is room between the units that weights next to it keep."""
    below = math.prod(shapes[0][1:])
    for goal, shape, above in zip(
        goals, shapes, (*goals[1:], shapes[-1][0]), strict=True
    ):
        if goal > below * min(shape[0], above):
            return False
        below = min(shape[0], goal)
    return True


def match_layers(
    entries: Sequence | np.ndarray | Tensor | Mapping,
    sizes: Mapping[str, int],
    parameter: str,
) -> dict[str, object]:
    """Assign the entries of a sequence or dict to layers.

    Keys of a dict are layer names or globs, an exact name going before globs, globs
    in the dict's order, ``"*"`` last. Layers that no key covers are left out.

    Raises
    ------
    ValueError
        If the number of entries is not that of the layers, or a key matches none.
    """
    names = list(sizes)
    if not isinstance(entries, Mapping):
        if len(entries) != len(names):
            raise ValueError(
                f"{parameter} has {len(entries)} entries, the network has {len(names)} "
                f"layers: {dict(sizes)} (name: number of weights)."
            )
        return dict(zip(names, entries, strict=True))
    keys = sorted(entries, key=lambda key: (key == "*", key not in sizes))
    assigned: dict[str, object] = {}
    for key in keys:
        if not isinstance(key, str):
            raise TypeError(f"{parameter} has the key {key!r}; keys are layer names.")
        matched = [name for name in names if name == key or fnmatchcase(name, key)]
        if not matched:
            raise ValueError(
                f"{parameter} has the key {key!r}, which matches no layer; the layers "
                f"are {dict(sizes)} (name: number of weights)."
            )
        for name in matched:
            assigned.setdefault(name, entries[key])
    return {name: assigned[name] for name in names if name in assigned}


def resolve_target(
    target_sparsity: object,
    sizes: Mapping[str, int],
    *,
    tol: float = 0.0,
    min_layers: int | None = None,
    with_units: bool = False,
) -> Target:
    """Translate `target_sparsity` into numbers of weights, of layers of known sizes.

    With targets on inputs or units, too, a fraction of zeros is the least one: there
    may be less room for weights, and None takes all there is.

    Raises
    ------
    TypeError, ValueError
        If a target is none, or out of range.
    """
    if with_units and target_sparsity is None:
        target_sparsity = 0.0
    if has_entries(target_sparsity):
        entries = match_layers(target_sparsity, sizes, "target_sparsity")
        if not entries:
            raise ValueError("target_sparsity={} names no layer at all.")
        counts = tuple(
            n_nonzero_of(entry, sizes[name], f"layer {name!r}")
            for name, entry in entries.items()
        )
        if min_layers is not None and min_layers > len(counts):
            raise ValueError(
                f"min_layers_on_target={min_layers} exceeds the {len(counts)} layers "
                "that target_sparsity covers."
            )
        fractions = [isinstance(as_number(each), float) for each in entries.values()]
        at_most = with_units and all(fractions)
        return Target(tuple(entries), counts, True, tol, min_layers, at_most)
    if min_layers is not None:
        raise ValueError(
            "min_layers_on_target needs one target per layer; got "
            f"target_sparsity={target_sparsity!r}."
        )
    count = n_nonzero_of(target_sparsity, sum(sizes.values()), "the network")
    at_most = with_units and isinstance(as_number(target_sparsity), float)
    return Target(tuple(sizes), (count,), False, tol, at_most=at_most)
