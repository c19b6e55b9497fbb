"""From a problem and a target to a sparse network: search, then refit."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sklearn_sparsenet.networks.sparsity import count_nonzero, count_per_layer
from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.penalties import L1, FixedSupport, Penalty
from sklearn_sparsenet.search import Trial
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.solvers import (
    ActiveSetOptions,
    Continuation,
    Count,
    Settling,
    Solution,
    SolverOptions,
    Status,
    check_supported,
    solve,
    solve_active_set,
)
from sklearn_sparsenet.solvers.checkpoint import Checkpoint
from sklearn_sparsenet.solvers.monitor import Progress
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.runtime import computed_once

__all__ = ["ProblemTrainer"]

# A refit is shorter and gentler than a solve: the weights only have to grow back what
# the penalty shrank, and a longer one fits noise (figures in docs/design_notes.md).
_REFIT_EPOCHS = 0.5
_REFIT_RATE = 0.3
# The gradient of all samples vanishes once a network interpolates; Adam's steps grow,
# and it is thrown off, until differences of rounding are visible (figures ibidem).
_DAMPING = 1.5
_WHOLE_FROM = 10  # epochs; below, they are divided
_NEXT_TO = 1.0  # residual of a start that is next to a solution


class ProblemTrainer:
    """Solves one problem for many λ; what a search works with.

    Parameters
    ----------
    problem : Problem
        Its network stands at the initial point of every cold start.
    target : Target or None
        None with a fixed λ: every layer is then a group.
    options : SolverOptions
    seed : int
        Every cold start shuffles alike.
    report : callable(str), optional
        Receives a line per solve.
    search_decay : float or None
        The weight decay until a search holds a support; None: as after it.

    Attributes
    ----------
    checkpoint : Checkpoint or None
        Has what was solved before an interruption, and keeps what is solved now.
    continuation : Continuation or None
        With ``solver="lbfgs"``: the canonical starts, which make every solution a
        function of λ alone. There is then no other warm start.
    progress : Progress
        Is told of every solve; whoever wants to watch becomes its monitor.
    """

    def __init__(
        self,
        problem: Problem,
        target: Target | None,
        options: SolverOptions,
        seed: int,
        report: Callable[[str], None] | None = None,
        search_decay: float | None = None,
    ) -> None:
        self.problem = problem
        self.target = target
        self.options = options
        self.report = report
        self.search_decay = search_decay
        self.checkpoint: Checkpoint | None = None
        self._seed = seed
        self._initial = problem.network.snapshot()
        self._numbers = itertools.count(1)  # of solves; those for other targets too
        self.progress = Progress()
        self.continuation: Continuation | None = None
        if options.solver == "lbfgs":
            check_supported(problem)
            self._exact = ActiveSetOptions(int(options.max_iter), options.kkt_tol)
            self.continuation = Continuation(
                problem, self._exact, self.progress, self._kept
            )

    @property
    def stopped(self) -> bool:
        """Whether the monitor has asked for the end."""
        return self.progress.stopped

    def for_target(
        self, target: Target | None, start: Solution | None, share: float
    ) -> ProblemTrainer:
        """Return a trainer of the same problem for another target.

        Parameters
        ----------
        target : Target or None
        start : Solution or None
            Where its cold starts begin, if not where ours do. Unused with
            ``solver="lbfgs"``, whose starts are functions of λ.
        share : float
            Part of the epochs that each of its solves has.
        """
        other = copy.copy(self)
        vars(other)["flow"] = self.flow  # made once; it does not depend on the target
        other.target = target
        if start is not None and self.continuation is None:
            other._initial = start.state
            shorter = share * self.options.max_iter
            other.options = replace(self.options, max_iter=shorter)
        return other

    @property
    def penalty(self) -> Penalty:
        """The penalty that the user asked for."""
        return self.problem.penalty

    @property
    def _has_one_group(self) -> bool:
        return self.target is not None and not self.target.per_layer

    @property
    def groups(self) -> tuple[slice, ...]:
        """Where the weights that share a λ lie: all, or those of each layer."""
        network = self.problem.network
        if self._has_one_group:
            return (slice(0, network.n_weights),)
        return tuple(layer.slice for layer in network.layers)

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """Number of weights that share a λ."""
        return tuple(group.stop - group.start for group in self.groups)

    @computed_once
    def flow(self) -> SynapticFlow | None:
        """Which weights can lie on a live path; None if that cannot be told."""
        return SynapticFlow.of(self.problem.network, self.problem.rows.sample_shape)

    @property
    def n_samples(self) -> int:
        """Number of samples that are trained on."""
        return self.problem.n_samples

    @property
    def _damping(self) -> float:
        return _DAMPING if self.options.batch_size >= self.n_samples else 0.0

    @property
    def largest_residual(self) -> float:
        """What the residual of a solution may be; see `TrainingResult`."""
        judged = self.target is None or self.continuation is not None
        return self.options.kkt_tol if judged else math.inf

    @property
    def weight_scale(self) -> Tensor | None:
        """How large steps of the weights are, next to each other; None: all alike."""
        network = self.problem.network
        scale = network.step_scale
        return None if scale is None else scale[: network.n_weights]

    @property
    def steps_grow(self) -> bool:
        """Whether steps may grow with the weights."""
        return self.problem.network.steps_grow

    def noise_level(self) -> Tensor:
        """Return the last batch's gradient; see `sklearn_sparsenet.search.Trainer`."""
        network = self.problem.network
        share = min(1.0, self.options.batch_size / self.n_samples)
        return network.gradient[: network.n_weights].abs() * share**0.5

    def include_biases(self, support: Tensor) -> Tensor:
        """Return a support with the penalised biases, which are always in it."""
        network = self.problem.network
        biases = support.new_ones(network.n_penalized - network.n_weights)
        return torch.cat([support, biases])

    def solve(
        self,
        alpha: Sequence[float],
        *,
        start: Solution | None = None,
        test_from: float = 1.0,
    ) -> Trial:
        """Solve for one λ per group; see `sklearn_sparsenet.search.Trainer`."""
        if self.continuation is not None:
            solution = self.continuation.solve(self._per_layer(alpha))
            return self.trial(alpha, solution)
        self.problem.network.restore(self._initial if start is None else start.state)
        if start is None and (found := self._settle_near(self._per_layer(alpha))):
            return self.trial(alpha, found)
        solution = self._solve(
            self.problem,
            self._per_layer(alpha),
            self.options,
            self._seed,
            "solve",
            is_on_target=self._is_met if self.target else None,
            test_from=test_from,
        )
        return self.trial(alpha, solution)

    def train(
        self,
        penalty: Penalty,
        alpha: Sequence[float],
        *,
        share: float = 1.0,
        rate: float = 1.0,
        steady: float = 0.0,
        growth: float = 0.0,
        start: Solution | None = None,
        keep_support: bool = False,
        finish: Callable[[Tensor], None] | None = None,
    ) -> Solution:
        """Train with any penalty; see `sklearn_sparsenet.search.Trainer`."""
        if self.continuation is not None:
            raise ValueError(
                "solver='lbfgs' solves for one λ after the other and trains nothing in "
                "between, as search=OnePassSearch() would; use solver='adam', or "
                "search='continuation'."
            )
        self.problem.network.restore(self._initial if start is None else start.state)
        options = replace(
            self.options,
            max_iter=_epochs(share, self.options.max_iter),
            learning_rate=rate * self.options.learning_rate,
            steady=steady,
            growth=growth,
            damping=0.0 if keep_support else self._damping,
            kkt_tol=self.options.kkt_tol if keep_support else 0.0,
        )
        return self._solve(
            replace(self.problem, penalty=penalty),
            self._per_layer(alpha),
            options,
            self._seed + (start is not None),
            "solve" if keep_support else "train",
            is_on_target=self._is_exact if self.target else None,
            finish=finish,
            keep_support=keep_support,
        )

    def recertify(self, where: Solution, alpha: Sequence[float]) -> Solution:
        """Judge a solution by another λ; see `sklearn_sparsenet.search.Trainer`."""
        self.problem.network.restore(where.state)
        found = where.with_alpha(self.problem, self._per_layer(alpha))
        if self.stopped and not found.status.is_cut_short:
            return replace(found, status=Status.STOPPED)
        return found

    def settle(self, start: Solution, alpha: Sequence[float]) -> Solution | None:
        """Find a stationary point; see `sklearn_sparsenet.search.Trainer`."""
        assert self.target is not None
        self.problem.network.restore(start.state)
        return self._settle(alpha, Count(tuple(self.target.n_nonzero), self.target.tol))

    def _settle(self, alpha: Sequence[float], count: Count) -> Solution | None:
        settling = Settling.of(self.problem, alpha, count, self.options)
        if settling is None:
            return None
        with self.progress.solve("solve", settling.most_steps):
            return self._kept(lambda _: settling.solve(self.progress.monitor))

    def _settle_near(self, alpha: Sequence[float]) -> Solution | None:
        """Return the solution for λ that the network starts at, or next to, if any.

        Training would leave it: its steps are too large, or see too few samples.
        """
        weights = self.problem.network.weights
        is_sparse = 0 < count_nonzero(weights) < len(weights)
        if self.target is not None or not is_sparse or self.penalty != L1():
            return None
        facts = {"epochs": 1.0, "seconds": 0.0, "status": Status.STATIONARY}
        here = Solution.at(self.problem, alpha, **facts)
        if here.kkt_residual <= self.options.kkt_tol:
            return replace(here, loss_curve=(here.loss,))
        found = None
        if here.kkt_residual <= _NEXT_TO:
            found = self._settle(alpha, Count((), 0.0))
        if found is None or found.status is Status.BUDGET:
            self.problem.network.restore(self._initial)
            return None
        return found

    def refit(self, found: Solution) -> Solution:
        """Train the surviving weights on, without penalty and without the others."""
        support = found.state[0][: self.problem.network.n_penalized] != 0
        problem = replace(self.problem, penalty=FixedSupport(support))
        none = [0.0] * len(self.problem.network.layers)
        positive = [value for value in found.alpha if value > 0]
        kkt_tol = self.options.kkt_tol * min(positive, default=1.0)
        self.problem.network.restore(found.state)
        if self.continuation is not None:
            exact = replace(self._exact, kkt_tol=kkt_tol)
            with self.progress.solve("refit"):
                return self._kept(lambda _: solve_active_set(problem, none, exact))
        trained = replace(
            self.options,
            kkt_tol=kkt_tol,
            max_iter=max(1, round(_REFIT_EPOCHS * self.options.max_iter)),
            learning_rate=_REFIT_RATE * self.options.learning_rate,
        )
        return self._solve(problem, none, trained, self._seed + 1, "refit")

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

        rules["monitor"] = self.progress.monitor

        def run(keeper: Checkpoint | None) -> Solution:
            generator = torch.Generator().manual_seed(seed)
            return solve(problem, alpha, options, generator, keeper=keeper, **rules)

        with self.progress.solve(name, math.ceil(options.max_iter)):
            return self._kept(run)

    def _kept(self, run: Callable[[Checkpoint | None], Solution]) -> Solution:
        """Return the next solution by `run`, or the one that is there already."""
        if self.checkpoint is None:
            return run(None)
        return self.checkpoint.solve(self.problem, run)

    def close(self) -> None:
        """Give the checkpoint back, to the next fit that is equal."""
        if self.checkpoint is not None:
            self.checkpoint.release()

    def trial(self, alpha: Sequence[float], solution: Solution) -> Trial:
        """Return a solution as a search sees it, and report it."""
        target = self.target
        pieces = tuple(solution.gradient[group] for group in self.groups)
        counts = solution.counts
        trial = Trial(
            alpha=tuple(map(float, alpha)),
            n_nonzero=(sum(counts),) if self._has_one_group else counts,
            gradients=pieces,
            met=target is None or target.is_met(counts),
            distance=0.0 if target is None else target.distance(counts),
            interrupted=solution.status.is_cut_short or self.stopped,
            solution=solution,
        )
        number = next(self._numbers)
        if self.report is not None:
            self.report(_line(number, trial))
        return trial

    def _per_layer(self, alpha: Sequence[float]) -> list[float]:
        return list(alpha) * (len(self.problem.network.layers) // len(alpha))

    def _is_met(self, weights: Tensor) -> bool:
        assert self.target is not None
        return self.target.is_met(self._counts(weights))

    def _is_exact(self, weights: Tensor) -> bool:
        assert self.target is not None
        return tuple(self._counts(weights)) == tuple(self.target.n_nonzero)

    def _counts(self, weights: Tensor) -> list[int]:
        if self._has_one_group:
            return [count_nonzero(weights)]
        return count_per_layer(self.problem.network.split(weights))


def _epochs(share: float, max_iter: float) -> float:
    """Return a part of the epochs, whole ones where there are enough of them.

    Two parts that make up the whole still do so.
    """
    epochs = share * max_iter
    if max_iter < _WHOLE_FROM:
        return epochs
    return math.ceil(epochs - 1e-9) if share < 0.5 else math.floor(epochs + 1e-9)


def _line(number: int, trial: Trial) -> str:
    alphas = ", ".join(f"{value:.3g}" for value in trial.alpha)
    kept = ", ".join(map(str, trial.n_nonzero))
    return (
        f"solve {number}: alpha {alphas}; weights kept {kept}; loss "
        f"{trial.solution.loss:.4g}; KKT residual {trial.solution.kkt_residual:.2g}; "
        f"{trial.solution.seconds:.1f} s"
    )
