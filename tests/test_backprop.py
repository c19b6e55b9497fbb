"""Backpropagation by hand gives what autograd gives, and knows what it cannot do."""

import dataclasses

import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import make_regression
from torch import nn

from sklearn_sparsenet import SparseNetRegressor
from sklearn_sparsenet import losses as lib
from sklearn_sparsenet.networks import backprop
from sklearn_sparsenet.networks.activations import ACTIVATIONS
from sklearn_sparsenet.networks.backprop import (
    AutogradEngine,
    ChainEngine,
    LiveChain,
    make_engine,
)
from sklearn_sparsenet.networks.network import Network, find_layers
from sklearn_sparsenet.solvers.problem import Problem
from tests.problems import F64, hooked, network_of, patched, rows_of, tied

N, OUTPUTS = 17, 3


def smooth_l1(output, target):
    return nn.functional.smooth_l1_loss(output, target, reduction="none")


LOSSES = {
    "squared": lib.SquaredError(), "absolute": lib.AbsoluteError(),
    "huber": lib.Huber(0.3), "poisson": lib.Poisson(),
    "emission": lib.PoissonEmission(2.5), "log": lib.LogLoss(),
    "one-bit": lib.OneBit(0.1), "one-bit-0": lib.OneBit(0.0),
    "cross-entropy": lib.CrossEntropy(), "custom": lib.CustomLoss(smooth_l1),
}  # fmt: skip


def make_problem(module, loss, dtype=F64, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(N, 4, generator=generator, dtype=F64)
    y = torch.randint(0, 2, (N, OUTPUTS), generator=generator).to(dtype)
    if isinstance(loss, lib.CrossEntropy):
        y = torch.randint(0, OUTPUTS, (N,), generator=generator)
    weight = torch.rand(N, generator=generator, dtype=F64) + 0.1
    module = module.to(device=device, dtype=dtype)
    network = Network(module, find_layers(module))
    weight = weight.to(device=device, dtype=dtype)
    return Problem(network, loss, rows_of(X, dtype, device), y.to(device), weight)


def mlp(activation="tanh", hidden=(5,), density=None, seed=1):
    """Return an MLP; with random zeros of a density, so that units are isolated."""
    network = network_of((4, *hidden, OUTPUTS), activation, seed)
    generator = torch.Generator().manual_seed(seed)
    if density is None:  # without hidden layer it starts at zero
        network.parameters.add_(0.1)
    else:
        kept = torch.rand(network.n_weights, generator=generator) < density
        network.weights.mul_(kept)
    return network.copy_module()


def assert_agree(problem, **tolerance):
    """On a batch and on all rows, and whatever was there before."""
    network = problem.network
    assert isinstance(make_engine(network, problem.loss), ChainEngine)
    reference, everything = AutogradEngine(network, problem.loss), torch.arange(N)
    batch = torch.tensor([3, 0, 11, 7, 7])
    for rows, ask in (
        (batch.to(network.parameters.device), problem.batch_gradient),
        (everything.to(network.parameters.device), lambda _: problem.full_gradient()),
    ):
        weight = problem.sample_weight[rows] / len(rows)
        given = problem.rows.take(rows), problem.target[rows], weight
        wanted = reference.add_gradient(*given, accumulate=False)
        gradient = network.gradient.clone()
        network.gradient.fill_(torch.nan)
        torch.testing.assert_close(ask(rows), wanted, **tolerance)
        torch.testing.assert_close(network.gradient, gradient, **tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("hidden", [(), (5,), (6, 5, 4)])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_is_that_of_autograd(activation, loss, hidden, dtype):
    problem = make_problem(mlp(activation, hidden), LOSSES[loss], dtype)
    exact = dtype == F64
    assert_agree(problem, rtol=1e-11 if exact else 2e-4, atol=1e-13 if exact else 2e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_on_a_gpu(activation, loss):
    problem = make_problem(mlp(activation, (6, 5)), LOSSES[loss], device="cuda")
    assert_agree(problem, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_the_gradient_by_finite_differences(activation):
    problem = make_problem(mlp(activation, (6, 5)), lib.CrossEntropy())
    _, gradient = problem.evaluate()
    parameters = problem.network.parameters
    for k in range(0, len(parameters), 5):
        values = []
        for step in (1e-6, -2e-6, 1e-6):
            parameters[k] += step
            values.append(problem.evaluate()[0].item())
        assert abs((values[0] - values[1]) / 2e-6 - gradient[k].item()) < 1e-8


def test_parameters_that_are_replaced_are_seen():
    problem = make_problem(mlp(), lib.SquaredError())
    state = problem.network.snapshot()
    before = problem.evaluate()
    problem.network.parameters.mul_(2)
    assert problem.evaluate()[0] != before[0]
    problem.network.restore(state)
    for a, b in zip(problem.evaluate(), before, strict=True):
        assert torch.equal(a, b)


def test_what_a_loss_keeps_of_the_outputs_stays():
    kept = []

    def function(output, target):
        kept.append((output.detach(), output.detach().clone()))
        return (output - target).square()

    problem = make_problem(mlp(), lib.CustomLoss(function))
    problem.full_gradient()
    problem.network.parameters.mul_(2)
    problem.full_gradient()
    assert all(torch.equal(now, then) for now, then in kept)


@pytest.mark.parametrize("loss", LOSSES)
def test_values_and_slopes_agree_with_per_sample(loss):
    problem = make_problem(mlp(), LOSSES[loss])
    output = problem.network(problem.rows.slice(0, N)).detach()
    kept = output.clone()
    known = problem.loss.loss_and_gradient(output, problem.target)
    assert torch.equal(output, kept)
    if known is None:
        assert loss in ("emission", "one-bit", "one-bit-0", "custom")
        return
    values, slopes = known
    leaf = output.requires_grad_()
    wanted = problem.loss.per_sample(leaf, problem.target)
    torch.testing.assert_close(values, wanted.detach())
    torch.testing.assert_close(slopes, torch.autograd.grad(wanted.sum(), leaf)[0])


def test_large_outputs_of_the_cross_entropy_stay_finite():
    output = torch.tensor([[800.0, 0.0, -800.0], [-900.0, 0.0, 900.0]])
    target = torch.tensor([0, 1])
    values, slopes = lib.CrossEntropy().loss_and_gradient(output, target)
    torch.testing.assert_close(values, torch.tensor([0.0, 900.0]))
    torch.testing.assert_close(slopes, torch.tensor([[0.0, 0, 0], [0, -1, 1]]))


@pytest.mark.parametrize("loss", [lib.CrossEntropy(), lib.LogLoss()])
def test_slopes_of_certain_samples_are_no_denormal_numbers(loss):
    """Products of a network spend ten times as long on those."""
    output = torch.linspace(-120, 120, 50)[:, None] * torch.tensor([[1.0, -0.5]])
    target = torch.zeros(50, dtype=torch.long)
    if isinstance(loss, lib.LogLoss):
        output, target = output[:, :1], torch.zeros(50, 1)
    _, slopes = loss.loss_and_gradient(output, target)
    leaf = output.requires_grad_()
    (exact,) = torch.autograd.grad(loss.per_sample(leaf, target).sum(), leaf)
    assert ((slopes == 0) | (slopes.abs() > 1e-25)).all()
    torch.testing.assert_close(slopes, exact, rtol=1e-5, atol=1e-23)


def test_slopes_of_another_loss_are_not_inherited():
    class Quartic(lib.SquaredError):
        def per_sample(self, output, target):
            return (output - target).pow(4).sum(1)

    assert Quartic().loss_and_gradient(torch.ones(1, 1), torch.ones(1, 1)) is None
    assert_agree(make_problem(mlp(), Quartic()), rtol=1e-11, atol=1e-13)


CHAINS = {
    "linear": lambda: nn.Linear(4, 3),
    "without bias": lambda: nn.Sequential(
        nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3)
    ),
    "no activation between": lambda: nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)),
    "activated outputs": lambda: nn.Sequential(nn.Linear(4, 3), nn.Softplus(2.0)),
    "settings": lambda: nn.Sequential(
        nn.Linear(4, 5), nn.LeakyReLU(0.3), nn.Linear(5, 5), nn.ELU(0.7),
        nn.Linear(5, 5), nn.GELU("tanh"), nn.Linear(5, 3),
    ),
    "in place": lambda: nn.Sequential(
        nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_chains_of_users_are_chains(name):
    problem = make_problem(CHAINS[name](), lib.SquaredError())
    assert_agree(problem, rtol=1e-11, atol=1e-13)


class Doubling(nn.Linear):
    def forward(self, inputs):
        return 2 * super().forward(inputs)


def frozen():
    module = mlp()
    module[0].weight.requires_grad_(False)
    return module


def sharing_weights():
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    module[2].weight = module[0].weight
    return module


OTHERS = {
    "dropout": lambda: nn.Sequential(nn.Linear(4, 5), nn.Dropout(), nn.Linear(5, 3)),
    "batch norm": lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)),
    "two activations": lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Tanh()),
    "activation first": lambda: nn.Sequential(nn.Tanh(), nn.Linear(4, 3)),
    "unknown activation": lambda: nn.Sequential(nn.Linear(4, 3), nn.Hardtanh()),
    "negative slope": lambda: nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU(-0.1)),
    "negative ELU": lambda: nn.Sequential(nn.Linear(4, 3), nn.ELU(-0.1)),
    "subclass": lambda: nn.Sequential(Doubling(4, 3)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(4, 3))),
    "parametrized": lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    ),
    "frozen": frozen,
    "sharing weights": sharing_weights,
    "tied": lambda: tied(4),
    "hooked": lambda: hooked(mlp()),
    "patched": lambda: patched(mlp()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_is_left_to_autograd(name):
    module = OTHERS[name]()
    network = Network(module, find_layers(module))
    assert isinstance(make_engine(network, lib.SquaredError()), AutogradEngine)


@pytest.fixture
def parts(monkeypatch):
    """Leave out units however little is won by that; tell what was left out of."""
    made = []

    def spy(*args):
        made.append(LiveChain(*args))
        return made[-1]

    monkeypatch.setattr(backprop, "_WORTH_LEAVING_OUT", 0)
    monkeypatch.setattr(backprop, "LiveChain", spy)
    return made


@pytest.mark.parametrize("activation", ["tanh", "relu", "logistic", "gelu"])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.2, 1.0])
@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_leaving_units_out_changes_nothing(activation, density, loss, parts):
    for seed in range(5):
        module = mlp(activation, (9, 7, 8), density, seed)
        problem = make_problem(module, LOSSES[loss])
        problem.restrict(problem.network.parameters != 0, n_rows=5)
        assert len(parts) == seed + 1
        assert_agree(problem)


@pytest.mark.usefixtures("parts")
def test_leaving_units_out_without_biases_and_with_free_layers():
    module = mlp("tanh", (9, 7, 8), 0.1, 0)
    module[4].bias = None
    problem = make_problem(module, LOSSES["squared"])
    problem.restrict(problem.network.parameters != 0, n_rows=5)
    assert_agree(problem)
    problem = make_problem(mlp("tanh", (9, 7), 0.1, 0), LOSSES["squared"])
    free = Network(problem.network.module, ["0.weight"])
    problem = dataclasses.replace(problem, network=free)
    problem.restrict(free.weights != 0, n_rows=5)  # tells nothing of the other layers
    assert_agree(problem)


def test_restriction_follows_the_parameters_until_it_is_lifted(parts):
    problem = make_problem(mlp("tanh", (9, 7), 0.1, 0), LOSSES["squared"])
    weights = problem.network.weights
    support = weights != 0
    problem.restrict(support, n_rows=5)
    weights[support] += 0.3
    assert_agree(problem)
    assert len(parts) == 1
    problem.restrict(None, n_rows=5)
    weights += 0.1
    assert_agree(problem)


def test_evaluation_leaves_units_out_and_no_restriction_behind(parts):
    problem = make_problem(mlp("tanh", (9, 7), 0.1, 0), LOSSES["squared"])
    loss, gradient = problem.evaluate()
    assert len(parts) == 1
    for found, wanted in ((problem.full_gradient(), loss),
                          (problem.network.gradient, gradient)):  # fmt: skip
        torch.testing.assert_close(found, wanted)
    problem.network.weights.add_(0.1)
    assert_agree(problem)


@pytest.mark.parametrize("search", ["one_pass", "bracket"])
def test_a_fit_does_not_depend_on_whether_units_are_left_out(search, monkeypatch):
    X, y = make_regression(200, 6, n_informative=2, random_state=0)
    fits = []
    for threshold in (0, 2**62):
        monkeypatch.setattr(backprop, "_WORTH_LEAVING_OUT", threshold)
        estimator = SparseNetRegressor(
            (8, 8), target_sparsity=12, search=search, dtype="float64", max_iter=40,
            normalize_y=True, random_state=0,
        )  # fmt: skip
        fits.append(estimator.fit(X, y))
    left_out, whole = fits
    for ours, theirs in zip(left_out.coefs_, whole.coefs_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    assert_allclose(left_out.alpha_, whole.alpha_, rtol=1e-6)
