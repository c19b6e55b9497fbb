r"""Penalties of groups of weights: their Euclidean norms, alone or with ℓ1.

What vanishes are whole groups: all weights that leave an input or a unit, or all that
lead into a unit. That is how inputs are selected, and how units become idle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from sklearn_sparsenet.penalties.base import Penalty
from sklearn_sparsenet.penalties.group_threshold import (
    group_threshold,
    row_norms,
    sparse_dual_norms,
)
from sklearn_sparsenet.penalties.groups import Groups
from sklearn_sparsenet.penalties.separable import L1
from sklearn_sparsenet.penalties.thresholds import Strength, soft_threshold
from sklearn_sparsenet.utils.arguments import keep_number

__all__ = ["GroupL2", "SparseGroupL2"]

_Number = TypeVar("_Number", float, Strength)


@dataclass(frozen=True)
class GroupL2(Penalty):
    r"""The group lasso, ℓ1/ℓ2: :math:`\lambda \sum_g c_g \|w_g\|_2`.

    Weights of a group become zero together. With ``dim=1`` the groups are the columns
    of a layer: all weights that leave one input or one unit. Inputs of the network,
    and units of its hidden layers, that lose theirs are not used any more.

    Parameters
    ----------
    dim : int, default=1
        The groups are the slices of the weights of each layer along this dimension. 1:
        those that leave one input (or channel) of the layer; 0: those that lead into
        one of its units (a row, a filter), as for `torch.nn.Linear` and
        `torch.nn.Conv2d`; transposed convolutions have the two the other way round.
        Each entry of a vector, such as penalised biases, is a group of its own.
    size_weighted : bool, default=False
        Whether :math:`c_g` is the root of the number of weights in the group, as is
        customary where groups differ in size, instead of 1. Groups of one layer have
        one size; what this changes is the balance between layers that share their λ.

    Notes
    -----
    **Strengths.** λ is one number, or a tensor that broadcasts to the weights and has
    one entry for each group.

    **The prox** in a metric that is the same for a group's weights is the block soft
    threshold. In that of `ProximalAdam` each weight has its own step, and there is no
    closed form: `group_threshold` says how it is found. On an accelerator these steps
    wait for the device a few times.

    **Stationarity.** On a group that is not zero the residual is
    :math:`|g_i + \lambda c_g w_i / \|w_g\||`. On one that is zero it is
    :math:`|g_i| \max(0, 1 - \lambda c_g / \|g_g\|)`: the distance of :math:`-g_g` to
    the ball of radius :math:`\lambda c_g`, spread over the weights, so that its norm
    over the group is :math:`\max(0, \|g_g\| - \lambda c_g)`. Zero means that (26) and
    (27) of the paper hold for groups: :math:`g_g = -\lambda c_g w_g / \|w_g\|` where
    :math:`w_g \ne 0`, else :math:`\|g_g\| \le \lambda c_g`.

    References
    ----------
    Yuan, Lin, "Model selection and estimation in regression with grouped variables",
    Journal of the Royal Statistical Society B 68 (2006).
    Scardapane, Comminiello, Hussain, Uncini, "Group sparse regularization for deep
    neural networks", Neurocomputing 241 (2017).

    Examples
    --------
    >>> import torch
    >>> from sklearn_sparsenet import GroupL2
    >>> weight = torch.tensor([[3.0, 0.1], [4.0, 0.2]])
    >>> GroupL2().prox(weight, step=0.5, alpha=2.0)  # the norms are 5 and 0.22
    tensor([[2.4000, 0.0000],
            [3.2000, 0.0000]])
    """

    dim: int = 1
    size_weighted: bool = False
    separable: ClassVar[bool] = False
    vanishes_at_zero: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_groups(self)

    @property
    def _groups(self) -> Groups:
        return Groups(self.dim, self.size_weighted)

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        r"""Return :math:`\sum_g \alpha_g c_g \|w_g\|_2`."""
        rows, slope = self._rows_and_slopes(weight, alpha)
        return (torch.linalg.vector_norm(rows, dim=1, keepdim=True) * slope).sum()

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        """Shrink groups as a whole; those that do not reach step · α become zero."""
        rows, slope = self._rows_and_slopes(weight, alpha)
        threshold = self._groups.steps(step, weight) * slope
        return self._groups.weights(group_threshold(rows, threshold), weight)

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        """Residual of (26) for groups that are not zero, of (27) for those that are."""
        rows, slope = self._rows_and_slopes(weight, alpha)
        slope_of_loss, norm = self._groups.rows(gradient), row_norms(rows)
        on_support = slope_of_loss + slope * (rows / norm)
        off_support = group_threshold(slope_of_loss, slope)
        distance = torch.where(norm == 0, off_support, on_support)
        return self._groups.weights(distance.abs(), weight)

    def dual_norms(self, gradient: Tensor) -> Tensor:
        r"""Return :math:`\|g_g\|_2 / c_g` of each group."""
        rows = self._groups.rows(gradient)
        return row_norms(rows)[:, 0] / self._groups.factor(rows)

    def _rows_and_slopes(
        self, weight: Tensor, alpha: Strength
    ) -> tuple[Tensor, Strength]:
        r"""Return a row for each group, and :math:`\alpha_g c_g`."""
        rows = self._groups.rows(weight)
        strength = self._groups.strengths(alpha, weight)
        return rows, strength * self._groups.factor(rows)


@dataclass(frozen=True)
class SparseGroupL2(Penalty):
    r"""The sparse group lasso: zero groups, and zeros in the groups that stay.

    .. math:: \lambda \Bigl(\rho \|w\|_1 + (1 - \rho) \sum_g c_g \|w_g\|_2\Bigr)

    Parameters
    ----------
    l1_ratio : float, default=0.5
        ρ, from 0, which is `GroupL2`, to 1, which is `L1`.
    dim : int, default=1
        The groups are the slices of a layer's weights along this dimension. 1: those
        that leave one of its inputs; 0: those that lead into one of its units.
    size_weighted : bool, default=False
        Whether :math:`c_g` is the root of the number of weights in the group, not 1.

    Notes
    -----
    **The prox** is that of the groups after that of ℓ1, in any diagonal metric. Let v
    be the soft threshold of w at :math:`s_i\lambda\rho` and u the group threshold of v:

    .. math:: \frac{w_i - v_i}{s_i} \in \lambda\rho\,\partial|v_i|, \qquad
        \frac{v - u}{s} \in \lambda(1 - \rho)\,c_g\,\partial\|u\|_2.

    The second step multiplies every entry by a number in [0, 1]. Either :math:`u_i`
    has the sign of :math:`v_i`, or it is zero, where :math:`\partial|\cdot|` is all of
    [-1, 1]; so :math:`\partial|v_i| \subseteq \partial|u_i|`. The sum of the two lines
    then says that :math:`(w - u)/s` is in the subdifferential of the penalty at u: u
    is the minimiser. The metric only has to be diagonal for that.

    **Stationarity.** With :math:`v_i = g_i + \lambda\rho\,\mathrm{sign}(w_i)` on the
    support, and the soft threshold of :math:`g_i` at λρ off it, the residual is that of
    `GroupL2` for the gradient v and the strength :math:`\lambda(1 - \rho)`. Over a
    zero group its norm is :math:`\max(0, \|v_g\| - \lambda(1 - \rho)c_g)`, the distance
    of :math:`-g_g` to the subdifferential.

    References
    ----------
    Simon, Friedman, Hastie, Tibshirani, "A sparse-group lasso", Journal of
    Computational and Graphical Statistics 22 (2013).
    """

    l1_ratio: float = 0.5
    dim: int = 1
    size_weighted: bool = False
    separable: ClassVar[bool] = False
    vanishes_at_zero: ClassVar[bool] = True

    def __post_init__(self) -> None:
        keep_number(self, "l1_ratio", lambda ratio: 0 <= ratio <= 1, "in [0, 1]")
        _check_groups(self)

    @property
    def _of_groups(self) -> GroupL2:
        return GroupL2(self.dim, self.size_weighted)

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        """Return the penalty of all weights."""
        single, grouped = self._shares(alpha)
        of_groups = self._of_groups.value(weight, grouped)
        return L1().value(weight, single) + of_groups

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        """Soft threshold, then shrink groups as a whole."""
        single, grouped = self._shares(alpha)
        thinned = soft_threshold(weight, step * single)
        return self._of_groups.prox(thinned, step, grouped)

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        """Residual of (26) on the support, of (27) at zeros and at zero groups."""
        single, grouped = self._shares(alpha)
        on_support = gradient + single * weight.sign()
        off_support = soft_threshold(gradient, single)
        rest = torch.where(weight != 0, on_support, off_support)
        return self._of_groups.subdifferential_distance(weight, rest, grouped)

    def dual_norms(self, gradient: Tensor) -> Tensor:
        r"""Return, for each group, the λ from which on all of it may be zero.

        The root of :math:`\|\max(0, |g_g| - \lambda\rho)\| = \lambda (1 - \rho) c_g`.
        """
        groups = Groups(self.dim, self.size_weighted)
        rows = groups.rows(gradient)
        single, grouped = self._shares(1.0)
        return sparse_dual_norms(rows, single, grouped * groups.factor(rows))[:, 0]

    def _shares(self, alpha: _Number) -> tuple[_Number, _Number]:
        """Return the parts of a strength: of single weights, and of groups."""
        return self.l1_ratio * alpha, (1 - self.l1_ratio) * alpha


def _check_groups(penalty: GroupL2 | SparseGroupL2) -> None:
    """Check what says which groups there are."""
    keep_number(
        penalty,
        "dim",
        lambda dim: isinstance(dim, int) and dim >= 0,
        "a dimension of the weights: 0, 1, ...",
    )
    if not isinstance(penalty.size_weighted, bool):
        raise TypeError(
            f"size_weighted={penalty.size_weighted!r} must be True or False."
        )
