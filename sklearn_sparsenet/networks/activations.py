"""Activations: all that the library knows of each, from training to export.

A new one is an entry in `ACTIVATIONS`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import special
from torch import Tensor, nn
from torch.nn import functional

from sklearn_sparsenet.utils.exporting import CNumber, NodeWriter

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Kernel",
    "Rule",
    "activation_of",
    "elementwise",
]

Kernel = Callable[[np.ndarray], Any]
Derivatives = tuple[Tensor, Tensor, Tensor]


class Rule(NamedTuple):
    """An activation and its derivative, both without a new tensor."""

    # The derivative is a function of the output: the input need not be kept.
    in_place: bool
    forward: Callable[[Tensor, Tensor], object]  # forward(inputs, output)
    # backward(delta, kept) multiplies `delta` by the derivative; `kept` is the output
    # if `in_place`, else the input.
    backward: Callable[[Tensor, Tensor], object]


@dataclass(frozen=True)
class Activation:
    """An elementwise function between layers."""

    module: type[nn.Module]  # Its class, not one that is derived from it.
    # rule(module), for training; where it gives None, autograd does it.
    rule: Callable[[Any], Rule | None]
    # numpy(module) gives a function that changes an array in place, for predictions, or
    # None: PyTorch predicts then.
    numpy: Callable[[Any], Kernel | None]
    # c(module, number) is the value at ``v``, in C; `number` writes an option down.
    c: Callable[[Any, CNumber], str]
    # onnx(graph, module) adds nodes to a graph, behind its last values.
    onnx: Callable[[NodeWriter, Any], object]
    # What the module is made with, in attributes of the same names: kept in files.
    options: Mapping[str, type] = field(default_factory=dict)
    is_smooth: bool = True  # Whether it is differentiable everywhere.
    # slope_below(module), where values are kept above zero and multiplied by that
    # below; None elsewhere.
    slope_below: Callable[[Any], float | None] = lambda module: None
    # Values and two derivatives of them, without `options`; None: autograd.
    derivatives: Callable[[Tensor], Derivatives] | None = None


def _of_output(forward: Any, backward: Any) -> Callable[[Any], Rule]:
    """Return the rule of a function without options, its slope known by its output."""
    return lambda module: Rule(
        True, lambda x, y: forward(x), lambda d, y: backward(d, y, grad_input=d)
    )


def _of_input(forward: Any, backward: Any, *options: str) -> Callable[[Any], Rule]:
    """Return the rule of a function whose slope is not known by its output."""

    def make(module: Any) -> Rule:
        given = {name: getattr(module, name) for name in options}
        return Rule(
            False,
            lambda x, y: forward(x, **given, out=y),
            lambda d, x: backward(d, x, **given, grad_input=d),
        )

    return make


def _node(kind: str) -> Callable[[NodeWriter, Any], object]:
    return lambda graph, module: graph.node(kind, [graph.last])


# PyTorch's own kernels for derivatives, because they round as autograd does.
_aten = torch.ops.aten


def _tanh_derivatives(before: Tensor) -> Derivatives:
    after = before.tanh()
    first = 1 - after.square()
    return after, first, -2 * after * first


# onnxruntime has some activations in single precision only; in double precision they
# are made of what it has.


def _where_exceeds(
    graph: NodeWriter, values: str, bound: float, above: str, below: str
) -> None:
    """Go on with some values where others exceed a bound, with others elsewhere."""
    exceeds = graph.node("Greater", [values, graph.number(bound)])
    graph.node("Where", [exceeds, above, below])


def _leaky_relu_rule(module: nn.LeakyReLU) -> Rule | None:
    slope, backward = module.negative_slope, _aten.leaky_relu_backward.grad_input
    if slope < 0:  # not a function of the output
        return None
    return Rule(
        True,
        lambda x, y: functional.leaky_relu_(x, slope),
        lambda d, y: backward(d, y, slope, True, grad_input=d),
    )


def _leaky_relu_node(graph: NodeWriter, module: nn.LeakyReLU) -> None:
    values = graph.last
    if not graph.is_double:
        graph.node("LeakyRelu", [values], alpha=module.negative_slope)
        return
    below = graph.node("Mul", [values, graph.number(module.negative_slope)])
    _where_exceeds(graph, values, 0.0, values, below)


def _elu_rule(module: nn.ELU) -> Rule | None:
    alpha, backward = module.alpha, _aten.elu_backward.grad_input
    if alpha < 0:
        return None
    return Rule(
        True,
        lambda x, y: functional.elu_(x, alpha),
        lambda d, y: backward(d, alpha, 1, 1, True, y, grad_input=d),
    )


def _elu_kernel(module: nn.ELU) -> Kernel:
    def elu(x: np.ndarray) -> None:
        np.copyto(x, module.alpha * np.expm1(np.minimum(x, 0)), where=x < 0)

    return elu


def _elu_node(graph: NodeWriter, module: nn.ELU) -> None:
    values = graph.last
    if not graph.is_double:
        graph.node("Elu", [values], alpha=module.alpha)
        return
    negative = graph.node("Min", [values, graph.number(0.0)])
    grown = graph.node("Sub", [graph.node("Exp", [negative]), graph.number(1.0)])
    below = graph.node("Mul", [grown, graph.number(module.alpha)])
    _where_exceeds(graph, values, 0.0, values, below)


def _gelu_kernel(module: nn.GELU) -> Kernel | None:
    if module.approximate != "none":
        return None
    return lambda x: np.multiply(x, special.ndtr(x), out=x)


def _gelu_in_c(module: nn.GELU, number: CNumber) -> str:
    if module.approximate == "none":
        return "v * 0.5f * erfcf(-v * 0.70710678118654752f)"
    return "v / (1 + expf(-1.5957691216057308f * (v + 0.044715f * v * v * v)))"


def _gelu_node(graph: NodeWriter, module: nn.GELU) -> None:
    is_double = graph.is_double
    if is_double:  # the error function is not easily made of what there is
        graph.cast(np.float32)
    graph.node("Gelu", [graph.last], approximate=module.approximate)
    if is_double:
        graph.cast(np.float64)


def _silu_node(graph: NodeWriter, module: nn.Module) -> None:
    values = graph.last
    graph.node("Mul", [values, graph.node("Sigmoid", [values])])


def _softplus_kernel(module: nn.Softplus) -> Kernel:
    def softplus(x: np.ndarray) -> None:
        scaled = module.beta * x
        smooth = np.logaddexp(0, scaled) / module.beta
        np.copyto(x, smooth, where=scaled <= module.threshold)

    return softplus


def _softplus_in_c(module: nn.Softplus, number: CNumber) -> str:
    beta, threshold = number(module.beta), number(module.threshold)
    return f"{beta} * v > {threshold} ? v : log1pf(expf({beta} * v)) / {beta}"


def _softplus_node(graph: NodeWriter, module: nn.Softplus) -> None:
    values, beta = graph.last, graph.number(module.beta)
    scaled = graph.node("Mul", [values, beta])
    if graph.is_double:
        size = graph.node("Neg", [graph.node("Abs", [scaled])])
        rest = graph.node("Add", [graph.node("Exp", [size]), graph.number(1.0)])
        positive = graph.node("Max", [scaled, graph.number(0.0)])
        smooth = graph.node("Add", [positive, graph.node("Log", [rest])])
    else:
        smooth = graph.node("Softplus", [scaled])
    divided = graph.node("Div", [smooth, beta])
    _where_exceeds(graph, scaled, module.threshold, values, divided)


# By the names that the estimators take.
ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(
        nn.Identity,
        rule=lambda m: Rule(True, lambda x, y: x, lambda d, y: d),
        numpy=lambda m: lambda x: x,
        c=lambda m, number: "v",
        onnx=lambda graph, m: None,
        slope_below=lambda m: 1.0,
    ),
    "logistic": Activation(
        nn.Sigmoid,
        rule=_of_output(torch.sigmoid_, _aten.sigmoid_backward.grad_input),
        numpy=lambda m: lambda x: special.expit(x, out=x),
        c=lambda m, number: "1 / (1 + expf(-v))",
        onnx=_node("Sigmoid"),
    ),
    "tanh": Activation(
        nn.Tanh,
        rule=_of_output(torch.tanh_, _aten.tanh_backward.grad_input),
        numpy=lambda m: lambda x: np.tanh(x, out=x),
        c=lambda m, number: "tanhf(v)",
        onnx=_node("Tanh"),
        derivatives=_tanh_derivatives,
    ),
    "relu": Activation(
        nn.ReLU,
        rule=_of_output(
            torch.relu_, partial(_aten.threshold_backward.grad_input, threshold=0)
        ),
        numpy=lambda m: lambda x: np.maximum(x, 0, out=x),
        c=lambda m, number: "v > 0 ? v : 0",
        onnx=_node("Relu"),
        is_smooth=False,
        slope_below=lambda m: 0.0,
    ),
    "leaky_relu": Activation(
        nn.LeakyReLU,
        rule=_leaky_relu_rule,
        numpy=lambda m: lambda x: np.multiply(x, m.negative_slope, out=x, where=x < 0),
        c=lambda m, number: f"v > 0 ? v : {number(m.negative_slope)} * v",
        onnx=_leaky_relu_node,
        options={"negative_slope": float},
        is_smooth=False,
        slope_below=lambda m: m.negative_slope,
    ),
    "elu": Activation(
        nn.ELU,
        rule=_elu_rule,
        numpy=_elu_kernel,
        c=lambda m, number: f"v > 0 ? v : {number(m.alpha)} * expm1f(v)",
        onnx=_elu_node,
        options={"alpha": float},
    ),
    "gelu": Activation(
        nn.GELU,
        rule=_of_input(_aten.gelu.out, _aten.gelu_backward.grad_input, "approximate"),
        numpy=_gelu_kernel,
        c=_gelu_in_c,
        onnx=_gelu_node,
        options={"approximate": str},
    ),
    "silu": Activation(
        nn.SiLU,
        rule=_of_input(_aten.silu.out, _aten.silu_backward.grad_input),
        numpy=lambda m: lambda x: np.multiply(x, special.expit(x), out=x),
        c=lambda m, number: "v / (1 + expf(-v))",
        onnx=_silu_node,
    ),
    "softplus": Activation(
        nn.Softplus,
        rule=_of_input(
            _aten.softplus.out,
            _aten.softplus_backward.grad_input,
            *("beta", "threshold"),
        ),
        numpy=_softplus_kernel,
        c=_softplus_in_c,
        onnx=_softplus_node,
        options={"beta": float, "threshold": float},
    ),
}


def activation_of(module: nn.Module) -> Activation | None:
    """Return what is known of a module, or None where it is no known activation."""
    known = (a for a in ACTIVATIONS.values() if a.module is type(module))
    return next(known, None)


def elementwise() -> tuple[type[nn.Module], ...]:
    """Return the classes of all known activations."""
    return tuple(activation.module for activation in ACTIVATIONS.values())
