"""The two sides of the comparison take the same steps."""

import pytest
import torch
from benchmarks.batched_folds import Case, compare


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_batched_networks_are_the_separate_ones(n_outputs):
    case = Case.drawn(3, 40, (4, 5, 6, n_outputs), 20, torch.float64)
    found = compare(case, n_steps=2, n_turns=1)
    assert found.keys() == {"separate", "batched", "gain"}
