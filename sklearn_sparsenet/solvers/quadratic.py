r"""Minimise a convex quadratic with an ℓ1 penalty: the model of a Newton step.

.. math:: \min_v \tfrac12 v^T H v + c^T v + \sum_i \lambda_i |v_i|

Once the signs are right the minimum is the solution of a linear system. Signs are found
by block pivoting: all variables that violate the conditions change sides at once, one
at a time if that does not end.

References
----------
Portugal, Júdice, Vicente, "A comparison of block pivoting and interior-point algorithms
for linear least squares problems with nonnegative variables", Mathematics of
Computation 63 (1994).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["minimize_model"]

Array = NDArray[np.float64]

_ROUNDS, _AT_ONCE = 20, 8
_SHRINKS = 3  # rounds in which variables only leave


def minimize_model(
    hessian: Tensor, linear: Tensor, slope: Tensor, start: Tensor
) -> Tensor:
    """Return the minimiser; the signs of `start` are tried first.

    The Hessian is positive definite, and all is in double precision. `linear` and
    `slope` are c and λ, which is 0 for variables without penalty.
    """
    # Vectors are so short that NumPy takes a third of PyTorch's time for them.
    tilt, threshold = linear.numpy(), slope.numpy()
    free = threshold == 0
    scale = np.where(free, 1.0, threshold)
    signs = np.where(free, 1.0, np.sign(start.numpy()))
    found = start.numpy()
    for number in range(_ROUNDS):
        found = _solve(hessian, -(tilt + threshold * signs), signs.nonzero()[0])
        leaving = ~free & (signs != 0) & (found * signs <= 0)
        signs[leaving] = 0.0
        leaves = bool(leaving.any())
        if leaves and number < _SHRINKS:
            continue
        pull = torch.mv(hessian, torch.from_numpy(found)).numpy() + tilt
        excess = np.where(signs == 0, np.abs(pull) / scale - 1, 0.0)
        entering = (excess > 1e-9).nonzero()[0]
        if not leaves and not len(entering):
            break
        if number >= _AT_ONCE and len(entering):
            entering = np.array([excess.argmax()])
        signs[entering] = -np.sign(pull[entering])
    found[~free & (found * signs <= 0)] = 0.0
    return torch.from_numpy(found)


def _solve(hessian: Tensor, right: Array, inside: NDArray[np.int64]) -> Array:
    """Return the solution of the rows and columns `inside`, and zeros elsewhere."""
    found = np.zeros_like(right)
    if not len(inside):
        return found
    if len(inside) < len(right):
        where = torch.from_numpy(inside)
        hessian = hessian.index_select(0, where).index_select(1, where)
    factor = torch.linalg.cholesky_ex(hessian).L
    column = torch.from_numpy(right[inside])[:, None]
    found[inside] = torch.cholesky_solve(column, factor)[:, 0].numpy()
    return found
