"""The graph that is drawn: what is live, and the order of its units."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from torch import nn

from sklearn_sparsenet.networks.paths import live_weights
from sklearn_sparsenet.plots.graph import chain_weights, count_crossings, live_graph


def crossings_by_pairs(edge):
    pairs = combinations(np.argwhere(edge), 2)
    return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in pairs)


@pytest.mark.parametrize("seed", range(5))
def test_crossings_are_counted_as_by_hand(seed):
    edge = np.random.default_rng(seed).random((6, 7)) < 0.4
    assert count_crossings(edge) == crossings_by_pairs(edge)


@pytest.mark.parametrize("seed", range(5))
def test_the_graph_has_the_live_weights_in_its_order(seed):
    rng = np.random.default_rng(seed)
    sizes = (9, 8, 7, 3)
    weights = [
        rng.standard_normal((m, n)) * (rng.random((m, n)) < 0.2)
        for m, n in pairwise(sizes)
    ]
    module = nn.Sequential(*(nn.Linear(*w.shape) for w in weights)).double()
    for layer, weight in zip(module, weights, strict=True):
        layer.weight.data.copy_(layer.weight.new_tensor(weight.T))
    masks = live_weights(module, (9,))
    graph = live_graph(chain_weights(module))
    for column, weight in enumerate(weights):
        units, above = graph.units[column : column + 2]
        whole = np.zeros_like(weight)
        whole[np.ix_(units, above)] = graph.weights[column]
        live = masks[f"{column}.weight"].numpy().T
        np.testing.assert_array_equal(whole, weight * live)
    assert graph.n_connections == sum(int(mask.sum()) for mask in masks.values())
    assert graph.units[-1].tolist() == [0, 1, 2]


def test_units_are_put_in_the_order_without_crossings():
    weights = [np.eye(6)[::-1], np.eye(6)]
    graph = live_graph(weights)
    assert graph.units[0].tolist() == [5, 4, 3, 2, 1, 0]
    assert sum(map(count_crossings, graph.weights)) == 0


def test_a_good_order_crosses_less_than_the_given_one():
    rng = np.random.default_rng(0)
    weights = [1.0 * (rng.random((20, 15)) < 0.15), 1.0 * (rng.random((15, 4)) < 0.3)]
    graph = live_graph(weights)
    natural = [
        weight[np.ix_(np.sort(a), np.sort(b))]
        for weight, (a, b) in zip(weights, pairwise(graph.units), strict=True)
    ]
    ordered = sum(map(count_crossings, graph.weights))
    assert ordered < 0.7 * sum(map(count_crossings, natural))
