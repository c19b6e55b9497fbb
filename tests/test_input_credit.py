"""The credit of inputs: what each takes from the loss as all of them come in."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_sparsenet.search.input_credit import InputCredit
from tests.problems import F64, problem_of


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
    credit.update(in_use, 0)
    first, second, noise, unused = credit.average.tolist()
    assert first == pytest.approx(2 * second, rel=0.3)
    assert abs(noise) < 0.2 * second
    assert unused == -np.inf
    assert torch.equal(problem.network.gradient, gradient)
    assert problem.network.module.training


def test_credit_is_a_mean_over_the_times_it_was_asked_for(problem):
    in_use, one = torch.ones(4, dtype=torch.bool), InputCredit(problem, 4)
    values = []
    for seed in (1, 2):
        alone = InputCredit(problem, 4)
        alone.update(in_use, seed)
        values.append(alone.average)
        found = one.update(in_use, seed)
    assert torch.allclose(one.average, 0.7 * values[0] + 0.3 * values[1])
    assert torch.allclose(found, one.average - one.average.min())
    assert found.dtype == F64
