"""Pruning that takes whole inputs and units away, and weights of those that stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.penalties import Strength
from sklearn_sparsenet.search.connectivity import ConnectivityConstraint
from sklearn_sparsenet.search.gradual_pruning import GradualPruning
from sklearn_sparsenet.search.input_scores import InputScores
from sklearn_sparsenet.search.pruning_schedule import PruningSchedule
from sklearn_sparsenet.search.unit_targets import UnitTargets
from sklearn_sparsenet.search.wiring import Wiring

__all__ = ["UnitPruning"]

# Units are to be judged by more than first impressions, and soon: what interacts with
# others takes a while to be learned, and noise is learned later
# (figures in docs/design_notes.md).
_SCHEDULE = PruningSchedule(0.2, 0.4, 0.45)


class UnitPruning(GradualPruning):
    """Prunes inputs and units down to their targets, and weights with them.

    At each order statistic the units with the largest scores stay, fewer and fewer;
    all weights of the others become zero. The weights of those that stay are pruned as
    by `GradualPruning`, unless the rest of the network is to be dense.

    Parameters
    ----------
    targets : UnitTargets
    groups, goals, flow
        As for `GradualPruning`; there may be less room between the units for weights
        than the goals ask for, which then are the most there may be.
    input_scores : InputScores or None
        By which inputs are chosen; None: by the sizes of their weights, as units are.
    **settings
        More of `GradualPruning`.
    """

    def __init__(
        self,
        targets: UnitTargets,
        groups: Sequence[slice],
        goals: Sequence[int],
        flow: SynapticFlow,
        *,
        input_scores: InputScores | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(groups, goals, flow, **settings)
        self._targets, self._flow, self._input_scores = targets, flow, input_scores
        self._most, self._unit_schedule = tuple(goals), self.schedule
        room = targets.bounds(groups)
        self._prunes_weights = any(
            goal < most for goal, (_, most) in zip(goals, room, strict=True)
        )

    def _usual_schedule(self, n_steps: int) -> PruningSchedule:
        if self._prunes_weights:
            return super()._usual_schedule(n_steps)
        return _SCHEDULE.scaled_to(n_steps)

    def advance(self, step: int, n_steps: int) -> None:
        """Take notice of which step of the run comes next."""
        if n_steps != self._n_steps:  # made once: it is checked when it is made
            self._unit_schedule = self._asked_schedule or _SCHEDULE.scaled_to(n_steps)
        super().advance(step, n_steps)

    def _cut(self, weight: Tensor, step: Strength) -> Tensor | None:
        """Cut units, then weights of those that stay."""
        ends = self._progress >= self.schedule.freeze_at
        score = self._scores(weight, self._metric(weight, step))
        scores = self._scores_of_units(weight, score)
        chosen = self._targets.choose(scores, self._asked_units(ends))
        places = self._targets.units.between(chosen)
        if ends:
            # A weight whose source is not known may read a unit that is cut.
            places &= self._flow.connectable(places)
            self._chosen = chosen
            room = [int(places[group].sum()) for group in self.groups]
            self.goals = list(map(min, self._most, room))
            self._connector = ConnectivityConstraint(
                self._flow, self.groups, self.goals
            )
        weight.masked_fill_(~places, 0.0)
        return super()._cut(weight, step)

    def _scores_of_units(self, weight: Tensor, score: Tensor) -> Tensor:
        """Return the sizes of the units, and the scores of inputs that have others.

        The network is looked at until the number of inputs is reached.
        """
        sizes, schedule = self._targets.scores(score), self._unit_schedule
        by, inputs = self._input_scores, self._targets.units.row(0)
        if by is None or self._progress < schedule.begin:
            return sizes
        if by.average is None or self._progress <= schedule.target_at:
            in_use = self._targets.units.reading((weight != 0).float())[inputs] > 0
            by.observe(in_use, round(self._progress * self._n_steps))
        sizes[inputs] = by.of(sizes[inputs])
        return sizes

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on in another process."""
        scores = None if self._input_scores is None else self._input_scores.average
        return super().state() | {"input_scores": scores}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        super().load_state(state)
        if self._input_scores is not None:
            self._input_scores.average = state["input_scores"]

    def _asked_units(self, ends: bool) -> list[int]:
        """Return how many groups of units of each target stay."""
        targets = self._targets.targets
        if ends:
            return [target.goal for target in targets]
        kept, now = self._unit_schedule.kept, self._progress
        return [kept(now, target.n_groups, target.goal) for target in targets]

    def _enforce(self, kept: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return a choice of weights such that all units that stay are in use."""
        kept, connectable = super()._enforce(kept, score)
        in_use = self._targets.units.in_use(kept & connectable)
        wiring = Wiring.of(self._flow, self.groups)
        if not self._targets.lacking(in_use) or wiring is None:
            return kept, connectable
        units = self._targets.units
        fixed = {
            row: self._chosen[units.row(row)]
            for row in self._targets.rows_with_targets()
        }
        live = wiring.arrange(kept & connectable, score, self.goals, fixed)
        if live is None:
            return kept, connectable
        return live, self._flow.connectable(live)
