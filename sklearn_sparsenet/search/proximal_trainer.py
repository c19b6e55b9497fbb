"""Training with proximal steps: solves, pruning runs, and refits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sklearn_sparsenet.networks.sparsity import count_nonzero
from sklearn_sparsenet.penalties import L1, FixedSupport
from sklearn_sparsenet.search.session import Trial
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.solvers import (
    Count,
    Keeper,
    Pruning,
    Settling,
    Solution,
    SolverOptions,
    Status,
    solve,
)
from sklearn_sparsenet.solvers.problem import Problem

__all__ = ["ProximalTrainer"]

# A refit is shorter and gentler than a solve: the weights only have to grow back what
# the penalty shrank, and a longer one fits noise (figures in docs/design_notes.md).
_REFIT_EPOCHS = 0.5
_REFIT_RATE = 0.3
# The gradient of all samples vanishes once a network interpolates; Adam's steps grow,
# and it is thrown off, until differences of rounding are visible (figures there, too).
_DAMPING = 1.5
_WHOLE_FROM = 10  # epochs; below, they are divided
_NEXT_TO = 1.0  # residual of a start that is next to a solution


@dataclass(frozen=True)
class ProximalTrainer(Trainer):
    """Solves with proximal steps, from the initial network or from another one."""

    # Where cold starts begin; None: at the initial network.
    start: Solution | None = None
    # Part of the epochs of the options that a solve has, from such a start.
    budget_fraction: float = 1.0

    @property
    def options(self) -> SolverOptions:
        """How problems are solved, with the budget there is."""
        options = self.session.options
        if self.start is None:
            return options
        return replace(options, max_iter=self.budget_fraction * options.max_iter)

    @property
    def largest_residual(self) -> float:
        """What the residual of a solution may be: anything, if λ was searched for."""
        return self.session.options.kkt_tol if self.target is None else math.inf

    def for_target(
        self, target: Target | None, start: Solution | None, budget_fraction: float
    ) -> ProximalTrainer:
        """Return a trainer for another target, and with another start, if any."""
        if start is None:
            return replace(self, target=target)
        return replace(
            self, target=target, start=start, budget_fraction=budget_fraction
        )

    def solve(
        self,
        alpha: Sequence[float],
        *,
        start: Solution | None = None,
        test_from: float = 1.0,
    ) -> Trial:
        """Solve for one λ per group."""
        self._go_to(start)
        layers = self.problem.network.per_layer(alpha)
        if start is None and (found := self._settle_near(layers)):
            return self.trial(alpha, found)
        solution = self._solve(
            self.problem,
            layers,
            self.options,
            self.session.seed,
            "solve",
            is_on_target=self._is_met if self.target else None,
            test_from=test_from,
        )
        return self.trial(alpha, solution)

    def prune(
        self,
        pruning: Pruning,
        *,
        budget_fraction: float,
        plateau_fraction: float,
        growth: float,
    ) -> Solution:
        """Train while weights are pruned."""
        self._go_to(None)
        whole = self.options.batch_size >= self.problem.n_samples
        options = replace(
            self.options,
            max_iter=_epochs(budget_fraction, self.options.max_iter),
            plateau_fraction=plateau_fraction,
            growth=growth,
            damping=_DAMPING if whole else 0.0,
            kkt_tol=0.0,
        )
        return self._solve(
            replace(self.problem, penalty=L1()),
            [0.0] * len(self.problem.network.layers),
            options,
            self.session.seed,
            "train",
            is_on_target=self._is_exact,
            pruning=pruning,
        )

    def solve_on_support(
        self,
        start: Solution,
        alpha: Sequence[float],
        *,
        budget_fraction: float,
        lr_scale: float,
    ) -> Solution:
        """Solve without a change of support."""
        self._go_to(start)
        network = self.problem.network
        support = start.state[0][: network.n_penalized] != 0
        support[network.n_weights :] = True  # penalised biases are always in it
        options = replace(
            self.options,
            max_iter=_epochs(budget_fraction, self.options.max_iter),
            learning_rate=lr_scale * self.options.learning_rate,
        )
        return self._solve(
            replace(self.problem, penalty=FixedSupport(support, self.problem.penalty)),
            self.problem.network.per_layer(alpha),
            options,
            self.session.seed + 1,
            "solve",
            is_on_target=self._is_exact,
            keep_support=True,
        )

    def settle(self, start: Solution, alpha: Sequence[float]) -> Solution | None:
        """Find a stationary point."""
        assert self.target is not None
        self._go_to(start)
        return self._settle(alpha, Count(tuple(self.target.n_nonzero), self.target.tol))

    def _settle(self, alpha: Sequence[float], count: Count) -> Solution | None:
        settling = Settling.of(self.problem, alpha, count, self.options)
        if settling is None:
            return None
        progress = self.session.progress
        return progress.solve(
            "solve",
            lambda: self.session.kept(lambda _: settling.solve(progress.monitor)),
            settling.most_steps,
        )

    def _settle_near(self, alpha: Sequence[float]) -> Solution | None:
        """Return the solution for λ that the network starts at, or next to, if any.

        Training would leave it: its steps are too large, or see too few samples.
        """
        weights = self.problem.network.weights
        is_sparse = 0 < count_nonzero(weights) < len(weights)
        if self.target is not None or not is_sparse or self.problem.penalty != L1():
            return None
        here = Solution.at(
            self.problem, alpha, epochs=1.0, seconds=0.0, status=Status.STATIONARY
        )
        if here.kkt_residual <= self.options.kkt_tol:
            return replace(here, loss_curve=(here.loss,))
        found = None
        if here.kkt_residual <= _NEXT_TO:
            found = self._settle(alpha, Count((), 0.0))
        if found is None or found.status is Status.BUDGET:
            self._go_to(None)
            return None
        return found

    def refit(self, found: Solution) -> Solution:
        """Train the surviving weights on, without penalty and without the others."""
        problem, none, kkt_tol = self._refitting(found)
        options = replace(
            self.options,
            kkt_tol=kkt_tol,
            max_iter=max(1, round(_REFIT_EPOCHS * self.options.max_iter)),
            learning_rate=_REFIT_RATE * self.options.learning_rate,
        )
        return self._solve(problem, none, options, self.session.seed + 1, "refit")

    def _go_to(self, start: Solution | None) -> None:
        start = start or self.start
        state = self.session.initial if start is None else start.state
        self.problem.network.restore(state)

    def _solve(
        self,
        problem: Problem,
        alpha: Sequence[float],
        options: SolverOptions,
        seed: int,
        name: str,
        **rules: Any,
    ) -> Solution:
        """Solve from where the network stands, or go on with what was interrupted."""
        progress = self.session.progress
        rules["monitor"] = progress.monitor

        def run(keeper: Keeper | None) -> Solution:
            generator = torch.Generator().manual_seed(seed)
            return solve(problem, alpha, options, generator, keeper=keeper, **rules)

        n_epochs = math.ceil(options.max_iter)
        return progress.solve(name, lambda: self.session.kept(run), n_epochs)

    def _is_met(self, weights: Tensor) -> bool:
        assert self.target is not None
        return self.target.is_met(self._counts(weights))

    def _is_exact(self, weights: Tensor) -> bool:
        assert self.target is not None
        return self.target.is_exact(self._counts(weights))


def _epochs(part: float, max_iter: float) -> float:
    """Return a part of the epochs, whole ones where there are enough of them.

    Two parts that make up the whole still do so.
    """
    epochs = part * max_iter
    if max_iter < _WHOLE_FROM:
        return epochs
    return math.ceil(epochs - 1e-9) if part < 0.5 else math.floor(epochs + 1e-9)
