"""The examples with several processes: the network of one process."""

import importlib.util

import numpy as np
import pytest
from distributed_fit import make_table
from numpy.testing import assert_allclose

from examples.tests.test_examples import EXAMPLES, run
from sklearn_sparsenet import load

pytestmark = pytest.mark.slow


def assert_same_network(path, other):
    ours, theirs = load(path), load(other)
    assert ours.n_nonzero_ == theirs.n_nonzero_
    for weights, expected in zip(ours.coefs_, theirs.coefs_, strict=True):
        assert ((weights != 0) == (expected != 0)).all()
        assert_allclose(weights, expected, rtol=0, atol=1e-9)


@pytest.mark.skipif(
    importlib.util.find_spec("torch.distributed.run") is None,
    reason="this PyTorch has no torchrun",
)
def test_torchrun_ends_with_the_network_of_one_process(tmp_path):
    table = tmp_path / "rows.npy"
    np.save(table, make_table(1001))
    alone = tmp_path / "alone.safetensors"
    options = ["--data", table, "--epochs", 20, "--save"]
    assert "1 processes: 60 weights" in run(
        EXAMPLES / "distributed_fit.py", *options, alone
    )
    for size in (2, 4):
        path = tmp_path / f"{size}.safetensors"
        torchrun = ["-m", "torch.distributed.run", "--standalone"]
        torchrun.append(f"--nproc-per-node={size}")
        printed = run(*torchrun, EXAMPLES / "distributed_fit.py", *options, path)
        assert printed.count("weights") == 1
        assert_same_network(path, alone)


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed"
)
def test_ray_ends_with_the_network_of_one_process(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else it writes a token for itself
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    table = tmp_path / "rows.npy"
    np.save(table, make_table(1001))
    options = ["--data", table, "--epochs", 20, "--save"]
    names = {"distributed_fit.py": tmp_path / "alone", "ray_fit.py": tmp_path / "ray"}
    for name, path in names.items():
        assert "60 weights" in run(EXAMPLES / name, *options, path)
    assert_same_network(*names.values())
