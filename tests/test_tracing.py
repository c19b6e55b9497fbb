"""Modules of any class are read as steps that compute the same, or not at all."""

import random
from threading import Thread

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_sparsenet.networks.activations import ACTIVATIONS
from sklearn_sparsenet.networks.steps import (
    Arithmetic,
    Concatenation,
    ConstantArithmetic,
    Reshape,
    Steps,
)
from sklearn_sparsenet.networks.tracing import trace


class Between(nn.Module):
    """Two layers, and a function of the module and the values between them."""

    def __init__(self, between, n_out=5, *, first=None, **parts):
        super().__init__()
        self.a = nn.Linear(4, 6) if first is None else first
        self._between = between
        self.b = nn.Linear(6, n_out)
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.b(self._between(self, self.a(x)))


def kinds(network):
    return [type(module) for module in network]


def read(module, shape=(4,)):
    """Return the network that was read, which gives exactly the same."""
    network = trace(module, shape).network
    inputs = torch.randn(5, *shape, generator=torch.Generator().manual_seed(1))
    expected = module.eval()(inputs)
    torch.testing.assert_close(network(inputs), expected, rtol=1e-6, atol=1e-6)
    return network


OPTIONS = {
    "leaky_relu": {"negative_slope": 0.3},
    "elu": {"alpha": 0.7},
    "gelu": {"approximate": "tanh"},
    "softplus": {"beta": 2.0, "threshold": 1.5},
}
PLACES = {"functional": F, "torch": torch, "method": torch.Tensor}
CALLS = [
    pytest.param(name, getattr(place, function), id=f"{function} {where}")
    for name, known in ACTIVATIONS.items()
    for where, place in PLACES.items()
    for function in (known.function, f"{known.function}_")
    if known.function and hasattr(place, function)
]


@pytest.mark.parametrize(("name", "function"), CALLS)
def test_activations_that_are_called_as_functions(name, function):
    torch.manual_seed(0)
    options = OPTIONS.get(name, {})
    for call in (
        lambda self, x: function(x),
        lambda self, x: function(x, **options),
        lambda self, x: function(x, *([] if name == "gelu" else options.values())),
    ):
        network = read(Between(call))
        assert kinds(network) == [nn.Linear, ACTIVATIONS[name].module, nn.Linear]
        assert type(network) is nn.Sequential


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda self, x: F.relu(x, True), [nn.ReLU]),
        (lambda self, x: F.dropout(x, 0.5, self.training), []),
        (lambda self, x: F.dropout(x, training=False).contiguous().float(), []),
        (lambda self, x: x.view(x.size(0), -1).to(x.device), []),
        (lambda self, x: self.drop(x) if x.dim() == 2 else x.sum(), [nn.Dropout]),
        (lambda self, x: x / 255, [Arithmetic]),
        (lambda self, x: 1 - 2 * x, [Arithmetic] * 2),
        (lambda self, x: torch.rsub(x, 1), [Arithmetic]),
        (lambda self, x: 2 / (x + 9), [Arithmetic] * 2),
        (lambda self, x: self.a.bias - x, [ConstantArithmetic]),
        (lambda self, x: self.scale * x, [ConstantArithmetic]),
        (lambda self, x: x[:, None].squeeze(1), [Reshape, nn.Flatten]),
        (lambda self, x: x.unsqueeze(1).reshape(len(x), -1), [Reshape, nn.Flatten]),
    ],
)
def test_other_functions(function, expected):
    module = Between(function, drop=nn.Dropout(0.3))
    module.register_buffer("scale", torch.rand(1, 6))
    network = read(module)
    assert kinds(network) == [nn.Linear, *expected, nn.Linear]


@pytest.mark.parametrize(
    ("function", "n_out", "expected"),
    [
        (lambda x: F.max_pool2d(x, 2), 8, [nn.MaxPool2d, nn.Flatten]),
        (lambda x: F.max_pool2d(x, 3, 1, 1, 1, True), 32, [nn.MaxPool2d, nn.Flatten]),
        (lambda x: F.avg_pool2d(x, 2, stride=1, padding=1), 50,
         [nn.AvgPool2d, nn.Flatten]),
        (lambda x: F.avg_pool2d(x, 2, 2, 1, False, False), 18,
         [nn.AvgPool2d, nn.Flatten]),
        (lambda x: F.adaptive_avg_pool2d(x, 1), 2, [nn.AdaptiveAvgPool2d, nn.Flatten]),
        (lambda x: F.adaptive_max_pool2d(x, (2, 1)), 4,
         [nn.AdaptiveMaxPool2d, nn.Flatten]),
        (lambda x: x.mean((-1, 2)), 2, [nn.AdaptiveAvgPool2d, nn.Flatten]),
        (lambda x: torch.mean(x, dim=(2, 3), keepdim=True), 2,
         [nn.AdaptiveAvgPool2d, nn.Flatten]),
    ],
)  # fmt: skip
def test_pools_that_are_called_as_functions(function, n_out, expected):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv2d(1, 2, 3), nn.Linear(n_out, 3)

        def forward(self, x):
            x = function(self.conv(x.view(-1, 1, 6, 6)))
            return self.out(torch.flatten(x, 1))

    network = read(Net(), (36,))
    assert kinds(network)[2:-1] == expected
    assert kinds(network)[0] is Reshape


class Block(nn.Module):
    """A block whose inputs are added to what it computes, in place."""

    def __init__(self, size, norm):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(size, size) for _ in range(2)])
        self.norm = norm
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.activation(self.layers[0](x))
        for layer in self.layers[1:]:
            out = layer(out)
        out += self.norm(x)
        return self.activation(out)


def test_blocks_in_blocks():
    class Chain(nn.Sequential):
        pass

    blocks = [Block(6, norm) for norm in (nn.LayerNorm(6), nn.BatchNorm1d(6))]
    module = Chain(nn.Linear(4, 6), nn.ModuleDict({"in": Chain(*blocks)})["in"])
    traced = trace(module, (4,))
    read(module)
    assert type(traced.network) is Steps
    block = [nn.Linear, nn.ReLU, nn.Linear]
    one = [*block, nn.LayerNorm, Arithmetic, nn.ReLU]
    two = [*block, nn.BatchNorm1d, Arithmetic, nn.ReLU]
    assert kinds(traced.network) == [nn.Linear, *one, *two]
    assert traced.network.inputs[3:6] == ((3,), (1,), (4, 5))
    old, new = dict(module.named_parameters()), dict(traced.network.named_parameters())
    assert traced.names.keys() == new.keys()
    assert sorted(traced.names.values()) == sorted(old)
    assert all(torch.equal(new[a], old[b]) for a, b in traced.names.items())


def test_concatenations():
    def join(self, x):
        return torch.cat((x[:, :3].relu(), self.c(x)), dim=-1)

    network = read(Between(join, c=nn.Linear(6, 3)))
    assert kinds(network)[-2:] == [Concatenation, nn.Linear]


def test_what_is_not_needed_for_the_outputs_is_left_out():
    def idle(self, x):
        self.c(x).relu()
        return x.tanh()

    assert kinds(read(Between(idle, c=nn.Linear(6, 3)))) == [
        nn.Linear, nn.Tanh, nn.Linear,
    ]  # fmt: skip


def test_outputs_without_a_dimension_get_one():
    class Squeezed(Between):
        def forward(self, x):
            return super().forward(x).squeeze(-1)

    network = trace(Squeezed(lambda self, x: x.relu(), 1), (4,)).network
    assert kinds(network) == [nn.Linear, nn.ReLU, nn.Linear]


def changes_what_is_used(self, x):
    y = x.view(x.shape)
    y.relu_()
    return x


class Counted(nn.Linear):
    """A linear layer by its class; it is called, not read."""

    def forward(self, x):
        return super().forward(x) + 1


HOSTILE = {
    "abs": lambda self, x: x.abs(),
    "is not known": lambda self, x: x.relu() if x.sum() > 0 else x,
    "__bool__": lambda self, x: x.relu() if x.view(-1)[0] > 0 else x,
    "item": lambda self, x: x * x.view(-1)[:1].item(),
    "tensor that it makes": lambda self, x: x + self.b.weight[0, 0],
    "linear": lambda self, x: F.linear(x, self.a.weight @ self.a.weight.T),
    "without training": lambda self, x: F.dropout(x, 0.5),
    "view in a way": lambda self, x: x.view(-1, 3).view(-1, 6),
    "cat in a way": lambda self, x: torch.cat([x, x])[: len(x)],
    "__getitem__ in a way": lambda self, x: x[:, [0, 1, 2, 3, 4, 5]],
    "in place": changes_what_is_used,
    "more than values": lambda self, x: self.more(x, self.a.weight[: len(x)]),
    "more than one tensor": lambda self, x: self.lstm(x)[0],
    "double in a way": lambda self, x: x.double().float(),
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_modules_that_cannot_be_entered_are_one_step_and_say_why(reason):
    parts = {"more": nn.Bilinear(6, 4, 6), "lstm": nn.LSTM(6, 6)}
    module = Between(HOSTILE[reason], **parts)
    traced = trace(nn.Sequential(module, nn.ReLU()), (4,))
    assert kinds(traced.network) == [Between, nn.ReLU]
    assert traced.told(traced.network[0]) != "Between"
    assert trace(module, (4,)).told(traced.network[1]) == "ReLU"


def test_classes_derived_from_layers_are_called_as_they_are():
    network = read(Between(lambda self, x: x.relu(), first=Counted(4, 6)))
    assert kinds(network) == [Counted, nn.ReLU, nn.Linear]


@pytest.mark.parametrize(
    "between",
    [
        lambda self, x: x * random.random(),
        lambda self, x: x + len(x),
        lambda self, x: x.relu() if len(x) == 3 else x,
        lambda self, x: x.relu() if len(x) > 64 else x,
    ],
)
def test_what_depends_on_chance_or_on_the_number_of_samples_is_refused(between):
    with pytest.raises(TypeError, match="Between gives different outputs"):
        trace(Between(between), (4,))


@pytest.mark.parametrize("error", [KeyError, AssertionError, MemoryError])
def test_whatever_a_module_raises_is_a_type_error(error):
    """Predictions then go by the module itself."""

    def fail(self, x):
        raise error("no")

    with pytest.raises(TypeError, match="the network cannot be run"):
        trace(Between(fail), (4,))


def test_the_module_is_left_alone():
    class Noting(Between):
        calls = 0

        def forward(self, x):
            self.calls += 1
            self.seen.append(x)
            return super().forward(x)

    module = Noting(lambda self, x: x.relu()).train()
    module.seen = []
    state = torch.random.get_rng_state()
    trace(module, (4,))
    assert module.calls == 0
    assert module.seen == []
    assert module.training
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_other_threads_compute_meanwhile_is_not_read():
    other, found = nn.Sequential(nn.Linear(4, 6), nn.ReLU()), []

    def meanwhile(self, x):
        thread = Thread(target=lambda: found.append(type(other(torch.ones(1, 4)))))
        thread.start()
        thread.join()
        return x.relu()

    network = trace(Between(meanwhile), (4,)).network
    assert kinds(network) == [nn.Linear, nn.ReLU, nn.Linear]
    assert set(found) == {torch.Tensor}


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_modes_of_the_caller_do_not_matter(mode):
    with mode():
        assert len(trace(Between(lambda self, x: x.relu_()), (4,)).network) == 3
