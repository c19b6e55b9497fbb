"""Norms of groups, one in each row: proximity operators and dual norms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sklearn_sparsenet.penalties.thresholds import Strength

__all__ = ["group_threshold", "row_norms", "sparse_dual_norms"]

# Newton's method alone needs two to seven steps, but where a group hardly exceeds its
# threshold and the steps of its weights are decades apart: of more steps than that,
# every other one halves the number of decades between the ends of the bracket.
_NEWTON_ALONE = 8
_MOST_STEPS = 60
_WIDE = 4.0  # ratio of the ends of a bracket that is worth halving
_ROUNDING = 8.0  # in units of the precision: of a sum of squares


def row_norms(rows: Tensor) -> Tensor:
    """Return the Euclidean norm of each row, without overflow and underflow.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_columns)

    Returns
    -------
    Tensor of shape (n_rows, 1)
        Zero only if the row is, and of a row with one entry exactly its size.
    """
    largest = rows.abs().amax(1, keepdim=True)
    unit = torch.where(largest > 0, largest, 1.0)
    return largest * torch.linalg.vector_norm(rows / unit, dim=1, keepdim=True)


def group_threshold(rows: Tensor, threshold: Strength) -> Tensor:
    r"""Shrink each row towards zero, or to zero as a whole.

    The minimiser over u, row by row, of
    :math:`\sum_i (u_i - w_i)^2 / (2 t_i) + \|u\|_2`.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_columns)
    threshold : float or Tensor that broadcasts to `rows`
        :math:`t_i`, not negative, the step of each entry times the strength of its row.
        Entries of threshold 0 stay as they are, unless all of their row is zero.

    Returns
    -------
    Tensor of the shape of `rows`

    Notes
    -----
    With one threshold for all of a row, it is the block soft threshold
    :math:`w \max(0, 1 - t / \|w\|)`. With several there is no closed form: the
    minimiser is zero exactly if :math:`\sum_i (w_i / t_i)^2 \le 1`, and otherwise

    .. math:: u_i = \frac{r}{r + t_i}\, w_i, \qquad
        \phi(r) = \sum_i \frac{w_i^2}{(r + t_i)^2} = 1,

    with the norm r of u. The function :math:`\phi^{-1/2}` increases and is concave
    (linear if the thresholds are equal), so that Newton's method climbs from below the
    root to it and never passes it. It starts at the largest of some lower bounds, and
    the bracket is halved on a logarithmic scale where it is wide. The roots of all rows
    are found at once, to rounding.

    References
    ----------
    Conn, Gould, Toint, "Trust-region methods", SIAM 2000, section 7.3: the same
    equation, and why it is solved in this form.
    """
    if not isinstance(threshold, Tensor):
        largest = torch.finfo(rows.dtype).max
        threshold = rows.new_tensor(min(threshold, largest))
    if threshold.ndim == 0 or threshold.shape[-1] == 1:
        norm = row_norms(rows)
        shrunk = rows * ((norm - threshold) / norm)
        return torch.where(norm <= threshold, 0.0, shrunk)
    size, threshold = rows.abs(), threshold.expand(rows.shape)
    ratio = size / threshold.clamp(min=torch.finfo(rows.dtype).tiny)
    # This way around what is not a number stays, for the solvers to notice.
    lasting = (~(ratio.square().sum(1) <= 1)).nonzero()[:, 0]
    if len(lasting) == len(rows):
        return rows * _shrinkage(size, threshold, ratio)
    factor = _shrinkage(*(each[lasting] for each in (size, threshold, ratio)))
    return torch.zeros_like(rows).index_copy_(0, lasting, rows[lasting] * factor)


def _shrinkage(size: Tensor, threshold: Tensor, ratio: Tensor) -> Tensor:
    """Return by what entries are multiplied, in rows that do not become zero.

    Parameters
    ----------
    size, threshold, ratio : Tensor of shape (n_rows, n_columns)
        :math:`|w_i|`, :math:`t_i`, and one divided by the other.

    Returns
    -------
    Tensor of shape (n_rows, n_columns)
        :math:`r / (r + t_i)`, in [0, 1].
    """
    precision = torch.finfo(size.dtype).eps
    root, high = _bracket(size, threshold, ratio)
    for _ in range(_NEWTON_ALONE):
        _, better = _newton_step(size, threshold, root)
        if not (better > root * (1 + precision)).any():
            break
        root = better.maximum(root)
    else:
        root = _guarded(size, threshold, root, high)
    return root / (root + threshold)


def _newton_step(
    size: Tensor, threshold: Tensor, root: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\phi` at some r, and a better r."""
    inverse = (root + threshold).reciprocal_()
    square = (size * inverse).square_()
    phi = square.sum(1, keepdim=True)
    slope = square.mul_(inverse).sum(1, keepdim=True)
    return phi, root + phi * (phi.sqrt() - 1) / slope


def _guarded(size: Tensor, threshold: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the root of each row, by Newton's method within a bracket."""
    precision = torch.finfo(size.dtype).eps
    root = low
    for step in range(_MOST_STEPS):
        phi, better = _newton_step(size, threshold, root)
        is_below = phi >= 1
        low = torch.where(is_below, root, low)
        high = torch.where(is_below, high, root)
        if step % 2:
            is_wide = high > _WIDE * low
            better = torch.where(is_wide, low.sqrt() * high.sqrt(), better)
        better = better.clamp(low, high)
        moves = (better - root).abs() > precision * root
        moves &= (phi - 1).abs() > _ROUNDING * precision
        root = torch.where(moves, better, root)
        if not moves.any():
            break
    return root


def _bracket(size: Tensor, threshold: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return bounds of the root of each row, both positive.

    No entry alone reaches 1 at the root, so that it is at least :math:`|w_i| - t_i`
    for each; and all of them are at most :math:`1/\sqrt n` where it is
    :math:`\sqrt n |w_i| - t_i` for each. With the smallest threshold t the sum falls at
    most as with that alone, which makes :math:`t (\|w / t\| - 1)` another lower bound.
    """
    least = threshold.amin(1, keepdim=True)
    excess = least * (torch.linalg.vector_norm(ratio, dim=1, keepdim=True) - 1)
    excess = torch.where(excess.isfinite(), excess, 0.0)
    low = (size - threshold).amax(1, keepdim=True).maximum(excess)
    low = low.clamp(min=torch.finfo(size.dtype).tiny)
    high = (math.sqrt(size.shape[1]) * size - threshold).amax(1, keepdim=True)
    return low, high.maximum(low)


def sparse_dual_norms(rows: Tensor, single: float, grouped: float) -> Tensor:
    r"""Return the dual norm of each row for a norm that is a sum of two.

    Of :math:`p \|w\|_1 + q \|w\|_2`: the a at which what exceeds :math:`a p` has the
    norm :math:`a q`,

    .. math:: \sum_i \max(0, |g_i| - a p)^2 = a^2 q^2 .

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_columns)
    single, grouped : float
        p and q, not negative and not both zero.

    Returns
    -------
    Tensor of shape (n_rows, 1)

    Notes
    -----
    The left side minus the right one falls with a, so that the k largest entries exceed
    :math:`a p` where it is negative at the k-th of the :math:`|g_i| / p`. With these k,
    the equation is quadratic. All sums are of differences to the largest entry, which
    lose no digits where entries are nearly equal.
    """
    size = rows.abs().sort(dim=1, descending=True).values
    largest = size[:, :1]
    size = size / torch.where(largest > 0, largest, 1.0)
    below = size[:, :1] - size
    count = torch.arange(1, size.shape[1] + 1).to(size)
    total, squares = below.cumsum(1), below.square().cumsum(1)
    excess = squares - 2 * below * total + count * below.square()
    n_exceeding = (single**2 * excess < (grouped * size).square()).sum(1, keepdim=True)
    last = n_exceeding.clamp(min=1) - 1
    k, linear, square = (
        sums.expand_as(size).gather(1, last)
        for sums in (count, size.cumsum(1), size.square().cumsum(1))
    )
    variance = squares.gather(1, last) - total.gather(1, last).square() / k
    root = (grouped**2 * square - single**2 * k * variance).clamp(min=0).sqrt()
    return torch.where(
        largest > 0, largest * square / (single * linear + root), largest
    )
