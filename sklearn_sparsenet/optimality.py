r"""The optimality conditions of ℓ1-regularised networks (Theorems 4, 5, 8 and 9).

At a local minimiser of (25) the gradient of the loss at a nonzero weight is
:math:`-\lambda\,\mathrm{sign}(w_i)` (26), and at a zero weight at most λ in size
(27). Sorted, the sizes :math:`a_i = |\partial L/\partial w_i|` (33) therefore
enclose the λ that belong to a level of sparsity (35). With one λ per layer the same
holds layer by layer: (46), (47), (51)-(53). All functions here take the weights and
gradients of one group that shares its λ: the whole network, or one layer.

They hold for penalties of groups of weights as well, which are handed over one layer at
a time, in its shape. Let the penalty be λ times the sum of a norm :math:`N_g` of each
group. A minimiser has :math:`-\nabla_g L \in \lambda\,\partial N_g(w_g)`, which says of
the dual norms :math:`a_g = N_g^\circ(\nabla_g L)` that they are λ where
:math:`w_g \ne 0` (26), and at most λ where :math:`w_g = 0` (27). Nothing else goes
into (33)-(36): groups then stand for weights, and "level l" means l groups that are not
zero. For `GroupL2` these are :math:`a_g = \|\nabla_g L\|_2 / c_g`.

References
----------
Shen, Wang, Xu, Yan, "Sparse Deep Learning Models with the l1 Regularization",
arXiv 2408.02801. "Level l" means exactly l nonzero weights.
Yuan, Lin, "Model selection and estimation in regression with grouped variables",
Journal of the Royal Statistical Society B 68 (2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.penalties import L1, Penalty
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = [
    "Certificate",
    "alpha_interval",
    "alpha_max",
    "certify",
    "gradient_magnitudes",
    "is_sufficient",
    "sparsity_bound",
    "stationarity_residual",
]


@single_threaded()
def gradient_magnitudes(gradient: Tensor, penalty: Penalty | None = None) -> Tensor:
    """Return the sorted :math:`a_{(1)} \\le \\dots \\le a_{(N)}` of (33), (34), (51).

    Parameters
    ----------
    gradient : Tensor of any shape
        Of the loss, with respect to the weights of one group, without penalty. For a
        penalty of groups: those of a layer, in its shape.
    penalty : Penalty, default L1()
        What the weights cost.

    Returns
    -------
    Tensor of shape (N,)
        N is the number of weights; for a penalty of groups, of its groups.

    Raises
    ------
    ValueError
        If the penalty is no sum of norms.
    """
    penalty = penalty or L1()
    a = penalty.dual_norms(gradient.detach())
    if a is None:
        raise ValueError(
            f"penalty={penalty!r} is no sum of norms, which the theorems are about."
        )
    return a.sort().values


@single_threaded()
def alpha_max(gradient: Tensor, penalty: Penalty | None = None) -> float:
    """Return the least λ for which all weights may be zero, :math:`a_{(N)}`.

    Parameters
    ----------
    gradient : Tensor of any shape
        Of the loss, at weights that are zero and biases that are best for these. Where
        the loss is convex in both, as without hidden layers, zero then is the minimiser
        for this λ and for every larger one.
    penalty : Penalty, default L1()
        What the weights cost.

    Raises
    ------
    ValueError
        If the penalty is no sum of norms.
    """
    a = gradient_magnitudes(gradient, penalty)
    return float(a[-1]) if len(a) else 0.0


@single_threaded()
def stationarity_residual(
    weight: Tensor,
    gradient: Tensor,
    alpha: float | Tensor,
    penalty: Penalty | None = None,
) -> Tensor:
    """Return the residual of (26), (27), or of (46), (47), of each weight.

    Zero exactly at stationary points: the distance of minus the gradient to the
    subdifferential of the penalty.

    Parameters
    ----------
    weight : Tensor
        Weights of one group that shares its λ.
    gradient : Tensor of the same shape
        Of the loss with respect to them, without penalty.
    alpha : float or Tensor that broadcasts
        Their λ.
    penalty : Penalty, default L1()
        What the weights cost.
    """
    return (penalty or L1()).subdifferential_distance(weight, gradient, alpha)


@single_threaded()
def alpha_interval(
    gradient: Tensor, n_nonzero: int, penalty: Penalty | None = None
) -> tuple[float, float]:
    r"""Return the interval of λ that an iterate admits at a level, (35).

    .. math:: a_{(N-l)} \le \lambda \le a_{(N-l+1)}

    Parameters
    ----------
    gradient : Tensor of any shape
        Of the loss with respect to the weights of one group that shares its λ.
    n_nonzero : int
        The level l, from 0 to N: of weights, or of groups.
    penalty : Penalty, default L1()
        What the weights cost.

    Returns
    -------
    low, high : float
        ``low`` is 0 at level N, ``high`` infinite at level 0. At a minimiser of
        level l for λ, ``high`` is λ itself.

    Raises
    ------
    ValueError
        If the level is out of range, or the penalty no sum of norms.
    """
    a = gradient_magnitudes(gradient, penalty)
    if not 0 <= n_nonzero <= len(a):
        raise ValueError(f"level {n_nonzero} is not between 0 and {len(a)}.")
    zeros = len(a) - n_nonzero
    low = float(a[zeros - 1]) if zeros > 0 else 0.0
    high = float(a[zeros]) if n_nonzero > 0 else float("inf")
    return low, high


@single_threaded()
def sparsity_bound(
    gradient: Tensor,
    alpha: float,
    *,
    rtol: float = 0.0,
    penalty: Penalty | None = None,
) -> int:
    """Return the l' of (36): how many :math:`a_i` reach λ.

    By Theorem 5(3) a minimiser for λ has at most l' nonzero weights, or groups.

    Parameters
    ----------
    gradient : Tensor of any shape
        Of the loss with respect to the weights of one group that shares its λ.
    alpha : float
        λ.
    rtol : float
        An :math:`a_i` counts as equal to λ from ``(1 - rtol) * alpha`` on; iterates
        satisfy the equality of (36) only so far.
    penalty : Penalty, default L1()
        What the weights cost.
    """
    a = gradient_magnitudes(gradient, penalty)
    return int((a >= (1 - rtol) * alpha).sum())


@single_threaded()
def is_sufficient(
    gradient: Tensor,
    alpha: float,
    bound: int,
    *,
    rtol: float,
    penalty: Penalty | None = None,
) -> bool:
    r"""Tell whether the sufficient condition (36), or (53) of a layer, holds.

    .. math:: a_{(N-l')} < \lambda = a_{(N-l'+1)} = \dots = a_{(N)}

    Parameters
    ----------
    gradient : Tensor of any shape
        Of the loss with respect to the weights of one group that shares its λ.
    alpha : float
        λ.
    bound : int
        The level l' to test.
    rtol : float
        Relative tolerance of the equalities.
    penalty : Penalty, default L1()
        What the weights cost.

    Raises
    ------
    ValueError
        If the level is out of range, or the penalty no sum of norms.
    """
    a = gradient_magnitudes(gradient, penalty)
    if not 0 <= bound <= len(a):
        raise ValueError(f"level {bound} is not between 0 and {len(a)}.")
    zeros = len(a) - bound
    reaching = a[zeros:]
    equal = bool(((reaching - alpha).abs() <= rtol * alpha).all())
    return equal and (zeros == 0 or bool(a[zeros - 1] < (1 - rtol) * alpha))


@dataclass(frozen=True)
class Certificate:
    """How far an iterate is from stationarity, relative to λ.

    Attributes
    ----------
    largest : float
        Largest residual over all weights and unpenalised parameters, divided by the
        λ of its layer (unpenalised: by the smallest positive λ; without any, not
        divided).
    root_mean_square : float
        Root mean square of the same residuals.
    violations : float
        Share of the weights whose residual exceeds 1 % of λ.
    per_layer : tuple of float
        Largest relative residual of each layer.
    """

    largest: float
    root_mean_square: float
    violations: float
    per_layer: tuple[float, ...]


@single_threaded()
@torch.no_grad()
def certify(
    network: Network, penalty: Penalty, gradient: Tensor, alpha: Sequence[float]
) -> Certificate:
    """Measure (26), (27) or (46), (47) and a vanishing gradient of the biases.

    Parameters
    ----------
    network : Network
        At the iterate in question.
    penalty : Penalty
        What its weights cost.
    gradient : Tensor of shape (n_parameters,)
        Of the loss over all samples, at that iterate.
    alpha : sequence of float
        One λ for each layer.
    """
    residual = gradient.abs()
    for where, shape, strength in network.blocks(alpha, penalty.separable):
        residual[where] = penalty.subdifferential_distance(
            network.parameters[where].view(shape), gradient[where].view(shape), strength
        ).reshape(-1)
    positive = [float(value) for value in alpha if value > 0]
    unit = min(positive, default=1.0)
    # In double precision, as a λ may be smaller than any number of single precision.
    scale = torch.full_like(residual, unit, dtype=torch.float64)
    scale[: network.n_penalized] = network.per_weight(
        [value if value > 0 else unit for value in alpha]
    )
    most = torch.finfo(torch.float64).max
    relative = (residual / scale).nan_to_num(nan=most, posinf=most)
    weights = relative[: network.n_weights]
    largest = relative.max()
    shares = relative / largest.clamp(min=torch.finfo(torch.float64).tiny)
    return Certificate(
        largest=float(largest),
        root_mean_square=float(largest * shares.square().mean().sqrt()),
        violations=float((weights > 0.01).double().mean()),
        per_layer=tuple(float(relative[layer.slice].max()) for layer in network.layers),
    )
