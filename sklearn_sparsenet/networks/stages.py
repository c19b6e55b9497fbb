"""Chains of linear layers and activations, taken apart: the one place that does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.activations import Activation, activation_of

__all__ = ["Parts", "Stage", "take_apart"]


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
    """Modules that are called one after another; the identity is left out.

    Attributes
    ----------
    first : list of nn.Module
        Activations before the first linear layer.
    stages : list of Stage
    stranger : nn.Module or None
        What is no linear layer and no known activation. What comes after it is not in
        the chain.
    """

    first: list[nn.Module]
    stages: list[Stage]
    stranger: nn.Module | None = None


def take_apart(modules: Iterable[nn.Module]) -> Parts:
    """Take apart what is called, in that order."""
    chain = Parts([], [])
    for child in modules:
        if type(child) is nn.Linear:
            chain.stages.append(Stage(child))
        elif type(child) is nn.Identity:
            continue
        elif activation_of(child) is None:
            return chain._replace(stranger=child)
        elif not chain.stages:
            chain.first.append(child)
        else:
            last = chain.stages.pop()
            chain.stages.append(Stage(last.linear, (*last.after, child)))
    return chain
