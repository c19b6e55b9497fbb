"""A problem on the units that have weights: what training on a support works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.networks.sparse_inputs import SparseInputs
from sklearn_sparsenet.networks.stages import (
    leaves,
    part_of,
    places_between,
    take_apart,
)
from sklearn_sparsenet.penalties import FixedSupport, Penalty
from sklearn_sparsenet.solvers.batches import Batch
from sklearn_sparsenet.solvers.problem import Problem

__all__ = ["LivePart", "live_part", "with_all_inputs"]


@dataclass(frozen=True)
class LivePart:
    """A chain without its isolated units, which are those without any weights.

    Such a unit reaches nothing, and on a support that is held it never will. What is
    left computes the same, as a smaller network of its own. Where it reads few columns,
    only those are left of the rows.
    """

    # Of that network: the same samples and loss, and what the penalty says there.
    problem: Problem
    where: Tensor  # Its parameters, as places in the flat vector of the whole network.
    read: Tensor | None = None  # The columns that are left; None: all.

    def batch(self, batch: Batch) -> Batch:
        """Return a batch of the whole problem as one of this part."""
        if self.read is None:
            return batch
        inputs = batch.inputs
        if isinstance(inputs, SparseInputs):
            return batch._replace(inputs=inputs.columns(self.read))
        return batch._replace(inputs=inputs.index_select(1, self.read))

    def write_back(self, network: Network) -> None:
        """Let the whole network have the weights and biases as they are now."""
        network.parameters.index_copy_(0, self.where, self.problem.network.parameters)


def live_part(problem: Problem, penalty: Penalty) -> LivePart | None:
    """Return the part of a problem that is left on a support that is held.

    `penalty` holds the support, instead of the penalty of the problem, whose weights
    are zero off it. None where no unit can be left out: all have weights; it cannot be
    told, which it can of a chain of linear layers only; penalised biases, those of
    isolated units included, still have to become zero; the penalty cannot be asked for
    some weights alone, or holds no support.
    """
    support = penalty.support_held()
    units = None if support is None else _live_units(problem, support)
    if support is None or units is None:
        return None
    first = _linear_layers(problem.network.module)[0].weight
    read = part_of(support, first).any(0).nonzero().flatten()
    rows = problem.rows.columns(read)
    if rows is None:
        return _part(problem, penalty, units)
    part = _part(replace(problem, rows=rows), penalty, [read, *units[1:]])
    return None if part is None else replace(part, read=read)


def with_all_inputs(problem: Problem, penalty: FixedSupport) -> LivePart | None:
    """Return the part on which units may begin to read other inputs.

    There is none where `live_part` has none.
    """
    units = _live_units(problem, penalty.support)
    return None if units is None else _part(problem, penalty, units)


def _live_units(problem: Problem, support: Tensor) -> list[Tensor] | None:
    """Return the units of a chain that have weights, all inputs among them."""
    module = problem.network.module
    is_chain = type(module) is nn.Sequential
    return problem.live_units(support) if is_chain else None


def _part(
    problem: Problem, penalty: Penalty, units: Sequence[Tensor]
) -> LivePart | None:
    """Return the part of some units; the rows have the columns that it reads."""
    whole, module = problem.network, problem.network.module
    linear = _linear_layers(module)
    n_units = linear[0].in_features + sum(layer.out_features for layer in linear)
    if whole.n_penalized > whole.n_weights or sum(map(len, units)) == n_units:
        return None
    smaller = _smaller(module, units)
    network = Network(smaller, [layer.name for layer in whole.layers])
    where = _places(module, smaller, units)
    network.parameters.copy_(whole.parameters[where])
    if whole.step_scale is not None:
        network.step_scale = whole.step_scale[where]
    network.steps_grow = whole.steps_grow
    there = penalty.restricted_to(where[: network.n_weights])
    if there is None:
        return None
    return LivePart(replace(problem, network=network, penalty=there), where)


def _linear_layers(module: nn.Module) -> list[nn.Linear]:
    return [stage.linear for stage in take_apart(leaves(module)).stages]


def _smaller(module: nn.Module, units: Sequence[Tensor]) -> nn.Sequential:
    """Return a chain of as many units; its parameters are not set."""
    sizes = iter(pairwise(map(len, units)))
    smaller = nn.Sequential()
    # Also a child that is called repeatedly, as one ReLU for all layers may be.
    for name, child in module.named_modules(remove_duplicate=False):
        if child is module:
            continue
        if isinstance(child, nn.Linear):
            child = _linear(child, *next(sizes))
        smaller.add_module(name, child)
    return smaller


def _linear(like: nn.Linear, n_inputs: int, n_outputs: int) -> nn.Linear:
    # Its constructor would draw weights, from the global generator.
    linear = nn.Linear.__new__(nn.Linear)
    nn.Module.__init__(linear)
    linear.in_features, linear.out_features = n_inputs, n_outputs
    weight = like.weight.detach()
    linear.weight = nn.Parameter(weight.new_empty(n_outputs, n_inputs))
    bias = None if like.bias is None else nn.Parameter(weight.new_empty(n_outputs))
    linear.register_parameter("bias", bias)
    return linear


def _places(module: nn.Module, smaller: nn.Module, units: Sequence[Tensor]) -> Tensor:
    """Return where the parameters of a network lie among those of a larger one."""
    pieces: list[tuple[int, Tensor]] = []  # and where each begins
    for old, new, (into, out) in zip(
        _linear_layers(module), _linear_layers(smaller), pairwise(units), strict=True
    ):
        starts = [int(parameter.storage_offset()) for parameter in new.parameters()]
        places = places_between(old.weight, old.bias, into, out)
        pieces += zip(starts, places, strict=True)
    # A layer without a unit is empty, and begins where the next one does.
    pieces.sort(key=lambda piece: piece[0])
    return torch.cat([places.flatten() for _, places in pieces])
