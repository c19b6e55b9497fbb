"""A perceptron in integers, made of one in real numbers and rows that show ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from sklearn_sparsenet.deploy.c_parts import read_perceptron
from sklearn_sparsenet.deploy.integer_activations import (
    LARGEST,
    IntegerActivation,
    Kept,
    Slopes,
    Table,
)
from sklearn_sparsenet.deploy.module import Function
from sklearn_sparsenet.networks.stages import Stage

__all__ = ["Inputs", "IntegerNetwork", "Width", "exact_outputs"]

# Shares of the rows in which an input may be clipped on either side.
_CLIPPED = (0.0, 1e-4, 1e-3, 3e-3, 1e-2)
_WORTH = 2.0  # how much smaller the errors have to be for units of each input


@dataclass(frozen=True)
class Width:
    """The type of inputs, weights and units between layers."""

    bits: int

    @property
    def c_type(self) -> str:
        """Its name in C."""
        return f"int{self.bits}_t"

    @property
    def top(self) -> int:
        """The largest number that is used: there is none of its size below zero."""
        return int(2 ** (self.bits - 1)) - 1


@dataclass(frozen=True, eq=False)
class Inputs:
    """How the inputs that are read become integers: ``(x - shift) / unit``, rounded."""

    columns: np.ndarray
    shift: np.ndarray
    unit: np.ndarray
    is_common: bool  # whether all have the same unit, and no shift
    top: int

    @classmethod
    def common(cls, columns: np.ndarray, X: np.ndarray, top: int) -> Inputs:
        """Return one unit for all."""
        unit = np.abs(X).max(initial=0) / top or 1.0
        all_of_them = np.full(len(columns), unit)
        return cls(columns, np.zeros(len(columns)), all_of_them, True, top)

    @classmethod
    def each(cls, columns: np.ndarray, X: np.ndarray, top: int) -> Inputs:
        """Return what maps the range of each to all integers."""
        low, high = X.min(axis=0), X.max(axis=0)
        unit = (high / 2 - low / 2) / top
        return cls(columns, low / 2 + high / 2, np.where(unit, unit, 1.0), False, top)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Return the integers for rows; zeros where an input is not read."""
        integers = np.zeros(X.shape, np.int64)
        scaled = np.rint((X[:, self.columns] - self.shift) / self.unit)
        integers[:, self.columns] = np.clip(scaled, -self.top, self.top)
        return integers


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """Weights, biases in the unit of their products with inputs, and an activation."""

    weight: np.ndarray
    bias: np.ndarray
    activation: IntegerActivation

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return the outputs, exactly: doubles are exact where sums are that small."""
        sums = (inputs.astype(float) @ self.weight.T.astype(float)).astype(np.int64)
        return self.activation(sums + self.bias)


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """The network: what C computes, in NumPy."""

    width: Width
    inputs: Inputs
    layers: tuple[IntegerLayer, ...]
    n_dropped: int  # weights that were rounded to zero

    @classmethod
    def of(cls, function: Function, width: Width, rows: np.ndarray) -> IntegerNetwork:
        """Return the network whose ranges are those of `rows`, in double precision.

        Of some shares of the values of each input that are clipped, the one with the
        smallest errors of the outputs on these rows is taken: absolute ones, which a
        few rows far from all others do not rule. All inputs have one unit, if units of
        their own do not make these errors smaller by half.
        """
        columns, stages = read_perceptron(function.network)
        exact, used = exact_outputs(function, rows), rows[:, columns]
        clipped = [
            np.clip(used, *np.quantile(used, [share, 1 - share], axis=0))
            for share in _CLIPPED
        ]

        def best(make: Callable[..., Inputs]) -> tuple[float, IntegerNetwork]:
            found = [
                _rounded(stages, make(columns, values, width.top), width, values)
                for values in clipped
            ]
            errors = [np.abs(net.outputs(rows) - exact).sum() for net in found]
            return min(errors), found[int(np.argmin(errors))]

        (error, common), (least, each) = best(Inputs.common), best(Inputs.each)
        return common if error <= _WORTH * least else each

    @property
    def unit(self) -> float:
        """What 1 stands for among the scores."""
        return self.layers[-1].activation.unit

    def scores(self, inputs: np.ndarray) -> np.ndarray:
        """Return the integers of the outputs for those of the inputs."""
        values = inputs[:, self.inputs.columns]
        for layer in self.layers:
            values = layer(values)
        return values

    def outputs(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs of the network for rows of real numbers."""
        return self.scores(self.inputs(X)) * self.unit


def exact_outputs(function: Function, rows: np.ndarray) -> np.ndarray:
    """Return the outputs of the network in double precision."""
    columns, stages = read_perceptron(function.network)
    values = rows[:, columns]
    with np.errstate(all="ignore"):  # what overflows is refused
        for stage in stages:
            weight, bias = _parameters(stage)
            before = values @ weight.T + bias
            if not np.isfinite(before).all():
                raise ValueError("calibration makes units that are no finite numbers.")
            values = _activation(stage)(before)
    return values


def _parameters(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = (p.detach().double().numpy() for p in stage.linear.parameters())
    return weight, bias


def _activation(stage: Stage) -> Callable[[np.ndarray], np.ndarray]:
    def activated(values: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(values)
        for module in stage.after:
            tensor = module(tensor)
        return tensor.detach().numpy()

    return activated


def _rounded(
    stages: list[Stage], inputs: Inputs, width: Width, values: np.ndarray
) -> IntegerNetwork:
    layers: list[IntegerLayer] = []
    unit, shift, largest = inputs.unit, inputs.shift, width.top + 1
    n_weights = 0
    for stage in stages:
        weight, bias = _parameters(stage)
        n_weights += int(np.count_nonzero(weight))
        before = values @ weight.T + bias
        values = _activation(stage)(before)
        sums = _sums(weight * unit, bias + weight @ shift, width.top, largest)
        bound = int((np.abs(sums[0]).sum(1) * largest + np.abs(sums[1])).max())
        is_output = stage is stages[-1] and not stage.after
        activation: IntegerActivation = Kept(sums[2])
        if not is_output:
            activation = _behind(stage, sums[2], bound, before, values, width.top)
        layers.append(IntegerLayer(sums[0], sums[1], activation))
        unit, shift = np.array(activation.unit), np.zeros(len(bias))
        largest = width.top
    kept = sum(int(np.count_nonzero(layer.weight)) for layer in layers)
    return IntegerNetwork(width, inputs, tuple(layers), n_weights - kept)


def _sums(
    weight: np.ndarray, bias: np.ndarray, top: int, largest: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return integer weights, biases, and the unit of both.

    It is so large that no partial sum leaves 32 bits, with inputs up to `largest`.
    """
    unit = float(np.abs(weight).max(initial=0) or np.abs(bias).max() or 1.0) / top
    while True:
        integers, added = np.rint(weight / unit), np.rint(bias / unit)
        bound = (np.abs(integers).sum(1) * largest + np.abs(added)).max()
        if not np.isfinite(bound):
            raise ValueError("The weights of a layer differ too much for integers.")
        if bound < LARGEST:
            return integers.astype(np.int64), added.astype(np.int64), unit
        unit *= max(float(bound) / LARGEST, 1.001)


def _behind(
    stage: Stage,
    unit: float,
    bound: int,
    before: np.ndarray,
    after: np.ndarray,
    top: int,
) -> IntegerActivation:
    known = stage.activation
    slope = 1.0 if known is None else known.slope_below(stage.after[0])
    if slope is not None and 0 <= slope <= 1:
        return Slopes.of(slope, unit, bound, after, top)
    return Table.of(_activation(stage), unit, bound, before, top)
