"""Theorems 4, 5, 8 and 9, by hand and on solutions of convex problems."""

import pytest
import torch
from torch import nn

from sklearn_sparsenet import MCP, GroupL2, SparseGroupL2, optimality
from sklearn_sparsenet.solvers import Schedule, SolverOptions, solve
from tests.problems import F64, TwoBranches, problem_of


def solved(module, alpha, generator):
    """Solve a convex problem to a relative residual of 1e-8."""
    X = torch.randn(80, 12, generator=generator, dtype=F64)
    truth = torch.zeros(12, 1, dtype=F64)
    truth[[0, 3, 7]] = torch.tensor([[2.0], [-1.0], [0.5]], dtype=F64)
    y = X @ truth + 1 + 0.1 * torch.randn(80, 1, generator=generator, dtype=F64)
    problem = problem_of(module.double(), X, y)
    design = torch.cat([X, torch.ones(80, 1, dtype=F64)], 1)
    curvature = 2 * torch.linalg.matrix_norm(design, 2).item() ** 2
    options = SolverOptions(
        solver="sgd", learning_rate=80 / curvature, schedule=Schedule.CONSTANT,
        batch_size=80, max_iter=20_000, kkt_tol=1e-8,
    )  # fmt: skip
    return problem, solve(problem, alpha, options, generator)


@pytest.mark.parametrize(
    ("module", "alphas"),
    [
        pytest.param(lambda: nn.Linear(12, 1), [0.2], id="Theorems 4 and 5"),
        pytest.param(lambda: TwoBranches(6, 6), [0.3, 0.1], id="Theorems 8 and 9"),
    ],
)
def test_theorems_4_5_8_9_at_minimisers(module, alphas, generator):
    """With one λ, and with one for each of two layers."""
    problem, solution = solved(module(), alphas, generator)
    for layer, alpha, level in zip(
        problem.network.layers, alphas, solution.counts, strict=True
    ):
        weight = problem.network.weights[layer.slice]
        gradient = solution.gradient[layer.slice]
        assert 0 < level < len(weight)
        # (26), (27)
        residual = optimality.stationarity_residual(weight, gradient, alpha)
        assert residual.max() < 1e-6
        # (35): λ lies in the interval of its level, and is its upper end
        low, high = optimality.alpha_interval(gradient, level)
        assert low <= alpha + 1e-6
        assert high == pytest.approx(alpha, abs=1e-6)
        # (36) with l' = l, and what follows from it
        for other in (level - 1, level, level + 1):
            held = optimality.is_sufficient(gradient, alpha, other, rtol=1e-6)
            assert held == (other == level)
        assert optimality.sparsity_bound(gradient, alpha, rtol=1e-6) == level
    # A vanishing gradient of the bias.
    assert problem.evaluate()[1][-1].abs() < 1e-6
    assert solution.kkt_residual < 1e-8


def test_magnitudes_are_sorted():
    a = optimality.gradient_magnitudes(torch.tensor([[0.5, -0.1], [-2.0, 0.0]]))
    torch.testing.assert_close(a, torch.tensor([0.0, 0.1, 0.5, 2.0]))


def test_certificate_by_hand():
    module = nn.Linear(3, 1).double()
    problem = problem_of(module, torch.ones(2, 3), torch.ones(2, 1, dtype=F64))
    problem.network.parameters.copy_(torch.tensor([1.0, 0.0, 0.0, 5.0]))
    gradient = torch.tensor([-0.4, 0.3, 0.9, 0.1], dtype=F64)
    of = problem.network, problem.penalty, gradient
    found = optimality.certify(*of, [0.5])
    # residuals .1, 0, .4 of the weights and .1 of the bias, in units of .5
    assert found.largest == pytest.approx(0.8)
    assert found.per_layer == pytest.approx((0.8,))
    assert found.violations == pytest.approx(2 / 3)
    assert found.root_mean_square == pytest.approx(((0.04 + 0.64 + 0.04) / 4) ** 0.5)
    # without a penalty the residual is the gradient itself
    assert optimality.certify(*of, [0.0]).largest == pytest.approx(0.9)


@pytest.mark.parametrize("seed", range(5))
def test_interval_35_is_what_sorting_gives_at_every_level(seed):
    gradient = torch.randn(3, 7, generator=torch.Generator().manual_seed(seed))
    gradient = gradient.round(decimals=1)  # some are equal
    a = sorted(abs(value) for value in gradient.reshape(-1).tolist())
    assert len(set(a)) < 21
    ends = [0.0, *a, float("inf")]
    for level in range(22):
        interval = ends[21 - level], ends[22 - level]
        assert optimality.alpha_interval(gradient, level) == interval
    for level in (-1, 22):
        with pytest.raises(ValueError, match=f"level {level} is not between 0 and 21"):
            optimality.alpha_interval(gradient, level)


def test_sufficient_condition_36_by_hand():
    """(36) is strict below λ and an equality above."""
    gradient = torch.tensor([0.5, -0.5, 0.2, 0.0], dtype=F64)
    held = [optimality.is_sufficient(gradient, 0.5, k, rtol=1e-9) for k in range(5)]
    assert held == [False, False, True, False, False]
    assert optimality.sparsity_bound(gradient, 0.5) == 2
    assert optimality.sparsity_bound(gradient, 0.2) == 3
    assert optimality.sparsity_bound(gradient, 0.6) == 0
    assert optimality.sparsity_bound(gradient, 0.5005, rtol=1e-2) == 2


@pytest.mark.parametrize("level", [-1, 5])
def test_levels_that_there_are_not_are_refused(level):
    gradient = torch.tensor([0.5, 1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=f"level {level} is not between 0 and 4"):
        optimality.is_sufficient(gradient, 3.0, level, rtol=0.0)
    with pytest.raises(ValueError, match=f"level {level} is not between 0 and 4"):
        optimality.alpha_interval(gradient, level)


def test_groups_stand_for_weights_by_hand():
    """The norms of the columns are 5, 0, 1; with √2 for each, less."""
    gradient = torch.tensor([[3.0, 0.0, 1.0], [4.0, 0.0, 0.0]], dtype=F64)
    penalty = GroupL2()
    a = optimality.gradient_magnitudes(gradient, penalty)
    assert a.tolist() == [0.0, 1.0, 5.0]
    assert optimality.alpha_max(gradient, penalty) == 5.0
    assert optimality.alpha_max(gradient) == 4.0
    weighted = optimality.alpha_max(gradient, GroupL2(size_weighted=True))
    assert weighted == pytest.approx(5 / 2**0.5)
    ends = [0.0, *a.tolist(), float("inf")]
    for level in range(4):
        interval = optimality.alpha_interval(gradient, level, penalty)
        assert interval == (ends[3 - level], ends[4 - level])
    with pytest.raises(ValueError, match="level 4 is not between 0 and 3"):
        optimality.alpha_interval(gradient, 4, penalty)
    of = {"rtol": 1e-9, "penalty": penalty}
    held = [optimality.is_sufficient(gradient, 5.0, k, **of) for k in range(4)]
    assert held == [False, True, False, False]
    assert optimality.sparsity_bound(gradient, 1.0, penalty=penalty) == 2
    # Half of ℓ1: (3 - a/2)² + (4 - a/2)² = a²/4, and 1 - a/2 = a/2.
    mixed = optimality.gradient_magnitudes(gradient, SparseGroupL2())
    wanted = torch.tensor([0.0, 1.0, 14 - 96**0.5], dtype=F64)
    torch.testing.assert_close(mixed, wanted)


def test_the_theorems_are_about_norms():
    for of_it in (optimality.gradient_magnitudes, optimality.alpha_max):
        with pytest.raises(ValueError, match=r"MCP\(.*\) is no sum of norms"):
            of_it(torch.ones(3), MCP())
    assert optimality.alpha_max(torch.ones(0)) == 0.0
