"""Folds, grids and halves as jobs on the workers of Ray."""

import pytest

from tests.distributed.jobs import assert_same_results


@pytest.mark.slow
def test_results_are_the_same(monkeypatch, capsys):
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from ray.util.joblib import register_ray

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else it writes a token for itself
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    register_ray()
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        assert_same_results("ray", capsys)
    finally:
        ray.shutdown()
