"""The benchmark's methods keep their promises on a tiny problem; its report builds."""

import sys

import cached_runs
import numpy as np
import pytest
from benchmarks import (
    certificate,
    comparisons,
    harness,
    l1_solutions,
    report,
    run,
    shipping,
    sweep,
)
from benchmarks.methods import METHODS
from benchmarks.problems import (
    PROBLEMS,
    Data,
    Problem,
    Schedule,
    layer_targets,
)

OURS = {"l1", "mcp", "l0"}
INEXACT = {"l1_bracket", "bisection", "paper"}


def make_data(n_classes=0, hidden=(8, 6)):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((120, 10)).astype(np.float32)
    y = X[:, 0] + X[:, 1] - X[:, 2]
    if n_classes:
        y = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes))
    else:
        y = y / y.std()
    return Data(X[:80], y[:80], X[80:], y[80:], hidden, n_classes)


def fit(method, data, target, steps=60, seed=0):
    schedule = Schedule.for_rows(len(data.X_train), steps)
    return METHODS[method].fit(data, target, schedule, seed), schedule


@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize(
    "method", [name for name, method in METHODS.items() if "network" in method.kinds]
)
def test_methods_leave_the_asked_count(method, n_classes):
    data = make_data(n_classes)
    # The estimators need enough steps for an exact count.
    job = harness.Job("mg", method, 0.3, 200 if method in OURS else 60, 0)
    record = harness.measure(job, data)
    total = sum(data.layer_sizes)
    assert record["target"] == round(0.3 * total)
    assert record["n_live"] <= record["n_nonzero"] <= total
    assert np.isfinite(record["error"])
    if not METHODS[method].has_count:
        assert record["n_nonzero"] == total
    elif method in OURS:
        assert comparisons.is_exact(record) or record["warning"]
    elif method not in INEXACT:
        assert comparisons.is_exact(record)
    if method not in {*OURS, *INEXACT}:
        assert record["epochs"] == 60


LINEAR = [
    (method, kind)
    for method in ("gmp", "lars", "lars_refit", "lasso", "abess")
    for kind in ("regression", "classification")
    if f"linear {kind}" in METHODS[method].kinds
]


@pytest.mark.parametrize(("method", "kind"), LINEAR)
def test_linear_methods_find_three_columns(method, kind):
    if METHODS[method].is_missing:
        pytest.skip(f"the package of the method {method!r} is not installed")
    data = make_data(2 * (kind == "classification"), hidden=())
    fitted, _ = fit(method, data, 3, steps=300)
    assert np.flatnonzero(fitted.weights[0]).tolist() == [0, 1, 2]
    assert data.error(fitted.predict(data.X_test)) < 0.2


def test_methods_that_split_their_budget_do_not_exceed_it():
    data = make_data()
    for method in ("bisection", "one_shot"):
        fitted, schedule = fit(method, data, 40, steps=80)
        assert fitted.epochs <= schedule.epochs


def test_schedule():
    assert Schedule.for_rows(100, 1000) == Schedule(100, 1000, 1000)
    assert Schedule.for_rows(1000, 1000) == Schedule(64, 63, 1008)
    assert Schedule(64, 63, 1008).part(0.5) == Schedule(64, 31, 496)
    assert Schedule(64, 63, 1008).with_batch(1000, 200) == Schedule(200, 63, 315)


def test_layer_targets_leave_every_layer_some():
    assert layer_targets(make_data(3), 0.1) == (8, 5, 4)


def test_problems_say_what_is_missing_and_scale(tmp_path):
    assert PROBLEMS["mg"].missing(tmp_path) == ["mg.csv"]
    data = PROBLEMS["digits"].load(tmp_path, 0)
    assert data.X_train.dtype == np.float32
    assert np.abs(data.X_train.mean(0)).max() < 1e-5
    assert data.sizes == [64, 100, 100, 10]
    other = PROBLEMS["digits"].load(tmp_path, 1)
    assert not np.array_equal(data.y_train, other.y_train)


def records():
    """Fits of two methods, no worker processes."""
    data = make_data()
    jobs = [
        harness.Job("mg", method, density, 60, seed)
        for method in ("gmp", "adabreg")
        for density in (0.3, 0.01)
        for seed in (0, 1)
    ]
    return [harness.measure(job, data) for job in jobs]


def test_records_survive_the_file(tmp_path):
    found = records()
    path = tmp_path / "results.json"
    cached_runs.save_records(found, path)
    assert cached_runs.load_records(path) == found
    assert {"target", "n_nonzero", "n_live", "error", "seconds"} <= set(found[0])


@pytest.mark.slow
def test_run_resumes(tmp_path):
    out = tmp_path / "results.json"
    job = harness.Job("lin_diabetes", "lars", 0.5, 0, 0)
    assert len(harness.run_all([job], tmp_path, out, 1)) == 1
    written = out.read_text()
    assert len(harness.run_all([job], tmp_path, out, 1)) == 1
    assert out.read_text() == written


def test_jobs_of_the_command(tmp_path, monkeypatch):
    command = "run --problems digits lin_diabetes --methods l1 lars dense --seeds 1"
    monkeypatch.setattr(sys, "argv", [*command.split(), "--data", str(tmp_path)])
    jobs = list(run.make_jobs(run.parse()))
    assert len([j for j in jobs if j.method == "l1"]) == 4 * 2 + 2
    assert [j for j in jobs if j.method == "lars"] == [
        harness.Job("lin_diabetes", "lars", 0.5, 0, 0)
    ]
    assert {j.density for j in jobs if j.method == "dense"} == {1.0}


def test_comparison_by_hand():
    def record(method, seed, error):
        return {
            **dict(problem="mg", steps=60, density=0.1, per_layer=False),
            **dict(method=method, seed=seed, error=error),
        }

    pairs = [(0.3, 0.1), (0.4, 0.2), (0.5, 0.1)]
    found = comparisons.Results(
        [record("l1", seed, pair[0]) for seed, pair in enumerate(pairs)]
        + [record("gmp", seed, pair[1]) for seed, pair in enumerate(pairs)]
    ).compare_all("l1", "gmp")
    assert len(found) == 1
    assert (found[0].ours, found[0].other) == (0.4, 0.1)
    assert found[0].spread == pytest.approx(0.1)
    assert found[0].is_worse
    assert not found[0].is_lower
    assert found[0].ratio == pytest.approx(4)


def test_the_page_of_the_l1_solutions_builds(tmp_path):
    # Which networks have an ℓ1 solution depends on the rounding of the processor.
    cells = (
        l1_solutions.run_cell("diabetes", 50, "tanh", seed, tmp_path)
        for seed in range(8)
    )
    cell = next(cell for cell in cells if cell["residual"] <= 0.05)
    assert cell["penalized"] == cell["again"] == cell["asked"] == 50
    text = l1_solutions.page([cell, {**cell, "activation": "relu", "residual": 2.0}])
    assert "| diabetes | 50 | 50 |" in text
    assert "within 1 % of the target in 1 of 1 fits" in text
    assert "at most .2 are reached in 1 fits, and 1 of these" in text
    assert "No residual is at most .2" in text


def test_report_builds(tmp_path):
    found = records()
    ours = [{**r, "method": "l1", "error": 2 * r["error"]} for r in found[:4]]
    missed = {**ours[0], "seed": 5, "n_nonzero_per_layer": [1], "warning": ""}
    cost = {"problem": "mg", "rule": "auto", "batch_size": 64, "l1": 1.0, "dense": 2.0}
    cell = certificate.run_cell("breast cancer", 0.02, "lbfgs", 0, tmp_path)
    page = report.build([*found, *ours, missed], [cost], [cell], [])
    assert "| l1 | gmp | 2 | 0% | 2: mg 1 % 60, mg 30 % 60 | 2.00 | **not met**" in page
    assert "| l1 | single | 5 | 4 | 0 | 1 | **not met** |" in page
    assert "| mg | 64 (auto) | 1.00 | dense | 0.50 | 1.3 | met |" in page
    assert "## Test error and live share: mg" in page
    assert "| breast cancer | 2% | 6 |" in page


def test_sweep_takes_its_curves_from_the_records():
    jobs = list(sweep.make_jobs(["digits"], 1))
    errors = [{**vars(job), "error": job.density} for job in jobs]
    values, medians = sweep.curve(errors, "density", "digits", "l1", False)
    assert values.tolist() == medians.tolist() == list(sweep.DENSITIES)
    values, _ = sweep.curve(errors, "steps", "digits", "gmp", False)
    assert values.tolist() == list(sweep.BUDGETS)


def test_a_problem_needs_no_more_than_a_reader(tmp_path):
    def read(directory, seed):
        return (np.eye(8), np.arange(8.0)), None

    data = Problem(read).load(tmp_path, 0)
    assert (len(data.X_train), len(data.X_test)) == (6, 2)
    assert data.y_train.std() == pytest.approx(1, abs=1e-6)


def test_the_routes_of_the_shipping_benchmark_agree(monkeypatch):
    from sklearn.datasets import load_digits

    monkeypatch.setattr(shipping, "SECONDS", 0.0)
    monkeypatch.setattr(shipping, "LEAST_REPEATS", 2)
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    digits = Data(X, y, X, y, (30, 20), 10)
    net = shipping.train(digits, (30, 20), 0.1)
    found = shipping.routes(net)
    expected = found.pop("numpy dense")(X)
    for name, route in found.items():
        outputs = np.asarray(route(X))
        outputs = outputs[0] if outputs.ndim == 3 else outputs
        np.testing.assert_allclose(outputs, expected, atol=1e-4, err_msg=name)
    record = {
        "hidden": (30, 20), "density": 0.1, "accuracy": 0.9,
        "speed": [shipping.speed(net, X, n) for n in (1, 50)],
        **{part: shipping.PARTS[part](net, digits) for part in ("sizes", "loads")},
    }  # fmt: skip
    for part, n_lines in {"speed": 2, "sizes": 1, "loads": 1}.items():
        text = shipping.TABLES[part]([record])
        assert text.count("| 64-30-20-10 | 10 % |") == 0
        assert text.count("| 784-30-20-10 | 10 % |") == n_lines
