"""save and load: equal predictions, no code in the file, no damage unnoticed."""

import pickle
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import make_scorer
from sklearn.model_selection import KFold
from torch import nn

import sklearn_sparsenet
from sklearn_sparsenet import (
    MCP,
    BracketSearch,
    OnePassSearch,
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
    load,
    losses,
)
from sklearn_sparsenet.estimators._stored import digest
from sklearn_sparsenet.search import PruningSchedule
from sklearn_sparsenet.utils.tensor_files import dump_tensors, read_tensors
from tests.comparisons import assert_same_arrays, pickled, reloaded, saved
from tests.estimators.tables import classification, fit_case, labels, regression

DATA = Path(__file__).parent.parent / "data"
X, Y = regression()
DIGITS, FIGURES = load_digits(return_X_y=True)
DIGITS, FIGURES = (DIGITS[:300] / 16).astype(np.float32), FIGURES[:300]


def as_frame():
    return pd.DataFrame(X).add_prefix("column "), Y


def one_label():
    return labels()[0], labels()[1][:, 0]


CASES = {
    "regression": (SparseNetRegressor, {}, regression),
    "float32": (
        SparseNetRegressor, {"activation": "gelu"}, lambda: regression(dtype=np.float32)
    ),
    "outputs": (SparseNetRegressor, {"activation": "elu"}, lambda: regression(3)),
    "frame": (SparseNetRegressor, {"target_sparsity": {"0.*": 20, "*": 0.5}}, as_frame),
    "two classes": (SparseNetClassifier, {}, lambda: classification(2)),
    "classes": (
        SparseNetClassifier,
        {},
        lambda: (classification(4)[0], classification(4)[1].astype(object)),
    ),
    "labels": (SparseNetClassifier, {"activation": "softplus"}, labels),
    "dates": (
        SparseNetClassifier,
        {},
        lambda: (one_label()[0], np.datetime64("2024-01-01") + one_label()[1]),
    ),
    "numbers of NumPy": (
        SparseNetClassifier,
        {"class_weight": {np.int64(0): 1, np.int64(1): np.float32(2)},
         "tol": np.float64(0.1), "target_sparsity": np.array([20, 10, 5])},
        one_label,
    ),
    "objects": (
        SparseNetClassifier,
        {"search": BracketSearch(rule="median"), "penalty": MCP(2.5), "tol": 0.5,
         "loss": losses.OneBit(0.2)},
        lambda: classification(2),
    ),
    "per layer": (
        SparseNetClassifier,
        {"target_sparsity": [60, 30, 12], "class_weight": {"class 1": 2.0}},
        lambda: classification(3),
    ),
    "chosen": (
        SparseNetClassifierCV, {"target_sparsities": [60, 40], "cv": 2, "max_iter": 3},
        lambda: classification(3),
    ),
    "lbfgs": (
        SparseNetRegressor, {"solver": "lbfgs", "activation": "tanh", "max_iter": 50},
        regression,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    settings = {"target_sparsity": 60, "max_iter": 10, "max_outer_iter": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit_case(CASES[request.param], (25, 20), **settings)


def quick(**settings):
    settings = {"max_iter": 5, "random_state": 0, **settings}
    if "module" not in settings:
        settings = {"hidden_layer_sizes": (5,), **settings}
    return SparseNetRegressor(**settings)


@pytest.fixture(scope="module")
def net():
    return quick().fit(X, Y)


def assert_same(ours, theirs, X):
    assert type(ours) is type(theirs)
    assert_array_equal(ours.predict(X), theirs.predict(X))
    if hasattr(theirs, "predict_proba"):
        assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
    for name, value in vars(theirs).items():
        if name in ("module_", "_route_"):
            continue
        got = getattr(ours, name)
        assert type(got) is type(value), name
        if isinstance(value, np.ndarray):
            assert got.dtype == value.dtype
            assert_array_equal(got, value)
        elif not isinstance(value, list):
            assert repr(got) == repr(value), name
        if not isinstance(value, (list, dict, np.ndarray)):
            assert got == value, name
    assert_same_arrays(ours.penalized_coefs_, theirs.penalized_coefs_)
    assert list(ours.search_history_) == list(theirs.search_history_)


@pytest.mark.parametrize(
    "change", [lambda net: net, lambda net: net.compact().sparsify()]
)
def test_everything_comes_back(fitted, change, tmp_path):
    net, X = fitted
    net = change(pickled(net))
    net.save(tmp_path / "net.safetensors")
    assert_same(load(str(tmp_path / "net.safetensors")), net, X)


def test_a_loaded_network_can_be_used_as_any_other():
    net = quick(hidden_layer_sizes=(20,), target_sparsity=30).fit(X, Y)
    assert reloaded(net).set_params(warm_start=True).fit(X, Y).n_nonzero_ == 30
    assert reloaded(net).compact().n_live_ == 30
    assert all(p.requires_grad for p in reloaded(net).module_.parameters())


def build(n_features, n_outputs):
    return nn.Sequential(
        nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_outputs)
    )


class Own(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.inner = nn.Linear(n_features, 8)
        self.outer = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))


@pytest.mark.parametrize("module", [Own, Own(20, 1)])
def test_other_modules_are_loaded_into_the_same_one(module):
    net = quick(module=module, target_sparsity=40).fit(X, Y)
    with pytest.raises(ValueError, match="load\\(path, module="):
        reloaded(net)
    with pytest.raises(ValueError, match="not those of this network"):
        reloaded(net, module=build)
    again = reloaded(net, module=module)
    assert_array_equal(again.predict(X), net.predict(X))
    assert again.module is module


def test_well_known_layers_need_no_module():
    images, y = DIGITS[:100].reshape(-1, 1, 8, 8).astype(float), FIGURES[:100]
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(54, 10),
    )  # fmt: skip
    net = SparseNetClassifier(module=module, target_sparsity=100, max_iter=2)
    net.set_params(random_state=0).fit(images, y)
    for change in (lambda net: net, lambda net: net.compact()):
        again = reloaded(change(net))
        assert_array_equal(again.predict_proba(images), net.predict_proba(images))
        assert not hasattr(again, "coefs_")
        assert_array_equal(reloaded(again).predict(images), net.predict(images))
    kept = list(map(type, again.set_params(max_iter=1).fit(images, y).module_))
    assert kept == list(map(type, module))


def test_compact_networks_of_other_modules_are_refused_with_advice():
    layers = nn.Softsign(), nn.Linear(20, 15), nn.ReLU(), nn.Linear(15, 1)
    module = nn.Sequential(*layers)
    net = quick(module=module, target_sparsity=20, max_iter=2).fit(X, Y).compact()
    with pytest.raises(ValueError, match="pass the same one"):
        reloaded(net)
    with pytest.raises(ValueError, match=r"save it before compact\(\)"):
        reloaded(net, module=module)
    again = reloaded(net, module=net.module_)
    assert_array_equal(again.predict(X), net.predict(X))


@pytest.mark.parametrize(
    ("dtype", "device"),
    [
        (torch.float32, torch.device("cpu")),
        (np.float32, "cpu"),
        (np.dtype("f8"), "cpu"),
    ],
)
def test_types_and_devices_are_stored_by_name(dtype, device):
    net = quick(dtype=dtype, device=device).fit(X, Y)
    again = reloaded(net)
    assert_array_equal(again.predict(X), net.predict(X))
    assert again.device == "cpu"
    assert_array_equal(again.fit(X, Y).predict(X), net.predict(X))


def test_a_file_of_an_accelerator_is_read_without_one():
    """A fit on it anew is what needs one."""
    net = quick().fit(X, Y)
    again = reloaded(net.set_params(device="cuda:99"))
    assert_array_equal(again.predict(X), net.predict(X))
    with pytest.raises(ValueError, match="device='cuda:99' is not available"):
        again.fit(X, Y)


def my_loss(output, target):
    return (output - target).square().reshape(len(output), -1).sum(1)


class MyLoss(losses.SquaredError):
    pass


class MyPenalty(MCP):
    pass


@pytest.mark.parametrize(
    ("name", "value"), [("loss", my_loss), ("penalty", MyPenalty(3.0))]
)
@pytest.mark.parametrize("kind", [SparseNetRegressor, SparseNetClassifier])
def test_what_predictions_do_not_need_is_no_reason_to_refuse(kind, name, value):
    y = Y > 0 if kind is SparseNetClassifier else Y / 100
    net = kind((5,), max_iter=2, random_state=0, **{name: value}).fit(X, y)
    again = reloaded(net)
    assert_array_equal(again.predict(X), net.predict(X))
    assert getattr(again, name) is None
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        again.fit(X, y)
    assert saved(again) == saved(net)
    again.set_params(**{name: value}).fit(X, y)


def test_what_is_not_kept_and_changes_the_score_is_told():
    scorer = make_scorer(lambda y, found: 1.0)
    settings = {"target_sparsities": [20], "cv": 2, "max_iter": 5, "scoring": scorer}
    net = SparseNetRegressorCV((5,), random_state=0, **settings).fit(X, Y)
    with pytest.warns(UserWarning, match="scoring=.* is not kept"):
        content = saved(net)
    assert load(BytesIO(content)).score(X, Y) < 1


def test_code_that_predicts_is_refused_by_name(net, tmp_path):
    own = type("Own", (SparseNetRegressor,), {})((5,), max_iter=2).fit(X, Y)
    wrong = pickled(net).set_params(tol=-1.0)
    for bad, error, message in (
        (quick(loss=MyLoss()).fit(X, Y), TypeError, r"loss=.* by code of your own"),
        (own, TypeError, "Own is a class of your own"),
        (SparseNetRegressor(), ValueError, "not fitted"),
        (wrong, ValueError, "'tol' parameter"),
    ):
        with pytest.raises(error, match=message):
            bad.save(tmp_path / "net")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "not written by save"),
        ({"format": "sklearn_sparsenet", "format_version": "99"}, "version '99'"),
    ],
)
def test_files_of_others_and_other_versions_are_refused(metadata, message, tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"a": np.zeros(3)}, tmp_path / "net", metadata=metadata)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "net")


def test_damaged_files_are_refused_or_harmless(tmp_path):
    """1000 files, cut off or with a bit that is not as it was."""
    X, y = classification(3)
    net = SparseNetClassifier((10,), target_sparsity=30, max_iter=3, random_state=0)
    whole, expected = saved(net.fit(X, y)), net.predict_proba(X)
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(1000):
        content = bytearray(whole)
        if number % 4 == 0:
            del content[rng.integers(len(whole)) :]
        else:
            content[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        (tmp_path / "net").write_bytes(content)
        try:
            again = load(tmp_path / "net")
        except ValueError:
            refused += 1
        else:
            assert_array_equal(again.predict_proba(X), expected)
    assert refused > 950


def test_numbers_and_names_of_numpy_are_what_they_were():
    net = quick(
        activation=np.str_("tanh"), target_sparsity=np.int64(20), tol=np.float32(0),
        max_iter=np.int64(5), shuffle=np.bool_(True), random_state=np.int64(3),
        hidden_layer_sizes=np.array([5], dtype=object),
        alpha_bounds=np.array([1e-7, 1e-2]),
    ).fit(X, Y)  # fmt: skip
    again = reloaded(net)
    assert (again.target_sparsity, again.tol) == (20, 0)
    assert np.ndim(again.target_sparsity) == np.ndim(again.tol) == 0
    assert again.activation == "tanh"
    assert again.random_state == 3
    assert_array_equal(again.fit(X, Y).predict(X), net.predict(X))
    assert again.n_nonzero_ == 20


@pytest.mark.parametrize("cv", [KFold(2), list(KFold(2).split(np.zeros(120)))])
def test_splits_are_not_stored(cv):
    net = SparseNetRegressorCV((5,), target_sparsities=range(10, 30, 10), cv=cv)
    again = reloaded(net.set_params(max_iter=5).fit(X, Y))
    assert again.cv is None
    assert again.target_sparsities == [10, 20]
    assert_array_equal(again.test_scores_, net.test_scores_)


def test_a_directory_that_is_not_there_is_told(net, tmp_path):
    with pytest.raises(FileNotFoundError, match="no directory"):
        net.save(tmp_path / "not there" / "file")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_what_the_version_before_wrote_is_read():
    """Its modules had other names, of which pickles remember some."""
    path = DATA / "classifier_before_the_rooms"
    old, expected = pickle.loads(path.with_suffix(".pickle").read_bytes())
    for net in (old, load(path.with_suffix(".safetensors"))):
        found = net.predict_proba(load_iris().data[::10])
        assert_allclose(found, expected, rtol=1e-6)
        assert net.target_inputs_ is None  # inputs could not be chosen
        assert net.target_inputs_grid_ == [None] * len(net.target_sparsities_)
        assert net.n_inputs_.shape == net.n_nonzeros_.shape
    assert old.penalty == MCP(3.0)
    assert old.search.plateau_fraction == 0.6


def test_errors_are_where_they_were():
    from sklearn_sparsenet.exceptions import DataScaleWarning

    assert DataScaleWarning is sklearn_sparsenet.DataScaleWarning


def test_names_of_before_are_read():
    """A file may call an object what its class was called once."""
    schedule = PruningSchedule(0.1, 0.5, 0.6)
    net = quick(search=OnePassSearch(schedule=schedule), max_iter=40).fit(X, Y)
    metadata, arrays = read_tensors(BytesIO(saved(net)))
    text = metadata["document"]
    assert '"PruningSchedule"' in text
    metadata["document"] = text.replace('"PruningSchedule"', '"Stages"')
    metadata["sha256"] = digest(metadata["document"], arrays)
    file = BytesIO(dump_tensors(arrays, metadata))
    assert load(file).search.schedule == schedule
