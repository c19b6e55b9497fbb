"""The network: what is drawn is what is left, in an order with few crossings."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from torch import nn

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.networks.paths import live_weights
from sklearn_sparsenet.plots import NetworkDisplay
from sklearn_sparsenet.plots.graph import chain_weights, count_crossings, live_graph


def drawn(weights, inputs):
    return NetworkDisplay(
        weights=weights, input_names=inputs, output_names=["y"]
    ).plot()


def test_network_draws_each_live_weight_once(net, diabetes):
    display = NetworkDisplay.from_estimator(net)
    segments = [len(lines.get_segments()) for lines in display.connections_]
    assert sum(segments) == net.n_live_
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert sorted(names) == sorted(diabetes[0].columns[net.support_])
    assert [text.get_text() for text in display.output_labels_] == ["output"]


def test_network_draws_weights_where_their_units_are(classifier):
    """Read back from the lines: the matrices, without what is dead."""
    display = NetworkDisplay.from_estimator(classifier)
    for column, (lines, coef) in enumerate(
        zip(display.connections_, classifier.coefs_, strict=True)
    ):
        seen = set()
        units, above = display.graph_.units[column : column + 2]
        blue = lines.get_colors()
        for (start, end), tint in zip(lines.get_segments(), blue, strict=True):
            assert (start[0], end[0]) == (column, column + 1)
            unit = units[int(start[1] * len(units))]
            other = above[int(end[1] * len(above))]
            assert (coef[unit, other] > 0) == (tint[2] > tint[0])
            seen.add((unit, other))
        assert len(seen) == len(lines.get_segments())
        assert all(coef[pair] != 0 for pair in seen)
    assert (
        sum(len(c.get_segments()) for c in display.connections_) == classifier.n_live_
    )


def test_network_widths_grow_with_the_weights():
    weight = np.array([[0.1], [-2.0], [1.0]])
    display = drawn([weight], ["a", "b", "c"])
    widths = display.connections_[0].get_linewidths()
    assert np.all(np.diff(widths) > 0)  # the largest is drawn last
    assert len(widths) == 3


def test_network_names_classes_and_numbers_inputs(classifier):
    display = NetworkDisplay.from_estimator(classifier)
    assert [t.get_text() for t in display.output_labels_] == list("0123456789")
    assert display.input_names[:2] == ["x0", "x1"]


def test_network_of_two_classes_names_the_second(digits):
    X, y = digits
    names = np.array(["zero", "one"])[y[y < 2]]
    net = SparseNetClassifier((), target_sparsity=9, max_iter=5, random_state=0)
    display = NetworkDisplay.from_estimator(net.fit(X[y < 2], names))
    assert [t.get_text() for t in display.output_labels_] == ["zero"]
    assert display.graph_.n_connections == 9


def test_network_after_compact_is_the_same(digits):
    X, y = digits
    net = SparseNetClassifier((12,), target_sparsity=60, max_iter=20, random_state=0)
    net.fit(X, y)
    named = NetworkDisplay.from_estimator(net)
    inputs = {named.input_names[i] for i in named.graph_.units[0]}
    display = NetworkDisplay.from_estimator(net.compact())
    assert {display.input_names[i] for i in display.graph_.units[0]} == inputs
    assert display.graph_.n_connections == net.n_live_


def test_network_refuses_large_and_other_networks(net, convolution):
    with pytest.raises(ValueError, match="25 live weights; more than max_weights=10"):
        NetworkDisplay.from_estimator(net, max_weights=10)
    with pytest.raises(TypeError, match="the network has Conv2d"):
        NetworkDisplay.from_estimator(convolution)


def test_network_without_live_weights_has_only_outputs():
    weights = [np.array([[1.0]]), np.array([[0.0]])]
    display = drawn(weights, ["a"])
    assert [len(units) for units in display.graph_.units] == [0, 0, 1]
    display.figure_.canvas.draw()


def test_very_long_names_are_shortened_in_the_middle():
    name = "the beginning " + 60 * "-" + " the end"
    display = drawn([np.ones((1, 1))], [name])
    (label,) = (text.get_text() for text in display.ax_.get_yticklabels())
    assert len(label) < 50
    assert label.startswith("the beginning")
    assert label.endswith("the end")


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
