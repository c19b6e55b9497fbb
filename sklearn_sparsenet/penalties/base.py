"""What a solver needs to know about a penalty."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from sklearn_sparsenet.penalties.thresholds import Strength
from sklearn_sparsenet.utils.overriding import restore_defaults

__all__ = ["AdaptedPenalty", "Penalty", "adapted", "is_identity"]


class Penalty(ABC):
    """What a solver needs to know about a penalty.

    An object of another class may stand in for one if it has the four abstract
    members. Only a subclass can have the others.

    Attributes
    ----------
    separable : bool
        True when every weight is penalised on its own. The solvers then treat all
        layers as one flat vector; otherwise (group penalties) they hand over one
        layer at a time, in the shape that it has in the network.
    uniform : bool, default=False
        Whether all weights of the same strength are penalised alike, so that solvers
        may hand over some of them alone.
    vanishes_at_zero : bool, default=False
        Whether the prox at strength zero is the identity, which spares the call.
    frees_zeros : bool, default=False
        Whether a zero is stationary whatever its gradient, as with ℓ0. The solvers then
        take steps before they ask whether a start is a solution: zero weights always
        would be, and so would a solution for another strength.

    Notes
    -----
    A subclass that overrides `prox` and inherits `prox_` or `uniform` from another
    penalty gets the defaults of these: what it inherits describes another prox. So it
    does with `value` and `dual_norms`.
    """

    uniform: ClassVar[bool] = False
    vanishes_at_zero: ClassVar[bool] = False
    frees_zeros: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        about = {"prox_": "prox", "uniform": "prox", "dual_norms": "value"}
        restore_defaults(cls, vars(Penalty), about)

    @property
    @abstractmethod
    def separable(self) -> bool: ...

    @abstractmethod
    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        """Return the penalty of `weight` as a 0-dimensional tensor."""

    @abstractmethod
    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        r"""Return the proximity operator in the metric of the step.

        The minimiser over :math:`u` of
        :math:`\sum_i (u_i - w_i)^2 / (2\,\mathrm{step}_i) + P_\alpha(u)`.
        """

    @abstractmethod
    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        r"""Return the distance of :math:`-g_i` to :math:`\partial P_\alpha(w)_i`."""

    def prox_(
        self, weight: Tensor, step: Tensor, alpha: Strength, scratch: Tensor
    ) -> None:
        """Write `prox` over `weight`; `step` and `scratch` may be used as memory."""
        weight.copy_(self.prox(weight, step, alpha))

    def dual_norms(self, gradient: Tensor) -> Tensor | None:
        r"""Return the dual norms of a gradient, one for each group of weights.

        Where a penalty is λ times a sum of norms, of single weights or of groups, the
        dual norm of a group's gradient is the least λ for which the group may be zero.
        At a minimiser it is λ for a group that is not: the :math:`a_i` of (33).

        Parameters
        ----------
        gradient : Tensor
            Of the loss, in the shape in which the penalty is handed weights.

        Returns
        -------
        Tensor of shape (n_groups,), or None
            In the order of the groups. None, the default, of what is no sum of norms.
        """
        return None

    def restricted_to(self, numbers: Tensor) -> Penalty | None:
        """Return the penalty of some of the weights; None where it is not known.

        Parameters
        ----------
        numbers : Tensor of int
            Of these weights, ascending.
        """
        return self if self.uniform else None

    def support_held(self) -> Tensor | None:
        """Return where weights may be nonzero (bool); None: everywhere."""
        return None


@dataclass(frozen=True)
class AdaptedPenalty(Penalty):
    """An object with the four members of `Penalty`, as one."""

    penalty: Any

    def __repr__(self) -> str:
        return repr(self.penalty)

    @property
    def separable(self) -> bool:
        return bool(self.penalty.separable)

    def value(self, weight: Tensor, alpha: Strength) -> Tensor:
        return self.penalty.value(weight, alpha)

    def prox(self, weight: Tensor, step: Strength, alpha: Strength) -> Tensor:
        return self.penalty.prox(weight, step, alpha)

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: Strength
    ) -> Tensor:
        return self.penalty.subdifferential_distance(weight, gradient, alpha)


def adapted(penalty: object) -> Penalty:
    """Return an object as a penalty, unless it lacks a member of one, or is a class."""
    if isinstance(penalty, Penalty):
        return penalty
    if isinstance(penalty, type):
        raise TypeError(
            f"penalty={penalty.__name__} is a class; make an object of it: "
            f"penalty={penalty.__name__}(...)."
        )
    needed = sorted(Penalty.__abstractmethods__)
    missing = [name for name in needed if not hasattr(penalty, name)]
    if missing:
        raise TypeError(
            f"penalty={penalty!r} lacks {missing}; a penalty object has {needed}."
        )
    return AdaptedPenalty(penalty)


def is_identity(penalty: Penalty, alpha: Strength) -> bool:
    """Tell whether the prox is known to change nothing, at no cost.

    A tensor of strengths is not looked at: on an accelerator that would wait for it.
    """
    if isinstance(alpha, Tensor) or alpha != 0:
        return False
    return penalty.vanishes_at_zero
