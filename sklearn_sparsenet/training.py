"""From a problem and a target to a sparse network: search, then refit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sklearn_sparsenet.penalties import FixedSupport
from sklearn_sparsenet.problem import Problem
from sklearn_sparsenet.search import Limits, Search, SearchResult, Trial
from sklearn_sparsenet.solvers import (
    ActiveSetOptions,
    Continuation,
    Solution,
    SolverOptions,
    check_supported,
    solve,
    solve_active_set,
)
from sklearn_sparsenet.solvers.loop import Status
from sklearn_sparsenet.sparsity import count_nonzero, count_per_layer
from sklearn_sparsenet.targets import Target

__all__ = ["ProblemTrainer", "TrainingResult", "train"]

# A refit is shorter and gentler than a solve: the weights only have to grow back what
# the penalty shrank, and a longer one fits noise (figures in docs/design_notes.md).
_REFIT_EPOCHS = 0.5
_REFIT_RATE = 0.3


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

    Attributes
    ----------
    continuation : Continuation or None
        With ``solver="lbfgs"``: the canonical starts, which make every solution a
        function of λ alone. There is then no other warm start.
    """

    def __init__(
        self,
        problem: Problem,
        target: Target | None,
        options: SolverOptions,
        seed: int,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.problem = problem
        self.target = target
        self.options = options
        self.report = report
        self._seed = seed
        self._initial = problem.network.snapshot()
        self._n_solves = 0
        self.continuation: Continuation | None = None
        if options.solver == "lbfgs":
            check_supported(problem)
            self._exact = ActiveSetOptions(options.max_iter, options.kkt_tol)
            self.continuation = Continuation(problem, self._exact)

    @property
    def _has_one_group(self) -> bool:
        return self.target is not None and not self.target.per_layer

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """Number of weights that share a λ: all, or those of each layer."""
        network = self.problem.network
        if self._has_one_group:
            return (network.n_weights,)
        return tuple(layer.size for layer in network.layers)

    def solve(
        self, alpha: Sequence[float], *, warm: bool = False, test_from: float = 1.0
    ) -> Trial:
        """Solve for one λ per group; see `sklearn_sparsenet.search.Trainer`."""
        network = self.problem.network
        per_layer = list(alpha) * (len(network.layers) // len(alpha))
        if self.continuation is not None:
            solution = self.continuation.solve(per_layer)
        else:
            if not warm:
                network.restore(self._initial)
            solution = solve(
                self.problem,
                per_layer,
                self.options,
                torch.Generator().manual_seed(self._seed),
                is_on_target=self._is_met if self.target else None,
                test_from=test_from,
            )
        trial = self.as_trial(tuple(map(float, alpha)), solution)
        self._n_solves += 1
        if self.report is not None:
            self.report(_line(self._n_solves, trial))
        return trial

    def _is_met(self, weights: Tensor) -> bool:
        assert self.target is not None
        if self.target.per_layer:
            counts = count_per_layer(self.problem.network.split(weights))
        else:
            counts = [count_nonzero(weights)]
        return self.target.is_met(counts)

    def as_trial(self, alpha: Sequence[float], solution: Solution) -> Trial:
        """Return a solution as a search sees it."""
        network, target = self.problem.network, self.target
        single = self._has_one_group
        pieces = [solution.gradient[layer.slice] for layer in network.layers]
        return Trial(
            alpha=tuple(alpha),
            n_nonzero=(sum(solution.counts),) if single else solution.counts,
            gradients=(solution.gradient,) if single else tuple(pieces),
            met=target is None or target.is_met(solution.counts),
            distance=0.0 if target is None else target.distance(solution.counts),
            interrupted=solution.status is Status.INTERRUPTED,
            solution=solution,
        )

    def refit(self, found: Solution) -> Solution:
        """Train the surviving weights on, without penalty and without the others."""
        network = self.problem.network
        network.restore(found.state)
        support = network.parameters[: network.n_penalized] != 0
        problem = replace(self.problem, penalty=FixedSupport(support))
        positive = [value for value in found.alpha if value > 0]
        kkt_tol = self.options.kkt_tol * min(positive, default=1.0)
        if self.continuation is not None:
            exact = replace(self._exact, kkt_tol=kkt_tol)
            return solve_active_set(problem, [0.0] * len(network.layers), exact)
        options = replace(
            self.options,
            max_iter=max(1, round(_REFIT_EPOCHS * self.options.max_iter)),
            learning_rate=_REFIT_RATE * self.options.learning_rate,
            kkt_tol=kkt_tol,
        )
        return solve(
            problem,
            [0.0] * len(network.layers),
            options,
            torch.Generator().manual_seed(self._seed + 1),
        )


def _line(number: int, trial: Trial) -> str:
    alphas = ", ".join(f"{value:.3g}" for value in trial.alpha)
    kept = ", ".join(map(str, trial.n_nonzero))
    return (
        f"solve {number}: alpha {alphas}; weights kept {kept}; loss "
        f"{trial.solution.loss:.4g}; KKT residual {trial.solution.kkt_residual:.2g}; "
        f"{trial.solution.seconds:.1f} s"
    )


@dataclass(frozen=True)
class TrainingResult:
    """What `fit` stores.

    Attributes
    ----------
    search : SearchResult
    penalized : Solution
        The solution of the penalised problem, to which λ belongs.
    final : Solution
        The refitted solution, or the penalised one.
    """

    search: SearchResult
    penalized: Solution
    final: Solution

    @property
    def was_interrupted(self) -> bool:
        """Whether the user stopped a solve, or the refit."""
        refit_stopped = self.final.status is Status.INTERRUPTED
        return self.search.history[-1].interrupted or refit_stopped


def train(
    trainer: ProblemTrainer, search: Search, limits: Limits, *, debias: bool
) -> TrainingResult:
    """Find λ and the network; leave the network at the final solution.

    Parameters
    ----------
    debias : bool
        Whether the surviving weights are refitted without the penalty.
    """
    found = search.run(trainer, limits)
    penalized = found.best.solution
    if debias and not found.history[-1].interrupted:
        final = trainer.refit(penalized)
    else:
        trainer.problem.network.restore(penalized.state)
        final = penalized
    return TrainingResult(found, penalized, final)
