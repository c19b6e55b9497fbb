"""What `verbose` prints: a table of few lines that is true, and changes no fit."""

import re
import sys
from io import BytesIO, TextIOWrapper

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetRegressor,
    SparseNetRegressorCV,
    sparsenet_path,
)
from sklearn_sparsenet.estimators._log import FitLog
from sklearn_sparsenet.solvers.run import Run
from tests.comparisons import same_network
from tests.estimators.test_data_parallel import fit_together


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


def table(text):
    """Return the rows below the names of the columns, by these names."""
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    start = next(i for i, line in enumerate(lines) if line.startswith("stage"))
    ends = [match.end() for match in re.finditer(r"\S+", lines[start])]
    rows = []
    for line in lines[start + 1 :]:
        if line.split()[0] not in ("train", "solve", "start", "refit"):
            break
        cells = [line[a:b].strip() for a, b in zip([0, *ends], ends, strict=False)]
        rows.append(dict(zip(lines[start].split(), cells, strict=True)))
        assert line == line.rstrip()
        assert len(line) == len(lines[start])  # columns are aligned
    return rows, lines[start + 1 + len(rows) :]


def number(text):
    return float(text.replace(",", ""))


KINDS = {
    "one pass": {"target_sparsity": 20},
    "early": {"target_sparsity": 20, "early_stopping": True, "batch_size": 64},
    "per layer": {"target_sparsity": [15, 5]},
    "inputs": {"target_sparsity": None, "target_inputs": 5, "target_units": 4},
    "bracket": {"target_sparsity": 20, "search": "bracket", "tol": 0.1},
    "fixed": {"alpha": 0.05},
    "lbfgs": {"target_sparsity": 20, "solver": "lbfgs", "tol": 0.5, "max_iter": 3},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_is_the_same_to_the_last_bit(kind, diabetes, capsys):
    settings = {"max_iter": 40, "random_state": 0, **KINDS[kind]}
    fits, texts = [], []
    for verbose in (0, 1, 2):
        net = SparseNetRegressor((8,), "tanh", verbose=verbose, **settings)
        fits.append(net.fit(*diabetes))
        printed = capsys.readouterr()
        assert printed.err == ""
        texts.append(printed.out)
    assert texts[0] == ""
    assert len(texts[2].splitlines()) >= len(texts[1].splitlines())
    for other in fits[1:]:
        assert same_network(fits[0], other)
    rows, (summary, *_) = table(texts[1])
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    per_layer = fits[0].n_nonzero_per_layer_.tolist()
    kept = " + ".join(map(str, per_layer)) if kind == "per layer" else sum(per_layer)
    assert summary.startswith(f"{kept} weights")


@pytest.mark.parametrize("max_iter", [1, 7, 300])
@pytest.mark.parametrize("kind", ["one pass", "early", "bracket", "fixed"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_fit_has_about_twenty_lines_whatever_its_length(
    kind, max_iter, diabetes, capsys
):
    X, y = diabetes
    settings = {"max_iter": max_iter, "verbose": 1, "random_state": 0}
    SparseNetRegressor((2,), **settings | KINDS[kind]).fit(X[:40], y[:40])
    lines = capsys.readouterr().out.splitlines()
    assert 4 <= len(lines) <= 25


def test_rows_tell_the_weights_that_are_left(digits, capsys):
    settings = {"target_sparsity": 100, "max_iter": 50, "random_state": 0}
    net = SparseNetClassifier((16,), verbose=1, **settings).fit(*digits)
    rows, (summary, *_) = table(capsys.readouterr().out)
    history, n_weights = net.narrowing_history_, sum(c.size for c in net.coefs_)
    trained = [row for row in rows if row["stage"] == "train"]
    assert [int(row["epoch"]) for row in trained] == [5, 10, 15, 20, 25, 30, 35, 40, 45]
    counts = []
    for row in trained:
        before = history["n_nonzero"][history["epoch"] < int(row["epoch"]), 0]
        counts.append(before[-1] if len(before) else n_weights)
    assert [number(row["weights"]) for row in trained] == counts
    assert counts[0] > counts[1] > counts[-1] == 100
    (solved,) = (row for row in rows if row["stage"] == "solve")
    assert solved["alpha"] == f"{net.alpha_:.3g}"
    assert solved["loss"] == f"{net.loss_:.4g}"
    score = f"{net.score(*digits):.4f}"
    assert summary.startswith(f"100 weights, 100 asked; training accuracy {score}; ")
    assert summary.endswith("; all epochs done")


def test_rows_tell_validation_scores_and_losses(digits, capsys):
    settings = {"target_sparsity": 100, "max_iter": 20, "random_state": 0}
    settings |= {"early_stopping": True, "n_iter_no_change": 30, "debias": False}
    net = SparseNetClassifier((16,), verbose=2, **settings).fit(*digits)
    rows, (summary, *_) = table(capsys.readouterr().out)
    on_the_way = [row for row in rows if row["stage"] == "train"][:-1]
    assert len(on_the_way) == 17
    for row in on_the_way:
        epoch = int(row["epoch"]) - 1
        assert row["loss"] == f"{net.loss_curve_[epoch]:.4g}"
        assert row["validation"] == f"{net.validation_scores_[epoch]:.4g}"
    assert "; validation accuracy 0." in summary


def test_rows_tell_inputs_and_units(digits, capsys):
    settings = {"target_sparsity": None, "target_inputs": 20, "target_units": [9, 6]}
    net = SparseNetClassifier((16, 8), verbose=1, max_iter=40, random_state=0)
    net.set_params(**settings).fit(*digits)
    rows, (*lines,) = table(capsys.readouterr().out)
    inputs = [number(row["inputs"]) for row in rows]
    units = [number(row["units"]) for row in rows]
    for counts in (inputs, units):
        assert counts == sorted(counts, reverse=True)
    assert (inputs[0] > 20, units[0]) == (True, 24)
    assert (inputs[-1], units[-1]) == (20, 15) == (net.support_.sum(), 9 + 6)
    summary = " ".join(line.strip() for line in lines)
    assert "; 20 inputs, 20 asked; 9 units of hidden layer 1, 9 asked; " in summary


def test_a_bracket_search_has_a_row_for_each_solve(diabetes, capsys):
    settings = {"search": "bracket", "target_sparsity": 20, "max_iter": 20, "tol": 0}
    net = SparseNetRegressor((8,), verbose=1, random_state=0, **settings)
    with pytest.warns(UserWarning, match="asked for 20 weights"):
        net.set_params(max_outer_iter=2, alpha_bounds=(0.02, 0.2)).fit(*diabetes)
    rows, lines = table(capsys.readouterr().out)
    history = net.search_history_
    rows = [row for row in rows if row["alpha"]]
    assert [row["alpha"] for row in rows] == [f"{a:.3g}" for a in history["alpha"]]
    assert [int(row["weights"]) for row in rows] == history["n_nonzero"].tolist()
    summary = " ".join(line.strip() for line in lines)
    assert summary.startswith(f"{net.n_nonzero_} weights, 20 asked; training R² ")
    assert summary.endswith("s; the budget of max_outer_iter=2 solves is spent")


def test_a_path_has_a_line_for_each_target(diabetes, capsys):
    net = SparseNetRegressor((8,), verbose=1, max_iter=20, random_state=0)
    path = sparsenet_path(net, *diabetes, target_sparsities=[60, 40, 9])
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "SparseNetRegressor: 442 rows, 88 weights, 3 networks"
    scores = [f"{score:.4f}" for score in path.train_scores]
    assert [line.split("; ")[:2] for line in lines] == [
        ["1/3 60 weights, 60 asked", f"training R² {scores[0]}"],
        ["2/3 40 weights, 40 asked", f"training R² {scores[1]}"],
        ["3/3  9 weights,  9 asked", f"training R² {scores[2]}"],
    ]


def test_lines_of_folds_begin_with_their_names(diabetes, capsys):
    settings = {"target_sparsities": [30, 20], "max_iter": 20, "random_state": 0}
    SparseNetRegressorCV((8,), cv=2, verbose=2, **settings).fit(*diabetes)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    refit = lines.index("SparseNetRegressor: 442 rows, 88 weights")
    table("\n".join(lines[refit:]))
    for fold in (1, 2):
        part = [line for line in lines[:refit] if line.startswith(f"fold {fold} ")]
        title, names, *rows = part
        what = "SparseNetRegressor: 221 rows, 88 weights, 2 networks"
        assert title == f"fold {fold} {what}"
        assert names.startswith(f"fold {fold}     stage  epoch ")
        found = [row for row in rows if "asked;" in row]
        for row, at in zip(found, ("1/2 30", "2/2 20"), strict=True):
            assert row.startswith(f"fold {fold} {at} weights, ")
        others = [row for row in rows if row not in found]
        assert len(others) > 4
        assert {len(row) for row in others} == {len(names)}
    assert len(lines[:refit]) == sum(line.startswith("fold ") for line in lines)


def test_of_processes_that_share_a_fit_one_prints(diabetes, capsys):
    net = SparseNetRegressor((4,), verbose=1, max_iter=20, random_state=0)
    fit_together(net.set_params(target_sparsity=20), *diabetes)
    text = capsys.readouterr().out
    assert text.count("SparseNetRegressor: 442 rows, 44 weights\n") == 1
    _, (summary,) = table(text)
    assert "; loss 0." in summary


def test_a_fit_that_prints_nothing_is_not_looked_at(diabetes, monkeypatch, capsys):
    def refuse(*_):
        raise AssertionError

    for name in ("last_loss", "last_score", "support"):
        monkeypatch.setattr(Run, name, property(refuse))
    monkeypatch.setattr(FitLog, "__init__", refuse)
    settings = {"target_sparsity": 20, "max_iter": 20, "random_state": 0}
    SparseNetRegressor((4,), **settings).fit(*diabetes)
    assert capsys.readouterr().out == ""


def test_of_an_epoch_without_a_row_nothing_is_asked(diabetes, monkeypatch, capsys):
    asked, last_loss = [], Run.last_loss
    look = property(lambda run: asked.append(run.epoch) or last_loss.fget(run))
    monkeypatch.setattr(Run, "last_loss", look)
    settings = {"target_sparsity": 20, "max_iter": 200, "random_state": 0}
    SparseNetRegressor((4,), verbose=1, **settings).fit(*diabetes)
    assert asked == [20, 40, 60, 80, 100, 120, 140, 160]
    assert len(table(capsys.readouterr().out)[0]) == len(asked) + 2


def test_a_terminal_without_greek_ends_no_fit(diabetes, monkeypatch):
    stream = TextIOWrapper(BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    SparseNetRegressor((4,), alpha=0.1, verbose=1, max_iter=5).fit(*diabetes)
    assert b"training R? 0." in stream.buffer.getvalue()


def test_a_single_row_has_a_loss_and_no_score(capsys):
    X = np.ones((1, 3))
    net = SparseNetRegressor((), alpha=0.1, verbose=1, max_iter=5, normalize_y=False)
    net.fit(X, X[:, 0])
    assert "; loss " in capsys.readouterr().out
