"""The live part of a chain of linear layers as a graph, its units in a good order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import nn

from sklearn_sparsenet.networks.activations import elementwise
from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.networks.stages import leaves

__all__ = ["Graph", "chain_weights", "count_crossings", "heights", "live_graph"]

Array = np.ndarray
_SWEEPS = 12
_CHAINED: tuple[type[nn.Module], ...] = (
    nn.Linear,
    nn.BatchNorm1d,
    nn.Dropout,
    nn.AlphaDropout,
    nn.Flatten,
    nn.Softmax,
    nn.LogSoftmax,
    SelectInputs,
)


@dataclass(frozen=True)
class Graph:
    """Columns of units, inputs first, and the weights between neighbouring columns.

    All outputs, and of the other units those on a path from an input to an output, in
    the order in which they are to be drawn.
    """

    units: list[Array]  # numbers of the units of each column
    weights: list[Array]  # of shape (n_units, n_units of the next); 0: no connection
    sizes: list[int]  # units of each column, whether drawn or not

    @property
    def n_connections(self) -> int:
        """Number of live weights."""
        return sum(int(np.count_nonzero(weight)) for weight in self.weights)


def chain_weights(module: nn.Module) -> list[Array]:
    """Return the weights (fan_in, fan_out) of a network, if it is a chain of layers."""
    weights = []
    for layer in leaves(module, derived=True):
        if not isinstance(layer, (*elementwise(), *_CHAINED)):
            raise TypeError(
                "only multilayer perceptrons, and nn.Sequential of nn.Linear and "
                f"activations, can be drawn; the network has {type(layer).__name__}."
            )
        if isinstance(layer, nn.Linear):
            weights.append(layer.weight.detach().cpu().numpy().T)
    return weights


def live_graph(weights: list[Array]) -> Graph:
    """Return the units and weights (fan_in, fan_out) on paths from input to output."""
    reached = [np.ones(len(weights[0]), dtype=bool)]
    for weight in weights:
        reached.append((weight[reached[-1]] != 0).any(axis=0))
    reaching = [np.ones(weights[-1].shape[1], dtype=bool)]
    for weight in reversed(weights):
        reaching.insert(0, (weight[:, reaching[0]] != 0).any(axis=1))
    live = [a & b for a, b in zip(reached, reaching, strict=True)]
    live[-1][:] = True  # outputs that nothing reaches are worth seeing
    units = [np.flatnonzero(mask) for mask in live]
    left = [
        weight[np.ix_(a, b)]
        for weight, (a, b) in zip(weights, pairwise(units), strict=True)
    ]
    orders = _order([weight != 0 for weight in left])
    return Graph(
        [column[order] for column, order in zip(units, orders, strict=True)],
        [w[np.ix_(a, b)] for w, (a, b) in zip(left, pairwise(orders), strict=True)],
        [len(mask) for mask in live],
    )


def _order(edges: list[Array]) -> list[Array]:
    """Return an order of each column with few crossings; outputs stay as they are.

    Each unit goes to the mean place of its neighbours, column by column to and fro;
    the best of what came up is kept.

    References
    ----------
    Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system
    structures", IEEE Transactions on Systems, Man, and Cybernetics 11(2), 1981.
    """
    sizes = [len(edge) for edge in edges] + [edges[-1].shape[1]]
    orders = [np.arange(size) for size in sizes]
    best, fewest = list(orders), _all_crossings(edges, orders)
    for _ in range(_SWEEPS):
        for column in reversed(range(len(edges))):
            places = _places(orders[column + 1])
            orders[column] = _sorted_by_mean(edges[column], places, orders[column])
        now = _all_crossings(edges, orders)
        if now < fewest:
            best, fewest = list(orders), now
        for column in range(1, len(edges)):
            places = _places(orders[column - 1])
            orders[column] = _sorted_by_mean(
                edges[column - 1].T, places, orders[column]
            )
    return best


def _places(order: Array) -> Array:
    """Return where in (0, 1) each unit is drawn."""
    places = np.empty(len(order))
    places[order] = heights(len(order))
    return places


def heights(n_units: int) -> Array:
    """Return where the units of a column are drawn, from 0, the top, to 1."""
    return (np.arange(n_units) + 0.5) / max(1, n_units)


def _sorted_by_mean(edge: Array, places: Array, order: Array) -> Array:
    means = edge @ places / np.maximum(edge.sum(axis=1), 1)
    return order[np.argsort(means[order], kind="stable")]


def _all_crossings(edges: list[Array], orders: list[Array]) -> int:
    ordered = (
        e[np.ix_(a, b)] for e, (a, b) in zip(edges, pairwise(orders), strict=True)
    )
    return sum(map(count_crossings, ordered))


def count_crossings(edge: Array) -> int:
    """Return how many pairs of connections, the nonzero entries, cross."""
    marks = (edge != 0).astype(np.int64)
    # Of each connection: those that begin above it and end below it.
    before = np.cumsum(marks, axis=0) - marks
    below = before[:, ::-1].cumsum(axis=1)[:, ::-1] - before
    return int((marks * below).sum())
