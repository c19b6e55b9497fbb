"""The loss as a function of a few variables: what full-batch solvers minimise.

Most weights of a sparse network are zero. Where the network is a chain of linear
layers and elementwise activations, units without an outgoing weight are left out, so
that a network of 50 weights costs what 50 weights cost; other networks are evaluated
whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklearn_sparsenet.networks.stages import (
    Parts,
    part_of,
    places_between,
    trained_chain,
)
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.runtime import load_symbolic_shapes

__all__ = ["Objective", "live_parameters", "make_objective"]

Array = NDArray[np.float64]

_HESSIAN_ELEMENTS = 2**22  # of one batched product with unit vectors


class Objective(Protocol):
    """The loss, without penalties, as a function of some of the parameters."""

    index: Tensor  # Which entries of ``network.parameters`` are the variables.

    def evaluate(self, x: Array) -> tuple[float, Array]:
        """Return loss and gradient."""

    def hessian(self, x: Array) -> Array | None:
        """Return the Hessian, or None if it is too expensive."""


def make_objective(problem: Problem, active: Tensor) -> Objective:
    """Return the loss as a function of the parameters in `active`, the rest fixed.

    Those outside are taken to be zero, or to have no influence.
    """
    chain = trained_chain(problem.network.module)
    if chain is None:
        return WholeNetwork(replace(problem, weight_decay=0.0), active)
    return CompactChain(problem, active, chain)


def live_parameters(problem: Problem, active: Tensor) -> Tensor:
    """Return which of the `active` parameters can influence an output.

    All of them where the network is not a chain of linear layers.
    """
    chain = trained_chain(problem.network.module)
    if chain is None:
        return active
    live = torch.zeros_like(active)
    for linear, rows, columns in _live_blocks(chain, active):
        for where in places_between(linear.weight, linear.bias, columns, rows):
            live[where] = True
    return live & active


class WholeNetwork:
    """Any network, evaluated as it is."""

    def __init__(self, problem: Problem, active: Tensor) -> None:
        self.index = active.nonzero()[:, 0]
        self._problem = problem

    def evaluate(self, x: Array) -> tuple[float, Array]:
        """Return loss and gradient; leaves the network at `x`."""
        network = self._problem.network
        with torch.no_grad():
            network.parameters[self.index] = torch.from_numpy(x).to(network.parameters)
        loss = self._problem.full_gradient()
        return float(loss), network.gradient[self.index].cpu().double().numpy()

    def hessian(self, x: Array) -> Array | None:
        """Return None: second derivatives of arbitrary modules may not exist."""
        return None


class CompactChain:
    """A chain of linear layers without the units that no output depends on."""

    def __init__(self, problem: Problem, active: Tensor, chain: Parts) -> None:
        self._loss, self._stages = problem.loss, chain.stages
        self._target = problem.target
        self._weight = problem.sample_weight / problem.n_samples
        blocks = _live_blocks(chain, active)
        places, self._shapes = [], []
        for linear, rows, columns in blocks:
            entries = places_between(linear.weight, linear.bias, columns, rows)
            places += [entry.reshape(-1) for entry in entries]
            self._shapes.append((len(rows), len(columns), len(entries) == 2))
        inputs = problem.rows.slice(0, problem.n_samples)
        for activation in chain.first:
            inputs = activation(inputs)
        first = blocks[0][2]
        whole = len(first) == inputs.shape[1]
        self._inputs = inputs if whole else inputs[:, first].contiguous()
        place = torch.cat(places)
        self._slots = active[place].nonzero()[:, 0]
        self.index = place[self._slots]
        self._flat = self._inputs.new_zeros(len(place))

    def _output(self, flat: Tensor) -> Tensor:
        value, start = self._inputs, 0
        for stage, (rows, columns, has_bias) in zip(
            self._stages, self._shapes, strict=True
        ):
            stop = start + rows * columns
            weight = flat[start:stop].view(rows, columns)
            bias = flat[stop : stop + rows] if has_bias else None
            start = stop + (rows if has_bias else 0)
            value = nn.functional.linear(value, weight, bias)
            for activation in stage.after:
                value = activation(value)
        return value

    def _value(self, x: Array) -> tuple[Tensor, Tensor]:
        flat = self._flat.clone()
        flat[self._slots] = torch.from_numpy(x).to(flat)
        flat.requires_grad_()
        loss = self._loss.per_sample(self._output(flat), self._target) @ self._weight
        return loss, flat

    def evaluate(self, x: Array) -> tuple[float, Array]:
        """Return loss and gradient."""
        loss, flat = self._value(x)
        (gradient,) = torch.autograd.grad(loss, flat)
        return float(loss.detach()), gradient[self._slots].cpu().numpy()

    def hessian(self, x: Array) -> Array | None:
        """Return the Hessian, from products with unit vectors."""
        loss, flat = self._value(x)
        (gradient,) = torch.autograd.grad(loss, flat, create_graph=True)
        rows = [self._hessian_rows(gradient, flat, some) for some in self._batches()]
        hessian = torch.cat(rows).cpu().numpy()
        return (hessian + hessian.T) / 2

    def _batches(self) -> Iterator[Tensor]:
        units = sum(rows for rows, _, _ in self._shapes)
        size = max(1, _HESSIAN_ELEMENTS // (units * len(self._inputs)))
        yield from self._slots.split(size)

    def _hessian_rows(self, gradient: Tensor, flat: Tensor, some: Tensor) -> Tensor:
        units = torch.zeros(len(some), len(flat), dtype=flat.dtype, device=flat.device)
        units[torch.arange(len(some)), some] = 1.0
        load_symbolic_shapes()
        (rows,) = torch.autograd.grad(
            gradient, flat, units, retain_graph=True, is_grads_batched=True
        )
        return rows[:, self._slots]


def _live_blocks(
    chain: Parts, active: Tensor
) -> list[tuple[nn.Linear, Tensor, Tensor]]:
    """Return the linear layers, each with its live units and live inputs."""
    linear = [stage.linear for stage in chain.stages]
    rows = torch.arange(linear[-1].out_features, device=active.device)
    blocks = []
    for layer in reversed(linear):
        columns = part_of(active, layer.weight)[rows].any(dim=0).nonzero()[:, 0]
        blocks.append((layer, rows, columns))
        rows = columns
    return blocks[::-1]
