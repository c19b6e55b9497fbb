"""Spend a budget of weights on live paths, group by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sklearn_sparsenet.networks.synflow import SynapticFlow, parts_of
from sklearn_sparsenet.search.wiring import Wiring
from sklearn_sparsenet.utils.workers import over_ranges

__all__ = ["ConnectivityConstraint", "largest", "reinitialize_zeros"]

_FILL_ROUNDS = 30
_FLOW_ROUNDS = 100
# A layer with fewer places between live units than this many times its goal needs more
# units; a layer with more weights than this many times its units can afford one each.
_SPARE_PLACES, _SPARE_WEIGHTS = 1.3, 2.0
# Values of which an order statistic is counted, not selected; half of their bits.
_COUNTED, _HALF, _ALL_BUT_SIGN = 2**18, 2**16, 2**31 - 1
_SEEDLING = 1e-3  # of the mean size of its group: a weight that comes back from zero


@dataclass(frozen=True)
class ConnectivityConstraint:
    """Chooses weights so that they lie on paths from an input to an output."""

    flow: SynapticFlow
    groups: Sequence[slice]  # Weights that share a budget.
    goals: Sequence[int]  # The budgets.

    def connectable(self, kept: Tensor) -> Tensor:
        """Mark the weights, kept or not, between units that are live."""
        return self.flow.connectable(kept)

    def enforce_target(self, kept: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Choose exactly the budgets, on live paths as far as can be.

        In a chain of linear layers that is wherever there is such a choice at all.
        Returned is the choice, and what `connectable` says of it.
        """
        kept, connectable = self._fill(kept & self.connectable(kept), score)
        if bool(connectable[kept].all()):
            return kept, connectable
        flowing, others = self._fill(self.follow_the_flow(score, self.goals), score)
        if int((flowing & others).sum()) > int((kept & connectable).sum()):
            kept, connectable = flowing, others
        return self._rearrange(kept, connectable, score)

    def _rearrange(
        self, kept: Tensor, connectable: Tensor, score: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Leave no weight without a path, where the network is known well enough."""
        wiring = Wiring.of(self.flow, self.groups)
        dead = not bool(connectable[kept].all())
        if not dead or wiring is None:
            return kept, connectable
        live = wiring.arrange(kept & connectable, score, self.goals)
        if live is None:
            return kept, connectable
        connectable = self.connectable(live)
        self._complete(live, connectable, score)
        return live, connectable

    def needs_repair(self, kept: Tensor, connectable: Tensor) -> Tensor:
        """Tell whether there is no path, and whether a group runs out of weights.

        That is, of connectable ones; both as a tensor of shape (2,).
        """
        paths = (kept & connectable).any()
        short = [
            torch.count_nonzero(connectable[group]) < _SPARE_PLACES * goal
            for group, goal in zip(self.groups, self.goals, strict=True)
        ]
        return torch.stack([~paths, torch.stack(short).any()])

    def follow_the_flow(self, score: Tensor, goals: Sequence[int]) -> Tensor:
        """Choose so many weights that paths are left, of those with a score above 0.

        Cuts, in many small steps, the weights through which least flows: never the
        last path while there is anything else.
        """
        where = (score > 0).nonzero().flatten()
        values = score[where].double()
        sizes = [len(where[part]) for part in parts_of(where, self.groups)]
        for number in range(1, _FLOW_ROUNDS + 1):
            parts, relative = parts_of(where, self.groups), values.clone()
            for part in parts:  # units of scale do not matter within a group
                if part.stop > part.start:
                    relative[part] /= relative[part].max().clamp(min=1e-300)
            through = relative * self.flow.at_few(where, relative)
            stays = torch.ones_like(where, dtype=torch.bool)
            for part, size, goal in zip(parts, sizes, goals, strict=True):
                if size > goal:
                    k = round(size * (goal / size) ** (number / _FLOW_ROUNDS))
                    stays[part] = largest(through[part], max(k, goal))[0]
            where, values = where[stays], values[stays]
        return torch.zeros_like(score, dtype=torch.bool).index_fill_(0, where, True)

    def prefer_one_per_unit(self, score: Tensor) -> None:
        """Put the best weight into each unit first, where there are weights enough."""
        best = self.flow.best_of_each_unit(score) & (score > 0)
        for group, goal in zip(self.groups, self.goals, strict=True):
            if goal >= _SPARE_WEIGHTS * self.flow.n_units(group):
                score[group] += score[group].max() * best[group]

    def _fill(self, kept: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Spend what dead weights would have taken on weights between live units."""
        for _ in range(_FILL_ROUNDS):
            connectable = self.connectable(kept)
            kept = kept & connectable
            lacking = self._lacking(kept)
            if not any(lacking):
                return kept, connectable
            # Those next to dead weights are connectable no more.
            connectable = self.connectable(kept)
            free = torch.where(connectable & ~kept & (score > 0), score, -1.0)
            added = False
            for group, lack in zip(self.groups, lacking, strict=True):
                lack = min(lack, int((free[group] > 0).sum()))
                if lack > 0:
                    kept[group] |= largest(free[group], lack)[0]
                    added = True
            if not added:
                break
        self._complete(kept, connectable, score)
        return kept, self.connectable(kept)

    def _complete(self, kept: Tensor, connectable: Tensor, score: Tensor) -> None:
        """Reach the exact count: by zeros between live units, then by anything."""
        for group, lack in zip(self.groups, self._lacking(kept), strict=True):
            if lack > 0:
                rank = score[group] + connectable[group] * (score[group].max() + 1)
                rank.masked_fill_(kept[group], -1.0)
                kept[group] |= largest(rank, lack)[0]

    def _lacking(self, kept: Tensor) -> list[int]:
        """Return what each group may still spend."""
        return [
            goal - int(kept[group].sum())
            for group, goal in zip(self.groups, self.goals, strict=True)
        ]


def largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Mark the k largest values; ties go to the first.

    Also returns the (k+1)-th largest value, the order statistic that k values exceed,
    or minus infinity if there are only k. Nothing is synchronised with the device.
    """
    if k >= len(values):
        every = torch.ones_like(values, dtype=torch.bool)
        return every, values.new_full((), -float("inf"))
    cut = _order_statistic(values, k)
    mask = torch.empty_like(values, dtype=torch.bool)
    over_ranges(_mark, mask, values, cut)
    if values.device.type == "cpu" and int(torch.count_nonzero(mask)) == k:
        return mask, cut
    ties = values == cut
    mask |= ties & (ties.cumsum(0) <= k - mask.sum())
    return mask, cut


def _order_statistic(values: Tensor, k: int) -> Tensor:
    """Return the (k+1)-th largest value.

    Many are counted by the upper half of their bits, then those that share the right
    one by the lower half. (Where most are tied, as those that are barred, NumPy's
    partition takes four times as long.)
    """
    is_long = len(values) >= _COUNTED and values.dtype == torch.float32
    if not is_long or values.device.type != "cpu":
        return values.topk(k + 1, sorted=False).values.min()
    ranks = torch.empty_like(values, dtype=torch.int32)
    upper, counts = torch.empty_like(ranks), []

    def count_upper(values: Tensor, ranks: Tensor, upper: Tensor) -> None:
        bits = values.view(torch.int32)
        # Integers in the order of the values.
        torch.bitwise_xor(bits, (bits >> 31).bitwise_and_(_ALL_BUT_SIGN), out=ranks)
        torch.bitwise_right_shift(ranks, 16, out=upper).add_(_HALF // 2)
        counts.append(torch.bincount(upper, minlength=_HALF))

    def count_lower(ranks: Tensor, upper: Tensor) -> None:
        lower = ranks[upper == first] & (_HALF - 1)
        counts.append(torch.bincount(lower, minlength=_HALF))

    over_ranges(count_upper, values, ranks, upper)
    first, k = _bin_of_rank(torch.stack(counts).sum(0), k)
    counts.clear()
    over_ranges(count_lower, ranks, upper)
    second, _ = _bin_of_rank(torch.stack(counts).sum(0), k)
    rank = ((first - _HALF // 2) << 16) | second
    found = rank if rank >= 0 else rank ^ _ALL_BUT_SIGN
    return torch.tensor(found, dtype=torch.int32).view(torch.float32)


def _mark(mask: Tensor, values: Tensor, cut: Tensor) -> None:
    torch.gt(values, cut, out=mask)


def _bin_of_rank(counts: Tensor, k: int) -> tuple[int, int]:
    """Return the bin of the (k+1)-th largest, and how many in it are larger."""
    from_above = counts.flip(0).cumsum(0)
    n_above = int((from_above <= k).sum())
    before = int(from_above[n_above - 1]) if n_above else 0
    return len(counts) - 1 - n_above, k - before


def reinitialize_zeros(weight: Tensor, kept: Tensor, groups: Sequence[slice]) -> None:
    """Give weights that are to be kept, but are zero, a size to start from."""
    for group in groups:
        part = weight[group]
        lacking = kept[group] & (part == 0)
        if bool(lacking.any()):
            n_nonzero = max(1, int(torch.count_nonzero(part)))
            mean = float(part.abs().sum()) / n_nonzero
            size = max(_SEEDLING * (mean or 1.0), torch.finfo(part.dtype).tiny)
            part.masked_fill_(lacking, size)
