"""The benchmark of C in integers compares the same network in three number formats."""

import shutil

import numpy as np
import pytest
from benchmarks import integers
from benchmarks.problems import Data


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(integers, "TURNS", 1)
    monkeypatch.setattr(integers, "CALLS", 50)
    case = integers.Case(integers.CASES["cancer"].problem, (5,), 15)
    monkeypatch.setattr(integers, "CASES", {"cancer": case})


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("size")), reason="there is no gcc"
)
@pytest.mark.filterwarnings("ignore:On .* calibration rows:UserWarning")
@pytest.mark.parametrize("n_classes", [0, 3])
def test_formats_are_of_one_network(small, n_classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4)).astype(np.float32)
    y = X[:, 0] + X[:, 1]
    y = np.digitize(y, [-0.5, 0.5]) if n_classes else y
    data = Data(X[:80], y[:80], X[80:], y[80:], (5,), n_classes)
    records = integers.measure("cancer", data, 0)
    assert [record["dtype"] for record in records] == list(integers.BITS)
    exact, int8, int16 = (record["score"] for record in records)
    net = integers.fit(integers.CASES["cancer"], data, 0)
    assert exact == pytest.approx(100 * net.score(X[80:], y[80:]), abs=1e-3)
    assert abs(int16 - exact) <= 0.1
    assert abs(int8 - exact) <= 5
    assert records[1]["gcc"] < records[2]["gcc"] < records[0]["gcc"]
    assert {record["compilers_agree"] for record in records} <= {True, None}


def test_the_table_has_means_and_the_worst_seed(small):
    scores = {"float": (90, 92), "int8": (89.5, 92.5)}
    shared = {"problem": "cancer", "n_weights": 15, "stack": 5, "cortex_m0": None}
    records = [
        shared | {"dtype": dtype, "seed": seed, "score": score, "gcc": 400 + seed}
        | {"ns": 30 + seed}
        for dtype, of_seeds in scores.items()
        for seed, score in enumerate(of_seeds)
    ]  # fmt: skip
    row = "| cancer | 5 | 15 | int8 | 401 |  | 5 | 91.00 | 0.00 | 0.50 | 30 |"
    assert row in integers.page(records)
