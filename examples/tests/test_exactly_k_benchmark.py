"""Selectors return exactly k inputs, judges see nothing else, and bars are computed."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks import exactly_k, exactly_k_tables
from benchmarks.input_problems import COUNTS, INPUT_PROBLEMS, some_rows
from benchmarks.problems import Data, Problem
from benchmarks.selectors import (
    SELECTORS,
    group_lasso,
    lassonet,
    ours,
    stochastic_gates,
)
from benchmarks.selectors.base import select_from_path

TRUE = {0, 1, 2}
COUNTED = (2, 3, 5)


def make_data(n_classes):
    """Return 8 columns; the first 3 matter."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 8)).astype(np.float32)
    signal = X[:, :3] @ np.float32([1, -1, 1])
    y = signal / signal.std()
    if n_classes:
        y = np.digitize(signal, np.quantile(signal, [0.35, 0.65][: n_classes - 1]))
    return Data(X[:500], y[:500], X[500:], y[500:], (6,), n_classes)


@pytest.fixture
def _quick(monkeypatch):
    monkeypatch.setattr(group_lasso, "DENSE_STEPS", 100)
    monkeypatch.setattr(group_lasso, "DENSE_RATE", 1e-2)
    monkeypatch.setattr(group_lasso, "MULTIPLIER", 2.0)
    monkeypatch.setattr(group_lasso, "REFIT_STEPS", 50)
    monkeypatch.setattr(stochastic_gates, "REFIT_STEPS", 50)
    monkeypatch.setattr(ours, "N_WEIGHTS", 12)
    monkeypatch.setattr(lassonet, "MULTIPLIER", 1.5)
    monkeypatch.setattr(stochastic_gates, "STEPS", 200)
    monkeypatch.setattr(stochastic_gates, "ALPHAS", (0.01, 0.1))


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("method", SELECTORS)
def test_selectors_return_exactly_k_inputs_and_find_the_truth(method, n_classes):
    if reason := SELECTORS[method].missing():
        pytest.skip(reason)
    data = make_data(n_classes)
    found = SELECTORS[method].select(data, COUNTED, 0)
    for k, selection in zip(COUNTED, found, strict=True):
        assert len(set(selection.chosen.tolist())) == len(selection.chosen) == k
        assert selection.seconds >= 0
        assert selection.error is None or selection.error < 1.2
        if method != "random":
            chosen = set(selection.chosen.tolist())
            assert len(chosen & TRUE) == min(k, 3), method


def test_the_draw_is_worse_than_the_truth(monkeypatch):
    monkeypatch.setattr(exactly_k, "TRUTH", {"digits": tuple(TRUE)})
    data = make_data(2)

    def errors(method):
        job = exactly_k.Job("digits", method, (3,), 1)
        return exactly_k.measure(job, data)["cells"][0]

    truth, draw = errors(exactly_k.REFERENCE), errors("random")
    assert truth["true"] == 3 > draw["true"]
    assert all(truth[name] < draw[name] for name in exactly_k.JUDGES)


def test_a_path_is_read_where_it_is_sparsest_with_enough_inputs():
    path = [
        np.array([4.0, 3, 2, 1]),
        np.array([0, 3.0, 0, 4]),
        np.array([0, 0, 0, 1.0]),
    ]
    found = select_from_path(path, [1, 2, 3], [1, 2, 3], lambda at, chosen: float(at))
    assert [list(each.chosen) for each in found] == [[3], [3, 1], [0, 1, 2]]
    assert [each.n_own for each in found] == [1, 2, 4]
    assert [each.seconds for each in found] == [3, 2, 1]
    assert [each.error for each in found] == [2, 1, 0]


def test_a_path_without_enough_inputs_is_filled_up():
    found = select_from_path([np.array([0.0, 0, 2]), np.zeros(3)], [1, 2], [2])
    assert list(found[0].chosen) == [2, 0]
    assert found[0].n_own == 1


def test_columns_shrink_by_their_norms():
    weight = torch.tensor([[3.0, 0.3, 0.0], [4.0, 0.4, 0.0]])
    group_lasso.shrink_columns(weight, 1.0)
    expected = torch.tensor([[2.4, 0.0, 0.0], [3.2, 0.0, 0.0]])
    torch.testing.assert_close(weight, expected)


def test_gates_have_the_gradient_of_the_penalty():
    gates = stochastic_gates.Gates(3, 0.7, torch.Generator().manual_seed(0))
    with torch.no_grad():
        gates.mu.copy_(torch.tensor([-0.2, 0.0, 0.6]))
    (gates.mu * 0).sum().backward()
    mu = gates.mu.detach().clone().requires_grad_()
    normal = torch.distributions.Normal(0, stochastic_gates.SIGMA)
    (0.7 * normal.cdf(mu).sum()).backward()
    torch.testing.assert_close(gates.mu.grad, mu.grad)


def test_ours_takes_the_inputs_in_use_first(monkeypatch):
    given = {}

    def network(hidden, **settings):
        given.update(settings)
        return SimpleNamespace(
            feature_importances_=np.array([0.0, 0.9, 0.1, 0.0]),
            support_=np.array([False, True, True, False]),
            fit=lambda X, y: None,
            predict=lambda X: np.zeros(len(X)),
        )

    monkeypatch.setattr(ours, "SparseNetClassifier", network)
    data = make_data(2)
    (found,) = ours.select(data, (2,), 3)
    assert given == {"target_inputs": 2, "target_sparsity": None, "random_state": 3}
    assert list(found.chosen) == [1, 2]
    assert found.n_own == 2
    ours.select_with_weights(data, (2,), 3)
    assert given["target_sparsity"] == ours.N_WEIGHTS


def test_jobs_say_what_is_left_out(capsys, monkeypatch):
    monkeypatch.setattr(exactly_k, "SELECTORS", {"gone": SELECTORS["lassonet"]})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert exactly_k.jobs(["digits"], ["gone"], [0]) == []
    assert "skipped gone: lassonet is not installed" in capsys.readouterr().out
    truth = exactly_k.jobs(["digits", "madelon"], [exactly_k.REFERENCE], [0])
    assert [job.problem for job in truth] == ["madelon"]


def test_the_seed_draws_rows():
    assert COUNTS.keys() == INPUT_PROBLEMS.keys() == exactly_k_tables.TITLES.keys()
    rows = np.arange(40)[:, None]
    whole = Problem(lambda *_: ((rows, rows[:, 0]), (rows, rows[:, 0])), scale="none")
    some = some_rows(whole, 10)
    first, again, other = (some.load(Path(), seed) for seed in (0, 0, 1))
    assert len(first.X_train) == 10
    assert len(first.X_test) == 40
    assert np.array_equal(first.X_train, again.X_train)
    assert not np.array_equal(first.X_train, other.X_train)


def cell(method, problem, k, error, seconds=1.0, true=None, seed=0):
    judged = dict.fromkeys([*exactly_k.JUDGES, "own"], error)
    job = {"problem": problem, "method": method, "k": k, "seed": seed}
    return {**job, "n_own": k, "true": true, "seconds": seconds, **judged}


def make_cells(error):
    problem = "madelon"
    found = []
    for k in COUNTS[problem]:
        found.append(cell("trees", problem, k, 0.1, 5.0, 20))
        found.append(cell("lassonet", problem, k, 0.2, 100.0, 15))
        found += [cell("ours", problem, k, error, 4.0, 19, seed) for seed in range(3)]
    return found


def met(text, what):
    (row,) = (line for line in text.splitlines() if what in line)
    return row.split(" | ")[2]


def test_bars_are_computed_from_the_medians():
    text = exactly_k_tables.page(make_cells(0.102))
    assert met(text, "madelon, SVM") == "met"
    assert met(text, "madelon, k = 100") == "met"
    assert met(text, "madelon, k = 20: recall") == "met"
    assert met(text, "madelon: a 20th of LassoNet's time") == "met"
    assert met(text, "pumadyn, k = 4: the four") == "–"
    assert "| SVM | RFE, trees | **90.0**" in text
    assert "| SVM | ours | 89.8 ✓" in text


def test_bars_that_are_missed_say_so():
    text = exactly_k_tables.page(make_cells(0.2))
    assert met(text, "madelon, SVM") == "**not met**"
    assert "0 of 6; furthest +10.0" in text
    assert met(text, "madelon, k = 100") == "**not met**"
    assert "✓" not in text
