"""What functions are given that write themselves down in C or ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["CNumber", "NodeWriter"]

# Writes a number down in single precision; of one that has none, ValueError.
CNumber = Callable[[float], str]


class NodeWriter(Protocol):
    """An ONNX graph in the making, as in `sklearn_sparsenet.deploy.onnx`.

    Attributes
    ----------
    last : str
        Name of the values that the last node gave.
    """

    last: str

    @property
    def is_double(self) -> bool:
        """Whether values are in double precision just now."""

    def node(self, kind: str, inputs: list[str], **options: Any) -> str:
        """Add a node; return the name of its output, from now on the last one."""

    def number(self, value: Any) -> str:
        """Add a number, or one for each column, as an initialiser; return its name."""

    def cast(self, dtype: Any) -> str:
        """Go on with the last values in another type."""

    def scale_and_shift(self, scale: Any, shift: Any) -> None:
        """Multiply the last values, and add to them."""
