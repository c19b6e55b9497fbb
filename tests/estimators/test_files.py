"""save and load: equal predictions, no code in the file, no damage unnoticed."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import (
    load_digits,
    load_iris,
    make_classification,
    make_regression,
)
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


def regression(n_targets=1):
    X, y = make_regression(120, 20, n_targets=n_targets, random_state=0)
    return X, y


def classification(n_classes, dtype=str):
    X, y = make_classification(
        150, 20, n_informative=6, n_classes=n_classes, random_state=0
    )
    names = np.array([f"class {label}" for label in y], dtype=dtype)
    return X, names


def as_frame():
    X, y = regression()
    return pd.DataFrame(X, columns=[f"column {j}" for j in range(20)]), y


def labels():
    X, _ = classification(2)
    return X, (X[:, :3] > 0).astype(int)


CASES = {
    "regression": (SparseNetRegressor, {}, regression),
    "float32": (
        SparseNetRegressor,
        {"activation": "gelu"},
        lambda: (regression()[0].astype(np.float32), regression()[1]),
    ),
    "outputs": (SparseNetRegressor, {"activation": "elu"}, lambda: regression(3)),
    "frame": (SparseNetRegressor, {"target_sparsity": {"0.*": 20, "*": 0.5}}, as_frame),
    "two classes": (SparseNetClassifier, {}, lambda: classification(2)),
    "classes": (SparseNetClassifier, {}, lambda: classification(4, object)),
    "labels": (SparseNetClassifier, {"activation": "softplus"}, labels),
    "dates": (
        SparseNetClassifier,
        {},
        lambda: (classification(2)[0], np.datetime64("2024-01-01") + labels()[1][:, 0]),
    ),
    "numbers of NumPy": (
        SparseNetClassifier,
        {"class_weight": {np.int64(0): 1, np.int64(1): np.float32(2)},
         "tol": np.float64(0.1), "target_sparsity": np.array([20, 10, 5])},
        lambda: (labels()[0], labels()[1][:, 0]),
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
        SparseNetClassifierCV,
        {"target_sparsities": [60, 40], "cv": 2, "max_iter": 3},
        lambda: classification(3),
    ),
    "lbfgs": (
        SparseNetRegressor,
        {"solver": "lbfgs", "activation": "tanh", "max_iter": 50},
        regression,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    kind, settings, make_data = CASES[request.param]
    X, y = make_data()
    settings = {"max_iter": 10, "max_outer_iter": 3, **settings}
    if kind is not SparseNetClassifierCV:
        settings.setdefault("target_sparsity", 60)
    net = kind((25, 20), random_state=0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return net.fit(X, y), X


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
    for a, b in zip(ours.penalized_coefs_, theirs.penalized_coefs_, strict=True):
        assert_array_equal(a, b)
    assert list(ours.search_history_) == list(theirs.search_history_)


@pytest.mark.parametrize(
    "change", [lambda net: net, lambda net: net.compact().sparsify()]
)
def test_everything_comes_back(fitted, change, tmp_path):
    net, X = fitted
    net = change(pickle.loads(pickle.dumps(net)))
    net.save(tmp_path / "net.safetensors")
    assert_same(load(str(tmp_path / "net.safetensors")), net, X)


def test_a_loaded_network_can_be_used_as_any_other(tmp_path):
    X, y = regression()
    net = SparseNetRegressor((20,), target_sparsity=30, max_iter=5, random_state=0)
    net.fit(X, y).save(tmp_path / "net")
    again = load(tmp_path / "net")
    assert again.set_params(warm_start=True).fit(X, y).n_nonzero_ == 30
    assert load(tmp_path / "net").compact().n_live_ == 30
    assert all(p.requires_grad for p in load(tmp_path / "net").module_.parameters())


def test_files_of_sparse_networks_are_small(tmp_path):
    X, y = load_digits(return_X_y=True)
    net = SparseNetClassifier((500, 500), target_sparsity=0.99, random_state=0)
    net.fit((X[:300] / 16).astype(np.float32), y[:300])
    net.save(tmp_path / "net")
    size = (tmp_path / "net").stat().st_size
    assert size < len(pickle.dumps(net)) / 25


def test_the_size_of_files_goes_with_the_number_of_weights(tmp_path):
    X, y = load_digits(return_X_y=True)
    X = (X[:300] / 16).astype(np.float32)
    sizes = []
    for count in (2000, 4000, 8000):
        net = SparseNetClassifier(
            (300, 300), target_sparsity=count, max_iter=2, random_state=0
        )
        net.fit(X, y[:300]).save(tmp_path / "net")
        sizes.append((tmp_path / "net").stat().st_size)
    # A number and its index, in the network and in the penalised solution.
    for doubled, more in zip(np.diff(sizes), (2000, 4000), strict=True):
        assert 8 * more <= doubled <= 18 * more


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
def test_other_modules_are_loaded_into_the_same_one(module, tmp_path):
    X, y = regression()
    net = SparseNetRegressor(
        module=module, target_sparsity=40, max_iter=5, random_state=0
    )
    net.fit(X, y).save(tmp_path / "net")
    with pytest.raises(ValueError, match="load\\(path, module="):
        load(tmp_path / "net")
    with pytest.raises(ValueError, match="not those of this network"):
        load(tmp_path / "net", module=build)
    again = load(tmp_path / "net", module=module)
    assert_array_equal(again.predict(X), net.predict(X))
    assert again.module is module


def test_well_known_layers_need_no_module(tmp_path):
    X, y = load_digits(return_X_y=True)
    X = X[:100].reshape(-1, 1, 8, 8) / 16
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(54, 10),
    )  # fmt: skip
    net = SparseNetClassifier(
        module=module, target_sparsity=100, max_iter=2, random_state=0
    ).fit(X, y[:100])
    for change in (lambda net: net, lambda net: net.compact()):
        change(net).save(tmp_path / "net")
        again = load(tmp_path / "net")
        assert_array_equal(again.predict_proba(X), net.predict_proba(X))
        assert not hasattr(again, "coefs_")
        again.save(tmp_path / "again")
        assert_array_equal(load(tmp_path / "again").predict(X), net.predict(X))
    kept = [
        type(child) for child in again.set_params(max_iter=1).fit(X, y[:100]).module_
    ]
    assert kept == [type(child) for child in module]


def test_compact_networks_of_other_modules_are_refused_with_advice(tmp_path):
    X, y = regression()
    module = nn.Sequential(
        nn.Softsign(), nn.Linear(20, 15), nn.ReLU(), nn.Linear(15, 1)
    )
    net = SparseNetRegressor(
        module=module, target_sparsity=20, max_iter=2, random_state=0
    )
    net.fit(X, y).compact().save(tmp_path / "net")
    with pytest.raises(ValueError, match="pass the same one"):
        load(tmp_path / "net")
    with pytest.raises(ValueError, match=r"save it before compact\(\)"):
        load(tmp_path / "net", module=module)
    again = load(tmp_path / "net", module=net.module_)
    assert_array_equal(again.predict(X), net.predict(X))


@pytest.mark.parametrize(
    ("dtype", "device"),
    [
        (torch.float32, torch.device("cpu")),
        (np.float32, "cpu"),
        (np.dtype("f8"), "cpu"),
    ],
)
def test_types_and_devices_are_stored_by_name(dtype, device, tmp_path):
    X, y = regression()
    net = SparseNetRegressor(
        (5,), dtype=dtype, device=device, max_iter=2, random_state=0
    ).fit(X, y)
    net.save(tmp_path / "net")
    again = load(tmp_path / "net")
    assert_array_equal(again.predict(X), net.predict(X))
    assert again.device == "cpu"
    assert_array_equal(again.fit(X, y).predict(X), net.predict(X))


def test_a_file_of_an_accelerator_is_read_without_one(tmp_path):
    """A fit on it anew is what needs one."""
    net = SparseNetRegressor((5,), max_iter=2, random_state=0).fit(*regression())
    net.set_params(device="cuda:99").save(tmp_path / "net")
    again = load(tmp_path / "net")
    assert_array_equal(again.predict(regression()[0]), net.predict(regression()[0]))
    with pytest.raises(ValueError, match="device='cuda:99' is not available"):
        again.fit(*regression())


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
def test_what_predictions_do_not_need_is_no_reason_to_refuse(
    kind, name, value, tmp_path
):
    X, y = regression()
    y = y > 0 if kind is SparseNetClassifier else y / 100
    net = kind((5,), max_iter=2, random_state=0, **{name: value}).fit(X, y)
    net.save(tmp_path / "net")
    again = load(tmp_path / "net")
    assert_array_equal(again.predict(X), net.predict(X))
    assert getattr(again, name) is None
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        again.fit(X, y)
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "net").read_bytes()
    again.set_params(**{name: value}).fit(X, y)


def test_what_is_not_kept_and_changes_the_score_is_told(tmp_path):
    X, y = regression()
    scorer = make_scorer(lambda y, found: 1.0)
    settings = {"target_sparsities": [20], "cv": 2, "max_iter": 5, "scoring": scorer}
    net = SparseNetRegressorCV((5,), random_state=0, **settings).fit(X, y)
    with pytest.warns(UserWarning, match="scoring=.* is not kept"):
        net.save(tmp_path / "net")
    assert load(tmp_path / "net").score(X, y) < 1


def test_code_that_predicts_is_refused_by_name(tmp_path):
    X, y = regression()
    net = SparseNetRegressor((5,), loss=MyLoss(), max_iter=2, random_state=0).fit(X, y)
    with pytest.raises(TypeError, match=r"loss=.* by code of your own"):
        net.save(tmp_path / "net")
    own = type("Own", (SparseNetRegressor,), {})((5,), max_iter=2).fit(X, y)
    with pytest.raises(TypeError, match="Own is a class of your own"):
        own.save(tmp_path / "net")
    with pytest.raises(ValueError, match="not fitted"):
        SparseNetRegressor().save(tmp_path / "net")
    with pytest.raises(ValueError, match="'tol' parameter"):
        net.set_params(tol=-1.0, loss="huber").save(tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_files_of_others_and_of_other_versions_are_refused(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file

    path = tmp_path / "net"
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="not written by save"):
        load(path)
    metadata = {"format": "sklearn_sparsenet", "format_version": "99"}
    save_file({"a": np.zeros(3)}, path, metadata=metadata)
    with pytest.raises(ValueError, match="format version '99'"):
        load(path)


def test_damaged_files_are_refused_or_harmless(tmp_path):
    """1000 files, cut off or with a bit that is not as it was."""
    X, y = classification(3)
    net = SparseNetClassifier((10,), target_sparsity=30, max_iter=3, random_state=0)
    net.fit(X, y).save(tmp_path / "net")
    whole = (tmp_path / "net").read_bytes()
    expected = net.predict_proba(X)
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged"
    refused = 0
    for number in range(1000):
        content = bytearray(whole)
        if number % 4 == 0:
            del content[rng.integers(len(whole)) :]
        else:
            place = rng.integers(len(whole))
            content[place] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            again = load(path)
        except ValueError:
            refused += 1
        else:
            assert_array_equal(again.predict_proba(X), expected)
    assert refused > 950


def test_numbers_and_names_of_numpy_are_what_they_were(tmp_path):
    X, y = regression()
    net = SparseNetRegressor(
        activation=np.str_("tanh"),
        target_sparsity=np.int64(20),
        tol=np.float32(0),
        max_iter=np.int64(5),
        shuffle=np.bool_(True),
        hidden_layer_sizes=np.array([5], dtype=object),
        alpha_bounds=np.array([1e-7, 1e-2]),
        random_state=np.int64(3),
    ).fit(X, y)
    net.save(tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    assert (again.target_sparsity, again.tol) == (20, 0)
    assert np.ndim(again.target_sparsity) == np.ndim(again.tol) == 0
    assert again.activation == "tanh"
    assert again.random_state == 3
    assert_array_equal(again.fit(X, y).predict(X), net.predict(X))
    assert again.n_nonzero_ == 20


@pytest.mark.parametrize("cv", [KFold(2), list(KFold(2).split(np.zeros(120)))])
def test_splits_are_not_stored(cv, tmp_path):
    net = SparseNetRegressorCV(
        (5,), target_sparsities=range(10, 30, 10), cv=cv, max_iter=5
    ).fit(*regression())
    net.save(tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    assert again.cv is None
    assert again.target_sparsities == [10, 20]
    assert_array_equal(again.test_scores_, net.test_scores_)


def test_a_directory_that_is_not_there_is_told(tmp_path):
    net = SparseNetRegressor((5,), max_iter=2, random_state=0).fit(
        np.eye(6), np.arange(6.0)
    )
    with pytest.raises(FileNotFoundError, match="no directory"):
        net.save(tmp_path / "not there" / "file")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_what_the_version_before_wrote_is_read():
    """Its modules had other names, of which pickles remember some."""
    path = Path(__file__).parent.parent / "data" / "classifier_before_the_rooms"
    pickled, expected = pickle.loads(path.with_suffix(".pickle").read_bytes())
    X = load_iris().data[::10]
    for net in (pickled, load(path.with_suffix(".safetensors"))):
        np.testing.assert_allclose(net.predict_proba(X), expected, rtol=1e-6)
    assert pickled.penalty == MCP(3.0)
    assert pickled.search.plateau_fraction == 0.6


def test_errors_are_where_they_were():
    from sklearn_sparsenet.exceptions import DataScaleWarning

    assert DataScaleWarning is sklearn_sparsenet.DataScaleWarning


def test_names_of_before_are_read(tmp_path):
    """A file may call an object what its class was called once."""
    X, y = regression()
    schedule = PruningSchedule(0.1, 0.5, 0.6)
    net = SparseNetRegressor((4,), search=OnePassSearch(schedule=schedule), max_iter=40)
    net.fit(X, y).save(path := tmp_path / "net")
    with path.open("rb") as file:
        metadata, arrays = read_tensors(file)
    text = metadata["document"]
    assert '"PruningSchedule"' in text
    metadata["document"] = text.replace('"PruningSchedule"', '"Stages"')
    metadata["sha256"] = digest(metadata["document"], arrays)
    path.write_bytes(dump_tensors(arrays, metadata))
    assert load(path).search.schedule == schedule
