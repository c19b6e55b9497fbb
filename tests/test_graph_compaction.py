"""Compact networks of branches, sums and concatenations compute the same."""

import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_sparsenet.networks.compaction import SelectInputs, compact_module
from sklearn_sparsenet.networks.steps import Steps
from tests.problems import F64, TwoBranches
from tests.test_compaction import assert_same_outputs, thin_out, weights


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 12, 3)
        self.norm = nn.BatchNorm2d(8)
        self.f1, self.f2 = nn.Linear(48, 16), nn.Linear(16, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.c1(x.view(-1, 1, 8, 8)))), 2)
        x = torch.flatten(F.relu(self.c2(x)), 1)
        return self.f2(F.dropout(torch.tanh(self.f1(x)), 0.3, self.training))


class Residual(nn.Module):
    def __init__(self, norm=nn.Identity, n_in=10):
        super().__init__()
        self.first, self.out = nn.Linear(n_in, 16), nn.Linear(16, 3)
        self.norm = norm()
        self.inner = nn.ModuleList([nn.Linear(16, 24) for _ in range(3)])
        self.outer = nn.ModuleList([nn.Linear(24, 16) for _ in range(3)])

    def forward(self, x):
        x = self.first(x)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = x + outer(F.relu(inner(self.norm(x))))
        return self.out(F.relu(x))


class ResidualConvolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1, bias=False)
        self.a = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.b = nn.Sequential(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.Tanh())
        self.down, self.out = nn.Conv2d(8, 12, 1, stride=2), nn.Linear(12, 3)

    def forward(self, x):
        x = F.silu(self.stem(x))
        out = self.a(x)
        out += x
        x = torch.relu_(out)
        return self.out((self.down(x) + self.b(x)).mean((2, 3)))


class Branches(nn.Module):
    """Convolutions and linear layers side by side, joined, and joined with inputs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 5, 3)
        self.left, self.right = nn.Linear(10, 9), nn.Linear(10, 7)
        self.middle, self.out = nn.Linear(5 * 8 + 9 + 7, 20), nn.Linear(20 + 10, 3)
        self.norm = nn.BatchNorm1d(20 + 10)

    def forward(self, x):
        left = torch.sigmoid(self.left(x))
        right = self.right(x).relu()
        seen = F.gelu(self.conv(x.unsqueeze(1))).flatten(1)
        joined = torch.cat([left, seen, right], dim=1)
        both = torch.cat([F.elu(self.middle(joined)), x], 1)
        return self.out(self.norm(both))


class Dense(nn.Module):
    """Each layer reads all before it."""

    def __init__(self):
        super().__init__()
        sizes = (10, 16, 22)
        self.layers = nn.ModuleList([nn.Linear(size, 6) for size in sizes])
        self.out = nn.Linear(28, 3)

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, torch.tanh(layer(x))], 1)
        return self.out(x)


class Gated(nn.Module):
    """Values are multiplied with each other, and scaled."""

    def __init__(self):
        super().__init__()
        self.value, self.gate = nn.Linear(10, 12), nn.Linear(10, 12)
        self.out = nn.Linear(12, 2)

    def forward(self, x):
        gate = self.gate(x / 2)
        return self.out(self.value(x) * (1 - torch.sigmoid(gate) * 0.5) - gate.tanh())


class Squeezing(nn.Module):
    """Channels are scaled by what is read of all of them."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate = nn.Conv2d(2, 8, 3), nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 3, 3)

    def forward(self, x):
        x = self.conv(x).relu()
        gate = torch.sigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        return self.last(x * gate).mean((2, 3))


class Scaled(nn.Module):
    """Inputs, units and channels are scaled by parameters and buffers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.randn(2, 8, 8))
        self.conv, self.other = nn.Conv2d(2, 8, 3), nn.Conv2d(8, 8, 3, padding=1)
        self.scale = nn.Parameter(torch.rand(1, 8, 1, 1))
        self.shift = nn.Parameter(torch.rand(8))
        self.one = nn.Parameter(torch.rand(()))
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        x = self.conv((x - self.mean) / 3)
        x = (x + self.scale * self.other(torch.tanh(x))).mean((2, 3))
        return self.out(self.shift - x * self.one)


class Halved(nn.Module):
    """One half of the units is multiplied with the other, and is an image then."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(10, 32), nn.Conv2d(1, 3, 2)
        self.norm = nn.LayerNorm(3)

    def forward(self, x):
        x = self.first(x)
        x = x[:, :16] * torch.sigmoid(x[:, 16:])
        return self.norm(torch.tanh(self.out(x.view(-1, 1, 4, 4)))).flatten(1)


NETWORKS = {
    "halved": (Halved, (10,)),
    "scaled": (Scaled, (2, 8, 8)),
    "convolutions": (Convolutions, (64,)),
    "residual": (Residual, (10,)),
    "residual, one layer norm": (lambda: Residual(lambda: nn.LayerNorm(16)), (10,)),
    "residual convolutions": (ResidualConvolutions, (2, 8, 8)),
    "branches": (Branches, (10,)),
    "dense": (Dense, (10,)),
    "gated": (Gated, (10,)),
    "squeezing": (Squeezing, (2, 8, 8)),
    "two branches": (lambda: TwoBranches(4, 6), (10,)),
    "mixing": (
        lambda: nn.Sequential(nn.Linear(10, 9), nn.LayerNorm(9), nn.Linear(9, 8),
                              nn.Softmax(1), nn.Linear(8, 2)),
        (10,),
    ),
    "blocks": (
        lambda: nn.Sequential(nn.Linear(10, 10), Residual(), nn.ReLU(),
                              nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)),
        (10,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_compact_networks_compute_the_same(name):
    make, shape = NETWORKS[name]
    for seed in range(8):
        torch.manual_seed(seed)
        for density in (0.03, 0.1, 0.3):
            module = thin_out(make(), density, seed)
            compact = compact_module(module, shape)
            assert_same_outputs(module, compact, shape)
            assert weights(compact) <= weights(module)
            again = compact_module(compact, shape)
            assert weights(again) == weights(compact)
            assert_same_outputs(module, again, shape)
            assert_same_outputs(module, pickle.loads(pickle.dumps(compact)), shape)


@pytest.mark.parametrize(
    "name",
    [name for name in NETWORKS if name not in ("two branches", "mixing", "halved")],
)
def test_few_weights_leave_small_networks(name):
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    module = thin_out(make(), 0.03, 0)
    assert weights(compact_module(module, shape)) < weights(module) / 2


def residual():
    torch.manual_seed(0)
    return Residual().to(F64).eval()


def units(network):
    return [m.out_features for m in network if isinstance(m, nn.Linear)]


@torch.no_grad()
def test_a_unit_of_a_sum_goes_when_nothing_reads_it():
    module = residual()
    for reader in (*module.inner, module.out):
        reader.weight[:, [1, 5]] = 0.0
    compact = compact_module(module, (10,))
    assert units(compact) == [14, 24, 14, 24, 14, 24, 14, 3]
    assert_same_outputs(module, compact, (10,))


@torch.no_grad()
def test_a_unit_of_a_sum_stays_while_one_part_of_it_is_read():
    module = residual()
    for reader in (*module.inner[1:], module.out):
        reader.weight[:, 5] = 0.0  # the first block reads it still
    compact = compact_module(module, (10,))
    assert units(compact) == [16, 24, 16, 24, 16, 24, 16, 3]
    assert_same_outputs(module, compact, (10,))
    outer = [m for m in compact if isinstance(m, nn.Linear) and m.in_features == 24]
    assert len(outer) == 3
    assert not any(m.weight[5].any() for m in outer)  # what is not read is zero


@torch.no_grad()
def test_a_unit_of_a_sum_is_constant_when_all_that_is_added_is():
    module = residual()
    for writer in module.outer:
        writer.weight[3] = 0.0
    compact = compact_module(module, (10,))
    assert units(compact)[0] == 16
    assert_same_outputs(module, compact, (10,))
    module.first.weight[3] = 0.0
    compact = compact_module(module, (10,))
    assert units(compact) == [15, 24, 15, 24, 15, 24, 15, 3]
    assert_same_outputs(module, compact, (10,))


@torch.no_grad()
def test_units_go_on_their_own_from_what_is_joined():
    torch.manual_seed(0)
    module = Branches().to(F64).eval()
    for values in (module.norm.running_mean, module.norm.bias):
        values.normal_()
    module.middle.weight[:, [2, *range(9 + 8, 9 + 16), 9 + 40 + 6]] = 0.0
    module.out.weight[:, [4, 20 + 3]] = 0.0
    for reader in (module.left, module.right):
        reader.weight[:, 3] = 0.0
    compact = compact_module(module, (10,))
    (conv,) = [m for m in compact if isinstance(m, nn.Conv1d)]
    assert conv.out_channels == 4
    assert units(compact) == [8, 6, 19, 3]
    assert_same_outputs(module, compact, (10,))


@torch.no_grad()
def test_inputs_that_no_branch_reads_are_dropped():
    torch.manual_seed(0)
    module = Dense().to(F64).eval()
    for layer in (*module.layers, module.out):
        layer.weight[:, [0, 7]] = 0.0
    compact = compact_module(module, (10,))
    assert isinstance(compact[0], SelectInputs)
    assert compact[0].index.tolist() == [1, 2, 3, 4, 5, 6, 8, 9]
    assert_same_outputs(module, compact, (10,))


def test_a_class_that_is_a_chain_becomes_one():
    module = thin_out(Convolutions(), 0.3, 0)
    assert type(compact_module(module, (64,))) is nn.Sequential
    assert type(compact_module(residual(), (10,))) is Steps


class Odd(nn.Module):
    """Has something between layers that is not known."""

    def __init__(self, between, **parts):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 2)
        self.between = between
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.b(self.between(self, self.a(x)))


def sine(self, x):
    return torch.sin(x)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Odd(lambda self, x: x if x.sum() > 0 else -x), r"Odd \(it calls sum, which"),
        (Odd(lambda self, x: x if x[0, 0] else -x), "__getitem__ in a way that"),
        (Odd(lambda self, x: x.sort().values), "sort"),
        (Odd(lambda self, x: self.a(x)), "layers that share their weights"),
        (Odd(lambda self, x: self.b(x).mean(1, keepdim=True) + x), "mean in a way"),
        (Odd(lambda self, x: self.c(x) + x, c=nn.Linear(6, 1)), "sums of units with"),
        (Odd(lambda self, x: x.flip(1)), "found no layer in Odd .it calls flip"),
        (nn.Sequential(nn.Linear(6, 6), Odd(sine), nn.Linear(2, 2)), r"Odd \("),
        (Odd(lambda self, x: x + self.b.weight[0]), "with a tensor that it makes"),
        (Odd(lambda self, x: self.t(x) + self.s, t=nn.Linear(6, 1),
             s=nn.Parameter(torch.ones(6))), "broadcasts"),
        (nn.Sequential(nn.Linear(6, 4), nn.PReLU(), nn.Linear(4, 2)), "PReLU"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_by_name(module, message):
    with pytest.raises(TypeError, match=f"compact.*{message}"):
        compact_module(module, (6,))
