"""Fixtures for the tests of shared fits."""

import pytest


@pytest.fixture(scope="module")
def client(request):
    """Two workers: processes, or threads of this one, by the name of the module."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    from distributed import Client, LocalCluster

    how = request.module.CLUSTER
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, **how
        ) as cluster,
        Client(cluster) as connected,
    ):
        yield connected
