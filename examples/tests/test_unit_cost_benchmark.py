"""The benchmark of what targets on inputs and units cost compares equal counts."""

import numpy as np
import pytest
from benchmarks import unit_cost
from benchmarks.problems import Data


@pytest.fixture
def data(monkeypatch):
    case = unit_cost.Case(2, (3,), 0.2)
    monkeypatch.setattr(unit_cost, "CASES", {"mg": case})
    monkeypatch.setattr(unit_cost, "TURNS", 1)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    return Data(X, X[:, 0] + X[:, 1], X, X[:, 0], (6,), 0)


def test_the_other_fit_has_as_many_weights(data, monkeypatch):
    asked, once = [], unit_cost.fit
    monkeypatch.setattr(
        unit_cost, "fit", lambda *args: asked.append(args[2]) or once(*args)
    )
    records = unit_cost.measure("mg", data, 0)
    # 2 inputs, or all 4, with 6 units, or 3; and a fifth of 30 weights.
    assert [record["n_weights"] for record in records] == [2 * 6 + 6, 4 * 3 + 3, 6]
    for record in records:
        assert {"target_sparsity": record["n_weights"]} in asked
        assert len(record["groups"]) == len(record["weights"]) == unit_cost.TURNS


def test_the_table_has_medians_and_the_range_of_seeds(data):
    times = [([2.0, 3.0, 4.0], [2.0, 2.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 0.5])]
    records = [
        {"problem": "mg", "kind": kind, "groups": groups, "weights": weights}
        for kind in unit_cost.KINDS
        for groups, weights in times
    ]
    *_, row = unit_cost.page(records).splitlines()
    assert row == "| mg | 2; 3 |" + " 1.25 (1.00 to 1.50) |" * 3
