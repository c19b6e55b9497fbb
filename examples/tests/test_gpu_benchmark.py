"""The command for whoever has a GPU runs on a CPU, and says where there is none."""

import json

import pytest
import torch
from benchmarks import gpu


def call(monkeypatch, path, *arguments):
    monkeypatch.setattr("sys.argv", ["gpu", "--out", str(path), *arguments])
    gpu.main()


def test_without_a_gpu_it_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    call(monkeypatch, tmp_path / "gpu.json")
    assert "no GPU here" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def fails(setting):
    raise RuntimeError("out of memory")


def test_what_fails_is_told_and_the_rest_goes_on(monkeypatch, tmp_path):
    ours = {"bad": fails, "steps": lambda setting: {"MLP": float(setting.steps)}}
    monkeypatch.setattr(gpu, "MEASUREMENTS", ours)
    call(monkeypatch, tmp_path / "gpu.json", "--device", "cpu")
    found = json.loads((tmp_path / "gpu.json").read_text())["results"]
    assert found == {
        "bad": {"failed": "RuntimeError: out of memory"},
        "steps": {"MLP": 3.0},
    }
    assert "| steps | MLP | 3 |" in (tmp_path / "gpu.md").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_everything_runs_on_a_cpu_in_its_place(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "WIDTHS", {"small": (20,)})
    call(monkeypatch, tmp_path / "gpu.json", "--device", "cpu")
    found = json.loads((tmp_path / "gpu.json").read_text())["results"]
    assert found.keys() == gpu.MEASUREMENTS.keys()
    assert not any("failed" in result for result in found.values())
    assert found["search of the paper"]["weights"] == 50000
