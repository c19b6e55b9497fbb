"""A training run: one problem, its solves in their order, and whoever watches them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import Tensor

from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.search.trial import Trial
from sklearn_sparsenet.solvers import Solution, SolverOptions
from sklearn_sparsenet.solvers.checkpoint import Checkpoint
from sklearn_sparsenet.solvers.monitor import Progress
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.runtime import computed_once

__all__ = ["Session"]


@dataclass(frozen=True)
class Session:
    """What the trainers of one problem have in common, whatever their targets.

    Attributes
    ----------
    problem : Problem
        Its network stands at the initial point of every cold start.
    options : SolverOptions
    seed : int
        Every cold start shuffles alike.
    search_decay : float or None
        The weight decay until a search holds a support; None: as after it.
    checkpoint : Checkpoint or None
        Has what was solved before an interruption, and keeps what is solved now.
    report : callable(str) or None
        Receives a line per solve.
    progress : Progress
        Is told of every solve; whoever wants to watch becomes its monitor.
    initial : snapshot of the network
    """

    problem: Problem
    options: SolverOptions
    seed: int
    search_decay: float | None = None
    checkpoint: Checkpoint | None = None
    report: Callable[[str], None] | None = None
    progress: Progress = field(default_factory=Progress)
    initial: tuple[Tensor, dict[str, Tensor]] = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

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

    def tell(self, trial: Trial) -> None:
        """Report a solve."""
        number = next(self._numbers)
        if self.report is not None:
            self.report(_line(number, trial))

    def close(self) -> None:
        """Give the checkpoint back, to the next fit that is equal."""
        if self.checkpoint is not None:
            self.checkpoint.release()


def _line(number: int, trial: Trial) -> str:
    alphas = ", ".join(f"{value:.3g}" for value in trial.alpha)
    kept = ", ".join(map(str, trial.n_nonzero))
    return (
        f"solve {number}: alpha {alphas}; weights kept {kept}; loss "
        f"{trial.solution.loss:.4g}; KKT residual {trial.solution.kkt_residual:.2g}; "
        f"{trial.solution.seconds:.1f} s"
    )
