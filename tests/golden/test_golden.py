"""Fits of today have the weights, λ and losses that are on record."""

import pytest

from tests.golden.cases import CASES
from tests.golden.records import compare, machine, numbers_of, read


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_no_number_has_changed(name):
    """After a change that is to change some: `python -m tests.golden --write`."""
    recorded_on, before = read()
    if recorded_on != machine():
        pytest.skip(f"recorded where sums round otherwise: {recorded_on}")
    same_support, difference = compare(numbers_of(CASES[name]), before[name])
    assert same_support
    assert difference <= 1e-12
