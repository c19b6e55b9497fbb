"""Choices by masks of bits are those of `torch.where`."""

import pytest
import torch

from sklearn_sparsenet.utils.branchless import clear_, replace_

AWKWARD = [0.0, -0.0, 1.0, -2.5, 1e-42, float("inf"), -float("inf"), float("nan")]


def same_bits(first, second):
    bits = {torch.float32: torch.int32, torch.float64: torch.int64}[first.dtype]
    return torch.equal(first.view(bits), second.view(bits))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_choices_have_the_bits_of_what_was_chosen(dtype):
    numbers, chosen = torch.tensor(AWKWARD, dtype=dtype), torch.tensor([0.0, 1.0])
    every = torch.cartesian_prod(numbers, numbers, chosen.to(dtype))
    values, others, where = every[:, 0].clone(), every[:, 1].clone(), every[:, 2] > 0
    replaced, cleared = values.clone(), values.clone()
    replace_(replaced, where, others)
    clear_(cleared, where)
    assert same_bits(replaced, torch.where(where, others, values))
    assert same_bits(cleared, torch.where(where, 0.0, values))
