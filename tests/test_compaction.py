"""Compact networks are smaller and compute the same."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklearn_sparsenet.networks.activations import ACTIVATIONS
from sklearn_sparsenet.networks.compaction import SelectInputs, compact_module
from sklearn_sparsenet.networks.network import find_layers
from tests.problems import F64, hooked, tied


def thin_out(module, density, seed):
    """Set weights to zero at random; return the module in double precision."""
    generator = torch.Generator().manual_seed(seed)
    module = module.to(F64)
    with torch.no_grad():
        for weight in find_layers(module).values():
            weight *= torch.rand(weight.shape, generator=generator) < density
        for child in module.modules():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                for values in (child.running_mean, child.weight, child.bias):
                    values.normal_(generator=generator)
                child.running_var.uniform_(0.5, 2, generator=generator)
    return module.eval()


def assert_same_outputs(module, compact, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(7, *shape, generator=generator, dtype=F64)
    torch.testing.assert_close(compact(inputs), module(inputs), rtol=1e-9, atol=1e-9)


def mlp(sizes, activation=nn.Tanh, bias=True):
    modules = []
    for fan_in, fan_out in pairwise(sizes):
        modules += [nn.Linear(fan_in, fan_out, bias=bias), activation()]
    return nn.Sequential(*modules[:-1])


def cnn(padding=0, pool=nn.MaxPool2d, norm=False):
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=padding),
        nn.BatchNorm2d(6) if norm else nn.Identity(),
        nn.ReLU(),
        pool(2),
        nn.Sequential(nn.Conv2d(6, 7, 3, padding=padding), nn.Tanh()),
        nn.Flatten(),
        nn.BatchNorm1d(7 * (2 + 2 * padding) ** 2)
        if norm and not padding
        else nn.Identity(),
        nn.LazyLinear(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(8, 3),
    )


def weights(module):
    return sum(p.numel() for p in module.parameters() if p.ndim > 1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_perceptrons(activation, bias):
    for seed in range(10):
        torch.manual_seed(seed)
        module = thin_out(
            mlp((9, 12, 11, 10, 3), ACTIVATIONS[activation].module, bias), 0.1, seed
        )
        compact = compact_module(module, (9,))
        assert weights(compact) < weights(module) / 2
        assert_same_outputs(module, compact, (9,))


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 8), min_size=2, max_size=5),
    density=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_any_perceptron_is_compacted_once_and_for_all(sizes, density, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = thin_out(mlp(sizes), density, seed)
    compact = compact_module(module, (sizes[0],))
    assert_same_outputs(module, compact, (sizes[0],), seed)
    again = compact_module(nn.Sequential(*compact), (sizes[0],))
    assert weights(again) == weights(compact)
    layers = [child for child in compact if isinstance(child, nn.Linear)]
    for below, above in pairwise(layers):
        alone = below.out_features == 1  # a layer keeps one unit in any case
        assert alone or bool((above.weight != 0).any(0).all())
        assert alone or bool((below.weight != 0).any(1).all())


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("density", [0.03, 0.1, 0.3])
def test_convolutional_networks(padding, pool, norm, density):
    for seed in range(6):
        torch.manual_seed(seed)
        module = cnn(padding, pool, norm)
        module.eval()(torch.zeros(1, 2, 10, 10))
        module = thin_out(module, density, seed)
        compact = compact_module(module, (2, 10, 10))
        assert_same_outputs(module, compact, (2, 10, 10))
        assert weights(compact) <= weights(module)
        if density < 0.1:
            assert weights(compact) < weights(module) / 2


@pytest.mark.parametrize(
    ("activation", "bias", "padding", "n_channels"),
    [(nn.Tanh, 0.7, 1, 2), (nn.Tanh, 0.7, 0, 1), (nn.ReLU, -0.7, 1, 1)],
)
def test_a_constant_channel_stays_where_the_border_would_change(
    activation, bias, padding, n_channels
):
    """One of zeros goes whatever the padding."""
    layers = nn.Conv2d(1, 2, 3), activation(), nn.Conv2d(2, 1, 3, padding=padding)
    module = nn.Sequential(*layers).to(F64)
    with torch.no_grad():
        module[0].weight[1] = 0.0
        module[0].bias[1] = bias
    compact = compact_module(module, (1, 8, 8))
    assert compact[0].out_channels == n_channels
    assert_same_outputs(module, compact, (1, 8, 8))


def test_what_the_border_changes_is_judged_for_each_unit_that_reads_it():
    module = nn.Sequential(
        nn.Conv2d(1, 1, 1), nn.Tanh(), nn.Conv2d(1, 2, 3, padding=1)
    ).to(F64)
    with torch.no_grad():
        module[0].weight.zero_()
        module[0].bias.fill_(0.7)
        module[2].weight.zero_()
        module[2].weight[0, 0, 1, 1] = 1e5  # the middle, inside everywhere
        module[2].weight[1, 0, 0, 0] = 0.1
    compact = compact_module(module, (1, 8, 8))
    assert_same_outputs(module, compact, (1, 8, 8))


def test_inputs_that_nothing_reads_are_dropped_by_name():
    module = mlp((4, 3, 2)).to(F64)
    with torch.no_grad():
        module[0].weight[:, [0, 2]] = 0.0
    compact = compact_module(module, (4,))
    assert isinstance(compact[0], SelectInputs)
    assert compact[0].index.tolist() == [1, 3]
    assert_same_outputs(module, compact, (4,))


def test_a_network_without_any_path_is_its_constant():
    module = thin_out(mlp((4, 5, 6, 2)), 0.0, 0)
    compact = compact_module(module, (4,))
    assert [c.out_features for c in compact if isinstance(c, nn.Linear)] == [1, 1, 2]
    assert_same_outputs(module, compact, (4,))


def test_the_given_network_is_left_alone():
    module = thin_out(mlp((4, 5, 6, 2)), 0.3, 0).train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    compact_module(module, (4,))
    assert module.training
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


class Centred(nn.ReLU):
    """A ReLU by its class, but one that mixes units."""

    def forward(self, x):
        return super().forward(x - x.mean(1, keepdim=True))


@pytest.mark.parametrize(
    "module",
    [
        nn.Bilinear(2, 2, 1),
        nn.Sequential(nn.Conv1d(4, 4, 1, groups=2), nn.Flatten(), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(4, 4), Centred(), nn.Linear(4, 1)),
        nn.Sequential(nn.Linear(4, 4), nn.MaxPool1d(2), nn.Linear(2, 1)),
        nn.Sequential(
            nn.Linear(4, 4),
            nn.BatchNorm1d(4, track_running_stats=False),
            nn.Linear(4, 1),
        ),
        nn.Sequential(*tied(4), nn.Tanh(), nn.Linear(4, 1)),
        hooked(mlp((4, 4, 1))),
    ],
)
def test_what_is_not_known_is_refused(module):
    with pytest.raises(TypeError, match="compact"):
        compact_module(module, (4,))


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Flatten(), nn.Linear(16, 1)),
        nn.Sequential(nn.Conv1d(4, 2, 1), nn.Linear(4, 4), nn.Flatten()),
    ],
)
def test_linear_layers_along_the_last_of_many_dimensions_are_refused(module):
    with pytest.raises(TypeError, match="Linear with inputs of 2 dimensions"):
        compact_module(module, (4, 4))


def test_layers_that_cannot_be_compacted_in_front_stay_as_they_are():
    first = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5)).to(F64)
    module = nn.Sequential(first, nn.Tanh(), *thin_out(mlp((5, 8, 2)), 0.3, 0))
    compact = compact_module(module, (4,))
    assert weights(compact) < weights(module)
    assert_same_outputs(module, compact, (4,))
