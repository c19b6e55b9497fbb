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

import torch
from torch import Tensor

__all__ = ["convex", "minimize_model"]

_ROUNDS, _AT_ONCE = 20, 8
_SHRINKS = 3  # rounds in which variables only leave
_REFLECTED = 600  # variables up to which eigenvalues are affordable
_FLAT = 1e-7  # of the mean of the diagonal: less curvature is none


def convex(hessian: Tensor) -> Tensor:
    """Return a positive definite matrix that curves alike, or as much the other way.

    Directions of negative curvature are reflected, so that saddle points repel; with
    many variables the matrix is shifted, which is cheaper.
    """
    scale = float(hessian.diagonal().abs().mean())
    unit = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
    shift = _FLAT * scale
    while True:
        shifted = hessian + shift * unit
        if not int(torch.linalg.cholesky_ex(shifted).info):
            return shifted
        if len(hessian) <= _REFLECTED:
            values, vectors = torch.linalg.eigh(hessian)
            sizes = values.abs().clamp_(min=_FLAT * scale)
            return (vectors * sizes) @ vectors.t()
        shift = max(1e-3 * scale, 4 * shift)


def minimize_model(
    hessian: Tensor, linear: Tensor, slope: Tensor, start: Tensor
) -> Tensor:
    """Return the minimiser.

    Parameters
    ----------
    hessian : Tensor of shape (n, n)
        Positive definite.
    linear, slope : Tensor of shape (n,)
        c and λ; λ is 0 for variables without penalty.
    start : Tensor of shape (n,)
        Whose signs are tried first.
    """
    free = slope == 0
    signs = torch.where(free, 1.0, start.sign())
    found = start
    for number in range(_ROUNDS):
        inside = signs.nonzero()[:, 0]
        tilt = -(linear + slope * signs.where(~free, 0.0))[inside]
        factor = torch.linalg.cholesky_ex(hessian[inside[:, None], inside]).L
        solved = torch.cholesky_solve(tilt[:, None], factor)[:, 0]
        found = torch.zeros_like(start).index_copy_(0, inside, solved)
        leaving = ~free & (signs != 0) & (found * signs <= 0)
        signs = signs.masked_fill(leaving, 0.0)
        leaves = bool(leaving.any())
        if leaves and number < _SHRINKS:
            continue
        pull = hessian @ found + linear
        excess = torch.where(signs == 0, pull.abs() / slope - 1, 0.0)
        entering = (excess > 1e-9).nonzero()[:, 0]
        if not leaves and not len(entering):
            break
        if number >= _AT_ONCE and len(entering):
            entering = excess.argmax()[None]
        signs[entering] = -pull[entering].sign()
    return found.masked_fill(~free & (found * signs <= 0), 0.0)
