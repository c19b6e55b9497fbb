r"""Ours: the exact count at the price of one training.

1. Train, with fewer and fewer weights (`GradualPruning`), then on the support that is
   left, with a penalty that has faded by the end: the network that a refit would give.
2. λ of each group is the low end of (35) there: the largest |∂L/∂w| off the support
   that a live path could use.
3. Solve the ℓ1 problem from there. (35) is a necessary condition, no sufficient one,
   and a minimiser for that λ has other weights, and another number of them. So λ moves
   until the solution has the count, to the tolerance of the target (`Settling`). Where
   that cannot be done, or takes too long: proximal steps for that λ on that support, as
   far as no weight becomes zero.

The refit comes before the solve because it is the better start of the two, and neither
loses anything by it. How far the solve came is what the residual tells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from sklearn_sparsenet.penalties import Penalty
from sklearn_sparsenet.search.base import (
    OF_SEARCHES,
    Search,
    SearchBudget,
    SearchResult,
)
from sklearn_sparsenet.search.fading import Noise
from sklearn_sparsenet.search.gradual_pruning import GradualPruning
from sklearn_sparsenet.search.input_scores import (
    InputCredit,
    InputEffect,
    InputScores,
)
from sklearn_sparsenet.search.pruning_schedule import PruningSchedule
from sklearn_sparsenet.search.session import Trial
from sklearn_sparsenet.search.targets import Target, shared_out
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.search.unit_pruning import UnitPruning
from sklearn_sparsenet.search.unit_targets import UnitTargets
from sklearn_sparsenet.solvers import Solution
from sklearn_sparsenet.utils.arguments import keep_number
from sklearn_sparsenet.utils.renamed_fields import RenamedFields

__all__ = ["OnePassSearch"]

# Where a search goes on from a denser network, which is trained: little has to be cut
# and little to be learned, and no time is left for a solve, which the residual tells
# (figures in docs/design_notes.md).
_CONTINUED_SCHEDULE = PruningSchedule(0.09, 0.1, 0.1)
_CONTINUED_PLATEAU = 0.4
# With fewer epochs over so much data, samples times weights, there is no solve: to
# evaluate its end on all samples takes longer than itself, and it comes nowhere near a
# solution (figures there, too).
_SHORT_EPOCHS, _MUCH_DATA = 5, 2**32
# Inputs of noise are found by their credit where a run sees the rows often enough to
# learn it, and where they are not so many that there is little to be learnt by heart.
# Among few inputs each has to tell what the others do not, which credit does not ask:
# they are chosen by what they have an effect on (figures in docs/design_notes.md).
_FEW_EPOCHS, _FEW_INPUTS, _MANY_SAMPLES = 10, 16, 10_000


@dataclass(frozen=True)
class OnePassSearch(RenamedFields, Search):
    """The exact count in one training run.

    Parameters
    ----------
    schedule : PruningSchedule or None
        When weights start to be cut, when the target is reached, and from when on the
        support is held, as parts of the run; None: by its length.
    plateau_fraction : float in [0, 1)
        Part of the training before the step size begins to fall. What is left must
        be able to adapt for a while after the last weights are cut.
    growth : float
        Weights w beyond 1 / growth in size (of columns of unit size) take steps that
        are about growth · w times as long as those of zeros, as in mirror descent with
        the hypentropy: what has shown to matter moves on faster, what is new has time.
    solve_fraction : float in [0, 1)
        Part of the epochs that proximal steps for the ℓ1 problem take; Newton steps, of
        small smooth networks, take a time of their own. 0: there are neither, and the
        penalised solution is the network itself. So it is in trainings of less than
        five epochs where samples times weights are more than 2³².
    solve_lr_scale : float
        First step size of that solve, relative to that of a usual training.
    """

    schedule: PruningSchedule | None = None
    plateau_fraction: float = 0.7
    growth: float = 4.0
    solve_fraction: float = 0.1
    solve_lr_scale: float = 0.1
    former_names: ClassVar[dict[str, str]] = {
        "stages": "schedule",
        "steady": "plateau_fraction",
        "solve_share": "solve_fraction",
        "solve_rate": "solve_lr_scale",
    }
    solvers: ClassVar[tuple[str, ...]] = ("adam", "sgd")
    # With 50 steps the R² of the diabetes data is .35, with 100 .47, with 1000 .46;
    # the accuracy of the digits is .70, .84 and .93.
    min_steps: ClassVar[int] = 100
    takes_units: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("plateau_fraction", "solve_fraction"):
            keep_number(self, name, lambda part: 0 <= part < 1, "in [0, 1)")
        keep_number(
            self, "growth", lambda c: 0 <= c < math.inf, "finite and not negative"
        )
        keep_number(
            self,
            "solve_lr_scale",
            lambda rate: 0 < rate < math.inf,
            "positive and finite",
        )
        if not isinstance(self.schedule, PruningSchedule | None):
            raise TypeError(
                f"schedule={self.schedule!r} must be PruningSchedule, or None."
            )

    def run(self, trainer: Trainer, limits: SearchBudget) -> SearchResult:
        """Search for the target of `trainer`; a ValueError tells that it has none."""
        if trainer.target is None:
            raise ValueError("OnePassSearch needs a target.")
        if not trainer.problem.penalty.separable:
            raise ValueError(
                "search='one_pass' cuts single weights, and does not go with "
                f"penalty={trainer.problem.penalty!r}, which is one of groups: use "
                "search='bracket', or a given alpha."
            )
        # 1) Narrow, and train what is left.
        pruning, solve_fraction = self._pruning(trainer), self._solve_fraction(trainer)
        refitted = trainer.prune(
            pruning,
            budget_fraction=1 - solve_fraction,
            plateau_fraction=self.plateau_fraction,
            growth=self.growth,
        )
        # 2) λ from the gradient off the support.
        support = refitted.weights != 0
        alpha = _critical_alpha(trainer, refitted, support)
        # 3) A solve that begins with that λ.
        if not solve_fraction or refitted.status.is_cut_short or trainer.stopped:
            trial = trainer.trial(alpha, trainer.recertify(refitted, alpha))
        else:
            trial = self._solve(trainer, refitted, alpha)
        met = trainer.target.is_met(refitted.counts) if limits.debias else trial.met
        reason = "" if met else _reason(trial)
        if lacking := _lacking_units(trainer, support):
            met, reason = False, lacking
        cut_off = refitted.status.is_cut_short and pruning.is_forced
        history = (trial.without_state(),)
        return SearchResult(trial, history, met, reason, refitted, cut_off)

    def max_solves(self, limits: SearchBudget) -> int:
        """Return the number of solves; the first one is the refit."""
        return 2 if self.solve_fraction else 1

    def ignored(self, limits: SearchBudget, penalty: Penalty) -> tuple[str, ...]:
        """Return the names of parameters that change nothing.

        There is one run, whose count is exact; `tol` is that of the penalised solution.
        After a refit the penalty has shaped that one alone, unless it made the cuts
        hard.
        """
        idle = tuple(name for name in OF_SEARCHES if name != "tol")
        shapes = penalty.frees_zeros or not limits.debias
        return idle if shapes else (*idle, "penalty")

    def continued(self) -> OnePassSearch:
        """Return the search that goes on from the network of a denser target."""
        return replace(
            self,
            schedule=_CONTINUED_SCHEDULE,
            plateau_fraction=_CONTINUED_PLATEAU,
            solve_fraction=0.0,
        )

    def _solve_fraction(self, trainer: Trainer) -> float:
        """Return the part of the solve, where there is one."""
        problem = trainer.problem
        is_short = trainer.session.options.max_iter < _SHORT_EPOCHS
        is_short &= problem.n_samples * problem.network.n_weights > _MUCH_DATA
        return 0.0 if is_short else self.solve_fraction

    def _pruning(self, trainer: Trainer) -> GradualPruning:
        assert trainer.target is not None
        units, flow = trainer.target.units, trainer.flow
        groups, goals = _groups_to_cut(trainer, trainer.target)
        settings: dict[str, Any] = {
            "noise": Noise(trainer.noise_level, trainer.problem.n_samples),
            "scale": trainer.weight_scale,
            "growth": self._growth(trainer),
            "search_decay": trainer.session.search_decay,
            "hard": trainer.problem.penalty.frees_zeros,
            "schedule": self.schedule,
        }
        if units is None or flow is None:
            return GradualPruning(groups, goals, flow, **settings)
        if units.n_inputs:
            settings["input_scores"] = _input_scores(trainer, units)
        return UnitPruning(units, groups, goals, flow, **settings)

    def _growth(self, trainer: Trainer) -> Tensor | float:
        scale = trainer.weight_scale
        if not trainer.problem.network.steps_grow or not self.growth:
            return 0.0
        return self.growth if scale is None else self.growth / scale

    def _solve(
        self, trainer: Trainer, start: Solution, alpha: tuple[float, ...]
    ) -> Trial:
        # A penalty on single weights has solutions with other units in use.
        has_units = trainer.target is not None and trainer.target.units is not None
        solution = None if has_units else trainer.settle(start, alpha)
        if solution is None:
            solution = trainer.solve_on_support(
                start,
                alpha,
                budget_fraction=self.solve_fraction,
                lr_scale=self.solve_lr_scale,
            )
        return trainer.trial(solution.alpha[: len(alpha)], solution)


def _groups_to_cut(
    trainer: Trainer, target: Target
) -> tuple[Sequence[slice], tuple[int, ...]]:
    """Return groups of weights that are compared, and how many each of them keeps.

    Those of the target, but for inputs that are mostly zero: scores would leave half of
    the weights to the units, and few words to each.
    """
    network = trainer.problem.network
    layers, is_whole = network.layers, len(trainer.groups) == 1
    if network.steps_grow or target.units is not None or not is_whole:
        return trainer.groups, target.n_nonzero
    goals = shared_out(target.n_nonzero[0], [layer.shape for layer in layers])
    if goals is None:
        return trainer.groups, target.n_nonzero
    return [layer.slice for layer in layers], goals


def _input_scores(trainer: Trainer, units: UnitTargets) -> InputScores | None:
    """Return what inputs are chosen by; None: the sizes of their weights."""
    n_inputs = units.units.sizes[0]
    if units.n_inputs <= _FEW_INPUTS:
        return InputEffect(trainer.problem, n_inputs)
    learns_noise = trainer.problem.n_samples <= _MANY_SAMPLES
    if learns_noise and trainer.session.options.max_iter > _FEW_EPOCHS:
        return InputCredit(trainer.problem, n_inputs)
    return None


def _reason(trial: Trial) -> str:
    if trial.interrupted:
        return trial.interruption
    return "some weights have no gradient, and stayed exactly zero"


def _lacking_units(trainer: Trainer, support: Tensor) -> str:
    """Say which targets on inputs and units a support misses; empty if it does not."""
    units = None if trainer.target is None else trainer.target.units
    if units is None or trainer.flow is None:
        return ""
    live = trainer.flow.live(support)
    return ", ".join(units.lacking(units.units.in_use(live)))


def _critical_alpha(
    trainer: Trainer, solution: Solution, support: Tensor
) -> tuple[float, ...]:
    """Return the low end of (35), (53): what no weight off the support exceeds."""
    gradient = solution.gradient.abs()
    free = ~support
    if trainer.flow is not None:
        free &= trainer.flow.connectable(support)
    outside = torch.where(free, gradient, 0.0)
    return tuple(float(outside[group].max()) for group in trainer.groups)
