"""Targets on inputs and units: how many of them are to stay in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sklearn_sparsenet.networks.units import Units
from sklearn_sparsenet.search.connectivity import largest

__all__ = ["UnitTarget", "UnitTargets"]


@dataclass(frozen=True)
class UnitTarget:
    """Exactly so many groups of inputs, or of units, in use.

    Attributes
    ----------
    name : str
        What messages call them.
    group : Tensor of int64, shape (n_units,)
        The group of each unit of the network, -1 for those that stay anyway.
    n_groups : int
    goal : int
        How many groups are to stay.
    always : Tensor of bool, shape (n_groups,)
        Groups that are never cut.
    rows : tuple of slice
        Of the units: layers that share the target, each of which keeps its best unit,
        or there would be no path.
    """

    name: str
    group: Tensor
    n_groups: int
    goal: int
    always: Tensor
    rows: tuple[slice, ...] = ()

    def choose(self, score: Tensor, goal: int) -> Tensor:
        """Mark the units of the groups with the largest sums of scores.

        Parameters
        ----------
        score : Tensor of shape (n_units,)
            Non-negative.
        goal : int
            How many groups.

        Returns
        -------
        Tensor of bool, shape (n_units,)
            Units without a group are among them.
        """
        sums = score.new_zeros(self.n_groups + 1)
        sums.index_add_(0, self.group.where(self.group >= 0, self.n_groups), score)
        ranked = sums[:-1].masked_fill(self.always, float("inf"))
        for row in self.rows:
            best = self.group[row][score[row].argmax()]
            ranked.index_fill_(0, best, float("inf"))
        stays = largest(ranked, goal)[0]
        return torch.cat([stays, stays.new_ones(1)])[self.group]

    def n_units(self, row: Tensor) -> tuple[int, int]:
        """Return the fewest and the most units of a row that can be in use.

        Parameters
        ----------
        row : Tensor of int64
            Their groups.
        """
        sizes = torch.bincount(row[row >= 0], minlength=self.n_groups)
        others = int((row < 0).sum())
        if not bool(sizes.all()):  # some are in other rows: they may share as they like
            return 1, min(len(row), self.goal)
        free = sizes[~self.always].sort().values
        n_free = self.goal - int(self.always.sum())
        fixed = others + int(sizes[self.always].sum())
        return (
            fixed + int(free[:n_free].sum()),
            fixed + int(free[len(free) - n_free :].sum()),
        )

    def n_in_use(self, in_use: Tensor) -> int:
        """Return how many groups have a unit in use."""
        there = self.group[in_use & (self.group >= 0)]
        return int(torch.bincount(there, minlength=self.n_groups).count_nonzero())


@dataclass(frozen=True)
class UnitTargets:
    """All targets on inputs and units of a network.

    Attributes
    ----------
    units : Units
    targets : tuple of UnitTarget
        No unit has a group in two of them.
    """

    units: Units
    targets: tuple[UnitTarget, ...]

    @property
    def n_inputs(self) -> int:
        """How many groups of inputs are to stay; 0 if that is not asked for."""
        inputs = self.units.row(0)
        asked = [t.goal for t in self.targets if bool((t.group[inputs] >= 0).any())]
        return sum(asked)

    def scores(self, score: Tensor) -> Tensor:
        """Return the sizes of the units, shape (n_units,).

        The sum of the squared scores of its weights: those that lead into it, and those
        that read it, as far as these are known.

        Parameters
        ----------
        score : Tensor of shape (n_weights,)
            Sizes in the metric of the step, non-negative.
        """
        squared = score.square()
        return self.units.leading_into(squared) + self.units.reading(squared)

    def choose(self, score: Tensor, goals: Sequence[int]) -> Tensor:
        """Mark the units that stay.

        Parameters
        ----------
        score : Tensor of shape (n_units,)
            Non-negative.
        goals : sequence of int
            How many groups of each target.

        Returns
        -------
        Tensor of bool, shape (n_units,)
        """
        chosen = torch.ones_like(score, dtype=torch.bool)
        for target, goal in zip(self.targets, goals, strict=True):
            chosen &= target.choose(score, goal)
        return chosen

    def rows_with_targets(self) -> list[int]:
        """Return the rows of units, 0 for the inputs, whose number is asked for."""
        asked = torch.stack([target.group >= 0 for target in self.targets]).any(0)
        rows = range(len(self.units.sizes))
        return [row for row in rows if bool(asked[self.units.row(row)].any())]

    def lacking(self, in_use: Tensor) -> list[str]:
        """Say which targets the units in use miss; empty where all are met."""
        counts = [target.n_in_use(in_use) for target in self.targets]
        return [
            f"{count} {target.name} instead of {target.goal} are in use"
            for target, count in zip(self.targets, counts, strict=True)
            if count != target.goal
        ]

    def bounds(self, groups: Sequence[slice]) -> list[tuple[int, int]]:
        """Return the fewest and the most weights of each group of weights.

        The most there are between units in use, and the fewest with which each of them
        has one: a layer with u units below and v above takes max(u, v).
        """
        rows = range(len(self.units.sizes))
        low, high = zip(*map(self._n_units_in_use, rows), strict=True)
        between = self.units.n_weights_between
        return [
            (
                sum(max(low[i], low[i + 1]) for i in layers),
                sum(between(i, high[i], high[i + 1]) for i in layers),
            )
            for layers in map(self._layers_of, groups)
        ]

    def enough(self, groups: Sequence[slice]) -> list[int]:
        """Return weights of each group with which all units in use can have one.

        However layers that share a target share the units.
        """
        asked = set(self.rows_with_targets())
        rows = range(len(self.units.sizes))
        most = [self._n_units_in_use(i)[1] if i in asked else 1 for i in rows]
        return [
            sum(max(most[i], most[i + 1]) for i in self._layers_of(group))
            for group in groups
        ]

    def _layers_of(self, group: slice) -> list[int]:
        layers = enumerate(self.units.layers)
        return [i for i, layer in layers if group.start <= layer.start < group.stop]

    def _n_units_in_use(self, row: int) -> tuple[int, int]:
        """Return the fewest and the most units of a row that can be in use."""
        size, where = self.units.sizes[row], self.units.row(row)
        for target in self.targets:
            in_row = target.group[where]
            if bool((in_row >= 0).any()):
                return target.n_units(in_row)
        return 1, size
