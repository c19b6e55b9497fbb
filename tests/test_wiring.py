"""All weights lie on paths wherever a target allows it: against all supports."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_sparsenet.networks.network import Network, find_layers
from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.search.connectivity import ConnectivityConstraint
from sklearn_sparsenet.search.wiring import Wiring
from tests.trust.recount import count_live

SIZES = [(3, 1), (2, 2, 2), (1, 4, 1), (3, 2, 1), (1, 2, 2, 1), (1, 2, 1, 2, 1)]


def chain(sizes, between=nn.Tanh):
    layers = [(nn.Linear(a, b), between()) for a, b in pairwise(sizes)]
    return nn.Sequential(*sum(layers, ())[:-1])


def split(flat, shapes):
    flat = np.asarray(flat, bool)
    ends = np.cumsum([a * b for a, b in shapes])[:-1]
    return [p.reshape(s) for p, s in zip(np.split(flat, ends), shapes, strict=True)]


def best_of_all(shapes):
    """Return the most live weights for every number of weights, in all and by layer."""
    whole, by_layer = {}, {}
    for support in product([False, True], repeat=sum(a * b for a, b in shapes)):
        layers = split(support, shapes)
        count = count_live([layer.T for layer in layers])
        key = tuple(int(layer.sum()) for layer in layers)
        whole[sum(key)] = max(count, whole.get(sum(key), 0))
        by_layer[key] = max(count, by_layer.get(key, 0))
    return whole, {k: n for k, n in by_layer.items() if min(k) > 0}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_as_many_weights_are_live_as_any_choice_has(sizes):
    shapes = [(b, a) for a, b in pairwise(sizes)]
    network = Network(module := chain(sizes), find_layers(module))
    flow = SynapticFlow(network, sizes[:1])
    whole, by_layer = best_of_all(shapes)
    one = (slice(0, network.n_weights),)
    each = tuple(layer.slice for layer in network.layers)
    cases = [(one, (k,), n) for k, n in whole.items() if k > 0]
    cases += [(each, k, n) for k, n in by_layer.items()]
    rng = torch.Generator().manual_seed(0)
    for groups, goals, best in cases:
        wiring = Wiring.of(flow, groups)
        connector = ConnectivityConstraint(flow, groups, goals)
        score = torch.rand(network.n_weights, generator=rng)
        start = torch.zeros(network.n_weights, dtype=torch.bool)
        for group, goal in zip(groups, goals, strict=True):
            drawn = torch.randperm(group.stop - group.start, generator=rng)
            start[group][drawn[:goal]] = True
        found = wiring.arrange(start & connector.connectable(start), score, goals)
        if found is None:
            assert best == 0
            continue
        assert count_live([w.T for w in split(found, shapes)]) == found.sum() == best
        counts = [int(found[group].sum()) for group in groups]
        assert all(count <= goal for count, goal in zip(counts, goals, strict=True))
        if sum(goals) == best:
            assert counts == list(goals)


def test_the_largest_scores_are_preferred():
    network = Network(module := chain((4, 3, 2)), find_layers(module))
    score = torch.zeros(18)
    score[[0, 2, 12, 15]] = torch.tensor([4.0, 3.0, 2.0, 1.0])  # two paths through one
    wiring = Wiring.of(SynapticFlow(network, (4,)), [slice(0, 18)])
    none = torch.zeros(18, dtype=torch.bool)
    found = wiring.arrange(none, score, [4]).nonzero().flatten()
    assert found.tolist() == [0, 2, 12, 15]


def test_layers_without_a_budget_connect_everything():
    module = chain((3, 4, 4, 3))
    network = Network(module, ["0.weight", "4.weight"])
    flow, groups = SynapticFlow(network, (3,)), [slice(0, 12), slice(12, 24)]
    none = torch.zeros(24, dtype=torch.bool)
    score = torch.arange(24.0)
    found = Wiring.of(flow, groups).arrange(none, score, [12, 1])
    assert [int(found[group].sum()) for group in groups] == [12, 1]
    frozen = module[2].weight.requires_grad_(False)
    with torch.no_grad():
        frozen[0] = 0  # what it does not connect is not known here
    assert Wiring.of(SynapticFlow(Network(module, ["0.weight"]), (3,)), groups) is None


@pytest.mark.parametrize(
    ("module", "is_known"),
    [
        (chain((4, 3, 2), nn.Dropout), True),
        (nn.Sequential(nn.Flatten(), chain((4, 3, 2))), True),
        (nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(4, 1)), False),
    ],
    ids=["dropout", "flatten", "convolution"],
)
def test_which_networks_are_known(module, is_known):
    shape = (4,) if is_known else (1, 4)
    network = Network(module, find_layers(module))
    groups = [slice(0, network.n_weights)]
    assert (Wiring.of(SynapticFlow(network, shape), groups) is not None) == is_known


@pytest.mark.parametrize("names", [None, ["0.weight", "4.weight"], ["2.weight"]])
@pytest.mark.parametrize("density", [0.0, 0.03, 0.1, 0.4])
def test_in_a_chain_what_is_connectable_needs_no_sums(names, density):
    generator = torch.Generator().manual_seed(0)
    module = chain((9, 7, 5, 3))
    network = Network(module, names or find_layers(module))
    flow = SynapticFlow(network, (9,))
    assert flow.chain() is not None
    for _ in range(20):
        kept = torch.rand(network.n_weights, generator=generator) < density
        assert torch.equal(flow.connectable(kept), flow.at(kept) > 0)
