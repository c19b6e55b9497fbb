"""Solutions that are certified, with ``solver="lbfgs"``: functions of λ alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sklearn_sparsenet.search.session import Session, Trial
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.solvers import (
    ActiveSetOptions,
    Continuation,
    Pruning,
    Solution,
    SolverOptions,
    check_supported,
    solve_active_set,
)

__all__ = ["CertifiedTrainer"]


@dataclass(frozen=True)
class CertifiedTrainer(Trainer):
    """Solves by active sets, from starts that are functions of λ.

    There is no other warm start, and no budget but that of the options.
    """

    continuation: Continuation

    @classmethod
    def of(cls, session: Session, target: Target | None) -> CertifiedTrainer:
        """Return a trainer whose starts are around the present network."""
        problem = session.problem
        check_supported(problem)
        exact = _exact(session.options)
        return cls(
            session,
            target,
            Continuation(problem, exact, session.progress, session.kept),
        )

    @property
    def path(self) -> Continuation:
        """Of the solutions."""
        return self.continuation

    @property
    def largest_residual(self) -> float:
        """What the residual of a solution may be: its tolerance."""
        return self.session.options.kkt_tol

    def for_target(
        self, target: Target | None, start: Solution | None, budget_fraction: float
    ) -> CertifiedTrainer:
        """Return a trainer for another target."""
        return replace(self, target=target)

    def solve(
        self,
        alpha: Sequence[float],
        *,
        start: Solution | None = None,
        test_from: float = 1.0,
    ) -> Trial:
        """Solve for one λ per group, from the canonical start."""
        return self.trial(
            alpha, self.continuation.solve(self.problem.network.per_layer(alpha))
        )

    def prune(
        self,
        pruning: Pruning,
        *,
        budget_fraction: float,
        plateau_fraction: float,
        growth: float,
    ) -> Solution:
        """Refuse: nothing is trained between solves."""
        raise ValueError(
            "solver='lbfgs' solves for one λ after the other and trains nothing in "
            "between, as search=OnePassSearch() would; use solver='adam', or "
            "search='continuation'."
        )

    def refit(self, found: Solution) -> Solution:
        """Minimise the loss on the support."""
        problem, none, kkt_tol = self._refitting(found)
        exact = replace(_exact(self.session.options), kkt_tol=kkt_tol)
        return self.session.progress.solve(
            "refit",
            lambda: self.session.kept(lambda _: solve_active_set(problem, none, exact)),
        )


def _exact(options: SolverOptions) -> ActiveSetOptions:
    return ActiveSetOptions(int(options.max_iter), options.kkt_tol)
