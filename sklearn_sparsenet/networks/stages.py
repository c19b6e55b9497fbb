"""Chains of linear layers and activations, read from modules: the one place that does.

What stands in a chain, in which order it is called, and where its weights lie in the
flat vector.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.activations import Activation, activation_of

__all__ = [
    "Parts",
    "Stage",
    "has_hooks",
    "leaves",
    "part_of",
    "places_between",
    "split_at_layers",
    "take_apart",
    "trained_chain",
]


@dataclass(frozen=True)
class Stage:
    """A linear layer and the activations after it."""

    linear: nn.Linear
    after: tuple[nn.Module, ...] = ()

    @property
    def activation(self) -> Activation | None:
        """What is known of the activation, if there is one, and no more."""
        return activation_of(self.after[0]) if len(self.after) == 1 else None

    def derivatives(self, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the outputs of the activations and their first two derivatives."""
        one, none = torch.ones_like(before), torch.zeros_like(before)
        if not self.after:
            return before, one, none
        known = self.activation
        if known is not None and known.derivatives is not None:
            return known.derivatives(before)
        with torch.enable_grad():
            leaf = before.clone().requires_grad_()
            after = leaf
            for activation in self.after:
                after = activation(after)
            (first,) = torch.autograd.grad(after.sum(), leaf, create_graph=True)
            second = none
            if first.requires_grad:
                (second,) = torch.autograd.grad(first.sum(), leaf)
        return after.detach(), first.detach(), second


class Parts(NamedTuple):
    """Modules that are called one after another; the identity is left out."""

    first: list[nn.Module]  # Activations before the first linear layer.
    stages: list[Stage]
    # What is no linear layer and no known activation; what comes after it is left out.
    stranger: nn.Module | None = None


def leaves(module: nn.Module, *, derived: bool = False) -> Iterator[nn.Module]:
    """Yield what a nested `nn.Sequential` calls, in its order, some repeatedly.

    Classes derived from it are opened as well if they are `derived` to be so.
    """
    is_opened = type(module) is nn.Sequential or derived
    if is_opened and isinstance(module, nn.Sequential):
        for child in module:
            yield from leaves(child, derived=derived)
    else:
        yield module


def has_hooks(module: nn.Module) -> bool:
    """Tell whether a call of the module, or of a part of it, is more than it says."""
    return any(
        m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m)
        for m in module.modules()
    )


def split_at_layers(
    modules: Iterable[nn.Module], layers: Collection[type[nn.Module]]
) -> tuple[list[nn.Module], list[tuple[Any, list[nn.Module]]]]:
    """Return what is called before the first layer, and each layer with what follows.

    Classes derived from those of `layers` are none.
    """
    first: list[nn.Module] = []
    found: list[tuple[Any, list[nn.Module]]] = []
    for child in modules:
        if type(child) in layers:
            found.append((child, []))
        else:
            (found[-1][1] if found else first).append(child)
    return first, found


def take_apart(modules: Iterable[nn.Module]) -> Parts:
    """Take apart what is called, in that order."""
    called = [child for child in modules if type(child) is not nn.Identity]
    known = list(takewhile(_is_of_chains, called))
    first, layers = split_at_layers(known, (nn.Linear,))
    stages = [Stage(linear, tuple(after)) for linear, after in layers]
    return Parts(first, stages, next(iter(called[len(known) :]), None))


def _is_of_chains(module: nn.Module) -> bool:
    return type(module) is nn.Linear or activation_of(module) is not None


def trained_chain(module: nn.Module) -> Parts | None:
    """Return a chain of trainable linear layers, None if a module is none."""
    if type(module) is not nn.Sequential:
        return None
    chain = take_apart(module)
    linear = [stage.linear for stage in chain.stages]
    trainable = all(p.requires_grad for child in linear for p in child.parameters())
    distinct = len({id(child.weight) for child in linear}) == len(linear)
    if not linear or chain.stranger is not None or not (trainable and distinct):
        return None
    if any(a.out_features != b.in_features for a, b in pairwise(linear)):
        return None
    return chain


def part_of(flat: Tensor, weight: Tensor) -> Tensor:
    """Return the part of a vector over the parameters that a weight has.

    It may be a support, which is that of penalised weights: all is in it where it is
    too short.
    """
    start = weight.storage_offset()
    part = flat[start : start + weight.numel()]
    if len(part) < weight.numel():
        return torch.ones_like(weight, dtype=torch.bool)
    return part.view(weight.shape)


def places_between(
    weight: Tensor, bias: Tensor | None, into: Tensor, out: Tensor
) -> list[Tensor]:
    """Return where in the flat vector a layer's weights and biases between units lie.

    Of shape (n_out, n_into) and, with a bias, of shape (n_out,); `weight` and `bias`
    are the parts of that vector, `into` and `out` numbers of units.
    """
    start, n_inputs = int(weight.storage_offset()), weight.shape[1]
    places: list[Tensor] = [start + out[:, None] * n_inputs + into]
    if bias is not None:
        places.append(int(bias.storage_offset()) + out)
    return places
