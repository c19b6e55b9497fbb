"""Networks of steps that may read any earlier values: chains, sums, concatenations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = [
    "Arithmetic",
    "Concatenation",
    "ConstantArithmetic",
    "Reshape",
    "SelectInputs",
    "Step",
    "Steps",
    "network_of",
    "steps_of",
]


class Step(NamedTuple):
    """A module, and the numbers of the values that it is called with.

    Value 0 is what the network is given, value k is what the k-th step gives.
    """

    module: nn.Module
    inputs: tuple[int, ...]


class Steps(nn.ModuleList):
    """Modules that are called in a row, each with any of the values before it."""

    def __init__(self, steps: Sequence[Step]) -> None:
        super().__init__(step.module for step in steps)
        self.inputs = tuple(step.inputs for step in steps)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the last step gives."""
        values = [inputs]
        for module, numbers in zip(self, self.inputs, strict=True):
            values.append(module(*(values[number] for number in numbers)))
        return values[-1]


class SelectInputs(nn.Module):
    """Keep the columns of the inputs that `index`, of shape (n_kept,), has."""

    index: Tensor

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the kept columns, shape (n_samples, n_kept)."""
        return inputs.index_select(1, self.index)


class Reshape(nn.Module):
    """Give each sample another shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the values in the same order, shape (n_samples, *shape)."""
        return inputs.reshape(inputs.shape[0], *self.shape)

    def extra_repr(self) -> str:
        """Return what `print` tells of it."""
        return str(self.shape)


class Concatenation(nn.Module):
    """Join values along the units."""

    def forward(self, *values: Tensor) -> Tensor:
        """Return them one after another, shape (n_samples, n_units in all, ...)."""
        return torch.cat(values, 1)


_ARITHMETIC: dict[str, Any] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
}


class Arithmetic(nn.Module):
    """Add, subtract, multiply or divide two values, or a value and a number.

    Parameters
    ----------
    kind : {"add", "sub", "mul", "div"}
    left, right : float or None
        None stands for the next of the values that it is called with.
    """

    def __init__(
        self, kind: str, left: float | None = None, right: float | None = None
    ) -> None:
        super().__init__()
        if kind not in _ARITHMETIC:  # as a file may say
            raise ValueError(f"There is no arithmetic {kind!r}.")
        self.kind, self.left, self.right = kind, left, right

    def forward(self, *values: Tensor) -> Tensor:
        """Return the result, in the shape of the values."""
        rest = iter(values)
        operands = (next(rest) if x is None else x for x in self.operands())
        result: Tensor = _ARITHMETIC[self.kind](*operands)
        return result

    def operands(self) -> tuple[float | Tensor | None, float | Tensor | None]:
        """Return what is computed with, None for the values."""
        return self.left, self.right

    def extra_repr(self) -> str:
        """Return what `print` tells of it."""
        return f"{self.kind!r}, left={self.left}, right={self.right}"


class ConstantArithmetic(Arithmetic):
    """Arithmetic of a value and a tensor: a parameter, or else a buffer.

    Parameters
    ----------
    kind : {"add", "sub", "mul", "div"}
    constant : Tensor
        As PyTorch broadcasts it, but not over samples.
    comes_first : bool
        Whether it is the left operand.
    """

    constant: Tensor

    def __init__(self, kind: str, constant: Tensor, *, comes_first: bool) -> None:
        super().__init__(kind)
        self.comes_first = comes_first
        if isinstance(constant, nn.Parameter):
            self.constant = constant
        else:
            self.register_buffer("constant", constant)

    def operands(self) -> tuple[Tensor | None, Tensor | None]:
        """Return what is computed with, None for the values."""
        return (self.constant, None) if self.comes_first else (None, self.constant)


def network_of(steps: Sequence[Step]) -> nn.Sequential | Steps:
    """Return the network of some steps: an `nn.Sequential` if they are a chain."""
    is_chain = all(step.inputs == (number,) for number, step in enumerate(steps))
    if is_chain:
        return nn.Sequential(*(step.module for step in steps))
    return Steps(steps)


def steps_of(network: nn.Sequential | Steps) -> list[Step]:
    """Return the steps of a network that `network_of` has made."""
    chain = tuple((number,) for number in range(len(network)))
    inputs = network.inputs if isinstance(network, Steps) else chain
    return [Step(*step) for step in zip(network, inputs, strict=True)]
