"""The training loop: one λ, from a start to a solution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from sklearn_sparsenet.solvers.monitor import Monitor
from sklearn_sparsenet.solvers.options import SolverOptions
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.pruning import Pruning
from sklearn_sparsenet.solvers.run import ADVICE, RUNAWAY_TRAINED, Keeper, Run
from sklearn_sparsenet.solvers.solution import Solution, Status, conclude
from sklearn_sparsenet.solvers.stepper import Moments
from sklearn_sparsenet.solvers.stopping import EarlyStopping
from sklearn_sparsenet.utils.exceptions import NonFiniteLossError
from sklearn_sparsenet.utils.processes import raise_if_shared
from sklearn_sparsenet.utils.runtime import (
    single_threaded,
)

__all__ = ["go_on", "solve"]


@single_threaded()
def solve(
    problem: Problem,
    alpha: Sequence[float],
    options: SolverOptions,
    generator: torch.Generator,
    *,
    is_on_target: Callable[[Tensor], bool] | None = None,
    test_from: float = 1.0,
    pruning: Pruning | None = None,
    keep_support: bool = False,
    keeper: Keeper | None = None,
    monitor: Monitor | None = None,
) -> Solution:
    """Solve `problem` for one λ per layer, from where its network stands.

    The network is changed in place and ends at the solution.

    Parameters
    ----------
    generator : torch.Generator
        Shuffles the samples.
    is_on_target : callable(weights) -> bool, optional
        Which states are acceptable. By default all.
    test_from : float in [0, 1]
        Part of the epochs after which the first acceptable state, asked after every
        step, ends the solve. 0: "in flight"; 1: never.
    keep_support : bool
        Whether a step by which a weight would become zero is taken back, for that
        weight.
    monitor : Monitor, optional
        Is told of the epochs, and may end the solve after each.

    Raises
    ------
    NonFiniteLossError
        If the loss is not finite and smaller steps from the last good state, a few
        times, do not help.
    """
    accepts = is_on_target or (lambda weights: True)
    early = None
    if options.validation is not None:
        early = EarlyStopping(options.validation, accepts)
    pruning = pruning or Pruning()
    run = Run(problem, alpha, options, generator, early, pruning)
    if test_from < 1:
        run.stop, run.stop_from = accepts, test_from * options.max_iter
    run.stepper.keeps_weights = keep_support
    if keep_support:
        run.runaway = RUNAWAY_TRAINED
    if keeper is not None:
        keeper.resume(run.load_state)
    problem.network.module.train()
    try:
        status = run.run_epochs(keeper, monitor)
    except KeyboardInterrupt:
        raise_if_shared()
        status = Status.INTERRUPTED
    if status.is_cut_short:
        run.leave_in_order()
    if early is not None and early.best_state is not None:
        problem.network.restore(early.best_state)
    pruning.enforce_target(problem.network.weights)
    problem.network.module.eval()
    del run.stepper  # whose moments are as large as the network
    return conclude(partial(_evaluate, problem, alpha, run), status)


@single_threaded()
def go_on(
    problem: Problem,
    alpha: Sequence[float],
    options: SolverOptions,
    generator: torch.Generator,
    *,
    keep_support: bool,
    moments: Moments | None,
) -> tuple[float, Moments | None]:
    """Train a network on, with what Adam knew of the gradients before, if anything.

    As `solve`, but nothing is evaluated. Returns the mean loss of the last epoch, and
    what Adam knows now.
    """
    run = Run(problem, alpha, options, generator, None, Pruning())
    run.stepper.keeps_weights = keep_support
    if moments is not None:
        run.stepper.go_on_from(moments)
    run.stepper.advance(0, 1)  # also the first gradient needs only what is held
    problem.network.module.train()
    run.run_epochs(None, None)
    problem.network.module.eval()
    return float(run.losses[-1]), run.stepper.moments()


def _evaluate(
    problem: Problem, alpha: Sequence[float], run: Run, status: Status
) -> Solution:
    weight = problem.network.parameters[: problem.network.n_penalized]
    found = Solution.at(
        problem,
        alpha,
        run.pruning.criterion(weight, problem.penalty),
        epochs=min(run.epoch, run.options.max_iter),
        seconds=run.seconds,
        loss_curve=tuple(torch.stack(run.losses).tolist()) if run.losses else (),
        validation_scores=tuple(run.early.scores) if run.early else (),
        status=status,
        trace=run.pruning.trace,
        validation_score=run.early.score if run.early else None,
    )
    if not math.isfinite(found.loss):
        raise NonFiniteLossError(ADVICE.format(run.rate))
    return found
