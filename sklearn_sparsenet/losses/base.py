"""What training, prediction and export ask of a loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sklearn_sparsenet.losses.responses import Response
from sklearn_sparsenet.utils.overriding import describes, restore_defaults

__all__ = ["MEMBERS", "Loss", "LossOfUser", "ValueAndSlope"]

ValueAndSlope = tuple[Tensor, Tensor]  # of each sample, and of each output
# Of an object that is no `Loss`.
MEMBERS = (
    "standardizes_target",
    "per_sample",
    "predict",
    "fit_intercept_only",
    "check_target",
)
# Members, and which others they are about: of another one they are not true.
_ABOUT = {
    "loss_and_gradient": "per_sample",
    "decay_unit": "per_sample",
    "response": "predict",
}


class Loss:
    """Base of losses: all that training, prediction and export ask of one.

    `per_sample` has to be defined. What is said of something that a derived class
    overrides is not inherited with it: of `per_sample`, `loss_and_gradient` and
    `decay_unit`; of `predict`, `response`.

    Attributes
    ----------
    standardizes_target : bool
        Whether shifting and scaling the target leaves the loss meaningful, so that
        ``normalize_y="auto"`` may do it.
    targets : tuple of str
        Which targets the loss is for: "real" ones, "indicators" (0.0 and 1.0) or
        "classes" (their indices). Others are refused.
    decay_unit : float
        The weight decay that is worth as much as 1 beside a binary log loss.
    """

    standardizes_target: bool = False
    targets: tuple[str, ...] = ("real", "indicators", "classes")
    decay_unit: float = 1.0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        restore_defaults(cls, {**vars(Loss), "response": None}, _ABOUT)

    @property
    def response(self) -> Response | None:
        """How outputs become predictions; None where that is code, not exported."""
        return Response()

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each sample, shape (n_samples,)."""
        raise NotImplementedError(f"{type(self).__name__} has no per_sample.")

    def loss_and_gradient(self, output: Tensor, target: Tensor) -> ValueAndSlope | None:
        """Return what `per_sample` does, and its derivative, in the outputs' shape.

        Training of multilayer perceptrons is faster with it. None: autograd finds the
        derivative.
        """
        return None

    def predict(self, output: Tensor) -> Tensor:
        """Return the prediction (mean or probabilities) for an output."""
        assert self.response is not None
        return self.response.tensor(output)

    def fit_intercept_only(self, target: Tensor, weight: Tensor) -> Tensor | None:
        """Return an output, shape (n_outputs,), for training to start at.

        The best one without inputs where that has a closed form, one near it, or
        None; training then starts as initialised.
        """
        return None

    def check_target(self, target: Tensor) -> None:
        """Raise ValueError if `target` is outside the domain of the loss."""

    def check_outputs(self, n_outputs: int) -> None:
        """Raise ValueError if the loss is for another number of outputs."""

    def as_stored(self) -> Loss:
        """Return what a file keeps of the loss: one that predicts the same."""
        return self


class LossOfUser(Loss):
    """An object that has `MEMBERS`, and is not derived from `Loss`.

    It may have `targets`, and `loss_and_gradient`.
    """

    response = None

    def __init__(self, loss: Any) -> None:
        self._loss = loss
        self.standardizes_target = loss.standardizes_target
        self.targets = getattr(loss, "targets", Loss.targets)
        self._is_fast = describes(type(loss), "loss_and_gradient", "per_sample")

    def __repr__(self) -> str:
        return repr(self._loss)

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        return self._loss.per_sample(output, target)

    def loss_and_gradient(self, output: Tensor, target: Tensor) -> ValueAndSlope | None:
        if not self._is_fast:
            return None
        return self._loss.loss_and_gradient(output, target)

    def predict(self, output: Tensor) -> Tensor:
        return self._loss.predict(output)

    def fit_intercept_only(self, target: Tensor, weight: Tensor) -> Tensor | None:
        return self._loss.fit_intercept_only(target, weight)

    def check_target(self, target: Tensor) -> None:
        self._loss.check_target(target)
