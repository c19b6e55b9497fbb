"""Networks: layers by name, the flat vector, seeds."""

import pytest
import torch
from torch import nn

from sklearn_sparsenet.networks.network import Network, find_layers
from tests.problems import network_of


class Tied(nn.Module):
    """Two layers that share their weight, a norm layer, a frozen layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.norm = nn.LayerNorm((2, 3))
        self.batch_norm = nn.BatchNorm1d(3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)


def make(hidden=(4,), seed=0, **settings):
    return network_of((3, *hidden, 2), "tanh", seed, **settings)


def test_same_generator_same_bits_and_the_global_state_is_left_alone():
    before = torch.get_rng_state()
    first, second, other = make(seed=1), make(seed=1), make(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.parameters, second.parameters)
    assert not torch.equal(first.parameters, other.parameters)
    assert first.module[0].weight.abs().max() <= 3**-0.5


@pytest.mark.parametrize("hidden", [(), (5,), (6, 4)])
def test_shapes_follow_the_layer_sizes_and_a_single_layer_starts_at_zero(hidden):
    network, sizes = make(hidden), [3, *hidden, 2]
    shapes = [layer.shape for layer in network.layers]
    assert shapes == list(zip(sizes[1:], sizes[:-1], strict=True))
    assert (network.parameters.count_nonzero() == 0) == (hidden == ())


def test_layers_are_trainable_matrices_outside_normalisations_tied_once():
    assert list(find_layers(Tied())) == ["first.weight"]


def test_parameters_and_gradients_are_views_of_the_flat_vectors(generator):
    network = make()
    network(
        torch.randn(5, 3, generator=generator, dtype=torch.float64)
    ).sum().backward()
    assert network.gradient.count_nonzero() > 0
    network.parameters.zero_()
    assert all(p.count_nonzero() == 0 for p in network.module.parameters())
    first = network.layers[0]
    assert torch.equal(
        network.gradient[first.slice].view(first.shape), network.module[0].weight.grad
    )
    assert [layer.name for layer in network.layers] == ["0.weight", "2.weight"]
    assert network.n_weights == network.n_penalized == 20


def test_one_strength_is_a_number_several_a_vector():
    network = make(penalize_bias=True)
    assert network.per_weight([0.5, 0.5]) == 0.5
    each = network.per_weight([1.0, 2.0])
    assert network.n_penalized == 20 + 6
    assert each.tolist() == [1.0] * 12 + [2.0] * 8 + [1.0] * 4 + [2.0] * 2
    pieces = network.blocks([1.0, 2.0], separable=False)
    assert [shape for _, shape, _ in pieces] == [(4, 3), (2, 4), (4,), (2,)]
    assert [alpha for *_, alpha in pieces] == [1.0, 2.0, 1.0, 2.0]


def test_layers_left_out_are_not_weights():
    module = make().copy_module()
    network = Network(module, ["2.weight"])
    assert network.n_weights == 8
    assert len(network.parameters) == 26


def test_snapshots_hold_running_statistics_too(generator):
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    network = Network(module, find_layers(module))
    state = network.snapshot()
    before = network.module[1].running_mean.clone()
    network(torch.randn(6, 3, generator=generator) + 5)
    network.parameters.add_(1)
    assert not torch.equal(network.module[1].running_mean, before)
    network.restore(state)
    assert torch.equal(network.module[1].running_mean, before)
    assert torch.equal(network.parameters, state[0])


def test_copied_parameters_own_their_memory():
    network = make()
    module = network.copy_module()
    network.parameters.zero_()
    assert module[0].weight.count_nonzero() > 0
    assert module[0].weight.untyped_storage().nbytes() == 12 * 8
    assert module[0].weight.grad is None


@pytest.mark.parametrize("output_shape", [(5,), (5, 1)])
def test_outputs_have_two_dimensions(output_shape):
    class Flat(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs).reshape(output_shape)

    module = Flat(3, 1)
    assert Network(module, ["weight"])(torch.ones(5, 3)).shape == (5, 1)


def test_gradients_accumulate_into_the_flat_vector(generator):
    module = make().copy_module()
    X = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    parameters = list(module.parameters())
    wanted = torch.autograd.grad(module(X).square().sum(), parameters)
    network = Network(module, find_layers(module))
    for _ in range(2):
        network(X).square().sum().backward()
    # weights first, then the biases
    flat = torch.cat([2 * wanted[i].reshape(-1) for i in (0, 2, 1, 3)])
    torch.testing.assert_close(network.gradient, flat)


def test_tied_weights_collect_the_gradients_of_both_places(generator):
    module = Tied().double()
    module.forward = lambda x: module.second(module.first(x))
    untied = [nn.Linear(3, 3).double(), nn.Linear(3, 3).double()]
    for copy, original in zip(untied, (module.first, module.second), strict=True):
        copy.load_state_dict(original.state_dict())
    X = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    untied[1](untied[0](X)).square().sum().backward()
    network = Network(module, find_layers(module))
    assert network.n_weights == 9
    network(X).square().sum().backward()
    wanted = untied[0].weight.grad + untied[1].weight.grad
    torch.testing.assert_close(network.gradient[:9].view(3, 3), wanted)


def test_penalised_biases_lie_between_the_weights_and_the_rest():
    module = make().copy_module()
    network = Network(module, ["2.weight"], penalize_bias=True)
    assert (network.n_weights, network.n_penalized) == (8, 10)
    assert torch.equal(network.parameters[:8].view(2, 4), module[2].weight)
    assert torch.equal(network.parameters[8:10], module[2].bias)
