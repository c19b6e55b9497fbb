"""Gradients of a network's loss, written into its flat gradient vector.

Autograd works for every module. For small networks most of its time goes into the
graph that it builds, so that chains of linear layers and elementwise activations,
multilayer perceptrons above all, have a backward pass of their own: a dozen kernels
that write into memory allocated once. `make_engine` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks import Network
from sklearn_sparsenet.protocols import optional_method

__all__ = ["AutogradEngine", "ChainEngine", "GradientEngine", "make_engine"]

# Batch and full gradient, each with a shorter last piece.
_MAX_WORKSPACES = 4


class GradientEngine(Protocol):
    """Computes Σᵢ wᵢ ℓᵢ and its gradient.

    Attributes
    ----------
    row_size : int
        Elements that a row of the inputs takes up inside, for bounds on memory;
        0 if unknown.
    """

    row_size: int

    def add_gradient(
        self, inputs: Tensor, target: Tensor, weight: Tensor, *, fresh: bool
    ) -> Tensor:
        """Write the gradient into ``network.gradient`` and return the value.

        Parameters
        ----------
        inputs, target, weight : Tensor
            First dimension n_samples.
        fresh : bool
            Whether what is there is overwritten; otherwise it is added to.
        """


def make_engine(network: Network, loss: Loss) -> GradientEngine:
    """Return the fastest engine that knows the network's module.

    `ChainEngine` for an `nn.Linear`, or an `nn.Sequential` of them with at most one
    activation after each, all parameters trainable, none shared and no hooks;
    `AutogradEngine` for everything else.
    """
    links = _read_chain(network.module)
    if links is None:
        return AutogradEngine(network, loss)
    return ChainEngine(links, loss)


class AutogradEngine:
    """PyTorch's own backward pass, for any module and loss."""

    row_size = 0

    def __init__(self, network: Network, loss: Loss) -> None:
        self._network = network
        self._loss = loss

    @torch.enable_grad()
    def add_gradient(
        self, inputs: Tensor, target: Tensor, weight: Tensor, *, fresh: bool
    ) -> Tensor:
        if fresh:
            self._network.gradient.zero_()
        value = self._loss.per_sample(self._network(inputs), target) @ weight
        value.backward()
        return value.detach()


class _Rule(NamedTuple):
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


@dataclass(frozen=True)
class _Link:
    """A linear layer as views of the flat vectors, and the activation after it."""

    weight: Tensor
    bias: Tensor | None
    weight_gradient: Tensor
    bias_gradient: Tensor | None
    rule: _Rule | None


class _Buffers(NamedTuple):
    """Memory of one layer for a certain number of rows."""

    before: Tensor  # the activation
    after: Tensor
    delta: Tensor  # derivative with respect to `before`
    delta_transposed: Tensor


class ChainEngine:
    """Backpropagation by hand through a chain of linear layers.

    Parameters
    ----------
    links : list of _Link
    loss : Loss
        Its `values_and_slopes` is used if it has one; otherwise autograd, on the
        outputs only.
    """

    def __init__(self, links: list[_Link], loss: Loss) -> None:
        self._links = links
        self._transposed = [link.weight.t() for link in links]
        self._loss = loss
        self._slopes = optional_method(loss, "values_and_slopes", "per_sample")
        self._workspaces: dict[int, tuple[list[_Buffers], Tensor]] = {}
        self.row_size = sum(len(link.weight) for link in links)

    def add_gradient(
        self, inputs: Tensor, target: Tensor, weight: Tensor, *, fresh: bool
    ) -> Tensor:
        buffers, ones = self._workspace(len(inputs))
        output = self._forward(inputs, buffers)
        value = self._start_backward(output, target, weight, buffers[-1].delta)
        self._backward(inputs, buffers, ones, keep=0.0 if fresh else 1.0)
        return value

    def _workspace(self, n_rows: int) -> tuple[list[_Buffers], Tensor]:
        found = self._workspaces.get(n_rows)
        if found is None:
            if len(self._workspaces) == _MAX_WORKSPACES:
                self._workspaces.clear()
            ones = self._links[0].weight.new_ones(n_rows)
            found = [_allocate(link, n_rows) for link in self._links], ones
            self._workspaces[n_rows] = found
        return found

    def _forward(self, inputs: Tensor, buffers: list[_Buffers]) -> Tensor:
        for link, weight, memory in zip(
            self._links, self._transposed, buffers, strict=True
        ):
            if link.bias is None:
                torch.mm(inputs, weight, out=memory.before)
            else:
                torch.addmm(link.bias, inputs, weight, out=memory.before)
            if link.rule is not None:
                link.rule.forward(memory.before, memory.after)
            inputs = memory.after
        return inputs

    def _start_backward(
        self, output: Tensor, target: Tensor, weight: Tensor, delta: Tensor
    ) -> Tensor:
        """Write the derivative with respect to the outputs; return the value."""
        if self._slopes is not None:
            values, slopes = self._slopes(output, target)
            torch.mul(slopes, weight[:, None], out=delta)
            return values @ weight
        # A copy: a user's function may keep it, and the buffer is used again.
        with torch.enable_grad():
            leaf = output.clone().requires_grad_()
            value = self._loss.per_sample(leaf, target) @ weight
            (slopes,) = torch.autograd.grad(value, leaf)
        delta.copy_(slopes)
        return value.detach()

    def _backward(
        self, inputs: Tensor, buffers: list[_Buffers], ones: Tensor, keep: float
    ) -> None:
        for k in range(len(self._links) - 1, -1, -1):
            link, memory = self._links[k], buffers[k]
            if link.rule is not None:
                kept = memory.after if link.rule.in_place else memory.before
                link.rule.backward(memory.delta, kept)
            below = buffers[k - 1].after if k else inputs
            link.weight_gradient.addmm_(memory.delta_transposed, below, beta=keep)
            if link.bias_gradient is not None:
                link.bias_gradient.addmv_(memory.delta_transposed, ones, beta=keep)
            if k:
                torch.mm(memory.delta, link.weight, out=buffers[k - 1].delta)


def _allocate(link: _Link, n_rows: int) -> _Buffers:
    shape = (n_rows, len(link.weight))
    before, delta = link.weight.new_empty(shape), link.weight.new_empty(shape)
    shares = link.rule is None or link.rule.in_place
    after = before if shares else link.weight.new_empty(shape)
    return _Buffers(before, after, delta, delta.t())


def _read_chain(module: nn.Module) -> list[_Link] | None:
    """Return the links of a chain, or None for any other module."""
    parameters = list(module.named_parameters(remove_duplicate=False))
    ordinary = (
        len({id(p) for _, p in parameters}) == len(parameters)
        and all(p.requires_grad and not p._backward_hooks for _, p in parameters)
        and not any(map(_is_altered, module.modules()))
    )
    if not ordinary:
        return None
    links: list[_Link] = []
    for child in module if type(module) is nn.Sequential else [module]:
        if type(child) is nn.Linear:
            links.append(_link(child))
        elif type(child) is not nn.Identity:
            make_rule = _RULES.get(type(child))
            rule = make_rule(child) if make_rule is not None else None
            if rule is None or not links or links[-1].rule is not None:
                return None
            links[-1] = replace(links[-1], rule=rule)
    return links or None


def _is_altered(module: nn.Module) -> bool:
    """Tell whether calling the module does more than its class says."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return any(hooks) or "forward" in vars(module)


def _link(linear: nn.Linear) -> _Link:
    weight, bias = linear.weight, linear.bias
    assert weight.grad is not None
    return _Link(
        weight.detach(),
        None if bias is None else bias.detach(),
        weight.grad,
        None if bias is None else bias.grad,
        None,
    )


# PyTorch's own kernels for derivatives, because they round as autograd does.
_aten = torch.ops.aten


def _relu(module: nn.Module) -> _Rule:
    backward = _aten.threshold_backward.grad_input
    return _Rule(
        True,
        lambda x, y: torch.relu_(x),
        lambda d, y: backward(d, y, 0, grad_input=d),
    )


def _tanh(module: nn.Module) -> _Rule:
    backward = _aten.tanh_backward.grad_input
    return _Rule(
        True,
        lambda x, y: torch.tanh_(x),
        lambda d, y: backward(d, y, grad_input=d),
    )


def _sigmoid(module: nn.Module) -> _Rule:
    backward = _aten.sigmoid_backward.grad_input
    return _Rule(
        True,
        lambda x, y: torch.sigmoid_(x),
        lambda d, y: backward(d, y, grad_input=d),
    )


def _leaky_relu(module: nn.LeakyReLU) -> _Rule | None:
    slope, backward = module.negative_slope, _aten.leaky_relu_backward.grad_input
    if slope < 0:  # not a function of the output
        return None
    return _Rule(
        True,
        lambda x, y: functional.leaky_relu_(x, slope),
        lambda d, y: backward(d, y, slope, True, grad_input=d),
    )


def _elu(module: nn.ELU) -> _Rule | None:
    alpha, backward = module.alpha, _aten.elu_backward.grad_input
    if alpha < 0:
        return None
    return _Rule(
        True,
        lambda x, y: functional.elu_(x, alpha),
        lambda d, y: backward(d, alpha, 1, 1, True, y, grad_input=d),
    )


def _softplus(module: nn.Softplus) -> _Rule:
    beta, threshold = module.beta, module.threshold
    forward, backward = _aten.softplus.out, _aten.softplus_backward.grad_input
    return _Rule(
        False,
        lambda x, y: forward(x, beta, threshold, out=y),
        lambda d, x: backward(d, x, beta, threshold, grad_input=d),
    )


def _gelu(module: nn.GELU) -> _Rule:
    kind = module.approximate
    forward, backward = _aten.gelu.out, _aten.gelu_backward.grad_input
    return _Rule(
        False,
        lambda x, y: forward(x, approximate=kind, out=y),
        lambda d, x: backward(d, x, approximate=kind, grad_input=d),
    )


def _silu(module: nn.Module) -> _Rule:
    forward, backward = _aten.silu.out, _aten.silu_backward.grad_input
    return _Rule(
        False,
        lambda x, y: forward(x, out=y),
        lambda d, x: backward(d, x, grad_input=d),
    )


_RULES: dict[type[nn.Module], Callable[..., _Rule | None]] = {
    nn.ReLU: _relu,
    nn.Tanh: _tanh,
    nn.Sigmoid: _sigmoid,
    nn.LeakyReLU: _leaky_relu,
    nn.ELU: _elu,
    nn.Softplus: _softplus,
    nn.GELU: _gelu,
    nn.SiLU: _silu,
}
