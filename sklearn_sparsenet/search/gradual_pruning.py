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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.penalties import Strength
from sklearn_sparsenet.search.connectivity import (
    ConnectivityConstraint,
    largest,
    reinitialize_zeros,
)
from sklearn_sparsenet.search.holding import Constraint, HeldSupport
from sklearn_sparsenet.solvers import growth_factor
from sklearn_sparsenet.utils.arguments import keep_number
from sklearn_sparsenet.utils.runtime import Later

__all__ = ["GradualPruning", "Noise", "PruningSchedule"]

_FIRM = 10.0  # weights beyond so many thresholds are not shrunk
_ROUNDING = 1e-6  # of scores: what is above the threshold by so little, is as large
_METRIC_FLOOR = 4.0  # times the mean curvature
_NO_CURVATURE = 1e-4  # times the mean curvature
_POWER = 3  # k falls as the cube of the remaining time (Zhu, Gupta 2017)
# Steps of a usual run: from, to. The parts of longer and shorter runs change as powers.
_USUAL = (800, 1000)
_LONG_POWER, _SHORT_POWER = 0.4, 0.17
_ORDER_STATISTICS = 40  # that the steps of a whole run have room for, at least
_MAX_INTERVAL = 10  # steps between two of them, at most
_SHRINKAGE = 0.1  # first λ of the fading penalty, in terms of the noise
_FEW_SAMPLES = 256  # so few are always fitted too closely
_STATE = ("support", "_allowed", "_cuts")


@dataclass(frozen=True)
class PruningSchedule:
    """When what happens, as parts of a training run.

    Attributes
    ----------
    begin : float
        The first order statistic; dense training before.
    reach : float
        From here on k is the target; the support may still change.
    hold : float
        From here on it may not.
    """

    begin: float = 0.05
    reach: float = 0.55
    hold: float = 0.6

    def __post_init__(self) -> None:
        for name in ("begin", "reach", "hold"):
            keep_number(self, name, lambda part: 0 <= part < 1, "in [0, 1)")
        if not self.begin < self.reach <= self.hold:
            raise ValueError(f"{self} is not in order within [0, 1).")

    @classmethod
    def for_steps(cls, n_steps: int) -> PruningSchedule:
        """Return the stages for a run of that many steps.

        A long run can do with a smaller part for the cuts: more of it is left for
        training what they leave, before the loss has nothing to tell any more. A short
        one needs a larger part: the weights must have learned something to be judged.
        """
        low, high = _USUAL
        longer, shorter = max(n_steps / high, 1.0), min(max(n_steps, 100) / low, 1.0)
        part = longer**-_LONG_POWER * shorter**-_SHORT_POWER
        default = cls()
        return cls(part * default.begin, part * default.reach, part * default.hold)

    def kept(self, progress: float, size: int, goal: int) -> int:
        """Return k of a group of `size` weights; cubic from all to `goal`."""
        done = (progress - self.begin) / (self.reach - self.begin)
        left = (1 - min(max(done, 0.0), 1.0)) ** _POWER
        return round(goal + (size - goal) * left)


@dataclass(frozen=True)
class Noise:
    """How large a gradient over all samples may be by chance.

    Attributes
    ----------
    level : callable() -> Tensor of shape (n_weights,)
        Sizes of the last batch's gradient, scaled from its samples to all.
    n_samples : int
    """

    level: Callable[[], Tensor]
    n_samples: int


# An order statistic: when in the run, k of each group, and the λ that leaves k.
Cut = tuple[float, tuple[int, ...], tuple[float, ...]]


class GradualPruning(Constraint):
    """The constraint as a penalty that the solvers' loop can work with.

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
    stages : PruningSchedule or None
        None: those for the number of steps.

    Attributes
    ----------
    is_forced : bool
        Whether the target was gone to at once, at the end.
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
        stages: PruningSchedule | None = None,
    ) -> None:
        self.groups, self.goals = groups, goals
        self.noise, self.scale, self.hard = noise, scale, hard
        self.growth, self.search_decay = growth, search_decay
        self.stages = stages or PruningSchedule()
        self._asked_stages, self._n_steps = stages, 0
        self.n_weights = groups[-1].stop
        self.support: Tensor | None = None
        self._held: HeldSupport | None = None
        self._connector = (
            None if flow is None else ConnectivityConstraint(flow, groups, goals)
        )
        self._allowed: Tensor | None = None
        self._lacks: Later | None = None  # what the last choice lacked
        self._progress, self._is_due = 0.0, False
        self.is_forced = False
        self._cuts: list[tuple[float, tuple[int, ...], Tensor]] = []

    @property
    def trace(self) -> tuple[Cut, ...]:
        """The order statistics so far."""
        return tuple((when, k, tuple(cut.tolist())) for when, k, cut in self._cuts)

    def decay_beside(self, weight_decay: float) -> float:
        """Return the weight decay of the coming steps; another one until the hold."""
        if self.support is None and self.search_decay is not None:
            return self.search_decay
        return weight_decay

    def advance(self, step: int, n_steps: int) -> None:
        """Take notice of where in the run the next proximal step is.

        Everything depends on that alone, so that a run that backs off to an earlier
        state can go on.
        """
        self._progress = step / n_steps
        if n_steps != self._n_steps:
            self._n_steps = n_steps
            self.stages = self._asked_stages or PruningSchedule.for_steps(n_steps)
        interval = min(max(n_steps // _ORDER_STATISTICS, 1), _MAX_INTERVAL)
        if self._progress < self.stages.begin:
            self._allowed = self._lacks = None
        if self._progress < self.stages.hold:
            self.support = None
        holds = self.support is None and self._progress >= self.stages.hold
        due = self._progress >= self.stages.begin and step % interval == 0
        self._is_due = holds or (due and self.support is None)

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on in another process."""
        lacks = None if self._lacks is None else self._lacks.read()
        held = None if self._held is None else (self._held.where, self._held.alpha)
        own = {name: getattr(self, name) for name in _STATE}
        return {"lacks": lacks, "held": held} | own

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        for name in _STATE:
            setattr(self, name, state[name])
        lacks, (where, alpha) = state["lacks"], state["held"] or (None, None)
        self._held = None if where is None else HeldSupport(where, alpha, self._left)
        self._lacks = None if lacks is None else Later(torch.tensor(lacks))

    def prox_(
        self,
        weight: Tensor,
        step: Strength,
        alpha: Strength,
        scratch: Tensor | None = None,
    ) -> None:
        """Keep the weights with the largest scores, now and then.

        In between weights move freely: those that were cut can grow back.
        """
        counted = weight[: self.n_weights]
        if self.support is not None:
            assert self._held is not None
            spare = None if scratch is None else scratch[: self.n_weights]
            self._held.prox_(counted, step, alpha, spare)
        elif self._is_due:
            self._narrow(counted, step)

    def restricted_to(self, numbers: Tensor) -> HeldSupport:
        """Return the penalty of some of the weights, those of the support among them.

        Raises
        ------
        ValueError
            If no support is held yet: which weights are kept depends on all.
        """
        if self._held is None or self.support is None:
            raise ValueError("There is no support yet that the penalty holds.")
        return self._held.restricted_to(numbers)

    def finish(self, weight: Tensor) -> None:
        """Make sure of the target, whatever the progress.

        For interrupted runs; those of so few steps that none is late enough; a state
        from before the support was held, which is gone back to; and weights of the
        support that training has made exactly zero.
        """
        counted = weight[: self.n_weights]
        self._progress = self.stages.hold
        holds = self.support is not None and not (counted[~self.support] != 0).any()
        self.is_forced = not holds
        if self.is_forced:
            self._narrow(counted, 1.0)
        assert self.support is not None
        reinitialize_zeros(counted, self.support, self.groups)

    def _narrow(self, weight: Tensor, step: Strength) -> None:
        metric = self._metric(weight, step)
        # Weight decay balances the two weights of a unit that has no others: their
        # scores are equal but for rounding, which is not to decide.
        whole = (weight.abs() * metric).float()
        # A weight that is exactly zero cannot be kept, whatever its metric.
        barred = weight == 0
        if self._allowed is not None:
            barred |= ~self._allowed
        score = whole.masked_fill(barred, -1.0)
        no_path, few_places = self._lacks.read() if self._lacks else (False, False)
        if self._connector is not None and few_places:
            self._connector.prefer_one_per_unit(score)
        ends = self._progress >= self.stages.hold
        asked = [self._asked(i, ends) for i in range(len(self.groups))]
        kept, cuts = self._largest(score, asked)
        places = None
        if not ends:
            kept &= ~barred
            if self._connector is not None:
                if no_path:
                    kept = self._connector.follow_the_flow(whole, asked)
                kept, cuts = self._connect(kept, cuts)
        elif self._connector is not None:
            kept, places = self._connector.finish(kept & ~barred, whole)
        self._record(asked, cuts)
        if not self.hard:
            self._shrink(weight, self._spread(cuts.to(weight)).div_(metric))
        weight.masked_fill_(~kept, 0.0)
        if ends:
            reinitialize_zeros(weight, kept, self.groups)
            self._hold(kept, places)

    def _asked(self, number: int, ends: bool) -> int:
        """Return k of a group."""
        group, goal = self.groups[number], self.goals[number]
        if ends:
            return goal
        return self.stages.kept(self._progress, group.stop - group.start, goal)

    def _largest(self, score: Tensor, asked: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mark the k largest of each group; return its order statistic, too."""
        kept = torch.empty_like(score, dtype=torch.bool)
        cuts = []
        for group, k in zip(self.groups, asked, strict=True):
            kept[group], cut = largest(score[group], k)
            cuts.append(cut)
        return kept, torch.stack(cuts).clamp_(min=0)

    def _connect(self, kept: Tensor, cuts: Tensor) -> tuple[Tensor, Tensor]:
        """Take a choice that leaves no path back; the next one follows the flow.

        What it lacks is not asked before that: the device goes on meanwhile.
        """
        assert self._connector is not None
        places = self._connector.places(kept)
        lacks = self._connector.needs_repair(kept, places)
        self._lacks = Later(lacks)
        no_path = lacks[0]
        before = no_path if self._allowed is None else self._allowed & no_path
        self._allowed = places | before
        return kept | no_path, cuts.masked_fill(no_path, 0.0)

    def _spread(self, cuts: Tensor) -> Tensor:
        """Return the order statistic of each weight's group."""
        spread = cuts.new_empty(self.n_weights)
        for number, group in enumerate(self.groups):
            spread[group] = cuts[number]
        return spread

    def _record(self, asked: list[int], cuts: Tensor) -> None:
        """Keep an order statistic; a run that went back writes over what it did."""
        while self._cuts and self._cuts[-1][0] >= self._progress:
            self._cuts.pop()
        self._cuts.append((self._progress, tuple(asked), cuts))

    def _hold(self, kept: Tensor, places: Tensor | None) -> None:
        """Hold a support; λ on it is a part of the noise in the gradient off it.

        It grows with the number of weights per sample: where that is small there is
        little to fear, and the gradient off the support is no noise. Unless there are
        few samples at all (figures in docs/design_notes.md).
        """
        where = kept.nonzero().flatten()
        self.support, self._held = kept, HeldSupport(where, None, self._left)
        if self.noise is None or self.hard:
            return
        free = ~kept if places is None else ~kept & places
        level = self.noise.level()
        if self.scale is not None:
            level = level * self.scale
        noise = torch.where(free, level, 0.0)
        n_samples = self.noise.n_samples
        few = n_samples <= _FEW_SAMPLES
        load = 1.0 if few else min(1.0, sum(self.goals) / n_samples)
        alpha = torch.empty_like(noise)
        for group in self.groups:
            alpha[group] = _SHRINKAGE * load**0.5 * noise[group].max()
        if self.scale is not None:
            alpha.div_(self.scale)
        self._held = HeldSupport(where, alpha[where], self._left)

    def _left(self) -> float:
        """Return the part that is left of the run since the support is held."""
        return (1 - self._progress) / (1 - self.stages.hold)

    def _metric(self, weight: Tensor, step: Strength) -> Tensor:
        if not isinstance(step, Tensor):
            return torch.full_like(weight, 1 / step)
        # Of w / scale; what is returned is for w, and has its factor.
        curvature = step[: self.n_weights].reciprocal()
        if isinstance(self.growth, Tensor) or self.growth:
            curvature.mul_(growth_factor(weight, self.growth))
        if self.scale is not None:
            curvature.mul_(self.scale).mul_(self.scale)
        mean = curvature.mean()
        # No floor for what never had a gradient, such as weights of constant columns.
        lifted = curvature + _METRIC_FLOOR * mean
        metric = torch.where(curvature > _NO_CURVATURE * mean, lifted, curvature)
        return metric if self.scale is None else metric.div_(self.scale)

    @staticmethod
    def _shrink(weight: Tensor, threshold: Tensor) -> None:
        """Firm threshold of what is above it; what is filled in stays as it is."""
        size = weight.abs()
        applies = (size > (1 + _ROUNDING) * threshold) & (size < _FIRM * threshold)
        shrunk = size.sub_(threshold).mul_(_FIRM / (_FIRM - 1)).copysign_(weight)
        weight.copy_(torch.where(applies, shrunk, weight))
