"""What the integers of the outputs are for: classes, several labels, or numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sklearn_sparsenet.deploy.c_parts import quoted
from sklearn_sparsenet.deploy.module import Function

__all__ = ["Outcome", "outcome_of"]

_MANY_LABELS = 0.01  # share of labels that differ
_MUCH = 0.05  # difference of predictions, in standard deviations


class Difference(NamedTuple):
    """What integers change on rows, for a reader."""

    text: str
    is_large: bool


@dataclass(frozen=True, eq=False)
class Outcome:
    """Predictions are numbers; the base of the others."""

    function: Function
    n_scores: int
    returns = "void"

    def c(self) -> str:
        """Return C that ends the function, with the outputs of the network in `out`."""
        return ""

    def comments(self, unit: float) -> Iterator[str]:
        """Yield lines on `out`, whose unit is given, and on what is returned."""
        formula = self.function.response.formula
        scale, shift = np.ones(self.n_scores), np.zeros(self.n_scores)
        if self.function.scale is not None and self.function.shift is not None:
            scale, shift = self.function.scale, self.function.shift
        yield f"out: {self.n_scores} integers; the predictions are"
        for i in range(self.n_scores):
            value = f"out[{i}] * {unit * scale[i]:.9g}"
            yield "  " + formula(f"{value} + {shift[i]:.9g}" if shift[i] else value)

    def loss(self, found: np.ndarray, exact: np.ndarray) -> Difference:
        """Compare outputs with those of the network in real numbers."""
        response, scale = self.function.response.numpy, self.function.scale
        predicted = response(exact) * (1.0 if scale is None else scale)
        given = response(found) * (1.0 if scale is None else scale)
        errors = np.sqrt(np.square(given - predicted).mean(axis=0))
        spread = predicted.std(axis=0)
        share = (errors[spread > 0] / spread[spread > 0]).max(initial=0)
        return Difference(
            f"On {len(found)} calibration rows predictions change by up to "
            f"{errors.max():.3g} (root mean square), {100 * share:.2g} % of their "
            "standard deviation.",
            bool(share > _MUCH),
        )


class Flags(Outcome):
    """Predictions are labels, of which a sample may have several."""

    def comments(self, unit: float) -> Iterator[str]:
        value = f"out[i] * {unit:.9g}"
        yield f"out: {self.n_scores} scores; label i is predicted if out[i] > 0. It has"
        yield f"the probability {self.function.response.formula(value)}."

    def loss(self, found: np.ndarray, exact: np.ndarray) -> Difference:
        return _of_labels(found > 0, exact > 0, "labels")


class Classes(Outcome):
    """The prediction is one of several classes."""

    returns = "int"
    of_class = "i"

    def c(self) -> str:
        return (
            f"    for (i = 1, k = 0; i < {self.n_scores}; i++) if (out[i] > out[k]) "
            "k = i;\n    return (int)k;\n"
        )

    def comments(self, unit: float) -> Iterator[str]:
        value = f"out[{self.of_class}] * {unit:.9g}"
        yield f"out: {self.n_scores} scores. Class {self.of_class} has the probability"
        yield f"{self.function.response.formula(value)}."
        yield "It returns the number of the largest score, which stands for the class"
        for i, label in enumerate(np.asarray(self.function.classes)):
            yield f"  {i}: {quoted(label)}"

    def loss(self, found: np.ndarray, exact: np.ndarray) -> Difference:
        return _of_labels(found.argmax(1), exact.argmax(1), "classes")


class TwoClasses(Classes):
    """The network has one output, for the second class."""

    of_class = "1"

    def c(self) -> str:
        return "    out[1] = out[0];\n    out[0] = 0;\n    return out[1] > 0;\n"

    def loss(self, found: np.ndarray, exact: np.ndarray) -> Difference:
        return _of_labels(found > 0, exact > 0, "classes")


def _of_labels(found: np.ndarray, exact: np.ndarray, name: str) -> Difference:
    share = np.mean(found != exact)
    return Difference(
        f"On {len(found)} calibration rows {100 * share:.2g} % of the {name} change.",
        bool(share > _MANY_LABELS),
    )


def outcome_of(function: Function, n_outputs: int) -> Outcome:
    """Return what the outputs of the network are for."""
    if function.is_binary:
        return TwoClasses(function, 2)
    if function.classes is not None:
        return Classes(function, n_outputs)
    kind = Flags if function.response.are_probabilities else Outcome
    return kind(function, n_outputs)
