r"""Exactly so many weights, all of them on paths, wherever that is possible at all.

In a chain of linear layers let :math:`u_0, \dots, u_D` units be in use in the rows
before, between and behind the layers. Layer l can then have any number of weights

.. math:: \max(u_{l-1}, u_l) \le k_l \le u_{l-1} u_l

such that every unit in use has one on either side, and every weight lies on a path.
One budget for all layers has to lie between the sums of the two bounds. Hence numbers
of units are sought first, and weights between them then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import torch
from torch import Tensor

from sklearn_sparsenet.networks.network import Layer
from sklearn_sparsenet.networks.synflow import SynapticFlow

__all__ = ["Wiring"]

# Numbers of units that change at once: one unit fewer here and two more there is what
# it may take to have one weight more, and longer exchanges reach nothing new.
_MOST_CHANGES = 3

Changes = tuple[tuple[int, int], ...]  # of rows: by how many units, 1 or -1


@dataclass(frozen=True)
class Wiring:
    """Layers, and the rows of units that they connect.

    Parameters
    ----------
    layers : sequence of Layer
        From the inputs to the outputs.
    ends : sequence of (int, int)
        The rows that each reads and writes. Two layers share one, unless there is a
        layer without a budget between them, which connects everything.
    groups : sequence of slice
        Weights that share a budget: all, or those of each layer.
    """

    layers: Sequence[Layer]
    ends: Sequence[tuple[int, int]]
    groups: Sequence[slice]

    @classmethod
    def of(cls, flow: SynapticFlow, groups: Sequence[slice]) -> Wiring | None:
        """Return the wiring of a chain of linear layers, or None for other networks."""
        passed = flow.chain()
        if passed is None:
            return None
        known = [(layer, (i, i + 1)) for i, layer in enumerate(passed) if layer]
        return cls([layer for layer, _ in known], [ends for _, ends in known], groups)

    def arrange(
        self,
        live: Tensor,
        score: Tensor,
        goals: Sequence[int],
        fixed: Mapping[int, Tensor] | None = None,
    ) -> Tensor | None:
        """Choose weights with large scores such that all of them lie on paths.

        Parameters
        ----------
        live : Tensor of bool, shape (n_weights,)
            Weights on paths, no more than the budgets. Their units are in use at first.
        score : Tensor of shape (n_weights,)
            Non-negative.
        goals : sequence of int
            The budgets.
        fixed : mapping from row to Tensor of bool, optional
            The units of these rows that are to be in use, all of them and no others.

        Returns
        -------
        Tensor of bool, shape (n_weights,), or None
            Exactly the budgets, or as many weights as can lie on paths within them.
            None if not even one path, or one for each fixed unit, is within them.
        """
        arrangement = _Arrangement(self, live.cpu(), score.cpu().double(), goals)
        if not arrangement.has_a_path or not arrangement.fix(fixed or {}):
            return None
        arrangement.fit_units()
        return arrangement.spend().to(live.device)

    def split(self, flat: Tensor) -> list[Tensor]:
        """Split a vector over all weights by layers, in their shapes."""
        return [flat[layer.slice].view(layer.shape) for layer in self.layers]

    def members(self) -> list[list[int]]:
        """Return the numbers of the layers of each group."""
        return [
            [i for i, x in enumerate(self.layers) if g.start <= x.start < g.stop]
            for g in self.groups
        ]


class _Arrangement:
    """Units in use, changed one by one until the budgets can be spent between them."""

    def __init__(
        self, wiring: Wiring, live: Tensor, score: Tensor, goals: Sequence[int]
    ) -> None:
        self.wiring, self.ends = wiring, wiring.ends
        self.goals, self.members = list(goals), wiring.members()
        self.fixed: frozenset[int] = frozenset()
        for group in wiring.groups:  # groups are to be compared, too
            score[group] /= score[group].max().clamp(min=1e-300)
        self.score, self.scores = score, wiring.split(score)
        pairs = zip(self.goals, self.members, strict=True)
        self.has_a_path = all(goal >= len(layers) for goal, layers in pairs)
        self.used = self._units_of(live if bool(live.any()) else self._one_path())

    def fix(self, units: Mapping[int, Tensor]) -> bool:
        """Fix the units of some rows; tell whether the budgets connect all of them.

        Where they do not at first, others have fewer units.
        """
        self.used |= {row: used.cpu() for row, used in units.items()}
        self.fixed = frozenset(units)
        while self.fixed and self._needs_more_weights(sizes := self._sizes()):
            free = [row for row in sizes if row not in self.fixed and sizes[row] > 1]
            if not free:
                return False
            self._change(max(free, key=sizes.__getitem__), -1)
        return True

    def _needs_more_weights(self, sizes: dict[int, int]) -> bool:
        goals = enumerate(self.goals)
        return any(self._least(sizes, group) > goal for group, goal in goals)

    def _units_of(self, live: Tensor) -> dict[int, Tensor]:
        """Return the units of each row that have one of these weights."""
        used: dict[int, Tensor] = {}
        for weights, (below, above) in zip(
            self.wiring.split(live), self.ends, strict=True
        ):
            used[below] = weights.any(0)
            used[above] = weights.any(1)
        return used

    def _one_path(self) -> Tensor:
        """Mark the largest weight into a unit, back from the outputs."""
        path = torch.zeros_like(self.score, dtype=torch.bool)
        unit, row = 0, -1
        marks = self.wiring.split(path)
        for i in reversed(range(len(self.ends))):
            below, above = self.ends[i]
            if above != row:  # nothing above depends on which unit it is
                unit = int(self.scores[i].max(1).values.argmax())
            best = int(self.scores[i][unit].argmax())
            marks[i][unit, best] = True
            unit, row = best, below
        return path

    def fit_units(self) -> None:
        """Take units into use until the budgets can be spent.

        A budget that cannot be becomes the next smaller one that can.
        """
        while lacking := self._lacking(sizes := self._sizes()):
            changes = self._growth(sizes, lacking) or self._exchange(sizes)
            for row, change in changes:
                self._change(row, change)
            if not changes:
                for group in lacking:
                    self.goals[group] = self._most(sizes, group)

    def _sizes(self) -> dict[int, int]:
        return {row: int(units.sum()) for row, units in self.used.items()}

    def _least(self, sizes: dict[int, int], group: int) -> int:
        ends = [self.ends[i] for i in self.members[group]]
        return sum(max(sizes[below], sizes[above]) for below, above in ends)

    def _most(self, sizes: dict[int, int], group: int) -> int:
        ends = [self.ends[i] for i in self.members[group]]
        return sum(sizes[below] * sizes[above] for below, above in ends)

    def _lacking(self, sizes: dict[int, int]) -> list[int]:
        """Return the groups with fewer places than their budget has weights."""
        goals = enumerate(self.goals)
        return [group for group, goal in goals if self._most(sizes, group) < goal]

    def _after(self, sizes: dict[int, int], changes: Changes) -> dict[int, int] | None:
        """Return the numbers of units after changes, or None if they are not allowed.

        There are not fewer than one or more than all; nor may they need more weights
        than there are.
        """
        after = dict(sizes)
        for row, change in changes:
            after[row] += change
            if row in self.fixed:
                return None
            if not 1 <= after[row] <= len(self.used[row]):
                return None
        return None if self._needs_more_weights(after) else after

    def _growth(self, sizes: dict[int, int], lacking: list[int]) -> Changes:
        """Return the row that gains most by one more unit, of those that may."""
        layers = chain.from_iterable(self.members[group] for group in lacking)
        rows = sorted(set(chain.from_iterable(self.ends[i] for i in layers)))
        rows = [row for row in rows if self._after(sizes, ((row, 1),))]
        if not rows:
            return ()
        gains = [float(self._values(row)[~self.used[row]].max()) for row in rows]
        return ((rows[gains.index(max(gains))], 1),)

    def _exchange(self, sizes: dict[int, int]) -> Changes:
        """Return the smallest set of changes that makes one budget for all fit."""
        if len(self.goals) > 1:  # each has the most units that it can have
            return ()
        single = [(row, change) for row in sizes for change in (1, -1)]
        for number in range(2, _MOST_CHANGES + 1):
            for changes in combinations(single, number):
                after = self._after(sizes, changes)
                if after is not None and not self._lacking(after):
                    return changes
        return ()

    def _values(self, row: int) -> Tensor:
        """Return the mean of the best scores on either side of each unit."""
        best = []
        for score, (below, above) in zip(self.scores, self.ends, strict=True):
            if row == above:
                best.append(score[:, self.used[below]].max(1).values)
            elif row == below:
                best.append(score[self.used[above]].max(0).values)
        return torch.stack(best).mean(0)

    def _change(self, row: int, change: int) -> None:
        values, used = self._values(row), self.used[row]
        if change > 0:
            used[values.masked_fill(used, -1.0).argmax()] = True
        else:
            used[values.masked_fill(~used, float("inf")).argmin()] = False

    def spend(self) -> Tensor:
        """Choose the weights: the largest, while enough are left for each unit."""
        kept = torch.zeros_like(self.score, dtype=torch.bool)
        marks = self.wiring.split(kept)
        ranked = torch.full_like(self.score, -1.0)
        for rank, score, (below, above) in zip(
            self.wiring.split(ranked), self.scores, self.ends, strict=True
        ):
            between = torch.outer(self.used[above], self.used[below])
            rank.copy_(torch.where(between, score, -1.0))
        for group, goal, members in zip(
            self.wiring.groups, self.goals, self.members, strict=True
        ):
            order = ranked[group].argsort(descending=True, stable=True)
            taken = 0
            while (
                spare := goal - taken - sum(self._n_due(i, marks[i]) for i in members)
            ):
                kept[group][order[taken : taken + spare]] = True
                taken += spare
            for i in members:
                self._cover(i, marks[i])
        return kept

    def _left_out(self, number: int, mark: Tensor) -> tuple[Tensor, Tensor]:
        """Return the units below and above a layer that it still has to connect."""
        below, above = self.ends[number]
        left_below = self.used[below] & ~mark.any(0)
        left_above = self.used[above] & ~mark.any(1)
        return left_below, left_above

    def _n_due(self, number: int, mark: Tensor) -> int:
        below, above = self._left_out(number, mark)
        return max(int(below.sum()), int(above.sum()))

    def _cover(self, number: int, mark: Tensor) -> None:
        """Connect the units that are left out, two with each weight where possible."""
        score, (into, onto) = self.scores[number], self.ends[number]
        below, above = self._left_out(number, mark)
        free = torch.where(torch.outer(above, below), score, -1.0)
        for _ in range(min(int(below.sum()), int(above.sum()))):
            best = divmod(int(free.argmax()), free.shape[1])
            mark[best] = True
            free[best[0]] = free[:, best[1]] = -1.0
        # On one side there are others; on the other side all are connected.
        below, above = (
            left.nonzero().flatten() for left in self._left_out(number, mark)
        )
        usable = torch.outer(self.used[onto], self.used[into])
        free = torch.where(usable, score, -1.0)
        mark[above, free[above].argmax(1)] = True
        mark[free[:, below].argmax(0), below] = True
