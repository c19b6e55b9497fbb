"""How the support of a run comes about."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sklearn_sparsenet.penalties import FixedSupport, Penalty, Strength

__all__ = ["Pruning"]


class Pruning:
    """What a run does to its weights besides its steps: here, nothing.

    Subclasses set weights to zero in the course of a run, and hold a support from some
    step on.
    """

    is_due: bool = False  # Whether weights are to be pruned after the coming step.
    # The penalty of the coming steps, instead of that of the problem, once there is a
    # support that is held; `strength` is its λ.
    held: FixedSupport | None = None
    # Which of the counted weights the last cut left; None: there was none.
    kept: Tensor | None = None

    @property
    def strength(self) -> float:
        return 0.0

    @property
    def trace(self) -> tuple[Any, ...]:
        """What there is to tell of the run."""
        return ()

    def advance(self, step: int, n_steps: int) -> None:
        """Take notice of which step of the run comes next.

        Everything depends on that alone, so that a run that backs off to an earlier
        state can go on.
        """

    def weight_decay(self, asked: float) -> float:
        """Return the weight decay of the coming gradient, for the one asked for."""
        return asked

    def prune(self, weight: Tensor, step: Strength) -> None:
        """Set penalised weights to zero, in place, after a step of these sizes."""

    def enforce_target(self, weight: Tensor) -> None:
        """Bring the counted weights in order, in place, at the end of a run.

        After an interruption or a stop, or so few steps that they are not, or in a
        state that was gone back to.
        """

    def criterion(self, weight: Tensor, penalty: Penalty) -> Penalty:
        """Return the penalty by which the weights are judged at the end of a run."""
        return penalty

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on in another process."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
