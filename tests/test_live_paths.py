"""Counting, and paths against brute force."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.networks.network import find_layers
from sklearn_sparsenet.networks.paths import PathProbe, count_per_input, find_paths
from sklearn_sparsenet.networks.sparsity import count_nonzero
from tests.problems import hooked, patched, tied

LAYERS = ["0.weight", "2.weight"]


def chain_of(*weights, activation=nn.ReLU):
    """Return a perceptron with such weights."""
    modules = []
    for weight in weights:
        weight = torch.as_tensor(weight, dtype=torch.float64)
        layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
        layer.weight.data.copy_(weight)
        modules += [layer, activation()]
    return nn.Sequential(*modules[:-1])


def masked_mlp(sizes, seed, density):
    rng = np.random.default_rng(seed)
    shapes = [(b, a) for a, b in itertools.pairwise(sizes)]
    drawn = (rng.standard_normal(s) * (rng.random(s) < density) for s in shapes)
    return chain_of(*drawn, activation=nn.Tanh)


def live_by_enumeration(module, sizes):
    """Follow every path from input to output."""
    weights = [w.detach().numpy() != 0 for w in find_layers(module).values()]
    live = [np.zeros_like(w) for w in weights]
    inputs = np.zeros(sizes[0], dtype=bool)
    for path in itertools.product(*(range(size) for size in sizes)):
        steps = list(itertools.pairwise(path))
        if all(w[b, a] for w, (a, b) in zip(weights, steps, strict=True)):
            inputs[path[0]] = True
            for found, (a, b) in zip(live, steps, strict=True):
                found[b, a] = True
    return [int(found.sum()) for found in live], inputs, live[0].sum(0)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.25, 0.5]))
def test_live_weights_are_those_on_a_path(seed, density):
    sizes = (4, 5, 3, 2)
    module = masked_mlp(sizes, seed, density)
    names = list(find_layers(module))
    paths = find_paths(module, names, (4,))
    live, inputs, per_input = live_by_enumeration(module, sizes)
    assert list(paths.n_live_per_layer) == live
    assert paths.n_live == sum(live)
    np.testing.assert_array_equal(paths.input_support, inputs)
    np.testing.assert_array_equal(paths.input_strength > 0, inputs)
    np.testing.assert_array_equal(count_per_input(module, (4,)), per_input)
    assert not inputs.any() or paths.input_strength.max() == 1


def test_chains_are_followed_as_autograd_would():
    module = masked_mlp((5, 7, 4, 3), seed=0, density=0.5)
    by_hand, by_autograd = PathProbe(module, (5,)), PathProbe(module, (5,))
    by_autograd._chain = None
    sizes = {name: w.detach().abs() for name, w in find_layers(module).items()}
    torch.testing.assert_close(by_hand.follow(sizes), by_autograd.follow(sizes))
    for name, weight in by_hand.layers.items():
        torch.testing.assert_close(weight.grad, by_autograd.layers[name].grad)


def test_what_is_more_than_a_chain_is_followed_by_autograd():
    for change in (hooked, patched, lambda chain: tied(4)):
        chain = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))
        assert PathProbe(chain, (4,))._chain is not None
        assert PathProbe(change(chain), (4,))._chain is None
    assert PathProbe(nn.Linear(4, 2), (3, 4))._chain is None


def test_weights_per_input_where_columns_are_selected_or_flattened():
    network = chain_of([[1, 0], [2, 3], [0, 4]], [[1, 1, 0]]).float()
    assert count_per_input(network, (2,)).tolist() == [2, 1]
    selected = nn.Sequential(SelectInputs(torch.tensor([3, 0])), network)
    assert count_per_input(selected, (4,)).tolist() == [1, 0, 0, 2]
    flattened = nn.Sequential(nn.Flatten(), network)
    assert count_per_input(flattened, (1, 1, 2)).tolist() == [[[2, 1]]]
    assert count_per_input(nn.Sequential(nn.ReLU(), network), (2,)) is None
    convolution = nn.Sequential(nn.Conv1d(1, 1, 1), nn.Flatten(), network)
    assert count_per_input(convolution, (1, 2)) is None


def test_strength_is_the_geometric_mean_weight_along_a_path():
    module = chain_of([[4, 0], [0, -1]], [[-9, 4]])
    strength = find_paths(module, LAYERS, (2,)).input_strength
    assert strength.tolist() == pytest.approx([1.0, 2 / 6], rel=1e-7)


def test_convolutions_and_the_module_itself_is_left_alone(generator):
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    with torch.no_grad():
        module[5].weight[:, 4:] = 0  # nobody listens to the second channel
    before = {k: v.clone() for k, v in module.state_dict().items()}
    paths = find_paths(module, ["0.weight", "5.weight"], (1, 4, 4))
    assert paths.n_live_per_layer == (9, 12)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert module.training
    assert all(p.grad is None for p in module.parameters())


def test_only_exact_zeros_are_zeros():
    values = [0.0, -0.0, 1e-300, 1.0]
    assert count_nonzero(torch.tensor(values, dtype=torch.float64)) == 2


def test_weights_that_cancel_are_live_all_the_same():
    module = chain_of([[1], [1]], [[1, -1]], activation=nn.Identity)
    assert find_paths(module, LAYERS, (1,)).n_live == 4


def test_without_any_path_nothing_is_live_and_no_strength_is_nan():
    paths = find_paths(chain_of([[1, 1], [0, 0]], [[0, 1]]), LAYERS, (2,))
    assert paths.n_live_per_layer == (0, 0)
    assert not paths.input_support.any()
    assert paths.input_strength.tolist() == [0.0, 0.0]


def test_layers_that_are_not_asked_for_carry_paths_but_do_not_count():
    module = chain_of([[1, 2], [3, 4], [5, 6]], [[1, 2, 3]])
    module[0].requires_grad_(False)
    paths = find_paths(module, ["2.weight"], (2,))
    assert paths.n_live_per_layer == (3,)
    assert paths.input_support.all()


class Wired(nn.Module):
    """Layers, and what to do with them."""

    def __init__(self, forward, **parts):
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, inputs):
        return self._forward(self, inputs)


def block():
    return {"a": nn.Linear(3, 5), "b": nn.Linear(5, 3), "c": nn.Linear(3, 1)}


NAMES = ["a.weight", "b.weight", "c.weight"]
NOT_FOLLOWED = {
    "difference": lambda s, x: s.c(x - s.b(torch.relu(s.a(x)))),
    "minus": lambda s, x: -s.c(s.b(torch.relu(s.a(x)))),
    "gate": lambda s, x: s.c((1 - torch.sigmoid(s.b(s.a(x)))) * x),
    "attention": lambda s, x: s.c(
        torch.softmax(s.b(s.a(x)), 1) * x.mean(1, keepdim=True)
    ),
    "shifted and saturated": lambda s, x: s.c(torch.tanh(s.b(torch.tanh(s.a(x - 3))))),
}


@pytest.mark.parametrize("kind", NOT_FOLLOWED)
def test_what_cannot_be_followed_is_not(kind):
    """There, weights would look dead that are not."""
    assert find_paths(Wired(NOT_FOLLOWED[kind], **block()), NAMES, (3,)) is None


class Picky(nn.Linear):
    def forward(self, x):
        assert len(x) > 1
        return super().forward(x)


@pytest.mark.parametrize(
    ("module", "shape"),
    [(nn.Embedding(3, 2), (2,)), (nn.Bilinear(2, 2, 1), (2,)), (Picky(3, 1), (3,))],
)
def test_modules_that_do_not_take_such_inputs_have_no_paths(module, shape):
    assert find_paths(module, ["weight"], shape) is None


class Centred(nn.Module):
    def forward(self, x):
        return x / 127.5 - 1


def functional(low, high):
    return Wired(lambda s, x: s.high(torch.tanh(s.low(x))), low=low, high=high)


def shifted(low, high):
    return nn.Sequential(Centred(), low, nn.ReLU(), high)


@pytest.mark.parametrize(
    ("make", "names", "bias"),
    [(functional, ["low", "high"], 100.0), (shifted, "13", 0.1)],
)
def test_activations_may_be_functions_and_inputs_shifted(make, names, bias):
    low, high = nn.Linear(3, 2), nn.Linear(2, 1)
    with torch.no_grad():
        low.weight.copy_(torch.tensor([[1.0, 0, 0], [0, -2.0, 3.0]]))
        high.weight.copy_(torch.tensor([[0.0, 5.0]]))
        low.bias.fill_(bias)  # a large one saturates; biases carry no path
    paths = find_paths(make(low, high), [f"{name}.weight" for name in names], (3,))
    assert paths.n_live_per_layer == (2, 1)
    assert paths.input_support.tolist() == [False, True, True]


def test_skip_connections_carry_paths():
    module = Wired(
        lambda s, x: s.outer(x + torch.relu(s.inner(x))),
        inner=nn.Linear(2, 2),
        outer=nn.Linear(2, 1),
    )
    nn.init.zeros_(module.inner.weight)
    paths = find_paths(module, ["inner.weight", "outer.weight"], (2,))
    assert paths.n_live_per_layer == (0, 2)
    assert paths.input_support.all()


def test_learned_scales_let_paths_through():
    def forward(self, x):
        return self.c(x + self.scale * self.b(torch.relu(self.a(x))))

    module = Wired(forward, **block(), scale=nn.Parameter(torch.zeros(3)))
    with torch.no_grad():
        module.a.weight[:, 0] = 0.0
        module.c.weight[:, 0] = 0.0
    paths = find_paths(module, NAMES, (3,))
    assert paths.n_live_per_layer == (10, 10, 2)
    assert paths.input_support.tolist() == [False, True, True]


def test_maxima_let_every_input_of_a_window_through():
    module = nn.Sequential(
        nn.Conv2d(1, 1, 1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 1)
    )
    assert find_paths(module, ["0.weight", "3.weight"], (1, 2, 2)).input_support.all()


def test_weights_that_only_see_the_border_do_not_matter():
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2, 1))
    paths = find_paths(module, ["0.weight", "2.weight"], (1, 1, 1))
    assert paths.n_live_per_layer == (2, 2)
