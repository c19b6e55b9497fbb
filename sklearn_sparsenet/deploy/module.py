"""What a fitted estimator computes, from inputs to predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_sparsenet import losses
from sklearn_sparsenet.networks.network import outputs_of

__all__ = ["Function", "Predictions"]

_LINKS: dict[type, str] = {
    losses.SquaredError: "identity",
    losses.AbsoluteError: "identity",
    losses.Huber: "identity",
    losses.Poisson: "exp",
    losses.PoissonEmission: "counts",
    losses.LogLoss: "sigmoid",
    losses.OneBit: "sigmoid",
    losses.CrossEntropy: "softmax",
}


@dataclass(frozen=True)
class Function:
    """A network and what is done with its outputs.

    Attributes
    ----------
    network : nn.Module
        On the CPU, in eval mode.
    sample_shape : tuple of int
    loss : Loss
        Its `predict` turns outputs into predictions.
    scale, shift : ndarray of shape (n_outputs,), or None
        Of a regression: predictions are multiplied and shifted.
    classes : ndarray or None
        Of a classification with one label per sample.
    """

    network: nn.Module
    sample_shape: tuple[int, ...]
    loss: losses.Loss
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    classes: np.ndarray | None = None

    @property
    def link(self) -> str:
        """How outputs become predictions.

        "identity", "exp", "sigmoid", "softmax", or "counts": non-negative, once
        `background` is added.

        Raises
        ------
        TypeError
            For other losses, your own above all.
        """
        found = _LINKS.get(type(self.loss))
        if found is None:
            raise TypeError(
                f"loss={self.loss!r} cannot be exported. to_module() has it; "
                "torch.onnx.export takes what that returns."
            )
        return found

    @property
    def flip_rate(self) -> float:
        """Probability that a label is flipped, after the sigmoid."""
        return getattr(self.loss, "flip_rate", 0.0)

    @property
    def background(self) -> np.ndarray:
        """Counts that are added to outputs, a number or of shape (n_outputs,)."""
        return np.asarray(getattr(self.loss, "background", 0.0))

    @property
    def is_binary(self) -> bool:
        """Whether one output stands for two classes."""
        return self.classes is not None and self.link == "sigmoid"

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.network.parameters()).dtype


class Predictions(nn.Module):
    """The function as a module: predictions, or probabilities of classes.

    Parameters
    ----------
    function : Function
    """

    scale: Tensor | None
    shift: Tensor | None

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.network = function.network
        self._loss = function.loss
        self._stacks = function.classes is not None and len(function.classes) == 2
        dtype = function.dtype
        for name in ("scale", "shift"):
            values = getattr(function, name)
            tensor = None if values is None else torch.tensor(values, dtype=dtype)
            self.register_buffer(name, tensor)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return predictions, shape (n_samples, n_outputs or n_classes)."""
        outputs = outputs_of(self.network, inputs)
        predictions = self._loss.predict(outputs)
        if self._stacks and predictions.shape[1] == 1:
            predictions = torch.cat([1 - predictions, predictions], dim=1)
        if self.scale is not None and self.shift is not None:
            predictions = predictions * self.scale + self.shift
        return predictions
