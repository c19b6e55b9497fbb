"""Units: what each weight reads and leads into; targets on them, and their bounds."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_sparsenet.networks.network import Network, find_layers
from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.networks.units import Units
from sklearn_sparsenet.search.unit_targets import UnitTarget, UnitTargets
from sklearn_sparsenet.search.wiring import Wiring


def chain(sizes):
    layers = [(nn.Linear(a, b), nn.Tanh()) for a, b in pairwise(sizes)]
    return nn.Sequential(*sum(layers, ())[:-1])


def units_of(module, shape):
    network = Network(module, find_layers(module))
    flow = SynapticFlow(network, shape)
    return Units.of(network, flow), network, flow


def target(units, row, goal, *, always=(), name="units"):
    size = units.sizes[row]
    group = torch.full((units.n_units,), -1)
    group[units.row(row)] = torch.arange(size)
    kept = torch.zeros(size, dtype=torch.bool)
    kept[list(always)] = True
    return UnitTarget(name, group, size, goal, kept)


class Skipping(nn.Module):
    """A layer whose units are read together with those of the layer before it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 4)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        return self.last(hidden + torch.tanh(self.second(hidden)))


class Twice(nn.Module):
    """Inputs that two layers read."""

    def __init__(self):
        super().__init__()
        self.first, self.beside = nn.Linear(3, 4), nn.Linear(3, 4)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x) + self.beside(x)))


def test_a_weight_of_a_chain_reads_its_column_and_leads_into_its_row():
    units, network, _ = units_of(chain((3, 4, 2)), (3,))
    assert units.sizes == (3, 4, 2)
    for number, layer in enumerate(network.layers):
        below, above = units.row(number), units.row(number + 1)
        rows, columns = np.indices(layer.shape)
        source = units.source[layer.slice].view(layer.shape).numpy()
        sink = units.sink[layer.slice].view(layer.shape).numpy()
        np.testing.assert_array_equal(source, below.start + columns)
        np.testing.assert_array_equal(sink, above.start + rows)


def test_a_linear_layer_behind_images_reads_each_channel_in_its_pixels():
    convolutions = nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    units, network, _ = units_of(
        nn.Sequential(*convolutions, nn.Linear(27, 2)), (2, 8, 8)
    )
    assert units.sizes == (2, 3, 2)
    last = network.layers[1]
    source = units.source[last.slice].view(2, 3, 9)
    expected = torch.tensor([2, 3, 4])[None, :, None].expand(2, 3, 9)
    assert torch.equal(source, expected)


def test_what_is_read_with_something_else_is_not_known():
    units, network, _ = units_of(Skipping(), (3,))
    known = [bool((units.source[x.slice] >= 0).all()) for x in network.layers]
    assert known == [True, True, False]
    assert units.knows_inputs


def test_inputs_that_two_layers_read_are_not_known():
    units, _, _ = units_of(Twice(), (3,))
    assert not units.knows_inputs


@pytest.mark.parametrize("asked", [{0: 2}, {1: 2}, {0: 1, 1: 3}, {0: 3, 1: 1}])
def test_bounds_are_those_of_all_supports(asked):
    units, network, flow = units_of(chain((3, 3, 1)), (3,))
    targets = UnitTargets(
        units, tuple(target(units, row, goal) for row, goal in asked.items())
    )
    counts = set()
    for support in product([False, True], repeat=network.n_weights):
        kept = torch.tensor(support)
        live = kept & (flow.at(kept) > 0)
        if torch.equal(live, kept) and not targets.lacking(units.in_use(live)):
            counts.add(int(kept.sum()))
    ((fewest, most),) = targets.bounds([slice(0, network.n_weights)])
    assert (min(counts), max(counts)) == (fewest, most)


@pytest.mark.parametrize("seed", range(20))
def test_a_wiring_has_the_units_it_is_told_and_the_weights(seed):
    rng = np.random.default_rng(seed)
    sizes = (5, 6, 4, 2)
    units, network, flow = units_of(chain(sizes), sizes[:1])
    rows = [row for row in range(3) if rng.random() < 0.6] or [0]
    asked = {row: int(rng.integers(1, sizes[row] + 1)) for row in rows}
    targets = UnitTargets(units, tuple(target(units, r, k) for r, k in asked.items()))
    everything = slice(0, network.n_weights)
    ((fewest, most),) = targets.bounds([everything])
    goal = int(rng.integers(fewest, most + 1))
    score = torch.from_numpy(rng.random(network.n_weights))
    goals = [t.goal for t in targets.targets]
    chosen = targets.choose(targets.scores(score), goals)
    fixed = {row: chosen[units.row(row)] for row in rows}
    start = torch.zeros(network.n_weights, dtype=torch.bool)
    found = Wiring.of(flow, [everything]).arrange(start, score, [goal], fixed)
    live = found & (flow.at(found) > 0)
    assert torch.equal(live, found)
    assert int(found.sum()) == goal
    in_use = units.in_use(live)
    for row in rows:
        assert torch.equal(in_use[units.row(row)], fixed[row])


def test_the_largest_groups_are_chosen_and_those_that_always_stay():
    units, _, _ = units_of(chain((4, 1)), (4,))
    score = torch.tensor([4.0, 1.0, 2.0, 3.0])
    plain, kept = target(units, 0, 2), target(units, 0, 2, always=[1])
    for asked, expected in ((plain, [0, 3]), (kept, [0, 1])):
        targets = UnitTargets(units, (asked,))
        chosen = targets.choose(targets.scores(score), [2])
        assert chosen[:4].nonzero().flatten().tolist() == expected
        assert chosen[4:].all()
