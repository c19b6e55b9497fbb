"""What inputs are chosen by: their credit for the loss, their effect on outputs."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_sparsenet import SparseNetRegressor
from sklearn_sparsenet.search import one_pass
from sklearn_sparsenet.search.input_scores import InputCredit, InputEffect
from tests.problems import F64, problem_of

ALL = torch.ones(4, dtype=torch.bool)


@pytest.fixture
def problem():
    X = np.random.default_rng(0).standard_normal((2000, 4)) + 3.0
    y = X[:, [0]] + X[:, [1]] + 5.0
    module = nn.Sequential(nn.Linear(4, 1), nn.Dropout(0.5)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0.5, 0.5, 0.0]]))
    return problem_of(module, X, y)


def test_inputs_that_explain_the_target_have_credit_for_their_weights(problem):
    """Of a linear model at x = its mean, -∂ℓ/∂x·(x - mean) is 2 w cov(x, y)."""
    gradient = problem.network.gradient.clone()
    in_use = torch.tensor([True, True, True, False])
    credit = InputCredit(problem, 4)
    credit.observe(in_use, 0)
    first, second, noise, unused = credit.average.tolist()
    assert first == pytest.approx(2 * second, rel=0.3)
    assert abs(noise) < 0.2 * second
    assert unused == -np.inf
    assert torch.equal(problem.network.gradient, gradient)
    assert problem.network.module.training


@pytest.mark.parametrize("kind", [InputCredit, InputEffect])
def test_scores_are_means_over_the_times_that_the_network_was_looked_at(problem, kind):
    one, values = kind(problem, 4), []
    weight = problem.network.module[0].weight
    for seed in (1, 2):
        alone = kind(problem, 4)
        alone.observe(ALL, seed)
        one.observe(ALL, seed)
        values.append(alone.average)
        weight.data.mul_(2.0)
    assert torch.allclose(one.average, 0.7 * values[0] + 0.3 * values[1])


def test_credit_is_counted_from_the_least(problem):
    credit = InputCredit(problem, 4)
    credit.observe(torch.tensor([True, True, True, False]), 0)
    found = credit.of(torch.ones(4, dtype=F64))
    least = credit.average[:3].min()
    assert torch.allclose(found[:3], credit.average[:3] - least)
    assert found[3] == 0
    assert found.dtype == F64


def test_the_effect_in_a_linear_model_is_the_variance_that_an_input_brings():
    X = np.random.default_rng(0).standard_normal((200, 4)) * [1.0, 2.0, 3.0, 0.0] + 3.0
    module = nn.Linear(4, 3).double()
    problem = problem_of(module, X, X[:, :3])
    rows = problem.rows.take(InputEffect(problem, 4)._draw(256, 0))
    expected = module.weight.detach().square().sum(0) * rows.var(0, correction=0)
    found = torch.zeros(4, dtype=F64)
    n_draws = 300
    for seed in range(n_draws):  # of the signs of the outputs
        effect = InputEffect(problem, 4)
        effect.observe(ALL, seed)
        found += effect.average / n_draws
    assert torch.allclose(found, expected, rtol=0.1)
    size = torch.full((4,), 9.0, dtype=F64)
    assert torch.allclose(effect.of(size), 3.0 * effect.average.sqrt())


def test_sizes_choose_where_the_network_is_as_good_as_constant(problem):
    """Weight decay made one of pumadyn's so; the order of its effects is chance."""
    problem.network.module[0].weight.data.mul_(1e-4)
    effect, size = InputEffect(problem, 4), torch.tensor([1.0, 2.0, 3.0, 4.0])
    effect.observe(ALL, 0)
    assert torch.equal(effect.of(size), size)


def test_the_effect_of_a_channel_is_that_of_all_its_places_together():
    X = np.random.default_rng(0).standard_normal((100, 2, 3, 3))
    module = nn.Sequential(nn.Conv2d(2, 1, 3), nn.Flatten()).double()
    problem = problem_of(module, X, X[:, 0, 0, :1])
    effect = InputEffect(problem, 2)
    effect.observe(ALL[:2], 0)
    rows = problem.rows.take(effect._draw(256, 0))
    by_place = module[0].weight.detach() * (rows - rows.mean(0))
    expected = by_place.sum((2, 3)).square().mean(0)
    assert torch.allclose(effect.average, expected)


@pytest.mark.parametrize(
    ("n_kept", "epochs", "many", "kinds"),
    [
        (3, 20, 199, {InputEffect}),
        (3, 5, 10_000, {InputEffect}),
        (17, 20, 200, {InputCredit}),
        (17, 20, 199, set()),
        (17, 5, 10_000, set()),
    ],
)
def test_few_inputs_are_chosen_by_effect_and_many_by_credit_of_few_rows(
    monkeypatch, n_kept, epochs, many, kinds
):
    monkeypatch.setattr(one_pass, "_MANY_SAMPLES", many)
    used = set()
    for kind in (InputCredit, InputEffect):

        def spy(self, size, of=kind.of):
            used.add(type(self))
            return of(self, size)

        monkeypatch.setattr(kind, "of", spy)
    X = np.random.default_rng(0).standard_normal((200, 30))
    net = SparseNetRegressor(
        (5,), target_inputs=n_kept, target_sparsity=None, batch_size=8, max_iter=epochs
    ).fit(X, X[:, 0])
    assert net.support_.sum() == n_kept
    assert net.support_[0]
    assert used == kinds
