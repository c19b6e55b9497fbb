"""What a solve returns: a network, and how far from a minimiser it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from sklearn_sparsenet.networks.sparsity import count_per_layer
from sklearn_sparsenet.optimality import Certificate, certify
from sklearn_sparsenet.penalties import Penalty
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.processes import raise_if_shared

__all__ = ["Solution", "Status", "conclude"]


class Status(Enum):
    """Why a solve ended."""

    BUDGET = "all epochs done"
    STATIONARY = "the optimality conditions hold"
    ON_TARGET = "the target was met on the way"
    EARLY = "the validation score stopped improving"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped on request"

    @property
    def is_cut_short(self) -> bool:
        """Whether the user ended the solve, by an interruption or by a monitor."""
        return self in (Status.INTERRUPTED, Status.STOPPED)


@dataclass(frozen=True)
class Solution:
    """A network at the end of a solve."""

    state: tuple[Tensor, dict[str, Tensor]]  # Snapshot of the network.
    alpha: tuple[float, ...]  # λ of each layer.
    counts: tuple[int, ...]  # Nonzero weights of each layer; `sizes`: all of them.
    sizes: tuple[int, ...]
    loss: float  # Without penalty, over all samples, in eval mode.
    gradient: Tensor  # Of that loss, with respect to the counted weights.
    certificate: Certificate  # How far from stationarity it is.
    epochs: float
    seconds: float
    loss_curve: tuple[float, ...] = ()  # One entry per epoch, as `validation_scores`.
    validation_scores: tuple[float, ...] = ()
    status: Status = Status.BUDGET
    trace: tuple[Any, ...] = ()  # What a pruning tells of the run.
    rest: Tensor | None = None  # The gradient with respect to the other parameters.
    validation_score: float | None = None  # Of the network as it is, where known.

    @classmethod
    def at(
        cls,
        problem: Problem,
        alpha: Sequence[float],
        penalty: Penalty | None = None,
        **facts: Any,
    ) -> Solution:
        """Evaluate a problem where its network stands, for the λ of each layer.

        It is judged by `penalty`, by default that of the problem; `facts` are the
        attributes that tell how it came there, from `epochs` on.
        """
        network, penalty = problem.network, penalty or problem.penalty
        loss, gradient = problem.evaluate()
        return cls(
            state=network.snapshot(),
            alpha=tuple(float(value) for value in alpha),
            counts=tuple(count_per_layer(network.split(network.weights))),
            sizes=tuple(layer.size for layer in network.layers),
            loss=float(loss),
            gradient=gradient[: network.n_weights],
            rest=gradient[network.n_weights :],
            certificate=certify(network, penalty, gradient, alpha),
            **facts,
        )

    def with_alpha(self, problem: Problem, alpha: Sequence[float]) -> Solution:
        """Return the same network as a solution for another λ, without training.

        The network of the problem stands at this solution.
        """
        assert self.rest is not None
        gradient = torch.cat([self.gradient, self.rest])
        return replace(
            self,
            alpha=tuple(float(value) for value in alpha),
            certificate=certify(problem.network, problem.penalty, gradient, alpha),
            epochs=0.0,
            seconds=0.0,
            loss_curve=(),
            validation_scores=(),
            trace=(),
        )

    @property
    def kkt_residual(self) -> float:
        """Largest relative residual of the optimality conditions."""
        return self.certificate.largest

    @property
    def weights(self) -> Tensor:
        """The counted weights, shape (n_weights,)."""
        return self.state[0][: sum(self.sizes)]

    def without_state(self) -> Solution:
        """Return what is worth keeping of a solution that is given up."""
        nothing = self.gradient.new_empty(0)
        return replace(self, state=(nothing, {}), gradient=nothing, rest=None)


def conclude(evaluate: Callable[..., Solution], status: Status) -> Solution:
    """Return the solution where a solve has ended, also if the user interrupts that."""
    try:
        return evaluate(status=status)
    except KeyboardInterrupt:  # the network is there; only its evaluation is not
        raise_if_shared()
        if status is Status.INTERRUPTED:  # the second one
            raise
        return evaluate(status=Status.INTERRUPTED)
