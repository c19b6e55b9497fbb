r"""A stationary point of the ℓ1 problem with a prescribed count, near a given network.

Newton's method for :math:`L(w) + \lambda \|w\|_1`, in which λ moves as well. Each step
minimises a quadratic model of L with the penalty; as the minimum of the model costs
next to nothing, λ is the one for which it has the count, as far as λ may move in one
step. Once the count is right λ stays, and the method is Newton's. Steps are damped, and
taken only if the objective falls.

The count jumps along λ, and not every count exists: what is returned is the best of the
iterates, by residual and count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, prod, sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sklearn_sparsenet.data import TensorRows
from sklearn_sparsenet.live import live_part
from sklearn_sparsenet.module_copies import copy_of
from sklearn_sparsenet.networks import Network, find_nonsmooth
from sklearn_sparsenet.optimality import certify
from sklearn_sparsenet.penalties import L1, FixedSupport
from sklearn_sparsenet.problem import Problem
from sklearn_sparsenet.progress import Monitor
from sklearn_sparsenet.runtime import single_threaded
from sklearn_sparsenet.solvers.curvature import Curvature, stages_of
from sklearn_sparsenet.solvers.objective import chain_of
from sklearn_sparsenet.solvers.options import SolverOptions
from sklearn_sparsenet.solvers.quadratic import convex, minimize_model
from sklearn_sparsenet.solvers.solution import Solution, Status, conclude
from sklearn_sparsenet.solvers.work import Work, part_of_training

__all__ = ["Count", "Settling"]

# Figures in docs/design_notes.md.
_CERTIFIED = 0.05  # residual: below, the nearest count comes first
_PATIENCE = 6  # steps for a nearer count than one that is near enough
_FREE_STEPS = 20  # in which λ may move although the residual is large
_FACTOR, _SMALL_FACTOR, _SMALL = 2.0, 1.3, 0.1  # on λ in one step; from a residual on
_ABOUT = 0.05  # of the count: near enough while the residual is not small
_BISECTIONS = 8
_SMALLEST = 1e-3  # λ, in terms of the first one
_NEAR = 0.8  # zeros enter the model from this part of λ on
_ENTERING = (20, 0.2)  # at most so many, or that part of what is there
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-7, 1e6
_SUFFICIENT = 1e-3  # part of the predicted decrease
_ROUNDING = 1e-13  # of the objective
_MOST_ELEMENTS = 2**24  # of X, of which there is a copy in double precision


@dataclass(frozen=True)
class Count:
    """How many weights there should be.

    Attributes
    ----------
    goals : tuple of int
        One for all weights, or one for each layer; none: λ stays as it is.
    tol : float
        Relative distance that is as good as none.
    """

    goals: tuple[int, ...]
    tol: float

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


class Settling:
    """Newton steps to a stationary point, from where a network stands.

    Parameters
    ----------
    problem : Problem
        With an ℓ1 penalty. Its network is changed in place by `solve`.
    alpha : sequence of float
        λ of each group to begin with.
    count : Count
    options : SolverOptions
        Of the training that the steps may cost a part of; its `kkt_tol` is the residual
        at which they end, once the count is right.

    Attributes
    ----------
    most_steps : int
    """

    most_steps = 100

    def __init__(
        self,
        problem: Problem,
        alpha: Sequence[float],
        count: Count,
        options: SolverOptions,
    ) -> None:
        self._problem, self._kkt_tol = problem, options.kkt_tol
        working, self._where = _working_problem(problem)
        if count.goals:  # that of a layer that lacks nothing is 0 at first
            least = min(value for value in alpha if value > 0)
            alpha = [value or least for value in alpha]
        work = Work(working, part_of_training(problem, options))
        self._run = _Run(working, alpha, count, work)

    @classmethod
    def of(
        cls,
        problem: Problem,
        alpha: Sequence[float],
        count: Count,
        options: SolverOptions,
    ) -> Settling | None:
        """Return one, or None where the steps are not defined, or cost too much.

        They are for chains of linear layers and smooth elementwise activations: on the
        kinks of others, where minimisers are, there is no second derivative.
        """
        chain = chain_of(problem.network.module)
        n_elements = problem.n_samples * prod(problem.rows.sample_shape)
        is_chain = chain is not None and isinstance(chain[-1], nn.Linear)
        defined = is_chain and not find_nonsmooth(problem.network.module)
        is_penalised = isinstance(problem.penalty, L1) and max(alpha) > 0
        if not defined or n_elements > _MOST_ELEMENTS or not is_penalised:
            return None
        found = cls(problem, alpha, count, options)
        return found if found._run.work.is_enough else None

    @single_threaded()
    def solve(self, monitor: Monitor | None = None) -> Solution:
        """Take steps, and leave the network at the best of the iterates.

        Parameters
        ----------
        monitor : Monitor, optional
            Is told of the steps as of epochs, and may end the solve after each.

        Returns
        -------
        Solution
            Its `alpha` is the λ that was found, of each layer.
        """
        started, run = time.perf_counter(), self._run
        try:
            status = run.take_steps(self.most_steps, self._kkt_tol, monitor)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        network = self._problem.network
        network.parameters[self._where] = run.best.point.to(network.parameters)

        def evaluate(status: Status) -> Solution:
            return Solution.at(
                self._problem,
                run.spread(run.best.alpha),
                epochs=len(run.losses),
                seconds=time.perf_counter() - started,
                loss_curve=tuple(run.losses),
                status=status,
            )

        return conclude(evaluate, status)


def _working_problem(problem: Problem) -> tuple[Problem, Tensor]:
    """Return a copy of the problem on the units that have weights.

    In double precision on the CPU, and where its parameters are among all.
    """
    network, rows, target = problem.network, problem.rows, problem.target
    support = network.parameters[: network.n_penalized] != 0
    part = live_part(replace(problem, penalty=FixedSupport(support, L1())), support)
    if part is not None:
        where, module = part.where, part.problem.network.module
        rows = part.problem.rows
    else:
        where, module = torch.arange(len(network.parameters)), network.module
    cpu, wide = torch.device("cpu"), torch.float64
    smaller = Network(
        copy_of(module).to(cpu, wide).eval(),
        [layer.name for layer in network.layers],
        penalize_bias=network.n_penalized > network.n_weights,
    )
    is_real = target.is_floating_point()
    working = replace(
        problem,
        network=smaller,
        rows=TensorRows(rows.slice(0, rows.n_samples).to(cpu, wide), wide),
        target=target.to(cpu, wide if is_real else target.dtype),
        sample_weight=problem.sample_weight.to(cpu, wide),
    )
    return working, where.to(network.parameters.device)


class _Run:
    """Newton steps in progress."""

    def __init__(
        self, problem: Problem, alpha: Sequence[float], count: Count, work: Work
    ) -> None:
        self.problem, self.count, self.work = problem, count, work
        self.network = network = problem.network
        self.groups = count.groups(network)
        self.alpha = [float(value) for value in alpha]
        self.least = [_SMALLEST * value for value in self.alpha]
        self.damping = _FIRST_DAMPING
        self.decay = torch.zeros_like(network.parameters)
        self.decay[: network.n_penalized] = problem.weight_decay
        self.losses: list[float] = []
        self.curvature = self._curvature()
        self.at = self._evaluate(network.parameters.clone())
        start = self._judge()
        # Nothing has been solved there: it is kept if there is nothing else.
        self.best = start._replace(rank=(False, True, 0, inf))

    def _curvature(self) -> Curvature:
        """Return what knows the curvature, over as many samples as can be afforded."""
        problem, n_rows = self.problem, self.work.n_rows
        index = torch.arange(problem.n_samples)
        if n_rows < problem.n_samples:
            generator = torch.Generator().manual_seed(0)
            index = torch.randperm(problem.n_samples, generator=generator)[:n_rows]
        target, chain = problem.target[index], chain_of(self.network.module)
        assert chain is not None
        return Curvature(
            stages_of(chain),
            problem.loss,
            problem.rows.take(index).float(),
            target.float() if target.is_floating_point() else target,
            (problem.sample_weight[index] / len(index)).float(),
        )

    def spread(self, alpha: Sequence[float]) -> list[float]:
        """Return the λ of each layer."""
        return list(alpha) * (len(self.network.layers) // len(alpha))

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
            if monitor is not None and monitor.end_epoch(number + 1):
                return Status.STOPPED
            if not moved:
                break
        beyond, _, _, residual = self.best.rank
        settled = not beyond and residual <= kkt_tol
        return Status.STATIONARY if settled else Status.BUDGET

    def _is_stuck(self, kkt_tol: float) -> bool:
        """Tell whether λ can fall no more, and the count has levelled off."""
        ended = all(map(lambda a, least: a <= least, self.alpha, self.least))
        return ended and self.residual <= kkt_tol

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
        self.network.parameters.copy_(self.at.point)
        found = certify(self.problem, self.at.gradient, self.spread(self.alpha))
        self.residual, self.excess = found.largest, self._excess(self.at.point)
        distance = sum(map(abs, self.excess))
        is_far = self.residual > _CERTIFIED
        beyond = not self.count.is_met(self.excess)
        rank = beyond, is_far, 0 if is_far else distance, self.residual
        return _Judged(rank, self.at.point, list(self.alpha))

    def _excess(self, point: Tensor) -> list[int]:
        return self.count.excess([point[group] for group in self.groups])

    def _slope(self, alpha: Sequence[float]) -> Tensor:
        """Return the λ of each parameter, 0 for those without penalty."""
        slope = torch.zeros_like(self.at.point)
        slope[: self.network.n_penalized] = self.network.per_weight(self.spread(alpha))
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

    def _aim(self, hessian: Tensor, variables: Tensor) -> tuple[list[float], Tensor]:
        """Choose λ, and return the minimum of the model for it."""
        at = self.at
        start = at.point[variables]
        linear = at.gradient[variables] - hessian @ start
        alpha = list(self.alpha)
        moves = len(self.losses) < _FREE_STEPS or self.residual < _SMALL
        moving = [moves and excess != 0 for excess in self.excess]
        if not self.losses:
            moving = [True] * len(alpha)
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
