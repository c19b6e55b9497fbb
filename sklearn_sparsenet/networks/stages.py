"""Chains of linear layers and activations, taken apart: the one place that does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.activations import Activation, activation_of

__all__ = ["Stage", "read_stages"]


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


def read_stages(
    modules: Iterable[nn.Module],
) -> tuple[list[Stage], nn.Module | None]:
    """Return linear layers, each with the known activations after it.

    Parameters
    ----------
    modules : iterable of nn.Module
        In the order in which they are called. The identity is left out.

    Returns
    -------
    stages : list of Stage
    stranger : nn.Module or None
        The first one that is no part of such a chain: neither a linear layer nor an
        activation behind one. The stages are those before it.
    """
    stages: list[Stage] = []
    for child in modules:
        if type(child) is nn.Linear:
            stages.append(Stage(child))
        elif type(child) is nn.Identity:
            continue
        elif not stages or activation_of(child) is None:
            return stages, child
        else:
            last = stages[-1]
            stages[-1] = Stage(last.linear, (*last.after, child))
    return stages, None
