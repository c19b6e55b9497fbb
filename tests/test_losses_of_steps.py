"""Losses of steps are what they were, in one piece of memory."""

import pytest
import torch

from sklearn_sparsenet.solvers.losses_of_steps import LossesOfSteps


@pytest.mark.parametrize("n_taken", [1, 31, 32, 33, 100])
def test_losses_are_those_that_were_given(n_taken):
    values = torch.rand(100, dtype=torch.float64)
    losses = LossesOfSteps(100)
    for value in values[:n_taken]:
        losses.append(value.clone())
    assert torch.equal(losses.stacked(), values[:n_taken])
    assert torch.equal(losses.stacked(), values[:n_taken])
    assert losses.stacked().untyped_storage().nbytes() == 800
