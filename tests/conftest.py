"""Fixtures for all tests."""

import pytest
import torch


@pytest.fixture
def generator():
    """A private source of random numbers."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
