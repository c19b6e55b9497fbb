"""The order statistic, the shrinking constraint, and live paths."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklearn_sparsenet import SparseNetRegressor
from sklearn_sparsenet.networks.network import Network, find_layers
from sklearn_sparsenet.networks.paths import find_paths
from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.search import OnePassSearch, PruningSchedule
from sklearn_sparsenet.search.connectivity import ConnectivityConstraint, largest
from sklearn_sparsenet.search.fading import Noise
from sklearn_sparsenet.search.gradual_pruning import GradualPruning
from sklearn_sparsenet.solvers import growth_factor
from tests.problems import F64, network_of

DEFAULT = PruningSchedule()


def narrowing_of(
    network, goals, *, hard=False, follow=True, noise=None, schedule=DEFAULT
):
    groups = [slice(0, network.n_weights)]
    if len(goals) > 1:
        groups = [layer.slice for layer in network.layers]
    n_inputs = network.layers[0].shape[1]
    flow = SynapticFlow.of(network, (n_inputs,)) if follow else None
    return GradualPruning(
        groups, goals, flow, hard=hard, noise=noise, schedule=schedule
    )


def take_step(narrowing, weight, step):
    """Do what a stepper does after the gradient step."""
    if narrowing.held is not None:
        sizes = step if isinstance(step, float) else step[: len(weight)]
        weight.copy_(narrowing.held.prox(weight, sizes, narrowing.strength))
    elif narrowing.is_due:
        narrowing.prune(weight, step)


def cut(narrowing, weights, at, of):
    """Take a step at some time; return how many weights are left."""
    narrowing.advance(at, of)
    take_step(narrowing, weights, 0.1)
    return int((weights != 0).sum())


def n_live(network):
    shape = (network.layers[0].shape[1],)
    names = [layer.name for layer in network.layers]
    return find_paths(network.module, names, shape).n_live


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=30),
    st.data(),
)
def test_exactly_k_are_marked_and_ties_go_to_the_first(values, data):
    k = data.draw(st.integers(1, len(values)))
    tensor = torch.tensor(values)
    mask, cut = largest(tensor, k)
    assert int(mask.sum()) == k
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    assert sorted(order[:k]) == mask.nonzero().flatten().tolist()
    assert k == len(values) or cut == values[order[k]]


def test_weight_decay_is_another_until_the_support_is_held():
    network = network_of([4, 5, 1])
    narrowing = narrowing_of(network, [6])
    narrowing.search_decay = 0.002
    weight = network.weights.detach().clone()
    felt = []
    for step in (0, 59, 60, 61):
        narrowing.advance(step, 100)
        take_step(narrowing, weight, torch.full_like(weight, 0.1))
        felt.append([narrowing.weight_decay(decay) for decay in (0.0, 1e-3, 0.1)])
    assert felt[0] == felt[1] == [0.002, 0.002, 0.002]
    assert felt[2] == felt[3] == [0.0, 1e-3, 0.1]
    narrowing.advance(59, 100)  # a run that goes back seeks again
    assert narrowing.weight_decay(0.1) == 0.002


def test_k_falls_from_all_weights_to_the_target():
    schedule = PruningSchedule(0.1, 0.5, 0.6)
    counts = [schedule.kept(p / 100, 1000, 20) for p in range(101)]
    assert counts[0] == counts[10] == 1000
    assert counts[50] == counts[100] == 20
    assert counts == sorted(counts, reverse=True)


def test_long_runs_cut_in_a_smaller_part_and_short_ones_in_a_larger():
    assert (
        PruningSchedule.for_steps(800)
        == PruningSchedule.for_steps(1000)
        == PruningSchedule()
    )
    assert PruningSchedule().freeze_at < PruningSchedule.for_steps(1).freeze_at < 0.9
    parts = dataclasses.astuple(PruningSchedule.for_steps(32000))
    assert parts == pytest.approx((0.05 / 4, 0.55 / 4, 0.6 / 4))
    assert PruningSchedule.for_steps(10**8).freeze_at > 0.0
    network = network_of((6, 8, 3))
    narrowing = narrowing_of(network, (10,), schedule=None)
    assert cut(narrowing, network.weights, 4800, 32000) == 10
    assert narrowing.support is not None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((0.5, 0.4, 0.6), "not in order"),
        ((0.1, 0.5, 0.4), "not in order"),
        ((0.1, 0.5, 1.0), r"freeze_at=1.0 must be in \[0, 1\)"),
        ((-0.1, 0.4, 0.5), r"begin=-0.1 must be in \[0, 1\)"),
    ],
)
def test_stages_out_of_order_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PruningSchedule(*wrong)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("goals", [(40,), (20, 12, 8), (3,), (100,)])
def test_the_target_is_held_exactly_and_on_live_paths(goals, hard):
    network = network_of((6, 8, 6, 3))
    narrowing = narrowing_of(network, goals, hard=hard)
    step = torch.linspace(0.1, 1, network.n_penalized, dtype=F64)
    narrowing.advance(60, 100)
    weights = network.weights
    before = weights.clone()
    take_step(narrowing, weights, step)
    counts = [int((weights[group] != 0).sum()) for group in narrowing.groups]
    assert counts == list(goals)
    assert n_live(network) == sum(goals)
    # Survivors keep their sign and are not made larger.
    kept = weights != 0
    assert torch.equal(weights.sign()[kept], before.sign()[kept])
    assert bool((weights.abs() <= before.abs() + 1e-15).all())
    if hard:
        assert torch.equal(weights[kept], before[kept])
    # From then on the support is fixed.
    weights.copy_(before)
    narrowing.advance(61, 100)
    take_step(narrowing, weights, step)
    assert torch.equal(weights, torch.where(kept, before, 0.0))


@pytest.mark.parametrize("n_samples", [10, 160, 400])
def test_a_penalty_on_the_held_support_fades(n_samples):
    """Its λ is .1 √(k/n) times the largest noise off the support, then falls to 0.

    Of few samples, .1 times it.
    """
    network = network_of((6, 8, 3))
    level = torch.arange(1.0, network.n_weights + 1, dtype=F64)
    noise = Noise(lambda: level, n_samples)
    narrowing = narrowing_of(network, (40,), follow=False, noise=noise)
    narrowing.advance(60, 100)
    take_step(narrowing, network.weights, torch.full_like(network.parameters, 0.1))
    kept = network.weights != 0
    load = 1 if n_samples <= 256 else 40 / n_samples
    alpha = 0.1 * load**0.5 * float(level[~kept].max())
    step = torch.linspace(0.01, 0.1, network.n_weights, dtype=F64)
    for progress, left in ((60, 1.0), (80, 0.5), (99, 0.025)):
        weights = torch.where(kept, 2 * alpha * 0.1, 0.0) * level.cos().sign()
        weights[kept.nonzero()[0]] = threshold = 1e-6
        narrowing.advance(progress, 100)
        before = weights.clone()
        take_step(narrowing, weights, step)
        wanted = before.abs() - step * alpha * left
        # What would become zero stays as it is: the count is to be kept.
        wanted = torch.where(before.abs() > threshold, wanted, before.abs())
        assert torch.allclose(weights, torch.where(kept, wanted * before.sign(), 0.0))


def test_without_a_metric_the_largest_weights_stay():
    network = network_of((5, 4))
    generator = torch.Generator().manual_seed(0)
    network.weights.normal_(generator=generator)  # linear networks start at zero
    narrowing = narrowing_of(network, (7,), hard=True)
    wanted = network.weights.abs().topk(7).indices.sort().values
    cut(narrowing, network.weights, 99, 100)
    assert torch.equal(network.weights.nonzero().flatten(), wanted)


def test_nothing_is_cut_before_it_begins_or_between_order_statistics():
    network = network_of((6, 8, 3))
    narrowing = narrowing_of(network, (10,))
    before = network.weights.clone()
    for step in (0, 49, 101, 255):
        cut(narrowing, network.weights, step, 1000)
        assert torch.equal(network.weights, before)


def test_going_back_in_time_releases_the_support():
    network = network_of((6, 8, 3))
    narrowing = narrowing_of(network, (10,))
    cut(narrowing, network.weights.clone(), 900, 1000)
    assert narrowing.support is not None
    narrowing.advance(100, 1000)
    assert narrowing.support is None


@pytest.mark.parametrize(("goal", "n_on_paths"), [(12, 12), (2, 0)])
def test_a_score_that_would_cut_every_path_does_not(goal, n_on_paths):
    """The largest weights lie in one layer: keeping them alone kills the network.

    Fewer weights than layers are counted all the same, and a run that is interrupted
    early is brought to the target.
    """
    for is_interrupted in (False, True):
        network = network_of((6, 8, 6, 3))
        network.weights[network.layers[0].slice] *= 1e3
        narrowing = narrowing_of(network, (goal,))
        cut(narrowing, network.weights, 10 if is_interrupted else 900, 1000)
        if is_interrupted:
            narrowing.enforce_target(network.weights)
        assert int((network.weights != 0).sum()) == goal
        assert n_live(network) == n_on_paths


def test_flow_is_positive_exactly_where_a_path_could_lead():
    network = network_of((3, 4, 2))
    flow = SynapticFlow.of(network, (3,))
    kept = torch.zeros(network.n_weights, dtype=torch.bool)
    first, last = network.layers
    kept[first.start + 1] = True  # input 1 to hidden unit 0
    kept[last.start + 4 + 2] = True  # hidden unit 2 to output 1
    allowed = flow.at(kept) > 0
    into, out_of = (allowed[layer.slice].view(layer.shape) for layer in network.layers)
    assert into.tolist() == [[False] * 3, [False] * 3, [True] * 3, [False] * 3]
    assert out_of.tolist() == [[True, False, False, False]] * 2


@pytest.mark.parametrize("trained", [True, False])
def test_layers_without_a_penalty_let_through_what_they_can_come_to_hold(trained):
    module = network_of((3, 4, 4, 2)).module
    with torch.no_grad():
        module[2].weight[:, 1:] = 0.0
    module[2].weight.requires_grad_(trained)
    network = Network(module, ["0.weight", "4.weight"])
    flow = SynapticFlow.of(network, (3,))
    connectable = flow.at(torch.ones(network.n_weights, dtype=torch.bool)) > 0
    into = connectable[network.layers[0].slice].view(4, 3)
    assert into.all(1).tolist() == [True, trained, trained, trained]


def test_a_flow_finds_the_paths_whatever_it_was_asked_before():
    network = network_of((3, 4, 4, 2))
    with torch.no_grad():
        network.module[2].weight[:, 1:] = 0.0
    flow = SynapticFlow.of(network, (3,))
    ones = torch.ones(network.n_weights)
    before = flow.at(ones)
    found = flow.paths()
    names = [layer.name for layer in network.layers]
    wanted = find_paths(network.module, names, (3,))
    assert found.n_live_per_layer == wanted.n_live_per_layer == (3, 4, 8)
    assert torch.equal(found.input_strength, wanted.input_strength)
    assert torch.equal(flow.at(ones), before)


def test_flow_is_conserved_through_the_layers():
    """Sizes times flow sum up to the same in every layer: all paths lead through."""
    network = network_of((7, 5, 4, 2))
    sizes = network.weights.abs()
    through = sizes * SynapticFlow.of(network, (7,)).at(sizes)
    sums = [float(through[layer.slice].sum()) for layer in network.layers]
    assert sums == pytest.approx([sums[0]] * 3)


def test_a_cut_that_leaves_no_path_is_taken_back_and_the_next_follows_the_flow():
    network = network_of((6, 8, 6, 3))
    network.weights[network.layers[0].slice] *= 1e3
    narrowing = narrowing_of(network, (12,))
    before = network.weights.clone()
    cut(narrowing, network.weights, 500, 1000)
    assert torch.equal(network.weights, before)
    k = DEFAULT.kept(0.51, network.n_weights, 12)
    assert 12 <= cut(narrowing, network.weights, 510, 1000) <= k
    assert n_live(network) > 0


@pytest.mark.parametrize("kind", ["chain", "convolution"])
def test_the_flow_at_a_few_weights_is_that_of_all(kind, generator):
    if kind == "chain":
        network, shape = network_of((30, 20, 3)), (30,)
    else:
        module = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2))
        network, shape = Network(module, find_layers(module)), (2, 6)
    flow = SynapticFlow(network, shape)
    sizes = torch.rand(network.n_weights, generator=generator, dtype=F64)
    sizes[torch.rand(network.n_weights, generator=generator) < 0.7] = 0
    where = sizes.nonzero().flatten()
    assert torch.equal(flow.at_few(where, sizes[where]), flow.at(sizes)[where])


def test_following_the_flow_costs_what_the_weights_that_are_left_do(monkeypatch):
    network = network_of((400, 20, 5))
    flow, score, asked = SynapticFlow(network, (400,)), network.weights.abs(), []
    at_few = SynapticFlow.at_few

    def spy(self, where, sizes):
        asked.append(len(where))
        return at_few(self, where, sizes)

    monkeypatch.setattr(SynapticFlow, "at_few", spy)
    # Of all weights, however many are cut:
    monkeypatch.setattr(SynapticFlow, "at", None)
    groups = [slice(0, network.n_weights)]
    kept = ConnectivityConstraint(flow, groups, [80]).follow_the_flow(score, [80])
    assert int(kept.sum()) == 80
    assert sum(asked) < 25 * network.n_weights


@pytest.mark.parametrize("goal", [4, 5, 8])
def test_weights_of_a_convolutional_network_are_all_on_paths(goal):
    """Two halves of a dead path were chosen by turns, neither with the other."""
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        layers = nn.Conv2d(1, 4, 2), nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2)
        module = nn.Sequential(*layers).double()
        network = Network(module, find_layers(module))
        n, flow = network.n_weights, SynapticFlow.of(network, (1, 2, 2))
        score = torch.rand(n, dtype=F64, generator=generator)
        kept = largest(score, goal)[0]
        constraint = ConnectivityConstraint(flow, [slice(0, n)], [goal])
        kept, connectable = constraint.enforce_target(kept, score)
        assert kept.sum() == goal
        assert connectable[kept].all()


@pytest.mark.parametrize("scale", [None, 8.0])
def test_that_steps_grow_does_not_change_what_is_cut(scale, generator):
    network = network_of([4, 5, 1])
    weight = 4 * network.weights.detach()
    scales = None if scale is None else torch.full_like(weight, scale)
    step = torch.rand(len(weight), generator=generator, dtype=weight.dtype)
    kept = []
    for growth in (0.0, 400.0):
        narrowing = GradualPruning(
            [slice(0, 25)], [6], None, scale=scales, growth=growth
        )
        narrowing.advance(60, 100)
        moved = weight.clone()
        take_step(narrowing, moved, step * growth_factor(weight, growth / (scale or 1)))
        kept.append(moved != 0)
    assert kept[0].sum() == 6
    assert (kept[0] == kept[1]).all()


def test_growth_is_felt_by_a_search_and_may_not_be_negative(generator):
    X = torch.randn(60, 4, generator=generator, dtype=F64).numpy()
    nets = [
        SparseNetRegressor(
            (5,), target_sparsity=6, search=search, max_iter=200, random_state=0
        ).fit(X, X[:, 0] * X[:, 1])
        for search in ("one_pass", OnePassSearch(growth=4.0), OnePassSearch(growth=0.0))
    ]
    first, same, other = (net.predict(X) for net in nets)
    assert (first == same).all()
    assert (first != other).any()
    for wrong in ({"growth": -1}, {"plateau_fraction": -0.1}, {"plateau_fraction": 1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            OnePassSearch(**wrong)
