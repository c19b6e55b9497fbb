"""How outputs of a network become predictions, in every language there is.

The field calls such a function a response function, the inverse of a link function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import Tensor

from sklearn_sparsenet.utils.exporting import CNumber, NodeWriter

__all__ = ["Counts", "Exponential", "Response", "Sigmoid", "Softmax"]

Array = np.ndarray
_EACH = "    for (i = 0; i < {n}; i++) out[i] = {value};\n"


@dataclass(frozen=True)
class Response:
    """Predictions are the outputs themselves; the base of other response functions."""

    are_probabilities = False
    sum_to_one = False  # of a sample, being of classes that exclude each other

    def tensor(self, output: Tensor) -> Tensor:
        """Return predictions, shape (n_samples, n_outputs)."""
        return output

    def numpy(self, outputs: Array) -> Array:
        """Return the same of an array."""
        return outputs

    def log(self, outputs: Array) -> Array:
        """Return logarithms of probabilities, finite where these are too small."""
        raise NotImplementedError(f"{self!r} gives no probabilities.")

    def c(self, n_outputs: int, number: CNumber) -> str:
        """Return C that changes ``float out[n_outputs]`` in place; ``i`` is free."""
        return ""

    def formula(self, output: str) -> str:
        """Return the prediction for an output as a formula for readers."""
        return output

    def onnx(self, graph: NodeWriter) -> None:
        """Add nodes behind the last values of a graph."""


@dataclass(frozen=True)
class Exponential(Response):
    """The exponential function."""

    def tensor(self, output: Tensor) -> Tensor:
        return output.exp()

    def numpy(self, outputs: Array) -> Array:
        with np.errstate(over="ignore"):  # infinity is the answer, as PyTorch's
            return np.exp(outputs)

    def c(self, n_outputs: int, number: CNumber) -> str:
        return _EACH.format(n=n_outputs, value="expf(out[i])")

    def formula(self, output: str) -> str:
        return f"exp({output})"

    def onnx(self, graph: NodeWriter) -> None:
        graph.node("Exp", [graph.last])


@dataclass(frozen=True)
class Counts(Response):
    """Mean counts: outputs and known ones together, where they are positive."""

    background: float | tuple[float, ...]

    def tensor(self, output: Tensor) -> Tensor:
        return (output + torch.as_tensor(self.background).to(output)).clamp(min=0)

    def numpy(self, outputs: Array) -> Array:
        return np.maximum(outputs + np.asarray(self.background, outputs.dtype), 0)

    def c(self, n_outputs: int, number: CNumber) -> str:
        each = [number(x) for x in np.broadcast_to(self.background, n_outputs)]
        return "".join(
            f"    out[{i}] = out[{i}] > -{x} ? out[{i}] + {x} : 0;\n"
            for i, x in enumerate(each)
        )

    def formula(self, output: str) -> str:
        return f"max(0, {output} + {self.background})"

    def onnx(self, graph: NodeWriter) -> None:
        graph.scale_and_shift(1.0, self.background)
        graph.node("Max", [graph.last, graph.number(0.0)])


@dataclass(frozen=True)
class Sigmoid(Response):
    """A probability for each output, of what is flipped at random with some rate."""

    rate: float = 0.0
    are_probabilities = True

    def _observed(self, shares: Any) -> Any:
        return self.rate + (1 - 2 * self.rate) * shares if self.rate else shares

    def tensor(self, output: Tensor) -> Tensor:
        return self._observed(output.sigmoid())

    def numpy(self, outputs: Array) -> Array:
        return self._observed(special.expit(outputs))

    def log(self, outputs: Array) -> Array:
        with np.errstate(divide="ignore"):  # of a rate of zero
            kept, flipped = np.log1p(-self.rate), np.log(self.rate)
        one, other = special.log_expit(outputs), special.log_expit(-outputs)
        return np.logaddexp(kept + one, flipped + other).astype(outputs.dtype)

    def c(self, n_outputs: int, number: CNumber) -> str:
        code = _EACH.format(n=n_outputs, value="1 / (1 + expf(-out[i]))")
        if not self.rate:
            return code
        low, width = number(self.rate), number(1 - 2 * self.rate)
        return code + _EACH.format(n=n_outputs, value=f"{low} + {width} * out[i]")

    def formula(self, output: str) -> str:
        share = f"1 / (1 + exp(-({output})))"
        return f"{self.rate} + {1 - 2 * self.rate} * {share}" if self.rate else share

    def onnx(self, graph: NodeWriter) -> None:
        graph.node("Sigmoid", [graph.last])
        if self.rate:
            graph.scale_and_shift(1 - 2 * self.rate, self.rate)


@dataclass(frozen=True)
class Softmax(Response):
    """Probabilities of classes that exclude each other."""

    are_probabilities = True
    sum_to_one = True

    def tensor(self, output: Tensor) -> Tensor:
        return output.softmax(1)

    def numpy(self, outputs: Array) -> Array:
        shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def log(self, outputs: Array) -> Array:
        return special.log_softmax(outputs, axis=1)

    def c(self, n_outputs: int, number: CNumber) -> str:
        each = f"    for (i = 0; i < {n_outputs}; i++)"
        return (
            "    float top = out[0], sum = 0;\n"
            f"    for (i = 1; i < {n_outputs}; i++) if (out[i] > top) top = out[i];\n"
            f"{each} sum += out[i] = expf(out[i] - top);\n"
            f"{each} out[i] /= sum;\n"
        )

    def formula(self, output: str) -> str:
        return f"exp({output}), divided by the sum of these"

    def onnx(self, graph: NodeWriter) -> None:
        graph.node("Softmax", [graph.last], axis=1)
