"""What the trainers share: the target, its groups of weights, and the trials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor

from sklearn_sparsenet.networks.sparsity import count_nonzero, count_per_layer
from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.penalties import FixedSupport
from sklearn_sparsenet.search.session import Session, Trial
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.solvers import Continuation, Pruning, Solution, Status
from sklearn_sparsenet.solvers.problem import Problem

__all__ = ["Trainer"]


@dataclass(frozen=True)
class Trainer(ABC):
    """Solves one problem for many λ; what a search works with."""

    session: Session
    target: Target | None  # None with a fixed λ: every layer is then a group.

    @abstractmethod
    def solve(
        self,
        alpha: Sequence[float],
        *,
        start: Solution | None = None,
        test_from: float = 1.0,
    ) -> Trial:
        """Solve for one λ per group (Algorithm 3), by default from the initial network.

        `test_from`, in [0, 1], is the part of the solve after which the first iterate
        that meets the target ends it.
        """

    @abstractmethod
    def refit(self, found: Solution) -> Solution:
        """Train the surviving weights on, without penalty and without the others."""

    @abstractmethod
    def for_target(
        self, target: Target | None, start: Solution | None, budget_fraction: float
    ) -> Self:
        """Return a trainer of the same problem for another target.

        Its cold starts begin at `start`, if not where ours do, and each of its solves
        has a part of the epochs.
        """

    @property
    @abstractmethod
    def largest_residual(self) -> float:
        """What the residual of a solution may be; see `TrainingResult`."""

    @property
    def path(self) -> Continuation | None:
        """Of certified solutions, where solutions are functions of λ."""
        return None

    @abstractmethod
    def prune(
        self,
        pruning: Pruning,
        *,
        budget_fraction: float,
        plateau_fraction: float,
        growth: float,
    ) -> Solution:
        """Train without λ, from the initial network, while weights are pruned.

        The training has a part of the epochs of a solve, and after a part of it the
        step size begins to fall. `growth` is that of `growth_factor`, for steps of
        large weights.

        Raises
        ------
        ValueError
            With ``solver="lbfgs"``, which trains nothing between solves.
        """

    def settle(self, start: Solution, alpha: Sequence[float]) -> Solution | None:
        """Find a stationary point of the penalised problem that has the count.

        It begins with `alpha`, the λ of each group, and ends with others: the best that
        was found in the time there is, by count, within the tolerance of the target,
        and residual. None where it takes too long, or the problem is none that can be
        solved so.
        """
        return None

    def solve_on_support(
        self,
        start: Solution,
        alpha: Sequence[float],
        *,
        budget_fraction: float,
        lr_scale: float,
    ) -> Solution:
        """Solve for one λ per group, as far as that leaves the support as it is.

        A step by which a weight would become zero is taken back, for that weight. A
        trainer without such steps only judges the network by this λ. `start` has the
        support; penalised biases are always in it. `budget_fraction` and `lr_scale` are
        parts of the epochs and of the first step size of a solve.
        """
        return self.recertify(start, alpha)

    @property
    def problem(self) -> Problem:
        """The problem that is solved."""
        return self.session.problem

    @property
    def stopped(self) -> bool:
        """Whether the monitor has asked for the end."""
        return self.session.progress.stopped

    @property
    def flow(self) -> SynapticFlow | None:
        """Which weights can lie on a live path; None if that cannot be told."""
        return self.session.flow

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

    @property
    def weight_scale(self) -> Tensor | None:
        """How large steps of the weights are, next to each other; None: all alike."""
        network = self.problem.network
        scale = network.step_scale
        return None if scale is None else scale[: network.n_weights]

    def noise_level(self) -> Tensor:
        """Return sizes of the last batch's gradient, scaled from its samples to all.

        Shape (n_weights,). What is noise in a gradient falls as the root of the
        number of samples.
        """
        network = self.problem.network
        share = min(1.0, self.session.options.batch_size / self.problem.n_samples)
        return network.gradient[: network.n_weights].abs() * share**0.5

    def recertify(self, where: Solution, alpha: Sequence[float]) -> Solution:
        """Return what a solve for `alpha` finds if it has no time to go anywhere."""
        self.problem.network.restore(where.state)
        found = where.with_alpha(self.problem, self.problem.network.per_layer(alpha))
        if self.stopped and not found.status.is_cut_short:
            return replace(found, status=Status.STOPPED)
        return found

    def trial(self, alpha: Sequence[float], solution: Solution) -> Trial:
        """Return a solution as a search sees it."""
        target, counts = self.target, solution.counts
        return Trial(
            alpha=tuple(map(float, alpha)),
            n_nonzero=(sum(counts),) if self._has_one_group else counts,
            gradients=tuple(solution.gradient[group] for group in self.groups),
            met=target is None or target.is_met(counts),
            distance=0.0 if target is None else target.distance(counts),
            interrupted=solution.status.is_cut_short or self.stopped,
            solution=solution,
        )

    def _refitting(self, found: Solution) -> tuple[Problem, list[float], float]:
        """Return the problem of a refit, without λ, and its tolerance."""
        support = found.state[0][: self.problem.network.n_penalized] != 0
        problem = replace(self.problem, penalty=FixedSupport(support))
        positive = [value for value in found.alpha if value > 0]
        kkt_tol = self.session.options.kkt_tol * min(positive, default=1.0)
        self.problem.network.restore(found.state)
        return problem, [0.0] * len(self.problem.network.layers), kkt_tol

    def _counts(self, weights: Tensor) -> list[int]:
        if self._has_one_group:
            return [count_nonzero(weights)]
        return count_per_layer(self.problem.network.split(weights))
