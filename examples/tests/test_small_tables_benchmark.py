"""The benchmark of small tables compares each table with its own best rival."""

import numpy as np
import pytest
from benchmarks import small_tables

ERRORS = {
    "a": {"linear": 0.2, "mlp": 0.4, "cv": 0.2},
    "b": {"linear": 0.4, "mlp": 0.1, "cv": 0.4},
    "half done": {"linear": 0.1, "cv": 9.0},
}


def test_ratios_are_to_the_best_rival_of_each_table():
    found = small_tables.compare(ERRORS, "cv", ("linear", "mlp"))
    assert found["mean"] == pytest.approx(2.0)  # of 1 and 4
    assert (found["n_tables"], found["n_behind"], found["worst"]) == (2, 1, "b")


def test_settings_follow_the_name_of_a_method():
    method = "cv target_sparsities=[8,4] selection='1se'"
    model = small_tables.make_model(method, classes=True, seed=3)[-1]
    assert (model.target_sparsities, model.selection) == ([8, 4], "1se")
    assert model.random_state == 3


def test_what_is_unscaled_has_no_scaler():
    steps = [len(small_tables.make_model(m, True, 0)) for m in ("default", "unscaled")]
    assert steps == [2, 1]


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("method", [*small_tables.LINEAR, "default max_iter=100"])
def test_a_record_has_the_error_of_each_fold(classes, method):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = X @ [1.0, -2.0, 0.0] + 0.3 * rng.normal(size=60)
    job = small_tables.Job("t", method, 0)
    y = (y > 0).astype(int) if classes else y
    record = small_tables.measure(job, X, y, classes)
    assert len(record["errors"]) == 5
    assert record["error"] == pytest.approx(np.mean(record["errors"]))
    assert record["error"] < 0.6


def test_the_page_has_means_and_both_comparisons():
    records = [
        {"table": name, "method": method, "seed": seed, "classes": name == "a"}
        | {"error": error + 0.1 * seed}
        for name in ("a", "b")
        for method, error in ERRORS[name].items()
        for seed in range(2)
    ]
    text = small_tables.page(records)
    assert "| log loss | linear | mlp | cv |" in text
    assert "| a | 0.250 | 0.450 | 0.250 |" in text
    assert "| cv | 2 | linear, mlp | 1.732 | 1 of 2 | 3.00 (b) |" in text
    assert "linear, mlp, forest, boosting" not in text  # which nobody ran


def test_methods_are_compared_on_the_seeds_that_they_have():
    records = [
        {"table": "a", "classes": True, "method": method, "seed": seed, "error": error}
        for method, seed, error in [
            ("linear", 0, 0.2),
            ("linear", 1, 0.8),
            ("mlp", 0, 0.4),
            ("mlp", 1, 0.4),
            ("cv", 0, 0.3),
        ]
    ]
    assert "| cv | 1 | linear, mlp | 1.500 |" in small_tables.page(records)
