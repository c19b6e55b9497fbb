r"""The model of a Newton step: a convex quadratic with an ℓ1 penalty, minimised.

.. math:: \min_v \tfrac12 v^T H v + c^T v + \sum_i \lambda_i |v_i|

Once the signs are right the minimum is the solution of a linear system. Signs are found
by block pivoting: all variables that violate the conditions change sides at once, one
at a time if that does not end.

References
----------
Portugal, Júdice, Vicente, "A comparison of block pivoting and interior-point algorithms
for linear least squares problems with nonnegative variables", Mathematics of
Computation 63 (1994).
Cheng, Higham, "A modified Cholesky algorithm based on a symmetric indefinite
factorization", SIAM Journal on Matrix Analysis and Applications 19 (1998).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["convex", "minimize_model"]

Array = NDArray[np.float64]

_FLAT = 1e-7  # of the mean of the diagonal: less curvature is none
_ROUNDS, _AT_ONCE = 20, 8
_SHRINKS = 3  # rounds in which variables only leave


def convex(hessian: Tensor) -> Tensor:
    r"""Return a positive definite matrix that curves alike, or as much the other way.

    With :math:`H = L D L^T`, rows and columns in some order, D has blocks of one or
    two rows, whose negative eigenvalues change their sign. So saddle points repel. The
    eigenvalues of the whole matrix would tell the same for ten times the price.
    """
    flat = _FLAT * float(hessian.diagonal().abs().mean())
    shifted = hessian.clone()
    shifted.diagonal().add_(flat)
    if not int(torch.linalg.cholesky_ex(shifted).info):
        return shifted
    directions, sizes = _negative(hessian, flat)
    lift = (directions * sizes) @ directions.t()
    return hessian + (lift + lift.t()) / 2


def _negative(hessian: Tensor, flat: float) -> tuple[Tensor, Tensor]:
    """Return the directions in which a matrix curves down, and what is to be added."""
    factors, pivots, _ = torch.linalg.ldl_factor_ex(hessian)
    packed = factors.numpy()
    order, lower, pairs = _unpack(packed, pivots.tolist())
    is_alone = np.ones(len(order), dtype=bool)
    diagonal = packed.diagonal()
    columns: list[Array] = []
    sizes: list[float] = []
    for first in pairs:
        is_alone[first : first + 2] = False
        off = packed[first + 1, first]
        block = np.array([[diagonal[first], off], [off, diagonal[first + 1]]])
        values, vectors = np.linalg.eigh(block)
        for value, vector in zip(values, vectors.T, strict=True):
            if value < flat:
                columns.append(lower[:, first : first + 2] @ vector)
                sizes.append(max(-value, flat) - value)
    for place in (is_alone & (diagonal < flat)).nonzero()[0]:
        columns.append(lower[:, place])
        sizes.append(max(-diagonal[place], flat) - diagonal[place])
    directions = np.empty((len(order), len(sizes)))
    directions[order] = np.array(columns).T
    return torch.from_numpy(directions), torch.tensor(sizes, dtype=hessian.dtype)


def _unpack(
    packed: Array, pivots: list[int]
) -> tuple[NDArray[np.int64], Array, list[int]]:
    """Return the order of the rows, L, and where the blocks of two rows begin.

    Rows that LAPACK exchanges are not exchanged in the columns of L before.
    """
    n, place = len(packed), 0
    lower = np.tril(packed, -1)
    np.fill_diagonal(lower, 1.0)
    order: NDArray[np.int64] = np.arange(n)
    pairs: list[int] = []
    while place < n:
        last, other = place, abs(pivots[place]) - 1
        if pivots[place] < 0:
            pairs.append(place)
            last = place + 1
            lower[last, place] = 0.0
        if other != last:
            rows, swapped = [last, other], [other, last]
            lower[rows, :place] = lower[swapped, :place]
            order[rows] = order[swapped]
        place = last + 1
    return order, lower, pairs


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
