r"""A constraint that tightens while a network is trained: k weights, fewer and fewer.

Inequality (35) of the paper read as an algorithm. At a minimiser of level l for λ
the ordered :math:`a_i = |\partial L / \partial w_i|` enclose λ; along a training run
the weights that a proximal step with λ would keep are those whose score, |w| in the
metric of the step, exceeds λ. The order statistic of the scores is therefore the λ
that leaves exactly k weights. k falls from all weights to the target; then the support
is held, and the weights on it feel an ℓ1 penalty that fades until the training ends:
where there are about as many weights as samples, noise would be fitted otherwise.

Four things make it work (figures in docs/design_notes.md): the threshold is firm,
not soft, so that large weights are not shrunk while the survivors are sought; the
metric has a floor, for gradients vanish once a network interpolates its data; only
weights between units that are connected to an input and to an output may be kept; and
weight decay is bounded until they are found, for it gathers weights in few units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.penalties import FixedSupport, Penalty, Strength
from sklearn_sparsenet.search.connectivity import (
    ConnectivityConstraint,
    largest,
    reinitialize_zeros,
)
from sklearn_sparsenet.search.fading import FadingL1, Noise
from sklearn_sparsenet.search.pruning_schedule import PruningSchedule
from sklearn_sparsenet.solvers import Pruning, growth_factor
from sklearn_sparsenet.utils.branchless import clear_, replace_
from sklearn_sparsenet.utils.runtime import Later
from sklearn_sparsenet.utils.workers import over_ranges

__all__ = ["GradualPruning"]

_FIRM = 10.0  # weights beyond so many thresholds are not shrunk
_ROUNDING = 1e-6  # of scores: what is above the threshold by so little, is as large
_METRIC_FLOOR = 4.0  # times the mean curvature
_NO_CURVATURE = 1e-4  # times the mean curvature
# Order statistics that the steps of a whole run have room for, at least. (With half as
# many, large networks lose accuracy in short runs; figures in docs/design_notes.md.)
_ORDER_STATISTICS = 40
_MAX_INTERVAL = 10  # steps between two of them, at most
_STATE = ("support", "_allowed", "_thresholds")


# An order statistic: when in the run, k of each group, and the λ that leaves k.
Cut = tuple[float, tuple[int, ...], tuple[float, ...]]


class GradualPruning(Pruning):
    """Prunes down to the target, then holds the support.

    Parameters
    ----------
    groups : sequence of slice
        Weights that share a λ: all of them, or those of each layer.
    goals : sequence of int
        How many weights of each group are to be left.
    flow : SynapticFlow or None
        Tells which weights can lie on a live path; None: all are taken to.
    noise : Noise or None
        Sets the first λ of the penalty that fades; None: there is none.
    scale : Tensor of shape (n_weights,) or None
        Of the weights, as the steps have it: w / scale is what is compared.
    growth : float or Tensor of shape (n_weights,)
        Of the steps (`growth_factor`), and no part of what is compared: that a weight
        moves fast does not say that little is lost by its cut.
    search_decay : float or None
        Weight decay until the support is held; None: as after it.
    hard : bool
        Whether survivors are not shrunk at all (for ℓ0).
    schedule : PruningSchedule or None
        None: those for the number of steps.
    """

    def __init__(
        self,
        groups: Sequence[slice],
        goals: Sequence[int],
        flow: SynapticFlow | None,
        *,
        noise: Noise | None = None,
        scale: Tensor | None = None,
        growth: Tensor | float = 0.0,
        search_decay: float | None = None,
        hard: bool = False,
        schedule: PruningSchedule | None = None,
    ) -> None:
        self.groups, self.goals = groups, goals
        self.noise, self.scale, self.hard = noise, scale, hard
        self.growth, self.search_decay = growth, search_decay
        self.schedule = schedule or PruningSchedule()
        self._asked_schedule, self._n_steps = schedule, 0
        self.n_weights = groups[-1].stop
        self.support: Tensor | None = None  # that is held, (n_weights,); None: not yet
        self._connector = (
            None if flow is None else ConnectivityConstraint(flow, groups, goals)
        )
        self._allowed: Tensor | None = None
        self._needs: Later | None = None  # what the last choice needs
        self._progress = 0.0
        self.is_forced = False  # whether the target was gone to at once, at the end
        self._thresholds: list[tuple[float, tuple[int, ...], Tensor]] = []

    @property
    def trace(self) -> tuple[Cut, ...]:
        """The order statistics so far."""
        return tuple(
            (when, k, tuple(threshold.tolist()))
            for when, k, threshold in self._thresholds
        )

    def weight_decay(self, asked: float) -> float:
        """Return that of the search until the support is held."""
        if self.support is None and self.search_decay is not None:
            return self.search_decay
        return asked

    def advance(self, step: int, n_steps: int) -> None:
        """Take notice of which step of the run comes next."""
        self._progress = step / n_steps
        if n_steps != self._n_steps:
            self._n_steps = n_steps
            self.schedule = self._asked_schedule or self._usual_schedule(n_steps)
        interval = min(max(n_steps // _ORDER_STATISTICS, 1), _MAX_INTERVAL)
        if self._progress < self.schedule.begin:
            self._allowed = self._needs = self.kept = None
        if self._progress < self.schedule.freeze_at:
            self.support = self.held = None
        holds = self.support is None and self._progress >= self.schedule.freeze_at
        due = self._progress >= self.schedule.begin and step % interval == 0
        self.is_due = holds or (due and self.support is None)

    def _usual_schedule(self, n_steps: int) -> PruningSchedule:
        return PruningSchedule.for_steps(n_steps)

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on in another process."""
        needs = None if self._needs is None else self._needs.read()
        fading = self.held.penalty if self.held is not None else None
        held = None if self.held is None else self.held.support
        factors = fading.factors if isinstance(fading, FadingL1) else None
        own = {name: getattr(self, name) for name in _STATE}
        return {"needs": needs, "held": held, "factors": factors} | own

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        for name in _STATE:
            setattr(self, name, state[name])
        needs, held, factors = state["needs"], state["held"], state["factors"]
        fading = None if factors is None else FadingL1(factors)
        self.held = None if held is None else FixedSupport(held, fading)
        self._needs = None if needs is None else Later(torch.tensor(needs))

    @property
    def strength(self) -> float:
        """The part that is left of the run since the support is held."""
        return (1 - self._progress) / (1 - self.schedule.freeze_at)

    def prune(self, weight: Tensor, step: Strength) -> None:
        """Keep the weights with the largest scores.

        Between two times weights move freely: those that were cut can grow back.
        """
        connectable = self._cut(weight[: self.n_weights], step)
        if self.support is not None:
            # Penalised biases, which come last, are always there, and do not shrink.
            biases = weight.new_zeros(len(weight) - self.n_weights)
            fading = self._fading(self.support, connectable, biases)
            self.held = FixedSupport(torch.cat([self.support, biases == 0]), fading)

    def criterion(self, weight: Tensor, penalty: Penalty) -> Penalty:
        """Return that of a refit: on the support no λ is left, off it all is well."""
        return FixedSupport(weight != 0)

    def enforce_target(self, weight: Tensor) -> None:
        """Make sure of the target, whatever the progress.

        Also where training has made weights of the support exactly zero.
        """
        counted = weight[: self.n_weights]
        self._progress = self.schedule.freeze_at
        holds = self.support is not None and not (counted[~self.support] != 0).any()
        self.is_forced = not holds
        if self.is_forced:
            self._cut(counted, 1.0)
        assert self.support is not None
        reinitialize_zeros(counted, self.support, self.groups)

    def _cut(self, weight: Tensor, step: Strength) -> Tensor | None:
        """Cut; where the support is held then, return where else weights could be."""
        metric = self._metric(weight, step)
        whole = self._scores(weight, metric)
        # A weight that is exactly zero cannot be kept, whatever its metric.
        score, barred = whole.clone(), torch.empty_like(weight, dtype=torch.bool)
        over_ranges(_bar, score, weight, self._allowed, barred)
        no_path, few_connectable = self._needs.read() if self._needs else (False, False)
        if self._connector is not None and few_connectable:
            self._connector.prefer_one_per_unit(score)
        ends = self._progress >= self.schedule.freeze_at
        asked = [self._asked(i, ends) for i in range(len(self.groups))]
        kept, thresholds = self._largest(score, asked)
        connectable = None
        if not ends:
            kept &= ~barred
            if self._connector is not None:
                if no_path:
                    kept = self._connector.follow_the_flow(whole, asked)
                kept, thresholds = self._connect(kept, thresholds)
        elif self._connector is not None:
            kept, connectable = self._enforce(kept & ~barred, whole)
        self._record(asked, thresholds)
        if not self.hard:
            over_ranges(_shrink, weight, self._spread(thresholds.to(weight)), metric)
        over_ranges(_keep, weight, kept)
        self.kept = kept
        if ends:
            reinitialize_zeros(weight, kept, self.groups)
            self.support = kept
        return connectable

    def _scores(self, weight: Tensor, metric: Tensor) -> Tensor:
        """Return the sizes of the weights in a metric.

        Weight decay balances the two weights of a unit that has no others: their
        scores are equal but for rounding, which is not to decide.
        """
        return (weight.abs() * metric).float()

    def _enforce(self, kept: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return a choice of exactly the goals, and where weights could be."""
        assert self._connector is not None
        return self._connector.enforce_target(kept, score)

    def _asked(self, number: int, ends: bool) -> int:
        """Return k of a group."""
        group, goal = self.groups[number], self.goals[number]
        if ends:
            return goal
        return self.schedule.kept(self._progress, group.stop - group.start, goal)

    def _largest(self, score: Tensor, asked: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mark the k largest of each group; return its order statistic, too."""
        kept = torch.empty_like(score, dtype=torch.bool)
        thresholds = []
        for group, k in zip(self.groups, asked, strict=True):
            kept[group], cut = largest(score[group], k)
            thresholds.append(cut)
        return kept, torch.stack(thresholds).clamp_(min=0)

    def _connect(self, kept: Tensor, thresholds: Tensor) -> tuple[Tensor, Tensor]:
        """Take a choice that leaves no path back; the next one follows the flow.

        What it needs is not asked before that: the device goes on meanwhile.
        """
        assert self._connector is not None
        connectable = self._connector.connectable(kept)
        needs = self._connector.needs_repair(kept, connectable)
        self._needs = Later(needs)
        no_path = needs[0]
        before = no_path if self._allowed is None else self._allowed & no_path
        self._allowed = connectable | before
        return kept | no_path, thresholds.masked_fill(no_path, 0.0)

    def _spread(self, thresholds: Tensor) -> Tensor:
        """Return the order statistic of each weight's group."""
        spread = thresholds.new_empty(self.n_weights)
        for number, group in enumerate(self.groups):
            spread[group] = thresholds[number]
        return spread

    def _record(self, asked: list[int], thresholds: Tensor) -> None:
        """Keep an order statistic; a run that went back writes over what it did."""
        while self._thresholds and self._thresholds[-1][0] >= self._progress:
            self._thresholds.pop()
        self._thresholds.append((self._progress, tuple(asked), thresholds))

    def _fading(
        self, kept: Tensor, connectable: Tensor | None, biases: Tensor
    ) -> FadingL1 | None:
        if self.noise is None or self.hard:
            return None
        free = ~kept if connectable is None else ~kept & connectable
        n_kept = sum(self.goals)
        factors = self.noise.shrinkage(free, self.groups, n_kept, self.scale)
        return FadingL1(torch.cat([factors, biases]))

    def _metric(self, weight: Tensor, step: Strength) -> Tensor:
        if not isinstance(step, Tensor):
            return torch.full_like(weight, 1 / step)
        return _metric_of(weight, step[: self.n_weights], self.scale, self.growth)


def _metric_of(
    weight: Tensor, step: Tensor, scale: Tensor | None, growth: Tensor | float
) -> Tensor:
    """Return the metric in which weights are compared, given the sizes of the steps."""
    # Of w / scale; what is returned is for w, and has its factor.
    curvature = torch.empty_like(weight)
    over_ranges(_write_curvature, curvature, weight, step, scale, growth)
    over_ranges(_lift, curvature, curvature.mean(), scale)
    return curvature


def _write_curvature(
    curvature: Tensor,
    weight: Tensor,
    step: Tensor,
    scale: Tensor | None,
    growth: Tensor | float,
) -> None:
    torch.reciprocal(step, out=curvature)
    if isinstance(growth, Tensor) or growth:
        curvature.mul_(growth_factor(weight, growth))
    if scale is not None:
        curvature.mul_(scale).mul_(scale)


def _lift(curvature: Tensor, mean: Tensor, scale: Tensor | None) -> None:
    """Add the floor of the metric; none for what never had a gradient.

    Such are weights of constant columns.
    """
    lifted = curvature + _METRIC_FLOOR * mean
    curvature.copy_(torch.where(curvature > _NO_CURVATURE * mean, lifted, curvature))
    if scale is not None:
        curvature.div_(scale)


def _bar(score: Tensor, weight: Tensor, allowed: Tensor | None, barred: Tensor) -> None:
    """Mark what cannot be kept, and let its scores be the least."""
    torch.eq(weight, 0, out=barred)
    if allowed is not None:
        barred |= ~allowed
    clear_(score, barred)
    score.sub_(barred.to(score.dtype))


def _keep(weight: Tensor, kept: Tensor) -> None:
    clear_(weight, ~kept)


def _shrink(weight: Tensor, threshold: Tensor, metric: Tensor) -> None:
    """Firm threshold of what is above it; what is filled in stays as it is."""
    threshold = threshold / metric
    size = weight.abs()
    applies = (size > (1 + _ROUNDING) * threshold) & (size < _FIRM * threshold)
    shrunk = size.sub_(threshold).mul_(_FIRM / (_FIRM - 1)).copysign_(weight)
    replace_(weight, applies, shrunk)
