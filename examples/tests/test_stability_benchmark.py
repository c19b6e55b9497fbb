"""The benchmark of stable selection counts true and false inputs right."""

from functools import partial

import numpy as np
import pytest
from benchmarks import stability
from benchmarks.problems import Data
from sklearn.linear_model import LogisticRegression

TRUE = (0, 1, 2)


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(stability, "TRUTH", {"madelon": TRUE})
    model = partial(LogisticRegression, l1_ratio=1, solver="liblinear", C=0.3)
    monkeypatch.setattr(stability, "METHODS", {"ℓ1": model})
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 8))
    y = (X[:, :3].sum(1) > 0).astype(np.int64)
    return Data(X[:100], y[:100], X[100:], y[100:], (6,), 2)


@pytest.mark.parametrize("method", stability.METHODS)
def test_each_method_selects(method):
    """In each fit as many inputs as its name says, where there are more."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 70))
    y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
    data = Data(X, y, X, y, (6,), 2)
    record = stability.measure(stability.Job("madelon", method, 1, 0), data)
    assert len(record["counts"]) == 70
    assert max(record["counts"]) <= 2
    if method.startswith("first"):
        assert sum(record["counts"]) <= 2 * int(method.split()[1].strip(","))


def test_true_and_false_inputs_are_counted(data):
    record = stability.measure(stability.Job("madelon", "ℓ1", 4, 0), data)
    assert stability.hits(record, 0.9)[0] == 3
    record["counts"] = [8, 6, 0, 8, 4, 0, 0, 0]
    assert stability.hits(record, 0.5) == (2, 2)
    assert stability.hits(record, 0.75) == (2, 1)
    assert stability.hits(record, 0.9) == (1, 1)


def test_the_page_has_a_row_for_each_threshold(data):
    records = [
        stability.measure(stability.Job("madelon", "ℓ1", 4, seed), data)
        for seed in range(2)
    ]
    text = stability.page(records)
    assert text.count("\n| ") == 1 + len(stability.THRESHOLDS)
    assert text.startswith("| each fit uses the inputs of |")
    assert "| ℓ1 | 2 |" in text
    assert text.endswith("madelon, 4 pairs, means of the seeds.")
