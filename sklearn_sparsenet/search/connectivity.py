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
# So many values have their order statistic found with the help of a sample, of so many
# at least. Where to look is wide by so many times the root of that: four deviations.
_SAMPLED, _SAMPLE, _MARGIN = 2**18, 2**13, 2.0
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

    Of many, a sample tells between which two it lies, so that few have to be ordered.
    """
    if len(values) >= _SAMPLED and values.device.type == "cpu":
        found = _select_between(*_bracket(values, k), values, k)
        if found is not None:
            return found
    return values.topk(k + 1, sorted=False).values.min()


def _bracket(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return what the (k+1)-th largest value is hardly below, and hardly above."""
    sample = values[:: max(len(values) // _SAMPLE, 1) | 1].sort(descending=True).values
    place, margin = k * len(sample) / len(values), _MARGIN * len(sample) ** 0.5
    last, beyond = round(place + margin), sample.new_tensor(float("inf"))
    return (
        sample[last] if last < len(sample) else -beyond,
        sample[round(place - margin)] if place > margin else beyond,
    )


def _select_between(low: Tensor, high: Tensor, values: Tensor, k: int) -> Tensor | None:
    """Return the (k+1)-th largest value, if it is one of these or between them."""
    counts, pieces = [], []

    def look(values: Tensor) -> None:
        at_least = values >= high
        counts.append(int(torch.count_nonzero(at_least)))
        pieces.append(values[(values > low) & ~at_least])

    over_ranges(look, values)
    k_between, between = k - sum(counts), torch.cat(pieces)
    if 0 <= k_between < len(between):
        return between.topk(k_between + 1, sorted=False).values.min()
    bound = high if k_between < 0 else low
    n_above = int(torch.count_nonzero(values > bound))
    is_bound = n_above <= k < n_above + int(torch.count_nonzero(values == bound))
    return bound if is_bound else None


def _mark(mask: Tensor, values: Tensor, cut: Tensor) -> None:
    torch.gt(values, cut, out=mask)


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
