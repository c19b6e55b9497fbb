"""Values of kinds that nobody thought of: numbers in disguise, and what is none."""

import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sklearn_sparsenet import (
    OnePassSearch,
    ProximalAdam,
    SparseNetClassifier,
    SparseNetRegressor,
    SparseNetRegressorCV,
    losses,
    sparsenet_path,
)
from sklearn_sparsenet.penalties import MCP, FixedSupport, GroupL2, SparseGroupL2
from sklearn_sparsenet.search import ContinuationSearch
from sklearn_sparsenet.search.pruning_schedule import PruningSchedule

X = np.random.default_rng(0).normal(size=(30, 4))
Y = X[:, 0]
BINARY, CLASSES = np.arange(30) % 2, np.arange(30) % 3
LABELS = np.eye(3, dtype=int)[CLASSES]
DATES = np.datetime64("2020-01-01") + np.arange(30)


def refused(settings, one=SparseNetRegressor, X=X, y=Y, **arguments):
    """Return the message of the error, which must be of a plain kind."""
    with pytest.raises((ValueError, TypeError)) as error:
        one(**{"hidden_layer_sizes": (5,), **settings}).fit(X, y, **arguments)
    return str(error.value)


NUMBERS = {
    "tol": {}, "max_outer_iter": {}, "batch_size": {}, "max_iter": {}, "kkt_tol": {},
    "learning_rate_init": {}, "n_iter_no_change": {}, "random_state": {},
    "min_layers_on_target": {"target_sparsity": [3, 3]}, "alpha": {},
    "validation_fraction": {"early_stopping": True}, "target_sparsity": {},
    "alpha_bounds": {"search": "bracket"}, "hidden_layer_sizes": {},
}  # fmt: skip


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value",
    [True, np.True_, "3", b"\x03\x03", np.nan, 1j, 10**400, np.timedelta64(3),
     np.datetime64("2020"), pd.NA, object, ((3, 4), (2, 1)), {3, 4}],
    ids=repr,
)  # fmt: skip
def test_what_is_no_number_is_refused_by_name(name, value):
    assert name in refused({**NUMBERS[name], name: value})


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_layer_sizes": (2.5,), "module": nn.Linear(4, 1)},
        {"hidden_layer_sizes": 10**15},
        {"hidden_layer_sizes": (10**9, 10**9)},
        {"alpha": [True, 1e-3]},
        {"alpha": ["1e-3", "1e-3"]},
        {"alpha": {"*": None}},
        {"alpha": {"*": [1e-3]}},
        {"alpha_bounds": ("1e-7", "1e-2")},
        {"alpha_bounds": {1e-7, 1e-2}},
        {"alpha_bounds": (1e-7, 10**400)},
        {"dtype": np.float32(0.5)},
        {"dtype": pd.Series([1.0])},
        {"device": "cpu:99"},
        {"device": torch.device("cpu", 1)},
        {"device": "meta"},
        {"device": "hpu"},
        {"search": OnePassSearch(), "solver": "lbfgs"},
        {"search": ContinuationSearch()},
        {"search": "continuation"},
        {"penalty": FixedSupport(torch.ones(3, dtype=torch.bool))},
        {"module": int},
        {"module": lambda: None},
        {"validation_fraction": 0.999, "early_stopping": True},
        {"loss": type("Half", (), {"per_sample": None})()},
        {"loss": nn.MSELoss()},
        {"loss": losses.CrossEntropy()},
        {"loss": losses.CustomLoss(lambda o, t: o - t, link=lambda o: 3)},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_gets_nowhere_is_refused_by_name(settings):
    assert next(iter(settings)) in refused(settings)


@pytest.mark.parametrize("dtype", ["2f8", "(2,)f4"])
def test_the_text_of_a_dtype_is_not_parsed_as_python(dtype, monkeypatch):
    """It may come from a file."""

    def parse(text):
        raise AssertionError(f"parsed {text!r}")

    monkeypatch.setattr("ast.literal_eval", parse)
    assert "dtype" in refused({"dtype": dtype})


def test_memory_is_asked_for_first():
    message = refused({"hidden_layer_sizes": (10**15,)})
    assert "5000000000000000 weights" in message
    assert "160000000000000000 bytes" in message


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("loss", "accepting"),
    [
        (losses.SquaredError(), {"real"}),
        (losses.Huber(), {"real"}),
        (losses.Poisson(), {"real"}),
        (losses.LogLoss(), {"real", "binary", "labels"}),
        (losses.OneBit(), {"real", "binary", "labels"}),
        (losses.CrossEntropy(), {"classes"}),
        (nn.BCEWithLogitsLoss(reduction="none"), {"real", "two", "binary", "labels"}),
        (nn.CrossEntropyLoss(reduction="none"), {"classes", "two", "labels"}),
    ],
    ids=lambda value: None if isinstance(value, set) else type(value).__name__,
)
def test_losses_are_for_their_targets(loss, accepting):
    shares = 1 / (1 + np.exp(-Y))
    cases = {
        "real": (SparseNetRegressor, shares),
        "two": (SparseNetRegressor, np.column_stack([Y, Y])),
        "binary": (SparseNetClassifier, BINARY),
        "classes": (SparseNetClassifier, CLASSES),
        "labels": (SparseNetClassifier, LABELS),
    }
    if accepting == {"real"}:
        cases["two"] = (SparseNetRegressor, np.column_stack([shares, shares]))
        accepting = {"real", "two"}
    for name, (one, y) in cases.items():
        if name in accepting:
            with pytest.raises(AssertionError, match="training began"):
                one((5,), loss=loss).fit(X, y)
        else:
            message = refused({"loss": loss}, one, y=y)
            assert "loss=" in message or "need y between" in message, name


@pytest.mark.usefixtures("no_training")
def test_losses_predict_as_many_outputs_as_there_are():
    emission = losses.PoissonEmission((1.0, 2.0))
    assert "loss=" in refused({"loss": emission}, y=np.abs(Y))


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("one", [SparseNetRegressor, SparseNetClassifier])
@pytest.mark.parametrize(
    "values",
    [
        np.column_stack([DATES, DATES]),
        np.column_stack([DATES, DATES]) - DATES[0],
        pd.DataFrame({"a": DATES.astype("datetime64[ns]"), "b": Y}),
        pd.DataFrame({"a": pd.period_range("2020", periods=30), "b": Y}),
        pd.DataFrame({"a": pd.Categorical(["x"] * 30), "b": Y}),
        np.array([["a", 1.0]] * 30, dtype=object),
        np.array([[10**400, 1]] * 30, dtype=object),
        X + 0j,
        [[1, 2], [3]] * 15,
        "abc",
        None,
    ],
)
def test_inputs_that_are_no_numbers_are_refused_as_x(one, values):
    assert "X" in refused({}, one, X=values, y=BINARY)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    "values",
    [DATES, DATES - DATES[0], ["a", "b"] * 15, Y + 0j, [[1], [1, 2]] * 15, 3, None],
)
def test_targets_that_are_no_numbers_are_refused_as_y(values):
    assert "y" in refused({}, y=values)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("values", [["a", None] * 15, ["a", 1] * 15, [b"a", b"b"] * 15])
def test_labels_that_cannot_be_sorted_are_refused_as_y(values):
    message = refused({}, SparseNetClassifier, y=np.array(values, dtype=object))
    assert "y" in message.split()[0] or "bytes" in message


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("weight", ["abc", ["a"] * 30, DATES, np.nan, {}, Y + 0j])
def test_weights_that_are_no_numbers_are_refused(weight):
    assert "sample_weight" in refused({}, sample_weight=weight)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    "weight",
    [{0: "a"}, {0: -1.0}, {0: np.inf}, {0: np.nan}, {0: None}, {7: 1}, {0: 0, 1: 0}],
)
def test_class_weights_that_cannot_be_are_refused(weight):
    message = refused({"class_weight": weight}, SparseNetClassifier, y=BINARY)
    assert "class_weight" in message


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (MCP, "gamma"),
        (GroupL2, "dim"),
        (lambda value: GroupL2(size_weighted=[value]), "size_weighted"),
        (SparseGroupL2, "l1_ratio"),
        (losses.Huber, "delta"),
        (losses.OneBit, "flip_rate"),
        (losses.PoissonEmission, "background"),
        (lambda value: losses.PoissonEmission(1.0, value), "floor"),
        (lambda value: OnePassSearch(plateau_fraction=value), "plateau_fraction"),
        (lambda value: OnePassSearch(solve_fraction=value), "solve_fraction"),
        (lambda value: OnePassSearch(solve_lr_scale=value), "solve_lr_scale"),
        (lambda value: OnePassSearch(schedule=value), "schedule"),
        (lambda value: PruningSchedule(value, 0.5, 0.6), "begin"),
        (FixedSupport, "support"),
        (losses.CustomLoss, "function"),
        (lambda value: ProximalAdam([torch.zeros(1)], lr=value), "lr"),
        (lambda value: ProximalAdam([torch.zeros(1)], alpha=value), "alpha"),
        (lambda value: ProximalAdam([torch.zeros(1)], eps=value), "eps"),
        (lambda value: ProximalAdam([torch.zeros(1)], betas=(0.9, value)), "betas"),
        (lambda value: ProximalAdam([{"params": [torch.zeros(1)], "lr": value}]), "lr"),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf, -1, True, "3", 1j, b"x"], ids=repr)
def test_objects_refuse_what_is_no_number(make, name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        make(value)


def test_numbers_of_objects_become_plain():
    assert (
        repr(MCP(np.float32(0.5))) == repr(MCP(torch.tensor(0.5))) == "MCP(gamma=0.5)"
    )
    background = losses.PoissonEmission(np.array([1.0, 2.0])).background
    assert background == (1.0, 2.0)
    assert hash(losses.Huber(np.float64(2))) == hash(losses.Huber(2.0))


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ({"hidden_layer_sizes": np.array([5])}, {"hidden_layer_sizes": (5,)}),
        ({"hidden_layer_sizes": np.int8(5)}, {"hidden_layer_sizes": 5}),
        ({"target_sparsity": np.array([9, 3])}, {"target_sparsity": [9, 3]}),
        ({"target_sparsity": torch.tensor([9, 3])}, {"target_sparsity": [9, 3]}),
        ({"target_sparsity": np.array(12)}, {"target_sparsity": 12}),
        ({"target_sparsity": Fraction(1, 2)}, {"target_sparsity": 0.5}),
        ({"alpha": np.array([1e-3, 2e-3])}, {"alpha": [1e-3, 2e-3]}),
        ({"alpha": np.array(1e-3)}, {"alpha": 1e-3}),
        (
            {"max_iter": np.array(9), "batch_size": np.int16(8)},
            {"max_iter": 9, "batch_size": 8},
        ),
        ({"learning_rate_init": np.float32(0.5)}, {"learning_rate_init": 0.5}),
        ({"random_state": np.array(0), "kkt_tol": np.array(0.1)}, {"kkt_tol": 0.1}),
        (
            {"search": "bracket", "tol": np.float16(0.5), "max_outer_iter": np.uint8(3),
             "alpha_bounds": np.array([1e-6, 0.5])},
            {"search": "bracket", "tol": 0.5, "max_outer_iter": 3,
             "alpha_bounds": (1e-6, 0.5)},
        ),
        (
            {"early_stopping": np.True_, "validation_fraction": np.array(0.25),
             "n_iter_no_change": np.int64(2)},
            {"early_stopping": True, "validation_fraction": 0.25,
             "n_iter_no_change": 2},
        ),
    ],
    ids=repr,
)  # fmt: skip
def test_numbers_in_disguise_fit_the_same_network(disguised, plain):
    fits = []
    for settings in (disguised, plain):
        common = {"hidden_layer_sizes": (5,), "max_iter": 12, "random_state": 0}
        net = clone(SparseNetRegressor(**{**common, **settings}))
        assert "SparseNetRegressor(" in repr(net)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # so few steps
            fits.append(net.fit(X, Y).predict(X))
    np.testing.assert_array_equal(*fits)


def test_grids_of_paths_and_folds():
    net = SparseNetRegressor((3,), max_iter=5, random_state=0)
    same = [
        sparsenet_path(net, X, Y, target_sparsities=grid).n_nonzeros.tolist()
        for grid in (2, np.array(2), np.int64(2))
    ]
    assert same[0] == same[1] == same[2]
    cv = SparseNetRegressorCV((3,), max_iter=5, random_state=0)
    for value in (True, 0, -1, 2.5, "3", [], {3: 4}, np.nan):
        with pytest.raises((ValueError, TypeError), match="target_sparsities"):
            sparsenet_path(net, X, Y, target_sparsities=value)
        with pytest.raises((ValueError, TypeError), match="target_sparsities"):
            cv.set_params(target_sparsities=value).fit(X, Y)
    cv.set_params(target_sparsities=2)
    for name, value in (("cv", 1), ("cv", [([0, 99], [1])]), ("n_jobs", True)):
        with pytest.raises((ValueError, TypeError), match=name):
            clone(cv).set_params(**{name: value}).fit(X, Y)
    for alphas in ("x", ["1e-3"], [[1e-3]], [True], [np.nan], [-1], []):
        with pytest.raises(ValueError, match="alphas"):
            sparsenet_path(net, X, Y, alphas=alphas)
    with pytest.raises(ValueError, match="sample_weight_test"):
        sparsenet_path(net, X, Y, sample_weight_test=np.ones(30))
