"""Folds, grids and halves as jobs on the workers of a Dask cluster."""

import pytest

from tests.distributed.jobs import assert_same_results

PROCESSES = True


@pytest.mark.slow
def test_results_are_the_same(client, capsys):
    assert_same_results("dask", capsys)
