"""The inputs of few weights are counted right; what is not installed is left out."""

import importlib.util

import numpy as np
import pytest
from benchmarks import inputs_by_weights as inputs
from benchmarks.problems import Data

TRUE = (0, 1, 2)


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(inputs, "TRUTH", {"madelon": TRUE, "pumadyn": TRUE})
    monkeypatch.setattr(inputs, "N_BAGGED", 3)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 8)).astype(np.float32)
    y = (X[:, :3].sum(1) > 0).astype(np.int64)
    return Data(X[:100], y[:100], X[100:], y[100:], (6,), 2)


def as_regression(data):
    y, y_test = (X[:, :3].sum(1) for X in (data.X_train, data.X_test))
    return Data(data.X_train, y, data.X_test, y_test, data.hidden, 0)


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("method", sorted(set(inputs.METHODS) - {"lassonet"}))
def test_methods_find_the_columns_that_matter(data, method, regression):
    if regression:
        data = as_regression(data)
    asked = {"layers": (6, 4), "truth": 0, "everything": 0, "linear": 0}.get(method, 10)
    record = inputs.measure(inputs.Job("pumadyn", method, asked, 0), data)
    assert record["recall"] == 1
    assert record["precision"] == pytest.approx(3 / record["n_inputs"])
    assert record["neighbours"] < 1
    if method in ("truth", "everything"):
        assert record["error"] is record["first"] is None
    else:
        assert record["first"] == 3
        assert record["error"] < 0.6


def test_precision_of_nothing_is_unknown(data, monkeypatch):
    nothing = inputs.Found(np.zeros(8, bool), np.zeros(8), 0.5)
    monkeypatch.setitem(inputs.METHODS, "ours", ("ours", lambda data, job: nothing))
    record = inputs.measure(inputs.Job("madelon", "ours", 5, 0), data)
    assert record["recall"] == record["n_inputs"] == 0
    assert record["precision"] is record["neighbours"] is None


def test_jobs_leave_out_what_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    jobs = inputs.jobs(["madelon", "pumadyn"], 3)
    assert len(jobs) == len(set(jobs))
    assert {job.method for job in jobs} == set(inputs.METHODS) - {"lassonet"}
    linear = [(job.problem, job.seed) for job in jobs if job.method == "linear"]
    assert linear == [("madelon", 0), *(("pumadyn", seed) for seed in range(3))]


def test_the_page_has_medians_and_says_what_is_missing(data):
    jobs = [inputs.Job("madelon", "truth", 0, 0)]
    jobs += [inputs.Job("madelon", "layers", (6, 4), seed) for seed in range(2)]
    records = [inputs.measure(job, data) for job in jobs]
    text = inputs.page(records)
    assert "| ours, per layer | `[6, 4]` |" in text
    assert "| the true inputs |  | 3 | 1.00 | 1.00 | – |" in text
    assert "LassoNet was not installed" in text
    assert text.count("\n| ") == 1 + 1 + 2
