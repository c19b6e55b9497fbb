"""Fixtures for all tests."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_sparsenet.solvers.dataset import make_dataset

# Told in tests as it should not be in the examples of README, docs and docstrings.
UNTOLD = pytest.mark.filterwarnings(
    # Tests share settings between searches and solvers that use different ones.
    "ignore:Parameters that change nothing:UserWarning",
    # Most of them can do with networks that have hardly learned.
    "ignore:Too few steps:UserWarning",
)


def leave_untold(items, folder):
    """Leave out some warnings in the tests of a folder."""
    for item in items:
        if folder in item.path.parents:
            item.add_marker(UNTOLD)


def pytest_collection_modifyitems(items):
    """Leave out some warnings in tests alone."""
    leave_untold(items, Path(__file__).parent)


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


@pytest.fixture(autouse=True)
def _same_numbers_each_time():
    """Seed the global generators, which `random_state=None` draws from.

    A test that leaves it out would train another network in each run, and a few
    weights of some network always end in one that is rightly warned about.
    """
    np.random.seed(0)  # noqa: NPY002 - the generator under test is this one
    torch.manual_seed(0)


@pytest.fixture
def convert_at_once(monkeypatch):
    """Set how many bytes of X are converted at once, not batch by batch."""

    def set_limit(n_bytes):
        defaults = make_dataset.__kwdefaults__
        monkeypatch.setitem(defaults, "convert_at_once_bytes", n_bytes)

    return set_limit
