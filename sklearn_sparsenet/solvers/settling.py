r"""A stationary point of the ℓ1 problem with a prescribed count, near a given network.

Newton's method for :math:`L(w) + \lambda \|w\|_1`, in which λ moves as well; how, is
in `sklearn_sparsenet.solvers.newton_steps`. The count jumps along λ, and not every
count exists: what is returned is the best of the iterates, by residual and count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod

import torch
from torch import Tensor

from sklearn_sparsenet.networks.module_copies import copy_of
from sklearn_sparsenet.networks.network import Network, find_nonsmooth
from sklearn_sparsenet.networks.stages import trained_chain
from sklearn_sparsenet.penalties import L1, FixedSupport
from sklearn_sparsenet.solvers.dataset import TensorRows
from sklearn_sparsenet.solvers.live_part import with_all_inputs
from sklearn_sparsenet.solvers.monitor import Monitor
from sklearn_sparsenet.solvers.newton_steps import (
    Count,
    NewtonSteps,
    Work,
    part_of_training,
)
from sklearn_sparsenet.solvers.options import SolverOptions
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.solution import Solution, Status, conclude
from sklearn_sparsenet.utils.processes import raise_if_shared
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["Settling"]

_MOST_ELEMENTS = 2**24  # of X, of which there is a copy in double precision


class Settling:
    """Newton steps to a stationary point, from where a network stands.

    The problem has an ℓ1 penalty, and its network is changed in place by `solve`;
    `alpha` is the λ of each group to begin with. `options` are those of the training
    that the steps may cost a part of; its `kkt_tol` is the residual at which they end,
    once the count is right.
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
        self._run = NewtonSteps(working, alpha, count, work)

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
        chain = trained_chain(problem.network.module)
        n_elements = problem.n_samples * prod(problem.rows.sample_shape)
        is_plain = chain is not None and not (chain.first or chain.stages[-1].after)
        defined = is_plain and not find_nonsmooth(problem.network.module)
        is_penalised = isinstance(problem.penalty, L1) and max(alpha) > 0
        if not defined or n_elements > _MOST_ELEMENTS or not is_penalised:
            return None
        found = cls(problem, alpha, count, options)
        return found if found._run.work.is_enough else None

    @single_threaded()
    def solve(self, monitor: Monitor | None = None) -> Solution:
        """Take steps, and leave the network at the best of the iterates.

        Its `alpha` is the λ that was found, of each layer. A monitor is told of the
        steps as of epochs, and may end the solve after each.
        """
        started, run = time.perf_counter(), self._run
        try:
            status = run.take_steps(self.most_steps, self._kkt_tol, monitor)
        except KeyboardInterrupt:
            raise_if_shared()
            status = Status.INTERRUPTED
        network = self._problem.network
        network.parameters[self._where] = run.best.point.to(network.parameters)

        evaluate = partial(
            Solution.at,
            self._problem,
            network.per_layer(run.best.alpha),
            epochs=len(run.losses),
            seconds=time.perf_counter() - started,
            loss_curve=tuple(run.losses),
        )
        return conclude(evaluate, status)


def _working_problem(problem: Problem) -> tuple[Problem, Tensor]:
    """Return a copy of the problem on the units that have weights.

    In double precision on the CPU, and where its parameters are among all.
    """
    network, rows, target = problem.network, problem.rows, problem.target
    support = network.parameters[: network.n_penalized] != 0
    part = with_all_inputs(problem, FixedSupport(support))
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
