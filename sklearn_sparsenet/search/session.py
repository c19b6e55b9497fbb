"""A training run: one problem, its solves in their order, and whoever watches them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor

from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.solvers import Solution, SolverOptions, Status
from sklearn_sparsenet.solvers.checkpoint import Checkpoint
from sklearn_sparsenet.solvers.monitor import Progress
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.runtime import computed_once

__all__ = ["Session", "Trial"]


@dataclass(frozen=True)
class Trial:
    """One solve, seen by a search: a *group* of weights shares its λ.

    There is one group (the whole network) or one per layer.
    """

    alpha: tuple[float, ...]  # λ of each group.
    n_nonzero: tuple[int, ...]  # Count of each group.
    gradients: tuple[Tensor, ...]  # Of the loss over all samples, one vector per group.
    met: bool  # Whether the target is met.
    distance: float  # Relative distance from the target.
    interrupted: bool  # Whether the user stopped the solve, or wants none after it.
    solution: Solution

    @property
    def interruption(self) -> str:
        """Why the search ends here, for a trial that is interrupted."""
        status = self.solution.status
        return (status if status.is_cut_short else Status.STOPPED).value

    def without_state(self) -> Trial:
        """Return what is worth keeping of a solve that is given up."""
        return replace(self, gradients=(), solution=self.solution.without_state())


@dataclass(frozen=True)
class Session:
    """What the trainers of one problem have in common, whatever their targets."""

    problem: Problem  # Its network stands at the initial point of every cold start.
    options: SolverOptions
    seed: int  # Every cold start shuffles alike.
    # Weight decay until a search holds a support; None: as after it.
    search_decay: float | None = None
    # Has what was solved before an interruption, and keeps what is solved now.
    checkpoint: Checkpoint | None = None
    # Is told of every solve; whoever wants to watch becomes its monitor.
    progress: Progress = field(default_factory=Progress)
    initial: tuple[Tensor, dict[str, Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial", self.problem.network.snapshot())

    @computed_once
    def flow(self) -> SynapticFlow | None:
        """Which weights can lie on a live path; None if that cannot be told."""
        return SynapticFlow.of(self.problem.network, self.problem.rows.sample_shape)

    def kept(self, run: Callable[[Checkpoint | None], Solution]) -> Solution:
        """Return the next solution by `run`, or the one that is there already."""
        if self.checkpoint is None:
            return run(None)
        return self.checkpoint.solve(self.problem, run)

    def close(self) -> None:
        """Give the checkpoint back, to the next fit that is equal."""
        if self.checkpoint is not None:
            self.checkpoint.release()
