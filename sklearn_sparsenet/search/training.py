"""A search from its start to the network that is handed over."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sklearn_sparsenet.search.base import Search, SearchBudget, SearchResult
from sklearn_sparsenet.search.certified_trainer import CertifiedTrainer
from sklearn_sparsenet.search.proximal_trainer import ProximalTrainer
from sklearn_sparsenet.search.session import Session
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.solvers import Solution, Status

__all__ = ["TrainingResult", "make_trainer", "max_solves", "train"]


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
    stages : tuple of Solution
        What was trained on the way to them, in its order; of a search with several
        solves the one that was kept.
    target : Target or None
        None with a fixed λ.
    largest_residual : float
        What the residual of the penalised solution may be: with a fixed λ, or a solver
        that certifies its solutions, its tolerance; else anything, for the λ of a
        search with steps of a first order is an estimate.
    """

    search: SearchResult
    penalized: Solution
    final: Solution
    stages: tuple[Solution, ...]
    target: Target | None
    largest_residual: float

    @property
    def met(self) -> bool:
        """Whether the final network has the number of weights that was asked for."""
        if self.target is None:
            return True
        units_are_met = self.target.units is None or self.search.met
        return units_are_met and self.target.is_met(self.final.counts)

    @property
    def converged(self) -> bool:
        """Whether it has, by the search's own means, and the residual is small enough.

        Not by being cut off, that is, as after an interruption or a stop.
        """
        is_small = self.penalized.kkt_residual <= self.largest_residual
        return self.met and not self.search.cut_off and is_small

    @property
    def n_epochs(self) -> int:
        """Epochs of everything that was trained."""
        solves = sum(trial.solution.epochs for trial in self.search.history)
        others = (s.epochs for s in self.stages if s is not self.penalized)
        return math.ceil(solves + sum(others) - 1e-9)

    @property
    def was_interrupted(self) -> bool:
        """Whether the user interrupted a solve, or the refit."""
        return Status.INTERRUPTED in self._last_statuses

    @property
    def was_stopped(self) -> bool:
        """Whether a monitor ended the search, or the refit, before its end."""
        ended = self.search.history[-1].interrupted
        stopped = ended or Status.STOPPED in self._last_statuses
        return stopped and not self.was_interrupted

    @property
    def _last_statuses(self) -> tuple[Status, Status]:
        return self.search.history[-1].solution.status, self.final.status


def make_trainer(session: Session, target: Target | None) -> Trainer:
    """Return the trainer for a solver; the network stands at the initial point."""
    if session.options.solver == "lbfgs":
        return CertifiedTrainer.of(session, target)
    return ProximalTrainer(session, target)


def max_solves(trainer: Trainer, search: Search, limits: SearchBudget) -> int | None:
    """Return the most solves that `train` will make, if that is known."""
    if trainer.path is not None:  # the starts of solves are solved for, too
        return None
    return search.max_solves(limits)


def train(trainer: Trainer, search: Search, limits: SearchBudget) -> TrainingResult:
    """Find λ and the network; leave the network at the final solution.

    If ``limits.debias``, the surviving weights are refitted without the penalty,
    unless the search has done that already.
    """
    found = search.run(trainer, limits)
    penalized = found.best.solution
    stages: tuple[Solution, ...]
    if found.refitted is not None:
        final = found.refitted if limits.debias else penalized
        stages = (found.refitted, penalized)
    elif limits.debias and not found.history[-1].interrupted:
        final = trainer.refit(penalized)
        stages = (penalized, final)
    else:
        final, stages = penalized, (penalized,)
    trainer.problem.network.restore(final.state)
    target, bound = trainer.target, trainer.largest_residual
    return TrainingResult(found, penalized, final, stages, target, bound)
