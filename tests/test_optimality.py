"""Theorems 4, 5, 8 and 9, by hand and on solutions of convex problems."""

import pytest
import torch
from torch import nn

from sklearn_sparsenet import optimality
from sklearn_sparsenet.losses import SquaredError
from sklearn_sparsenet.networks.network import Network, find_layers
from sklearn_sparsenet.solvers import Schedule, SolverOptions, solve
from sklearn_sparsenet.solvers.dataset import make_dataset
from sklearn_sparsenet.solvers.problem import Problem

F64 = torch.float64


class TwoBranches(nn.Module):
    """A linear model whose inputs belong to two layers: convex, with two λ."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(6, 1), nn.Linear(6, 1, bias=False)

    def forward(self, x):
        return self.left(x[:, :6]) + self.right(x[:, 6:])


def solved(module, alpha, generator):
    """Solve a convex problem to a relative residual of 1e-8."""
    X = torch.randn(80, 12, generator=generator, dtype=F64)
    truth = torch.zeros(12, 1, dtype=F64)
    truth[[0, 3, 7]] = torch.tensor([[2.0], [-1.0], [0.5]], dtype=F64)
    y = X @ truth + 1 + 0.1 * torch.randn(80, 1, generator=generator, dtype=F64)
    network = Network(module.double(), find_layers(module))
    rows = make_dataset(X.numpy(), F64, torch.device("cpu"))
    problem = Problem(network, SquaredError(), rows, y, torch.ones(80, dtype=F64))
    curvature = (
        2
        * torch.linalg.matrix_norm(
            torch.cat([X, torch.ones(80, 1, dtype=F64)], 1), 2
        ).item()
        ** 2
    )
    options = SolverOptions(
        solver="sgd",
        learning_rate=80 / curvature,
        schedule=Schedule.CONSTANT,
        batch_size=80,
        max_iter=20_000,
        kkt_tol=1e-8,
    )
    return problem, solve(problem, alpha, options, generator)


def test_conditions_hold_at_a_minimiser_with_one_strength(generator):
    """Theorem 4 and Theorem 5."""
    alpha = 0.2
    problem, solution = solved(nn.Linear(12, 1), [alpha], generator)
    weight, gradient = problem.network.weights, solution.gradient
    level = solution.counts[0]
    assert 0 < level < 12
    # (26), (27), and a vanishing gradient of the bias
    residual = optimality.stationarity_residual(weight, gradient, alpha)
    assert residual.max() < 1e-6
    assert problem.evaluate()[1][-1].abs() < 1e-6
    # (35): λ lies in the interval of its level, and is its upper end
    low, high = optimality.alpha_interval(gradient, level)
    assert low <= alpha + 1e-6
    assert high == pytest.approx(alpha, abs=1e-6)
    # (36) with l' = l, and what follows from it
    assert optimality.is_sufficient(gradient, alpha, level, rtol=1e-6)
    assert not optimality.is_sufficient(gradient, alpha, level + 1, rtol=1e-6)
    assert not optimality.is_sufficient(gradient, alpha, level - 1, rtol=1e-6)
    assert optimality.sparsity_bound(gradient, alpha, rtol=1e-6) == level
    assert solution.kkt_residual < 1e-8


def test_conditions_hold_at_a_minimiser_layer_by_layer(generator):
    """Theorem 8 and Theorem 9: two layers, each with its own λ."""
    alphas = [0.3, 0.1]
    problem, solution = solved(TwoBranches(), alphas, generator)
    for layer, alpha, level in zip(
        problem.network.layers, alphas, solution.counts, strict=True
    ):
        weight = problem.network.weights[layer.slice]
        gradient = solution.gradient[layer.slice]
        assert 0 < level < 6
        residual = optimality.stationarity_residual(weight, gradient, alpha)
        assert residual.max() < 1e-6
        low, high = optimality.alpha_interval(gradient, level)
        assert low <= alpha + 1e-6
        assert high == pytest.approx(alpha, abs=1e-6)
        assert optimality.is_sufficient(gradient, alpha, level, rtol=1e-6)


def test_interval_by_hand():
    gradient = torch.tensor([0.5, -0.1, 0.3, -0.3])
    found = [optimality.alpha_interval(gradient, level) for level in range(5)]
    inf = float("inf")
    wanted = [(0.5, inf), (0.3, 0.5), (0.3, 0.3), (0.1, 0.3), (0.0, 0.1)]
    for got, want in zip(found, wanted, strict=True):
        assert got == pytest.approx(want)
    with pytest.raises(ValueError, match="level 5 is not between 0 and 4"):
        optimality.alpha_interval(gradient, 5)


def test_magnitudes_are_sorted():
    a = optimality.gradient_magnitudes(torch.tensor([[0.5, -0.1], [-2.0, 0.0]]))
    torch.testing.assert_close(a, torch.tensor([0.0, 0.1, 0.5, 2.0]))


def test_certificate_by_hand():
    module = nn.Linear(3, 1).double()
    network = Network(module, ["weight"])
    network.parameters.copy_(torch.tensor([1.0, 0.0, 0.0, 5.0]))
    rows = make_dataset(torch.ones(2, 3).numpy(), F64, torch.device("cpu"))
    ones = torch.ones(2, dtype=F64)
    problem = Problem(network, SquaredError(), rows, ones[:, None], ones)
    gradient = torch.tensor([-0.4, 0.3, 0.9, 0.1], dtype=F64)
    found = optimality.certify(problem.network, problem.penalty, gradient, [0.5])
    # residuals .1, 0, .4 of the weights and .1 of the bias, in units of .5
    assert found.largest == pytest.approx(0.8)
    assert found.per_layer == pytest.approx((0.8,))
    assert found.violations == pytest.approx(2 / 3)
    assert found.root_mean_square == pytest.approx(((0.04 + 0.64 + 0.04) / 4) ** 0.5)
    # without a penalty the residual is the gradient itself
    assert optimality.certify(
        problem.network, problem.penalty, gradient, [0.0]
    ).largest == pytest.approx(0.9)


@pytest.mark.parametrize("seed", range(5))
def test_interval_is_what_sorting_gives_at_every_level(seed):
    gradient = torch.randn(3, 7, generator=torch.Generator().manual_seed(seed))
    a = sorted(abs(value) for value in gradient.reshape(-1).tolist())
    for level in range(1, 21):
        assert optimality.alpha_interval(gradient, level) == (
            a[20 - level],
            a[21 - level],
        )
    assert optimality.alpha_interval(gradient, 0) == (a[-1], float("inf"))
    assert optimality.alpha_interval(gradient, 21) == (0.0, a[0])
    with pytest.raises(ValueError, match="level -1"):
        optimality.alpha_interval(gradient, -1)


def test_sufficient_condition_by_hand():
    """(36) is strict below λ and an equality above."""
    gradient = torch.tensor([0.5, -0.5, 0.2, 0.0], dtype=F64)
    held = [optimality.is_sufficient(gradient, 0.5, k, rtol=1e-9) for k in range(5)]
    assert held == [False, False, True, False, False]
    assert optimality.sparsity_bound(gradient, 0.5) == 2
    assert optimality.sparsity_bound(gradient, 0.2) == 3
    assert optimality.sparsity_bound(gradient, 0.6) == 0
    assert optimality.sparsity_bound(gradient, 0.5005, rtol=1e-2) == 2
