"""Fixtures of the tests of benchmarks and examples: those of the library's."""

from pathlib import Path

from tests.conftest import (  # noqa: F401
    _one_thread,
    _same_numbers_each_time,
    generator,
    leave_untold,
)


def pytest_collection_modifyitems(items):
    """Leave out some warnings in tests alone."""
    leave_untold(items, Path(__file__).parent)
