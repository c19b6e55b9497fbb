"""Activations and their derivatives, without new tensors; for `ChainEngine`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["RULES", "Rule"]


class Rule(NamedTuple):
    """An activation and its derivative, both without a new tensor.

    Attributes
    ----------
    in_place : bool
        Whether the derivative is a function of the activation's output, so that the
        input need not be kept.
    forward : callable(inputs, output)
    backward : callable(delta, kept)
        Multiplies `delta` by the derivative; `kept` is the output if `in_place`,
        else the input.
    """

    in_place: bool
    forward: Callable[[Tensor, Tensor], object]
    backward: Callable[[Tensor, Tensor], object]


# PyTorch's own kernels for derivatives, because they round as autograd does.
_aten = torch.ops.aten


def _relu(module: nn.Module) -> Rule:
    backward = _aten.threshold_backward.grad_input
    return Rule(
        True,
        lambda x, y: torch.relu_(x),
        lambda d, y: backward(d, y, 0, grad_input=d),
    )


def _tanh(module: nn.Module) -> Rule:
    backward = _aten.tanh_backward.grad_input
    return Rule(
        True,
        lambda x, y: torch.tanh_(x),
        lambda d, y: backward(d, y, grad_input=d),
    )


def _sigmoid(module: nn.Module) -> Rule:
    backward = _aten.sigmoid_backward.grad_input
    return Rule(
        True,
        lambda x, y: torch.sigmoid_(x),
        lambda d, y: backward(d, y, grad_input=d),
    )


def _leaky_relu(module: nn.LeakyReLU) -> Rule | None:
    slope, backward = module.negative_slope, _aten.leaky_relu_backward.grad_input
    if slope < 0:  # not a function of the output
        return None
    return Rule(
        True,
        lambda x, y: functional.leaky_relu_(x, slope),
        lambda d, y: backward(d, y, slope, True, grad_input=d),
    )


def _elu(module: nn.ELU) -> Rule | None:
    alpha, backward = module.alpha, _aten.elu_backward.grad_input
    if alpha < 0:
        return None
    return Rule(
        True,
        lambda x, y: functional.elu_(x, alpha),
        lambda d, y: backward(d, alpha, 1, 1, True, y, grad_input=d),
    )


def _softplus(module: nn.Softplus) -> Rule:
    beta, threshold = module.beta, module.threshold
    forward, backward = _aten.softplus.out, _aten.softplus_backward.grad_input
    return Rule(
        False,
        lambda x, y: forward(x, beta, threshold, out=y),
        lambda d, x: backward(d, x, beta, threshold, grad_input=d),
    )


def _gelu(module: nn.GELU) -> Rule:
    kind = module.approximate
    forward, backward = _aten.gelu.out, _aten.gelu_backward.grad_input
    return Rule(
        False,
        lambda x, y: forward(x, approximate=kind, out=y),
        lambda d, x: backward(d, x, approximate=kind, grad_input=d),
    )


def _silu(module: nn.Module) -> Rule:
    forward, backward = _aten.silu.out, _aten.silu_backward.grad_input
    return Rule(
        False,
        lambda x, y: forward(x, out=y),
        lambda d, x: backward(d, x, grad_input=d),
    )


RULES: dict[type[nn.Module], Callable[..., Rule | None]] = {
    nn.ReLU: _relu,
    nn.Tanh: _tanh,
    nn.Sigmoid: _sigmoid,
    nn.LeakyReLU: _leaky_relu,
    nn.ELU: _elu,
    nn.Softplus: _softplus,
    nn.GELU: _gelu,
    nn.SiLU: _silu,
}
