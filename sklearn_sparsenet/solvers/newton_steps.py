r"""Newton steps for an ℓ1 problem, in which λ moves until the count is right.

Each step minimises a quadratic model of L with the penalty; as the minimum of the model
costs next to nothing, λ is the one for which it has the count, as far as λ may move in
one step. Once the count is right λ stays, and the method is Newton's. Steps are damped,
and taken only if the objective falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.networks.stages import trained_chain
from sklearn_sparsenet.solvers.curvature import Curvature
from sklearn_sparsenet.solvers.monitor import Monitor
from sklearn_sparsenet.solvers.options import SolverOptions
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.quadratic import convex, minimize_model
from sklearn_sparsenet.solvers.solution import Status

__all__ = ["Count", "NewtonSteps", "Work", "part_of_training"]

# Figures in docs/design_notes.md.
_CERTIFIED = 0.05  # residual: below, the nearest count comes first
_PATIENCE = 6  # steps for a nearer count than one that is near enough
_FREE_STEPS = 20  # in which λ may move although the residual is large
_FACTOR, _SMALL_FACTOR, _SMALL = 2.0, 1.3, 0.1  # on λ in one step; from a residual on
_ABOUT = 0.05  # of the count: near enough while the residual is not small
_BISECTIONS = 8
_START, _SMALLEST = 0.3, 1e-3  # λ, in terms of the given one
_NEAR = 0.8  # zeros enter the model from this part of λ on
_ENTERING = (20, 0.2)  # at most so many, or that part of what is there
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-7, 1e6
_SUFFICIENT = 1e-3  # part of the predicted decrease
_ROUNDING = 1e-13  # of the objective

# What Newton steps may cost, as a part of a training: in nominal microseconds, not
# measured ones, so that a fit takes the same steps whatever else the machine is doing.
_SHARE, _SHARE_OF_MANY, _MANY = 0.7, 0.1, 10_000  # from so many samples on
_TRAINING_STEP = 250.0  # of a training
_FLOPS = 1e4  # in a microsecond, of double precision
_FEWEST_STEPS = 12  # that there must be time for


@dataclass(frozen=True)
class Count:
    """How many weights there should be."""

    # One for all weights, or one for each layer; none: λ stays as it is.
    goals: tuple[int, ...]
    tol: float  # Relative distance that is as good as none.

    def groups(self, network: Network) -> list[slice]:
        """Return the weights that each goal is for."""
        if len(self.goals) == 1:
            return [slice(0, network.n_weights)]
        return [layer.slice for layer in network.layers][: len(self.goals)]

    def excess(self, weights: Sequence[Tensor]) -> list[int]:
        """Return by how many weights each group is too large."""
        counts = [int(group.count_nonzero()) for group in weights]
        return [count - goal for count, goal in zip(counts, self.goals, strict=True)]

    def is_met(self, excess: Sequence[int]) -> bool:
        """Tell whether all groups are within the tolerance."""
        pairs = zip(excess, self.goals, strict=True)
        return all(abs(over) <= self.tol * goal for over, goal in pairs)


def part_of_training(problem: Problem, options: SolverOptions) -> float:
    """Return the part of what a training costs that may be spent after it.

    A step needs all samples, so that of many there is time for few.
    """
    size = min(options.batch_size, problem.n_samples)
    step = _TRAINING_STEP + 6 * size * problem.network.n_weights / _FLOPS
    share = _SHARE if problem.n_samples < _MANY else _SHARE_OF_MANY
    return share * options.n_steps(problem.n_samples) * step


class Work:
    """What steps on the units with weights cost, of `most` nominal microseconds."""

    def __init__(self, problem: Problem, most: float) -> None:
        network = problem.network
        self._left = most
        n_free = len(network.parameters) - network.n_penalized
        n_variables = int(network.weights.count_nonzero()) + n_free
        self._n_outputs = 1 if problem.target.ndim == 2 else 10
        self._gradient = 300 + 6 * problem.n_samples * network.n_weights / _FLOPS
        per_row = self._n_outputs * n_variables * (6e-3 + n_variables / 2 / _FLOPS)
        most_rows = int(most / _FEWEST_STEPS / per_row)
        # Samples that a Hessian can have.
        self.n_rows = min(problem.n_samples, max(1, most_rows))
        # A Hessian of fewer rows than variables is none.
        defined = self.n_rows * self._n_outputs >= min(n_variables, problem.n_samples)
        step = self._hessian(n_variables) + 4 * self._model(n_variables)
        step += 1.5 * self._gradient
        # Whether there is time for some steps at all.
        self.is_enough = defined and _FEWEST_STEPS * step <= most

    def _hessian(self, n_variables: int) -> float:
        n_values = self._n_outputs * self.n_rows * n_variables
        products = n_values * n_variables / 2 + 1.6 * n_variables**3
        return 2200 + 6e-3 * n_values + products / _FLOPS

    @staticmethod
    def _model(n_variables: int) -> float:
        return 600 + n_variables**3 / (2 * _FLOPS)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self._left <= 0

    def spend_on_gradient(self) -> None:
        """Take what an evaluation costs."""
        self._left -= self._gradient

    def spend_on_hessian(self, n_variables: int) -> None:
        """Take what a Hessian, made convex, and the rest of a step cost."""
        self._left -= self._hessian(n_variables)

    def spend_on_model(self, n_variables: int) -> None:
        """Take what a minimum of the model costs."""
        self._left -= self._model(n_variables)


class _Iterate(NamedTuple):
    """A point, and what is known of it there."""

    point: Tensor
    loss: float
    gradient: Tensor


class _Judged(NamedTuple):
    """How good an iterate is as a solution for some λ; the smallest is the best."""

    rank: tuple[bool, bool, int, float]
    point: Tensor
    alpha: list[float]


class NewtonSteps:
    """Newton steps in progress."""

    def __init__(
        self, problem: Problem, alpha: Sequence[float], count: Count, work: Work
    ) -> None:
        self.problem, self.count, self.work = problem, count, work
        self.network = network = problem.network
        self.groups = count.groups(network)
        self.alpha = [float(value) for value in alpha]
        self.least = [_SMALLEST * value for value in alpha]
        self.damping = _FIRST_DAMPING
        self.decay = torch.zeros_like(network.parameters)
        self.decay[: network.n_penalized] = problem.weight_decay
        self.losses: list[float] = []
        self.curvature = self._curvature()
        self.at = self._evaluate(network.parameters.clone())
        self.best = self._judge()
        if count.goals:
            # There the solution has fewer weights, and units that vanish stay away.
            self.alpha = [_START * value for value in alpha]
            self._judge()

    def _curvature(self) -> Curvature:
        """Return what knows the curvature, over as many samples as can be afforded."""
        problem, n_rows = self.problem, self.work.n_rows
        index = torch.arange(problem.n_samples)
        if n_rows < problem.n_samples:
            generator = torch.Generator().manual_seed(0)
            index = torch.randperm(problem.n_samples, generator=generator)[:n_rows]
        target, chain = problem.target[index], trained_chain(self.network.module)
        assert chain is not None
        return Curvature(
            chain.stages,
            problem.loss,
            problem.rows.take(index).float(),
            target.float() if target.is_floating_point() else target,
            (problem.sample_weight[index] / len(index)).float(),
        )

    def take_steps(
        self, most_steps: int, kkt_tol: float, monitor: Monitor | None
    ) -> Status:
        """Take steps until something ends them."""
        patience = _PATIENCE
        for number in range(most_steps):
            beyond, _, distance, residual = self.best.rank
            if not beyond and residual <= kkt_tol:
                if not distance or not patience:
                    return Status.STATIONARY
                patience -= 1
            if self.work.is_done or self._is_stuck(kkt_tol):
                break
            if monitor is not None:
                monitor.begin_epoch(number)
            moved = self._step()
            self.losses.append(self.loss)
            self.best = min(self.best, self._judge(), key=lambda found: found.rank)
            if monitor is not None and monitor.end_epoch(number + 1, self):
                return Status.STOPPED
            if not moved:
                break
        beyond, _, _, residual = self.best.rank
        settled = not beyond and residual <= kkt_tol
        return Status.STATIONARY if settled else Status.BUDGET

    @property
    def last_loss(self) -> float:
        """The loss after the last step."""
        return self.losses[-1]

    @property
    def last_score(self) -> None:
        """There is no validation here."""
        return None

    @property
    def support(self) -> Tensor:
        """Which weights are left, of the units that had some."""
        return self.at.point[: self.network.n_weights] != 0

    def _is_stuck(self, kkt_tol: float) -> bool:
        """Tell whether the count cannot be reached any more.

        Because λ can fall no more, and the count has levelled off; or because there are
        too few places between the units that are left.
        """
        ended = all(map(lambda a, least: a <= least, self.alpha, self.least))
        return (ended and self.residual <= kkt_tol) or not self._has_room()

    def _has_room(self) -> bool:
        """Tell whether the units that are left have places for the count."""
        if not any(excess < 0 for excess in self.excess):
            return True
        support = self.at.point[: self.network.n_penalized] != 0
        units = self.problem.live_units(support)
        if units is None:
            return True
        places = [len(below) * len(above) for below, above in pairwise(units)]
        if len(self.groups) == 1:
            places = [sum(places)]
        most = map(min, places, self.count.goals)
        lacks = [k - goal for k, goal in zip(most, self.count.goals, strict=True)]
        return self.count.is_met(lacks)

    def _evaluate(self, point: Tensor) -> _Iterate:
        self.network.parameters.copy_(point)
        loss = self.problem.full_gradient()
        self.work.spend_on_gradient()
        self.loss = float(loss)
        weight_decay = float((self.decay * point) @ point) / 2
        return _Iterate(point, self.loss + weight_decay, self.network.gradient.clone())

    def _judge(self) -> _Judged:
        """Return how good the iterate is as a solution for the present λ.

        Those with the count come first.
        """
        self.residual = self._violation()
        self.excess = self._excess(self.at.point)
        distance = sum(map(abs, self.excess))
        is_far = self.residual > _CERTIFIED
        beyond = not self.count.is_met(self.excess)
        rank = beyond, is_far, 0 if is_far else distance, self.residual
        return _Judged(rank, self.at.point, list(self.alpha))

    def _violation(self) -> float:
        """Return by how much the optimality conditions are violated, in units of λ."""
        slope, point = self._slope(self.alpha), self.at.point
        size = (self.at.gradient + slope * point.sign()).abs()
        size = torch.where(point == 0, (size - slope).clamp_(min=0), size)
        return float((size / slope.where(slope > 0, min(self.alpha))).max())

    def _excess(self, point: Tensor) -> list[int]:
        return self.count.excess([point[group] for group in self.groups])

    def _slope(self, alpha: Sequence[float]) -> Tensor:
        """Return the λ of each parameter, 0 for those without penalty."""
        slope = torch.zeros_like(self.network.parameters)
        per_layer = self.network.per_layer(alpha)
        slope[: self.network.n_penalized] = self.network.per_weight(per_layer)
        return slope

    def _variables(self, slope: Tensor) -> Tensor:
        """Return the parameters that may move: all but zeros that want to stay."""
        resting = (self.at.point == 0) & (slope > 0)
        pull = torch.where(resting, self.at.gradient.abs() / slope, 0.0)
        least, share = _ENTERING
        most = min(len(pull), max(least, int(share * float((~resting).sum()))))
        nearest = pull.topk(most)
        moving = ~resting
        moving[nearest.indices[nearest.values > _NEAR]] = True
        return moving.nonzero()[:, 0]

    def _step(self) -> bool:
        """Take one step; return whether there was one to take."""
        at, variables = self.at, self._variables(self._slope(self.alpha))
        self.network.parameters.copy_(at.point)
        hessian = self.curvature.hessian(variables).double()
        hessian.diagonal().add_(self.decay[variables])
        hessian = convex(hessian)
        self.work.spend_on_hessian(len(variables))
        scale = float(hessian.diagonal().mean())
        while self.damping <= _MOST_DAMPING:
            damped = hessian.clone()
            damped.diagonal().add_(self.damping * scale)
            alpha, target = self._aim(damped, variables)
            slope = self._slope(alpha)
            step = target - at.point[variables]
            after = at.point.index_copy(0, variables, target)
            found = self._evaluate(after)
            rise = float(slope @ (after.abs() - at.point.abs()))
            predicted = float(at.gradient[variables] @ step) + rise
            predicted += float(step @ damped @ step) / 2
            change = found.loss - at.loss + rise
            enough = change <= _SUFFICIENT * predicted
            if enough or -predicted <= _ROUNDING * abs(at.loss):
                self._adapt(change / predicted if predicted < 0 else 1.0)
                self.at, self.alpha = found, alpha
                return True
            self.damping = 8 * max(self.damping, 1e-5)
            if self.work.is_done:
                return False
        return False

    def _adapt(self, ratio: float) -> None:
        """Trust the model more, or less, by how much of what it promised came true."""
        if ratio > 0.5:
            self.damping = max(self.damping / 5, _LEAST_DAMPING)
        elif ratio < 0.2:
            self.damping *= 4

    def _moving(self) -> list[bool]:
        """Return which λ may change in this step."""
        if not self.losses:
            return [True] * len(self.alpha)
        moves = len(self.losses) < _FREE_STEPS or self.residual < _SMALL
        return [moves and excess != 0 for excess in self.excess]

    def _aim(self, hessian: Tensor, variables: Tensor) -> tuple[list[float], Tensor]:
        """Choose λ, and return the minimum of the model for it."""
        at = self.at
        start = at.point[variables]
        linear = at.gradient[variables] - hessian @ start
        alpha, moving = list(self.alpha), self._moving()
        factor = _FACTOR if self.residual > _SMALL else _SMALL_FACTOR
        bounds = [
            [max(value / factor, least), value * factor]
            for value, least in zip(self.alpha, self.least, strict=True)
        ]
        known = [[0.0, 0.0] for _ in alpha]  # too small, too large
        target = start
        for _ in range(_BISECTIONS):
            slope = self._slope(alpha)[variables]
            target = minimize_model(hessian, linear, slope, target)
            self.work.spend_on_model(len(variables))
            after = at.point.index_copy(0, variables, target)
            over = self._excess(after)
            changed = False
            for number, excess in enumerate(over):
                about = _ABOUT * self.count.goals[number] * (self.residual > _SMALL)
                if not moving[number] or abs(excess) <= about:
                    continue
                value = alpha[number]
                known[number][excess < 0] = value
                low, high = known[number]
                if low and high:
                    value = sqrt(low * high)
                else:
                    goal = self.count.goals[number]
                    ratio = (goal + excess) / goal
                    value *= min(max(ratio**0.7, 0.5), 2.0)
                value = min(max(value, bounds[number][0]), bounds[number][1])
                changed |= value != alpha[number]
                alpha[number] = value
            if not changed:
                break
        return alpha, target
