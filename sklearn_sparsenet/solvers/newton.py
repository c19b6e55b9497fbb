r"""Newton steps inside an orthant, the end game of the active-set solver.

Where no weight changes its sign, :math:`\lambda \|w\|_1` is linear and the objective
as smooth as the loss. L-BFGS then needs thousands of iterations for the last digits,
Newton's method a few. Directions of negative curvature are reflected, so that a
saddle point repels.

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

_HALVINGS = 12
_ARMIJO = 1e-4
_FLAT = 1e-12  # curvatures below this share of the largest are rounding
_ROUNDING = 1e-14  # of the objective, relative


@dataclass(frozen=True)
class Face:
    """An orthant: a loss, the slope of the penalty, and the signs that are kept.

    Attributes
    ----------
    objective : Objective
    slope : ndarray of shape (n_variables,)
        λ of each variable.
    signs : ndarray of shape (n_variables,)
        -1 or 1 for variables that may not change their sign, 0 for free ones.
    """

    objective: Objective
    slope: Array
    signs: Array

    def evaluate(self, x: Array) -> tuple[float, Array]:
        """Return the penalised objective and its gradient."""
        tilt = self.slope * self.signs
        loss, gradient = self.objective.evaluate(x)
        return loss + float(tilt @ x), gradient + tilt

    def project(self, x: Array) -> Array:
        """Return the closest point of the orthant."""
        return np.where(self.signs * x < 0, 0.0, x)


def newton(
    face: Face, x: Array, max_iter: int, tolerance: Array
) -> tuple[Array, int, bool]:
    """Take Newton steps until the gradient is within `tolerance`.

    Variables that arrive at zero stay there.

    Parameters
    ----------
    face : Face
    x : ndarray of shape (n_variables,)
        In the orthant.
    max_iter : int
    tolerance : ndarray of shape (n_variables,)
        Largest admissible gradient of each variable.

    Returns
    -------
    x : ndarray
    n_iter : int
    converged : bool
    """
    value, gradient = face.evaluate(x)
    for iteration in range(max_iter):
        free = (x != 0) | (face.signs == 0)
        if bool((np.abs(gradient) <= tolerance)[free].all()):
            return x, iteration, True
        hessian = face.objective.hessian(x)
        if hessian is None or not np.isfinite(hessian).all():
            return x, iteration, False
        direction = np.zeros_like(x)
        direction[free] = _direction(hessian[np.ix_(free, free)], gradient[free])
        step = _search(face, x, value, gradient, direction)
        if step is None:
            return x, iteration, False
        x, value, gradient = step
    free = (x != 0) | (face.signs == 0)
    return x, max_iter, bool((np.abs(gradient) <= tolerance)[free].all())


def _direction(hessian: Array, gradient: Array) -> Array:
    values, vectors = eigh(hessian, driver="evd", check_finite=False)
    size = np.abs(values)
    size = np.maximum(size, _FLAT * size.max(initial=1e-300))
    return -(vectors @ ((vectors.T @ gradient) / size))


def _search(
    face: Face, x: Array, value: float, gradient: Array, direction: Array
) -> tuple[Array, float, Array] | None:
    """Backtrack along the projected direction."""
    length = 1.0
    noise = _ROUNDING * (abs(value) + 1e-300)
    for _ in range(_HALVINGS):
        trial = face.project(x + length * direction)
        new_value, new_gradient = face.evaluate(trial)
        expected = _ARMIJO * float(gradient @ (trial - x))
        if np.isfinite(new_value):
            if new_value <= value + min(expected, 0.0) and expected < 0:
                return trial, new_value, new_gradient
            # Close to the solution the decrease drowns in rounding; the gradient
            # does not.
            still = new_value <= value + noise
            if still and np.abs(new_gradient).max() < 0.5 * np.abs(gradient).max():
                return trial, new_value, new_gradient
        length *= 0.5 if length > 0.1 else 0.2
    return None
