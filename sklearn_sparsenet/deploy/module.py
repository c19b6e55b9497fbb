"""What a fitted estimator computes, from inputs to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.losses.responses import Response
from sklearn_sparsenet.networks.network import outputs_of

__all__ = ["Function", "Predictions", "smallest_type"]

# Deviations of a target must be so many spacings of single precision at its mean.
_DIGITS = 1e3


@dataclass(frozen=True)
class Function:
    """A network and what is done with its outputs."""

    network: nn.Module  # on the CPU, in eval mode
    sample_shape: tuple[int, ...]
    loss: Loss  # its `predict` turns outputs into predictions
    # Of a regression, shape (n_outputs,): predictions are multiplied and shifted.
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    classes: np.ndarray | None = None  # where a sample has one label
    input_names: Sequence[str] | None = None
    # In place of missing inputs (NaN), shape (n_features,); NaN: nothing is.
    fill: np.ndarray | None = None
    # Whether predictions have the type of the weights, whatever digits they lose.
    in_one_type: bool = False

    @property
    def response(self) -> Response:
        """How outputs become predictions; TypeError if that is code of your own."""
        if self.loss.response is None:
            raise TypeError(
                f"loss={self.loss!r} cannot be exported. to_module() has it; "
                "torch.onnx.export takes what that returns."
            )
        return self.loss.response

    @property
    def is_binary(self) -> bool:
        """Whether one output stands for two classes."""
        return self.classes is not None and not self.response.sum_to_one

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.network.parameters()).dtype

    @property
    def needs_double(self) -> bool:
        """Whether predictions would lose digits in single precision."""
        if self.scale is None or self.shift is None or self.in_one_type:
            return False
        return smallest_type(self.shift, self.scale) == np.float64


def smallest_type(mean: np.ndarray, deviation: np.ndarray) -> type[np.floating]:
    """Return the smallest floating type that holds a target with its digits."""
    single = np.finfo(np.float32)
    digits = deviation > _DIGITS * single.eps * np.abs(mean)
    size = np.abs(mean) + deviation
    sound = digits & (size < sqrt(single.max)) & (deviation > sqrt(single.tiny))
    return np.float32 if sound.all() else np.float64


class Predictions(nn.Module):
    """The function as a module: predictions, or probabilities of classes."""

    scale: Tensor | None
    shift: Tensor | None
    fill: Tensor | None

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.network = function.network
        self._loss = function.loss
        self._stacks = function.classes is not None and len(function.classes) == 2
        dtype = torch.float64 if function.needs_double else function.dtype
        types = {"scale": dtype, "shift": dtype, "fill": function.dtype}
        for name, kind in types.items():
            values = getattr(function, name)
            tensor = None if values is None else torch.tensor(values, dtype=kind)
            self.register_buffer(name, tensor)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return predictions, shape (n_samples, n_outputs or n_classes)."""
        if self.fill is not None:
            inputs = torch.where(inputs.isnan(), self.fill, inputs)
        outputs = outputs_of(self.network, inputs)
        predictions = self._loss.predict(outputs)
        if self._stacks and predictions.shape[1] == 1:
            predictions = torch.cat([1 - predictions, predictions], dim=1)
        if self.scale is not None and self.shift is not None:
            predictions = predictions * self.scale + self.shift
        return predictions
