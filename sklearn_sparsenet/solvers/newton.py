r"""Newton steps inside an orthant, the end game of the active-set solver.

Where no weight changes its sign, :math:`\lambda \|w\|_1` is linear and the objective
as smooth as the loss. L-BFGS then needs thousands of iterations for the last digits,
Newton's method a few. Steps are damped (Levenberg, Marquardt); directions of negative
curvature are reflected, so that a saddle point repels.

References
----------
Byrd, Chin, Nocedal, Oztoprak, "A family of second-order methods for convex
l1-regularized optimization", Mathematical Programming 159 (2016): subspace steps on
an orthant face.
Dauphin et al., "Identifying and attacking the saddle point problem in
high-dimensional non-convex optimization", NeurIPS 2014: the reflection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from sklearn_sparsenet.solvers.objective import Objective

__all__ = ["Face", "newton"]

Array = NDArray[np.float64]

_TRIALS = 14
_FIRST_DAMPING = 1e-6
_ARMIJO = 1e-4
_FLAT = 1e-13  # least damping: curvatures below this share are rounding
_ROUNDING = 1e-14  # of the objective, relative


@dataclass(frozen=True)
class Face:
    """An orthant: a loss, the penalties, and the signs that are kept."""

    objective: Objective
    slope: Array  # λ of each variable.
    # -1 or 1 for variables that may not change their sign, 0 for free ones.
    signs: Array
    decay: Array  # Weight decay of each variable.

    def evaluate(self, x: Array) -> tuple[float, Array]:
        """Return the penalised objective and its gradient."""
        tilt = self.slope * self.signs
        loss, gradient = self.objective.evaluate(x)
        smooth = loss + float((self.decay * x) @ x) / 2
        return smooth + float(tilt @ x), gradient + self.decay * x + tilt

    def hessian(self, x: Array) -> Array | None:
        """Return the Hessian, or None if it is too expensive."""
        hessian = self.objective.hessian(x)
        return None if hessian is None else hessian + np.diag(self.decay)

    def project(self, x: Array) -> Array:
        """Return the closest point of the orthant."""
        return np.where(self.signs * x < 0, 0.0, x)


@np.errstate(over="ignore", invalid="ignore")  # such steps are not taken
def newton(
    face: Face, x: Array, max_iter: int, tolerance: Array
) -> tuple[Array, int, bool]:
    """Take Newton steps until the gradient is within the tolerance of each variable.

    They begin at a point of the orthant; variables that arrive at zero stay there.
    Returned are the last point, the number of steps, and whether they converged.
    """
    value, gradient = face.evaluate(x)
    damping = _FIRST_DAMPING
    for iteration in range(max_iter):
        free = (x != 0) | (face.signs == 0)
        if bool((np.abs(gradient) <= tolerance)[free].all()):
            return x, iteration, True
        hessian = face.hessian(x)
        if hessian is None or not np.isfinite(hessian).all():
            return x, iteration, False
        model = _Model(hessian, gradient, free)
        for number in range(_TRIALS):
            trial = face.project(x + model.step(damping))
            found = face.evaluate(trial)
            if _improves((value, gradient), found, trial - x):
                break
            damping *= 8.0 * 2.0**number
        else:
            return x, iteration, False
        x, (value, gradient) = trial, found
        damping = max(damping / 8.0, _FLAT)
    free = (x != 0) | (face.signs == 0)
    return x, max_iter, bool((np.abs(gradient) <= tolerance)[free].all())


class _Model:
    """The quadratic model at a point, in the coordinates of its eigenvectors."""

    def __init__(self, hessian: Array, gradient: Array, free: NDArray[np.bool_]):
        self._free = free
        values, self._vectors = eigh(
            hessian[np.ix_(free, free)], driver="evd", check_finite=False
        )
        self._curvature = np.abs(values)
        self._largest = self._curvature.max(initial=1e-300)
        self._gradient = self._vectors.T @ gradient[free]

    def step(self, damping: float) -> Array:
        """Return the damped step; `damping` is relative to the largest curvature."""
        curvature = self._curvature + damping * self._largest
        step = np.zeros(len(self._free))
        step[self._free] = -self._vectors @ (self._gradient / curvature)
        return step


def _improves(old: tuple[float, Array], new: tuple[float, Array], step: Array) -> bool:
    expected = _ARMIJO * float(old[1] @ step)
    if not np.isfinite(new[0]):
        return False
    if expected < 0 and new[0] <= old[0] + expected:
        return True
    # Close to the solution the decrease drowns in rounding; the gradient does not.
    still = new[0] <= old[0] + _ROUNDING * abs(old[0])
    return bool(still and np.abs(new[1]).max() < 0.5 * np.abs(old[1]).max())
