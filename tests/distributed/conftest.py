"""Fixtures for the tests of shared fits."""

import pytest

from tests.distributed.clusters import connected


@pytest.fixture(scope="module")
def client(request):
    """Two workers: processes, or threads of this one, as the module says."""
    with connected(processes=request.module.PROCESSES) as of_module:
        yield of_module
