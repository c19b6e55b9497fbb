"""Exactly k inputs and u units in use, with and without a target on weights."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.feature_selection import SelectFromModel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from torch import nn

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    input_report,
    load,
    sparsenet_path,
)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return (X - X.mean()) / X.std(), y


def in_use(coefs):
    """Return which inputs, and which units of each layer, lie on paths."""
    reached = [np.ones(len(coefs[0]), bool)]
    for coef in coefs:
        reached.append((reached[-1][:, None] & (coef != 0)).any(0))
    onwards = [np.ones(coefs[-1].shape[1], bool)]
    for coef in reversed(coefs):
        onwards.insert(0, (onwards[0][None] & (coef != 0)).any(1))
    return [a & b for a, b in zip(reached, onwards, strict=True)]


def counts(net):
    return [int(row.sum()) for row in in_use(net.coefs_)]


COMBINATIONS = [
    ((20,), {"target_inputs": 7, "target_sparsity": None}),
    ((20,), {"target_inputs": 1, "target_sparsity": None}),
    ((20,), {"target_inputs": 0.75}),
    ((20,), {"target_inputs": 20, "target_sparsity": 60}),
    ((20,), {"target_units": 3, "target_sparsity": None}),
    ((20,), {"target_units": 0.5, "target_inputs": 9, "target_sparsity": 50}),
    ((15, 12), {"target_units": [4, 6], "target_sparsity": 100}),
    ((15, 12), {"target_units": 8, "target_inputs": 10, "target_sparsity": None}),
    ((15, 12), {"target_units": (3, 2), "target_sparsity": [30, 6, 12]}),
    ((), {"target_inputs": 6, "target_sparsity": None}),
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("hidden", "asked"), COMBINATIONS)
def test_inputs_units_and_weights_are_as_asked(digits, hidden, asked, seed):
    net = SparseNetClassifier(hidden, **asked, max_iter=12, random_state=seed)
    net.fit(*digits)
    found = counts(net)
    assert net.converged_
    inputs, units = asked.get("target_inputs"), asked.get("target_units")
    if inputs is not None:
        goal = inputs if isinstance(inputs, int) else round((1 - inputs) * 64)
        assert found[0] == goal == net.support_.sum()
    if isinstance(units, int):
        assert sum(found[1:-1]) == units
    elif isinstance(units, float):
        assert found[1:-1] == [round((1 - units) * hidden[0])]
    elif units is not None:
        assert found[1:-1] == list(units)
    if isinstance(asked.get("target_sparsity"), int):
        assert net.n_nonzero_ == asked["target_sparsity"] == net.target_n_nonzero_
    if isinstance(asked.get("target_sparsity"), list):
        assert net.n_nonzero_per_layer_.tolist() == asked["target_sparsity"]
    if asked.get("target_sparsity", 0) is None:
        rest = [a * b for a, b in pairwise(found)]
        assert net.n_nonzero_per_layer_.tolist() == rest


def test_a_fraction_of_zeros_is_the_least_one(cancer):
    X, y = cancer
    settings = {"max_iter": 20, "random_state": 0}
    few = SparseNetClassifier((20,), target_inputs=1, **settings).fit(X, y)
    many = SparseNetClassifier((20,), target_inputs=20, **settings).fit(X, y)
    assert few.n_nonzero_ == 20 + 20  # less than a tenth of 620: all there are
    assert many.n_nonzero_ == 62


def test_columns_of_a_group_stay_or_go_together(cancer):
    X, y = cancer
    labels = np.arange(30) // 3
    net = SparseNetClassifier(
        (10,), target_inputs=4, input_groups=labels, target_sparsity=60, max_iter=20
    ).fit(X, y)
    used = net.support_.reshape(10, 3)
    assert (used.all(1) == used.any(1)).all()
    assert used.any(1).sum() == 4


@pytest.mark.parametrize("kept", [["mean fractal dimension", 10], "symmetry error", 3])
def test_columns_that_always_stay_stay(cancer, kept):
    X, y = cancer
    net = SparseNetClassifier(
        (10,), target_inputs=3, always_keep=kept, target_sparsity=None, max_iter=20
    ).fit(X, y)
    asked = [kept] if isinstance(kept, str | int) else kept
    numbers = [X.columns.get_loc(k) if isinstance(k, str) else k for k in asked]
    assert net.support_[numbers].all()
    assert net.support_.sum() == 3


def test_the_inputs_of_a_wide_table_that_say_something_are_found():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 60))
    y = np.tanh(X[:, 7] * 2) + X[:, 20] * X[:, 33] + 0.1 * rng.standard_normal(400)
    net = SparseNetRegressor((40,), target_inputs=3, target_sparsity=None)
    assert net.fit(X, y).support_.nonzero()[0].tolist() == [7, 20, 33]


@pytest.mark.parametrize("hidden", [(30, 9), (20, 5, 7)])
@pytest.mark.parametrize("seed", range(3))
def test_each_layer_keeps_one_of_the_fewest_units(hidden, seed):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 12))
    net = SparseNetRegressor(
        hidden, target_units=len(hidden), target_sparsity=None, max_iter=150,
        random_state=seed,
    ).fit(X, X[:, 0] * X[:, 1] + X[:, 2])  # fmt: skip
    assert counts(net) == [12, *[1] * len(hidden), 1]
    assert net.converged_


def test_a_convolution_has_as_many_channels_as_asked(digits):
    X, y = digits
    module = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        *(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(192, 10)),
    )
    net = SparseNetClassifier(
        module=module, target_units=[3, 5], target_sparsity=None, max_iter=6
    ).fit(X, y)
    first, second, last = (
        net.module_.get_parameter(name).detach().numpy() for name in net.layer_names_
    )
    assert first.any((1, 2, 3)).sum() == 3
    assert second.any((1, 2, 3)).sum() == 5
    assert second.any((0, 2, 3)).sum() == 3
    assert last.reshape(10, 12, 16).any((0, 2)).sum() == 5
    assert net.n_nonzero_ == 3 * 9 + 3 * 5 * 9 + 5 * 16 * 10


class Skipping(nn.Module):
    """A last layer that reads the units of two layers together."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(30, 16), nn.Linear(16, 16)
        self.last = nn.Linear(16, 1)

    def forward(self, x):
        hidden = self.first(x).relu()
        return self.last(hidden + self.second(hidden).relu())


def test_with_a_skip_connection_inputs_and_units_are_as_asked(cancer):
    X, y = cancer
    net = SparseNetClassifier(
        module=Skipping(), target_inputs=4, target_units=[5, 6], target_sparsity=None
    ).fit(X, y)
    first, second, last = (
        net.module_.get_parameter(name).detach().numpy() for name in net.layer_names_
    )
    assert net.converged_
    assert net.support_.sum() == (first != 0).any(0).sum() == 4
    assert (first != 0).any(1).sum() == (second != 0).any(0).sum() == 5
    assert (second != 0).any(1).sum() == 6
    read = (first != 0).any(1) | (second != 0).any(1)
    np.testing.assert_array_equal(last[0] != 0, read)


def test_compacted_the_network_is_the_smaller_dense_one(digits):
    X, y = digits
    net = SparseNetClassifier(
        (30, 20), target_inputs=12, target_units=[6, 5], target_sparsity=None
    ).fit(X, y)
    before = net.predict_proba(X)
    net.compact()
    linear = [m for m in net.module_.modules() if isinstance(m, nn.Linear)]
    shapes = [tuple(layer.weight.shape) for layer in linear]
    assert shapes == [(6, 12), (5, 6), (10, 5)]
    np.testing.assert_allclose(net.predict_proba(X), before, atol=1e-12)


def test_a_selector_keeps_the_inputs_asked_for(cancer):
    X, y = cancer
    net = SparseNetClassifier((10,), target_inputs=5, target_sparsity=None, max_iter=20)
    selector = SelectFromModel(net, importance_getter="support_").fit(X, y)
    assert len(selector.get_feature_names_out()) == 5
    pipeline = make_pipeline(StandardScaler(), selector, StandardScaler())
    assert pipeline.fit_transform(X, y).shape == (len(X), 5)


def test_inputs_behind_dummies_are_told_by_name():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "colour": rng.choice(["red", "green", "blue"], 300),
            "size": rng.normal(size=300),
            "noise": rng.normal(size=300),
        }
    )
    y = (X["colour"] == "red") * 2.0 + X["size"]
    columns = make_column_transformer(
        (OneHotEncoder(), ["colour"]), (StandardScaler(), ["size", "noise"]),
        sparse_threshold=1.0,
    )  # fmt: skip
    net = SparseNetRegressor((10,), target_inputs=2, target_sparsity=None)
    model = make_pipeline(columns, net).fit(X, y)
    names = ["onehotencoder__colour_red", "standardscaler__size"]
    assert sorted(input_report(model)["feature"]) == names
    renamed = input_report(net, ["blue", "green", "red", "size", "noise"])
    assert sorted(renamed["feature"]) == ["red", "size"]


def test_a_report_is_that_of_our_estimators_with_a_name_for_each_input(cancer):
    X, y = cancer
    net = SparseNetClassifier((5,), target_inputs=2, max_iter=9).fit(X, y)
    with pytest.raises(ValueError, match="1 entries for 30 inputs"):
        input_report(net, ["x"])
    with pytest.raises(TypeError, match="not SVC"):
        input_report(make_pipeline(StandardScaler(), SVC()).fit(X, y))


def test_a_path_of_weights_keeps_the_number_of_inputs(cancer):
    X, y = cancer
    net = SparseNetClassifier((10,), target_inputs=8, max_iter=20, random_state=0)
    path = sparsenet_path(net, X, y, target_sparsities=[60, 30, 15])
    assert path.n_nonzeros.tolist() == [60, 30, 15]
    assert [counts(net)[0] for net in path.estimators] == [8, 8, 8]


def test_a_path_of_inputs_has_as_many_at_each_point(cancer):
    X, y = cancer
    net = SparseNetClassifier((10,), target_sparsity=None, max_iter=20, random_state=0)
    path = sparsenet_path(net, X, y, target_inputs=[3, 12, 6])
    assert [counts(net)[0] for net in path.estimators] == [12, 6, 3]
    assert [net.target_inputs for net in path.estimators] == [12, 6, 3]
    assert path.n_nonzeros.tolist() == [130, 70, 40]
    single = clone(path.estimators[0]).fit(X, y)
    np.testing.assert_array_equal(single.coefs_[0], path.estimators[0].coefs_[0])
    supports = [net.support_ for net in path.estimators]
    assert (supports[1] <= supports[0]).all()
    assert (supports[2] <= supports[1]).all()


@pytest.mark.parametrize("weights", [40, 0.9])
def test_a_path_of_inputs_with_as_many_weights_has_fewer_and_fewer(cancer, weights):
    net = SparseNetClassifier(
        (10,), target_sparsity=weights, max_iter=20, random_state=0
    )
    path = sparsenet_path(net, *cancer, target_inputs=[3, 12, 6])
    assert path.n_inputs.tolist() == [12, 6, 3]
    assert len(set(path.n_nonzeros)) == 1


@pytest.mark.parametrize("grid", [[], 3, {"a": 2}])
def test_a_path_of_inputs_needs_a_sequence(cancer, grid):
    with pytest.raises((TypeError, ValueError), match="target_inputs"):
        sparsenet_path(SparseNetClassifier(()), *cancer, target_inputs=grid)


def test_a_grid_of_our_own_has_room_between_the_units(cancer):
    X, y = cancer
    net = SparseNetClassifier((10,), target_inputs=6, max_iter=20, random_state=0)
    path = sparsenet_path(net, X, y, target_sparsities=4)
    assert path.n_nonzeros.tolist() == [70, 32, 15, 7]
    assert path.n_inputs.tolist() == [6, 6, 6, 6]


def test_a_path_has_one_grid(cancer):
    with pytest.raises(ValueError, match="both"):
        sparsenet_path(
            SparseNetClassifier(()), *cancer, target_inputs=[3], alphas=[0.1]
        )


def test_cross_validation_chooses_weights_between_so_many_inputs(cancer):
    X, y = cancer
    net = SparseNetClassifierCV(
        (10,), target_sparsities=[40, 20], target_inputs=6, cv=2, max_iter=20
    ).fit(X, y)
    assert net.support_.sum() == 6
    assert net.n_nonzero_ == net.target_sparsity_


def test_files_keep_what_was_asked_for(cancer, tmp_path):
    X, y = cancer
    net = SparseNetClassifier(
        (10,), target_inputs=4, input_groups=np.arange(30) // 2, always_keep=[0]
    ).fit(X, y)
    net.save(tmp_path / "net")
    again = load(tmp_path / "net")
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert again.target_inputs == 4
    np.testing.assert_array_equal(again.input_groups, net.input_groups)


def test_csr_has_as_many_inputs_as_asked(digits):
    from scipy.sparse import csr_matrix

    X, y = digits
    net = SparseNetClassifier((10,), target_inputs=9, target_sparsity=None, max_iter=9)
    assert net.fit(csr_matrix(X), y).support_.sum() == 9


REFUSED = [
    ({"target_inputs": 31}, "from 1 to 30"),
    ({"target_inputs": 0}, "from 1 to 30"),
    ({"target_inputs": True}, "from 1 to 30"),
    ({"target_inputs": 1.0}, "from 1 to 30"),
    ({"target_units": [3, 4]}, "2 entries"),
    ({"target_units": [11]}, "from 1 to 10"),
    ({"target_inputs": 9, "target_sparsity": 9}, "10 to 100"),
    ({"target_units": 2, "target_inputs": 3, "target_sparsity": 9}, "5 to 8"),
    ({"target_inputs": 2, "always_keep": [0, 1, 2]}, "more than the 2"),
    ({"target_inputs": 2, "always_keep": ["no such"]}, "neither the name"),
    ({"target_inputs": 2, "input_groups": [0, 1]}, "one label for each"),
    ({"always_keep": [0]}, "target_inputs"),
    ({"input_groups": np.zeros(30)}, "target_inputs"),
    ({"target_inputs": 3, "search": "bracket"}, "one_pass"),
    ({"target_inputs": 3, "solver": "lbfgs"}, "one_pass"),
    ({"target_sparsity": None}, "give one"),
]


@pytest.mark.parametrize(("asked", "words"), REFUSED)
def test_what_cannot_be_is_refused(cancer, asked, words):
    net = SparseNetClassifier((10,), **asked)
    with pytest.raises(ValueError, match=words):
        net.fit(*cancer)
    assert not hasattr(net, "module_")


def test_all_layers_must_be_counted(cancer):
    net = SparseNetClassifier((10,), target_units=2, target_sparsity={"0.weight": 0.5})
    with pytest.raises(ValueError, match=r"leaves out \['2.weight'\]"):
        net.fit(*cancer)


def test_a_dict_of_units_is_refused(cancer):
    with pytest.raises(TypeError, match="one for each hidden layer"):
        SparseNetClassifier((10,), target_units={0: 2}).fit(*cancer)


def test_a_linear_network_has_no_units_to_ask_for(cancer):
    with pytest.raises(ValueError, match="hidden layer"):
        SparseNetClassifier((), target_units=2).fit(*cancer)


@pytest.mark.filterwarnings("default:Parameters that change nothing")
def test_with_a_given_alpha_they_change_nothing_and_that_is_said():
    X, y = load_diabetes(return_X_y=True)
    net = SparseNetRegressor(
        (4,), alpha=0.01, target_inputs=3, always_keep=[0], max_iter=30
    )
    with pytest.warns(UserWarning, match=r"target_inputs=3, always_keep=\[0\]"):
        net.fit(X / X.std(0), y)


def test_a_warm_start_may_have_more_inputs_or_fewer(cancer):
    X, y = cancer
    net = SparseNetClassifier(
        (10,), target_inputs=5, target_sparsity=None, max_iter=20, warm_start=True
    ).fit(X, y)
    for k in (9, 2):
        net.set_params(target_inputs=k).fit(X, y)
        assert counts(net)[0] == k == net.support_.sum()
        assert net.n_nonzero_ == 10 * k + 10


def test_early_stopping_keeps_a_network_with_the_inputs_and_units(digits):
    net = SparseNetClassifier(
        (20,), target_inputs=12, target_units=6, early_stopping=True, max_iter=20
    ).fit(*digits)
    assert counts(net)[:2] == [12, 6]
