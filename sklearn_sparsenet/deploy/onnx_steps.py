"""How what stands between layers is written in ONNX: sums, joins, norms, shapes.

A writer adds nodes to a graph, as in `sklearn_sparsenet.deploy.onnx`, behind its last
values, and the others that a step reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from sklearn_sparsenet.networks.steps import (
    Arithmetic,
    Concatenation,
    ConstantArithmetic,
    Reshape,
    SelectInputs,
)

__all__ = ["STEP_WRITERS", "refuse"]


def refuse(module: Any, what: str) -> None:
    """Raise the error for a module with options that cannot be written."""
    raise TypeError(f"to_onnx does not know {type(module).__name__} with {what}")


def _layer_norm(graph: Any, module: Any) -> None:
    shape = module.normalized_shape
    ones = np.ones(shape, graph.dtype)
    scale = ones if module.weight is None else module.weight
    inputs = [graph.last, graph.constant(scale, "scale")]
    if module.bias is not None:
        inputs.append(graph.constant(module.bias, "shift"))
    graph.node("LayerNormalization", inputs, axis=-len(shape), epsilon=module.eps)


def _softmax(graph: Any, module: Any) -> None:
    if module.dim is None:
        refuse(module, "dim=None")
    graph.node(type(module).__name__, [graph.last], axis=module.dim)


def _reshape(graph: Any, module: Any) -> None:
    shape = graph.constant(np.array([-1, *module.shape]), "shape")
    graph.node("Reshape", [graph.last, shape])


def _concatenate(graph: Any, module: Any) -> None:
    graph.node("Concat", [graph.last, *graph.others], axis=1)


def _arithmetic(graph: Any, module: Any) -> None:
    values = iter([graph.last, *graph.others])
    operands = []
    for operand in module.operands():
        if isinstance(operand, Tensor):
            operand = operand.detach().numpy()
        operands.append(next(values) if operand is None else graph.number(operand))
    graph.node(module.kind.capitalize(), operands)


def _select(graph: Any, module: Any) -> None:
    graph.node("Gather", [graph.last, graph.constant(module.index, "index")], axis=1)


STEP_WRITERS: dict[type[nn.Module], Callable[[Any, Any], None]] = {
    SelectInputs: _select,
    Reshape: _reshape,
    Concatenation: _concatenate,
    Arithmetic: _arithmetic,
    ConstantArithmetic: _arithmetic,
    nn.LayerNorm: _layer_norm,
    nn.Softmax: _softmax,
    nn.LogSoftmax: _softmax,
}
