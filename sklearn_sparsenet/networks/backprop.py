"""Gradients of a network's loss, written into its flat gradient vector.

Autograd works for every module. For small networks most of its time goes into the
graph that it builds, so that chains of linear layers and elementwise activations,
multilayer perceptrons above all, have a backward pass of their own: a dozen kernels
that write into memory allocated once. Units without weights are left out of it.
`make_engine` chooses.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks.chains import Chain, Link, LiveChain, live_units
from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.networks.sparse_inputs import Inputs
from sklearn_sparsenet.networks.stages import Stage, has_hooks, take_apart

__all__ = ["AutogradEngine", "ChainEngine", "GradientEngine", "make_engine"]

# Weights times rows that must be saved by leaving out units; to gather the others
# takes time.
_WORTH_LEAVING_OUT = 2**20


class GradientEngine(Protocol):
    """Computes Σᵢ wᵢ ℓᵢ and its gradient."""

    # Elements that a row of the inputs takes up inside, which bounds memory; 0:
    # unknown.
    row_size: int
    multiplies: bool  # Whether inputs are but multiplied, so that they may be sparse.

    def add_gradient(
        self, inputs: Inputs, target: Tensor, weight: Tensor, *, accumulate: bool
    ) -> Tensor:
        """Write the gradient into ``network.gradient`` and return the value.

        It is added to what is there if it is to `accumulate`; otherwise that is
        overwritten.
        """

    def live_units(self, support: Tensor) -> list[Tensor] | None:
        """Return the units with weights on a support, from inputs to outputs.

        All inputs and outputs among them; None if that cannot be told.
        """

    def restrict(self, support: Tensor | None, n_rows: int) -> None:
        """Allow the engine to rely on weights being zero; results do not change.

        Until the next call, entries of ``network.parameters`` are zero where a support,
        from the first entry on, is False; None: nowhere. Gradients will be asked of
        `n_rows` rows.
        """


def make_engine(network: Network, loss: Loss) -> GradientEngine:
    """Return the fastest engine that knows the network's module.

    `ChainEngine` for an `nn.Linear`, or an `nn.Sequential` of them with at most one
    activation after each, all parameters trainable, none shared and no hooks;
    `AutogradEngine` for everything else.
    """
    links = _take_apart(network.module)
    if links is None:
        return AutogradEngine(network, loss)
    return ChainEngine(network, links, loss)


class AutogradEngine:
    """PyTorch's own backward pass, for any module and loss."""

    row_size = 0
    multiplies = False

    def __init__(self, network: Network, loss: Loss) -> None:
        self._network = network
        self._loss = loss

    @torch.enable_grad()
    def add_gradient(
        self, inputs: Inputs, target: Tensor, weight: Tensor, *, accumulate: bool
    ) -> Tensor:
        assert isinstance(inputs, Tensor)
        if not accumulate:
            self._network.gradient.zero_()
        value = self._loss.per_sample(self._network(inputs), target) @ weight
        value.backward()
        return value.detach()

    def live_units(self, support: Tensor) -> list[Tensor] | None:
        return None

    def restrict(self, support: Tensor | None, n_rows: int) -> None:
        pass


class ChainEngine:
    """Backpropagation by hand through the links of a network's flat vectors."""

    multiplies = True

    def __init__(self, network: Network, links: list[Link], loss: Loss) -> None:
        self._network, self._links, self._loss = network, links, loss
        self._whole = Chain(links, loss)
        self._support: Tensor | None = None
        self._part: LiveChain | None = None
        self.row_size = sum(len(link.weight) for link in links)

    def add_gradient(
        self, inputs: Inputs, target: Tensor, weight: Tensor, *, accumulate: bool
    ) -> Tensor:
        chain = self._whole if self._part is None else self._part
        return chain.add_gradient(inputs, target, weight, accumulate=accumulate)

    def live_units(self, support: Tensor) -> list[Tensor] | None:
        return live_units(self._links, support)

    def restrict(self, support: Tensor | None, n_rows: int) -> None:
        if support is self._support:
            return
        self._support, self._part = support, None
        if support is None:
            return
        live = live_units(self._links, support)
        saved = sum(
            link.weight.numel() - len(out) * len(into)
            for link, (into, out) in zip(self._links, pairwise(live), strict=True)
        )
        if saved * n_rows >= _WORTH_LEAVING_OUT:
            self._part = LiveChain(self._network, self._links, live, self._loss)


def _take_apart(module: nn.Module) -> list[Link] | None:
    """Return the links of a chain, or None for any other module."""
    parameters = list(module.named_parameters(remove_duplicate=False))
    ordinary = (
        len({id(p) for _, p in parameters}) == len(parameters)
        and all(p.requires_grad and not p._backward_hooks for _, p in parameters)
        and not has_hooks(module)
        and not any(
            m._backward_hooks or m._backward_pre_hooks for m in module.modules()
        )
    )
    if not ordinary:
        return None
    called = module if type(module) is nn.Sequential else [module]
    first, stages, stranger = take_apart(called)
    links = [_link(stage) for stage in stages]
    known = [link for link in links if link is not None]
    n_parameters = sum(1 if link.bias is None else 2 for link in known)
    is_chain = not first and stranger is None and known and len(known) == len(links)
    return known if is_chain and n_parameters == len(parameters) else None


def _link(stage: Stage) -> Link | None:
    """Return the link of a stage, or None if its activations are not known."""
    known = stage.activation
    rule = None if known is None else known.rule(stage.after[0])
    if stage.after and rule is None:
        return None
    weight, bias = stage.linear.weight, stage.linear.bias
    assert weight.grad is not None
    return Link(
        weight.detach(),
        None if bias is None else bias.detach(),
        weight.grad,
        None if bias is None else bias.grad,
        rule,
    )
