"""The paper's experiments run, keep their results, and become a page."""

import gzip
import json
import sys
from pathlib import Path

import generated_page
import numpy as np
import pytest
import torch
from paper import experiment, mg, mnist, report, speed

from sklearn_sparsenet import load

MG = Path(__file__).parents[2] / "shared" / "data" / "mg.libsvm"
needs_mg = pytest.mark.skipif(not MG.exists(), reason=f"the Mg data are not at {MG}")


@pytest.fixture
def images(tmp_path):
    """A directory with files like those of MNIST, of a few images."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 120), ("t10k", 40)):
        labels = rng.integers(0, 10, n).astype(np.uint8)
        pixels = rng.integers(0, 100, (n, 28, 28)).astype(np.uint8)
        pixels[np.arange(n), labels] += 150
        for kind, header, values in (
            ("images-idx3", 16, pixels),
            ("labels-idx1", 8, labels),
        ):
            content = bytes(header) + values.tobytes()
            path = tmp_path / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(content, 1))
    return tmp_path


def call(main, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["paper", *map(str, arguments)])
    main()


def test_the_reference_penalty_is_its_own_proximity_operator():
    penalty = experiment.SquaredL2()
    weight = torch.linspace(-1, 2, 5, dtype=torch.float64, requires_grad=True)
    value = penalty.value(weight, 0.3)
    (gradient,) = torch.autograd.grad(value, weight)
    weight = weight.detach()
    moved = penalty.prox(weight + 0.7 * gradient, 0.7, 0.3)
    torch.testing.assert_close(moved, weight)
    residual = penalty.subdifferential_distance(weight, -gradient, 0.3)
    torch.testing.assert_close(residual, torch.zeros_like(weight))


@needs_mg
@pytest.mark.parametrize("method", ["l2", "one_pass", *experiment.PAPER_SEARCHES])
def test_mg_runs(method, tmp_path):
    target = {"l2": 1e-4}.get(method, 2000)
    record = mg.measure(mg.Run(method, target, 20, 0), MG, tmp_path)
    assert record["train"] < 0.06
    assert record["n_weights"] == 25408
    assert len(record["gradients"]) == 300
    assert sorted(record["gradients"]) == record["gradients"]
    if method == "one_pass":
        assert record["n_nonzero"] == record["n_live"] == 2000
        # (35): λ is the low end of the interval that these weights admit.
        above = np.mean(np.array(record["gradients"]) > 1.001 * record["alpha"])
        assert above <= 2000 / 25408 + 0.01
    if method == "l2":
        assert record["n_nonzero"] == 25408


@needs_mg
def test_a_repeated_command_has_nothing_to_do(tmp_path, monkeypatch, capsys):
    out = tmp_path / "mg.json"
    options = ["--data", MG, "--out", out, "--seeds", 1, "--epochs", 3, "--jobs", 1]
    for expected in ("5 runs to do", "0 runs to do"):
        call(mg.main, monkeypatch, *options, "--only", "l2")
        assert expected in capsys.readouterr().out
    assert len(json.loads(out.read_text())) == 5


def test_the_network_is_that_of_the_paper():
    module = mnist.build_cnn(1, 10)
    sizes = [p.numel() for p in module.parameters() if p.ndim > 1]
    assert sizes == [288, 18432, 73728, 589824, 5120]
    assert sum(sizes) == 687392


@pytest.mark.parametrize(
    ("method", "target"),
    [("one_pass", 5000), ("one_pass", mnist.PER_LAYER), ("in_flight, cold", 50000)],
)
def test_mnist_runs_on_bytes(images, method, target, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "MAX_SOLVES", 2)
    mnist.load.cache_clear()
    record = mnist.measure(mnist.Run(method, target, 1, 0), images, tmp_path, "cpu")
    mnist.load.cache_clear()
    assert record["n_weights"] == 687392
    assert np.shape(record["filters"]) == (32, 9)
    assert 0 <= record["test"] <= 1
    if method == "one_pass":
        assert record["n_nonzero"] == record["n_live"] == np.sum(target)
    (path,) = (tmp_path / "networks").iterdir()
    network = load(path, module=mnist.build_cnn)
    assert network.score(*mnist.load(images)[1::2]) == record["test"]


def test_the_search_and_the_authors_loop_are_timed(images, monkeypatch, capsys):
    mnist.load.cache_clear()
    call(speed.main, monkeypatch, "--data", images, "--epochs", 1)
    mnist.load.cache_clear()
    printed = capsys.readouterr().out
    assert "50000 weights" in printed
    assert "s an epoch" in printed


def a_record(method, target, seed, **more):
    counts = target if isinstance(target, list) else [target]
    return {
        "method": method, "target": target, "epochs": 10, "seed": seed,
        "n_nonzero": sum(map(int, counts)), "n_nonzero_per_layer": counts,
        "n_weights": 25408, "n_live": 1, "alpha": 1e-4, "kkt_residual": 2.0,
        "met": True, "solves": 1, "epochs_in_all": 10, "seconds": 1.0,
        "history": {}, "warning": "", "train": 0.1, "test": 0.2 + seed, **more,
    }  # fmt: skip


def test_the_page_has_a_row_for_each_run_and_the_spread_of_its_seeds():
    records = [a_record("one_pass", 2000, seed) for seed in range(3)]
    records += [a_record("l2", 1e-4, 0, n_nonzero=25408)]
    text = report.build(records, [])
    assert text.count("| one pass | 2000 | 10 | 3 | 3/3 |") == 1
    assert "1.20000 (0.20000 – 2.20000)" in text
    assert "| ratio | 100 % |" in text
    assert text.count("Not run.") == 5
    for number in range(1, 8):
        assert f"## Table {number}:" in text


def test_a_part_of_a_page_is_replaced_and_a_missing_one_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x -->\nold\n<!-- end of x -->\nb")
    generated_page.replace_part(page, "x", "new \\1")
    assert page.read_text() == "a\n<!-- x -->\n\nnew \\1\n\n<!-- end of x -->\nb"
    with pytest.raises(ValueError, match="0 parts"):
        generated_page.replace_part(page, "y", "new")
