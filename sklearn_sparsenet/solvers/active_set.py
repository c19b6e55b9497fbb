r"""Full-batch solver for certified solutions: an active set around L-BFGS-B.

For fixed λ the weights that are zero rest, the others move inside their orthant,
where :math:`\lambda|w_i| = \pm\lambda w_i` is linear and a bound :math:`\pm w_i \ge 0`
keeps the sign. Weights that arrive at zero leave the set; zeros whose gradient exceeds
λ, (27), enter it in the direction of descent.

References
----------
Byrd, Lu, Nocedal, Zhu, "A limited memory algorithm for bound constrained
optimization", SIAM Journal on Scientific Computing 16 (1995).
Andrew, Gao, "Scalable training of L1-regularized log-linear models", ICML 2007:
the orthants.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from sklearn_sparsenet.optimality import Certificate, certify
from sklearn_sparsenet.penalties import L1, FixedSupport
from sklearn_sparsenet.solvers.newton import Face, newton
from sklearn_sparsenet.solvers.objective import live_parameters, make_objective
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.solution import Solution, Status, conclude
from sklearn_sparsenet.utils.exceptions import NonFiniteLossError
from sklearn_sparsenet.utils.processes import raise_if_shared
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["ActiveSetOptions", "check_supported", "solve_active_set"]

Array = NDArray[np.float64]

_MEMORY = 20  # pairs of L-BFGS
_ROUND = (30, 300)  # iterations between two looks at the zeros: first, most
# Newton steps pay with few variables; with more only near the solution, in terms of
# the relative residual.
_NEWTON = ((150, np.inf), (300, 10.0), (1000, 1.0))
_NEWTON_STEPS = 30
_STALLED_ROUNDS = 8
_ADMITTED = (10, 0.1)  # zeros that enter at once: at least, as a share of the set

_RANDOM = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


@dataclass(frozen=True)
class ActiveSetOptions:
    """When a solve ends."""

    max_iter: int = 5000  # L-BFGS iterations and Newton steps in all.
    # Relative residual of the optimality conditions, biases included.
    kkt_tol: float = 1e-3
    newton: bool = True  # Whether to take Newton steps where they pay.


def check_supported(problem: Problem) -> None:
    """Refuse what a deterministic full-batch solver cannot do, with a ValueError.

    That is penalties other than ℓ1, and layers that behave differently in training.
    """
    if not isinstance(problem.penalty, L1 | FixedSupport):
        raise ValueError(
            f"solver='lbfgs' minimises with penalty='l1' only, not "
            f"{problem.penalty!r}; use solver='adam' or 'sgd' for other penalties."
        )
    for child in problem.network.module.modules():
        if isinstance(child, _RANDOM):
            raise ValueError(
                f"solver='lbfgs' minimises a fixed function; {child!r} behaves "
                "differently in training. Leave it out, or use solver='adam'."
            )


@single_threaded()
def solve_active_set(
    problem: Problem, alpha: Sequence[float], options: ActiveSetOptions
) -> Solution:
    """Solve `problem` for one λ per layer, from where its network stands.

    It is in float64; its network is changed in place and ends at the solution. If the
    loss is not finite at the start, a NonFiniteLossError tells.
    """
    started = time.perf_counter()
    problem.network.module.eval()
    run = _Run(problem, alpha, options)
    try:
        status = run.run()
    except KeyboardInterrupt:
        raise_if_shared()
        status = Status.INTERRUPTED
        run.write(run.best)

    evaluate = partial(
        Solution.at,
        problem,
        alpha,
        epochs=run.n_iter,
        seconds=time.perf_counter() - started,
        loss_curve=tuple(run.losses),
    )
    return conclude(evaluate, status)


class _Run:
    """One solve in progress."""

    def __init__(
        self, problem: Problem, alpha: Sequence[float], options: ActiveSetOptions
    ) -> None:
        self.problem = problem
        self.alpha = [float(value) for value in alpha]
        self.options = options
        self.network = network = problem.network
        self.slope = torch.zeros_like(network.parameters)
        penalised = slice(0, network.n_penalized)
        self.decay = torch.zeros_like(self.slope)
        self.decay[penalised] = problem.weight_decay
        self.fixed = torch.zeros_like(self.slope, dtype=torch.bool)
        if isinstance(problem.penalty, FixedSupport):
            self.fixed[penalised] = ~problem.penalty.support
            network.parameters[self.fixed] = 0.0
        else:
            self.slope[penalised] = network.per_weight(self.alpha)
        positive = self.slope[self.slope > 0]
        unit = float(positive.min()) if len(positive) else 1.0
        self.scale = torch.where(self.slope > 0, self.slope, unit)
        self.n_iter = 0
        self.losses: list[float] = []
        self.round = _ROUND[0]
        self.best: tuple[Tensor, Array] | None = None

    def run(self) -> Status:
        """Alternate between minimising on the set and looking at the zeros."""
        gradient, certificate = self._look()
        stalled, lowest = 0, np.inf
        while True:
            if certificate.largest <= self.options.kkt_tol:
                return Status.STATIONARY
            if self.n_iter >= self.options.max_iter or stalled >= _STALLED_ROUNDS:
                return Status.BUDGET
            signs = self._orthant(gradient)
            before = self.losses[-1] if self.losses else np.inf
            self._minimise(signs, certificate.largest)
            gradient, certificate = self._look()
            better = certificate.largest < 0.9 * lowest
            lowest = min(lowest, certificate.largest)
            fell = self.losses[-1] < before - 1e-12 * abs(before)
            stalled = 0 if better or fell else stalled + 1

    def _look(self) -> tuple[Tensor, Certificate]:
        loss, gradient = self.problem.evaluate()
        if not bool(loss.isfinite()):
            raise NonFiniteLossError(
                "The training loss is infinite or NaN at the starting point of "
                "solver='lbfgs'. Scale X (StandardScaler), or set normalize_y=True."
            )
        return gradient, certify(
            self.network, self.problem.penalty, gradient, self.alpha
        )

    def _orthant(self, gradient: Tensor) -> Tensor:
        """Return the signs of the weights that may move, 0 for those that rest.

        Weights without influence on the output are set to zero, if that is cheaper.
        """
        parameters = self.network.parameters
        descent = self._entering(gradient)
        signs = torch.where(parameters != 0, parameters.sign(), descent)
        signs[self.fixed] = 0.0
        free = (self.slope == 0) & ~self.fixed
        live = live_parameters(self.problem, (signs != 0) | free)
        parameters[~live & (self.slope > 0)] = 0.0
        return torch.where(live, torch.where(free, 1.0, signs), 0.0)

    def _entering(self, gradient: Tensor) -> Tensor:
        """Return the signs with which zeros enter: those of the largest excess.

        Few at a time: far from the solution the gradient at most zeros is large for
        a while only, and they would make every iteration expensive.
        """
        resting = (self.network.parameters == 0) & (self.slope > 0)
        excess = (gradient.abs() / self.scale - 1).where(resting, 0.0)
        least, share = _ADMITTED
        n_moving = int((self.slope > 0).sum()) - int(resting.sum())
        size = min(len(excess), max(least, int(share * n_moving)))
        largest = excess.topk(size)
        entering = largest.indices[largest.values > 0]
        signs = torch.zeros_like(gradient)
        signs[entering] = -gradient[entering].sign()
        return signs

    def _minimise(self, signs: Tensor, residual: float) -> None:
        """Minimise over one orthant; leave the network at the result."""
        objective = make_objective(self.problem, signs != 0)
        index = objective.index
        slope = self.slope[index].cpu().double().numpy()
        kept = np.where(slope > 0, signs[index].cpu().double().numpy(), 0.0)
        decay = self.decay[index].cpu().double().numpy()
        face = Face(objective, slope, kept, decay)
        x = self.network.parameters[index].cpu().double().numpy()
        self.best = (index, x)
        if not len(x):  # nothing has an influence, and the rest has been set to zero
            self.n_iter += 1
            self.losses.append(face.evaluate(x)[0])
            return
        tolerance = 0.3 * self.options.kkt_tol * self.scale[index].cpu().numpy()
        x = self._lbfgs(face, x, float(tolerance.min()))
        self.best = (index, x)
        pays = any(len(x) <= most and residual <= level for most, level in _NEWTON)
        if pays and self.options.newton:
            left = self.options.max_iter - self.n_iter
            x, n_iter, _ = newton(face, x, min(left, _NEWTON_STEPS), tolerance)
            self.n_iter += n_iter
            self.round = _ROUND[0]
            self.best = (index, x)
        else:
            self.round = min(2 * self.round, _ROUND[1])
        self.write(self.best)
        self.losses.append(face.evaluate(x)[0])

    def _lbfgs(self, face: Face, x: Array, tolerance: float) -> Array:
        left = max(1, self.options.max_iter - self.n_iter)
        start, _ = face.evaluate(x)
        ceiling = start + 1e3 * (abs(start) + 1)

        def guarded(x: Array) -> tuple[float, Array]:
            value, gradient = face.evaluate(x)
            if np.isfinite(value) and np.isfinite(gradient).all():
                return value, gradient
            return ceiling, np.zeros_like(gradient)  # makes the line search go back

        def keep(intermediate_result: object) -> None:
            assert self.best is not None
            self.best = (self.best[0], intermediate_result.x.copy())  # type: ignore

        bounds = [
            (None if s <= 0 else 0.0, None if s >= 0 else 0.0) for s in face.signs
        ]
        found = minimize(
            guarded,
            x,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            callback=keep,
            options={
                "maxiter": min(self.round, left),
                "maxfun": 10 * min(self.round, left),
                "maxcor": _MEMORY,
                "ftol": 0.0,
                "gtol": tolerance,
            },
        )
        self.n_iter += max(1, int(found.nit))
        return face.project(found.x) if found.fun <= start else x

    def write(self, point: tuple[Tensor, Array] | None) -> None:
        """Put the network at a point."""
        if point is not None:
            index, x = point
            values = torch.from_numpy(x).to(self.network.parameters)
            self.network.parameters[index] = values
