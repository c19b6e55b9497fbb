"""partial_fit: the first call is fit, later ones train on with the same weights."""

import copy
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from sklearn_sparsenet import (
    DataScaleWarning,
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
    load,
)
from sklearn_sparsenet.solvers.stepper import Stepper
from tests.estimators.small_fits import with_dropout, with_noise

DATA = Path(__file__).parents[1] / "data"
N_FEATURES = 8
QUICK = {
    "hidden_layer_sizes": (12,), "target_sparsity": 40, "tol": 0,
    "batch_size": 50, "max_iter": 30, "random_state": 0,
}  # fmt: skip


def rows(seed, n_rows=200, angle=0.0):
    """Return rows and a target whose direction turns with the angle."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, N_FEATURES))
    along = np.cos(angle) * X[:, :4] + np.sin(angle) * X[:, 4:]
    return X, np.sin(along.sum(axis=1)) + 0.1 * rng.normal(size=n_rows)


def regressor(**settings):
    return SparseNetRegressor(**{**QUICK, **settings})


def classifier(**settings):
    return SparseNetClassifier(**{**QUICK, **settings})


def labelled(seed, n_rows=200):
    X, y = rows(seed, n_rows)
    return X, np.array(["high", "low", "middle"])[np.digitize(y, [-0.5, 0.5])]


CLASSES = ["low", "middle", "high"]


def parameters(net):
    return torch.cat([p.detach().flatten() for p in net.module_.parameters()]).numpy()


def test_the_first_call_is_fit():
    X, y = rows(0)
    weight = np.random.default_rng(1).uniform(size=len(y))
    first = regressor().partial_fit(X, y, sample_weight=weight)
    fitted = regressor().fit(X, y, weight)
    assert_array_equal(parameters(first), parameters(fitted))
    assert first.alpha_ == fitted.alpha_
    assert first.loss_curve_ == fitted.loss_curve_


def test_the_first_call_of_a_classifier_is_fit():
    X, y = labelled(0)
    first = classifier().partial_fit(X, y, classes=CLASSES)
    fitted = classifier().fit(X, y)
    assert_array_equal(parameters(first), parameters(fitted))
    assert_array_equal(first.classes_, fitted.classes_)


SETTINGS = [
    {},
    {"target_sparsity": [24, 6], "activation": "tanh"},
    {"target_sparsity": None, "target_inputs": 5, "target_units": 6},
    {"solver": "sgd"},
    {"debias": False},
    {"penalize_bias": True},
    {"weight_decay": 0.01, "dtype": "float32"},
    {"penalty": "mcp", "search": "bracket", "tol": 0.5, "max_iter": 5},
    {"module": with_noise, "tol": 0.1},
    {"alpha": 1e-3, "debias": True, "target_sparsity": None},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=[", ".join(one) for one in SETTINGS])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_weights_are_the_same_ones_over_many_calls(settings):
    net = regressor(**settings).partial_fit(*rows(0))
    names, n_iter = net.layer_names_, net.n_iter_
    support = [net.module_.get_parameter(name) != 0 for name in names]
    counts = net.n_nonzero_per_layer_
    for seed in range(1, 51):
        net.partial_fit(*rows(seed, 40, angle=seed / 10))
        now = [net.module_.get_parameter(name) != 0 for name in names]
        assert all(map(torch.equal, support, now))
    assert_array_equal(net.n_nonzero_per_layer_, counts)
    assert net.n_iter_ == n_iter + 50
    assert len(net.loss_curve_) >= 50
    assert net.alpha_ == pytest.approx(clone(net).fit(*rows(0)).alpha_)


@pytest.mark.parametrize(
    "make_rows", [lambda X: X, sparse.csr_array, lambda X: X.astype(np.float32)]
)
def test_rows_may_come_in_any_form(make_rows):
    X, y = rows(1, 100)
    X[np.abs(X) < 1] = 0
    made, plain = [regressor().fit(*rows(0)) for _ in range(2)]
    made.partial_fit(make_rows(X), y)
    plain.partial_fit(X, y)
    assert_allclose(parameters(made), parameters(plain), rtol=1e-5, atol=1e-7)


CONTINUED = [
    regressor(),
    regressor(solver="sgd"),
    regressor(hidden_layer_sizes=(60,), target_sparsity=30),  # a small live part
    regressor(penalty="group_l2", alpha=1e-3),
    regressor(module=partial(torch.nn.Linear), target_sparsity=4),
]


@pytest.mark.parametrize("net", CONTINUED, ids=map(str, CONTINUED))
def test_two_calls_are_one_with_the_rows_of_both(net):
    """Nothing begins anew: not Adam, nor the scales."""
    X, y = rows(1, 400)
    one, two = [
        clone(net).set_params(shuffle=False).partial_fit(*rows(0)) for _ in range(2)
    ]
    one.partial_fit(X, y)
    two.partial_fit(X[:150], y[:150]).partial_fit(X[150:], y[150:])
    assert_allclose(parameters(one), parameters(two), rtol=1e-12, atol=1e-15)


def test_steps_are_for_the_scales_of_the_first_call():
    scales = np.array([1e4, 1, 1, 1, 1, 1, 1, 1e-2])
    with pytest.warns(DataScaleWarning):
        net = regressor(shuffle=False).partial_fit(rows(0)[0] * scales, rows(0)[1])
    X, y = rows(1, 100)
    one, two = net, copy.deepcopy(net)
    one.partial_fit(X * scales, y)
    for row in range(0, 100, 50):
        two.partial_fit(X[row : row + 50] * scales, y[row : row + 50])
    assert_allclose(parameters(one), parameters(two), rtol=1e-12, atol=1e-15)
    assert np.mean((one.predict(X * scales) - y) ** 2) < np.var(y)


def mean_square(net, X, y):
    return np.mean((net.predict(X) - y) ** 2)


def test_it_follows_a_target_that_turns():
    net = regressor(target_sparsity=80).partial_fit(*rows(0, 1000))
    first = copy.deepcopy(net)
    for number in range(100):
        net.partial_fit(*rows(number + 1, 300, angle=number / 100))
    now = rows(1000, 2000, angle=1.0)
    assert mean_square(net, *now) < 0.25 * mean_square(first, *now)


def test_on_a_stream_that_stays_it_gets_better():
    """Half of the way to a fit to all rows, with weights that few rows have chosen."""
    net = regressor(target_sparsity=80, max_iter=100).partial_fit(*rows(0, 300))
    errors = [mean_square(net, *rows(1000, 2000))]
    net.set_params(weight_decay=0.0)
    parts = [rows(seed, 300) for seed in range(1, 41)]
    for part in parts:
        net.partial_fit(*part)
    errors.append(mean_square(net, *rows(1000, 2000)))
    whole = clone(net).fit(*map(np.concatenate, zip(*parts, strict=True)))
    errors.append(mean_square(whole, *rows(1000, 2000)))
    assert errors[1] < 0.5 * (errors[0] + errors[2])


def stored(net, tmp_path):
    net.save(tmp_path / "net.safetensors")
    return load(tmp_path / "net.safetensors")


TRIPS = {
    "copy": lambda net, _: copy.deepcopy(net),
    "pickle": lambda net, _: pickle.loads(pickle.dumps(net)),
    "file": stored,
    "sparse": lambda net, _: pickle.loads(pickle.dumps(net.sparsify())),
}


@pytest.mark.parametrize("trip", TRIPS.values(), ids=TRIPS)
def test_it_goes_on_after_a_round_trip(trip, tmp_path):
    X, y = labelled(0)
    net = classifier().partial_fit(X * [4, 4, 1, 1, 1, 1, 1, 9], y, classes=CLASSES)
    net.partial_fit(*labelled(1))
    other = trip(net, tmp_path)
    other = trip(other.partial_fit(*labelled(2)), tmp_path)
    net.partial_fit(*labelled(2)).partial_fit(*labelled(3))
    other.partial_fit(*labelled(3))
    assert_array_equal(parameters(net), parameters(other))
    assert sparse.issparse(other.coefs_[0]) == sparse.issparse(net.coefs_[0])


def test_what_an_older_version_has_fitted_goes_on():
    pandas = pytest.importorskip("pandas")
    net = load(DATA / "classifier_of_format_1.safetensors")
    names = net.feature_names_in_
    X = pandas.DataFrame(np.random.default_rng(0).normal(size=(60, 5)), columns=names)
    before, count = net.predict_proba(X), net.n_nonzero_
    net.partial_fit(X, np.resize(net.classes_, 60))
    assert net.n_nonzero_ == count
    assert not np.array_equal(before, net.predict_proba(X))


def test_what_an_older_version_has_pickled_is_saved(tmp_path):
    net = regressor().fit(*rows(0))
    old = copy.deepcopy(net)
    for name in ("_moments", "_input_sizes", "_units", "_architecture"):
        delattr(old, name)  # it had none
    other = stored(old, tmp_path).partial_fit(*rows(1))
    assert_array_equal(parameters(other), parameters(net.partial_fit(*rows(1))))


@pytest.mark.parametrize(
    "changes",
    [
        {"n_steps": np.array(-1)},
        {"n_steps": np.zeros(2)},
        {"mean": np.zeros(3)},
        {"more": np.zeros(3)},
    ],
    ids=str,
)
def test_no_file_brings_moments_that_are_none(changes, tmp_path):
    net = regressor().partial_fit(*rows(0)).partial_fit(*rows(1))
    net._moments |= changes
    with pytest.raises(ValueError, match="_moments"):
        net.save(tmp_path / "net.safetensors")


def test_a_compact_network_goes_on():
    X, y = rows(0)
    net = regressor(target_sparsity=8).partial_fit(X * [4, *[1] * 6, 9], y).compact()
    count = net.n_nonzero_
    before = mean_square(net, *rows(1))
    for seed in range(1, 4):
        net.partial_fit(*rows(seed))
    assert net.n_nonzero_ == count
    assert mean_square(net, *rows(1)) != before


def test_all_classes_need_not_be_there_yet():
    X, y = labelled(0)
    some = y != "middle"
    net = classifier().partial_fit(X[some], y[some], classes=CLASSES)
    assert_array_equal(net.classes_, ["high", "low", "middle"])
    net.partial_fit(X[~some], y[~some]).partial_fit(X[:1], y[:1], classes=CLASSES)
    assert net.predict_proba(X).shape == (len(X), 3)


def test_two_classes_and_several_labels():
    X, y = rows(0)
    net = classifier().partial_fit(X, y > 0, classes=[False, True])
    assert net.partial_fit(X, y > 0).score(X, y > 0) > 0.6
    labels = (X[:, :3] > 0).astype(int)
    net = classifier().partial_fit(X, labels, classes=[0, 1, 2])
    before = net.predict_proba(X)
    assert not np.array_equal(net.partial_fit(X, labels).predict_proba(X), before)


def test_rows_count_by_their_weights():
    X, y = labelled(1)
    weight = np.where(y == "low", 0.0, 1.0)
    nets = [classifier().fit(*labelled(0)) for _ in range(3)]
    nets[0].partial_fit(X, y, sample_weight=weight)
    nets[1].partial_fit(X[weight > 0], y[weight > 0])
    nets[2].set_params(class_weight={"low": 0.0}).partial_fit(X, y)
    for net in nets[1:]:
        assert_array_equal(parameters(net), parameters(nets[0]))


def test_with_a_given_alpha_steps_are_for_it():
    X, y = rows(0)
    net = regressor(alpha=3e-3).partial_fit(X, y)
    for seed in range(1, 60):
        net.partial_fit(*rows(seed))
    assert net.alpha_ == 3e-3
    assert 0 < net.n_nonzero_ < 108
    for now, penalized in zip(net.coefs_, net.penalized_coefs_, strict=True):
        assert_array_equal(now, penalized)
    X, y = rows(59)
    scaled = (net.predict(X) - y) / net.y_scale_
    assert net.loss_ == pytest.approx(np.mean(scaled**2))
    assert net.kkt_residual_ == net.certificate_.largest


def test_fit_begins_anew():
    net = regressor().partial_fit(*rows(0)).partial_fit(*rows(1))
    net.fit(*rows(0))
    assert_array_equal(parameters(net), parameters(regressor().fit(*rows(0))))


def test_a_random_module_draws_from_no_global_generator():
    nets = [regressor(module=with_dropout, tol=0.1) for _ in range(2)]
    for net, seed in zip(nets, (1, 2), strict=True):
        net.partial_fit(*rows(0))
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        net.partial_fit(*rows(1))
        assert torch.equal(torch.get_rng_state(), before)
    assert_array_equal(parameters(nets[0]), parameters(nets[1]))


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_call_that_fails_changes_nothing(monkeypatch):
    net = regressor().partial_fit(*rows(0)).partial_fit(*rows(1))
    before = pickle.dumps(net)
    X, y = rows(2)
    with pytest.raises(ValueError, match="NaN"):
        net.partial_fit(X, np.full_like(y, np.nan))
    monkeypatch.setattr(Stepper, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.partial_fit(X, y)
    assert pickle.dumps(net) == before


def test_classes_are_needed_at_first_and_stay():
    X, y = labelled(0)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="Pass all classes at the first"):
        classifier().partial_fit(X, y, classes=["low", "high"])
    net = classifier().partial_fit(X, y, classes=CLASSES)
    with pytest.raises(ValueError, match="not those of the fit before"):
        net.partial_fit(X, y, classes=["low", "high"])
    with pytest.raises(ValueError, match="Pass all classes at the first"):
        net.partial_fit(X[:1], ["other"])
    labels = np.eye(3, dtype=int)[np.arange(len(X)) % 3]
    for each, classes in ((net, None), (classifier(), [0, 1])):
        with pytest.raises(ValueError, match="y has 3 labels"):
            each.partial_fit(X, labels, classes=classes)
    net = classifier().partial_fit(X, labels, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="another kind"):
        net.partial_fit(X, labels[:, 0])


def test_rows_have_to_be_as_the_first_ones():
    X, y = rows(0)
    net = regressor().partial_fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features"):
        net.partial_fit(X[:, :3], y)
    with pytest.raises(ValueError, match="2 columns"):
        net.partial_fit(X, np.c_[y, y])
    with pytest.raises(ValueError, match="y"):
        net.partial_fit(X, None)


def test_names_of_columns_have_to_be_the_first_ones():
    pandas = pytest.importorskip("pandas")
    X, y = rows(0)
    frame = pandas.DataFrame(X, columns=list("abcdefgh"))
    net = regressor().partial_fit(frame, y).partial_fit(frame, y)
    assert_array_equal(net.feature_names_in_, list("abcdefgh"))
    with pytest.raises(ValueError, match="feature names"):
        net.partial_fit(frame[frame.columns[::-1]], y)


def test_some_settings_need_all_rows():
    X, y = labelled(0)
    with pytest.raises(ValueError, match="early_stopping=True"):
        classifier(early_stopping=True).partial_fit(X, y, classes=CLASSES)
    with pytest.raises(ValueError, match="class_weight='balanced'"):
        classifier(class_weight="balanced").partial_fit(X, y, classes=CLASSES)
    assert not hasattr(regressor(solver="lbfgs"), "partial_fit")
    for kind in (SparseNetClassifierCV, SparseNetRegressorCV):
        assert not hasattr(kind(), "partial_fit")


def test_a_step_that_would_end_at_zero_leaves_the_weight_as_it_is():
    net = regressor(hidden_layer_sizes=(), target_sparsity=4, solver="sgd")
    before = net.fit(*rows(0)).coefs_[0]
    net.set_params(weight_decay=2.0, learning_rate_init=0.5 / 0.3)  # steps of a half
    net.partial_fit(np.full((1, N_FEATURES), 1e-30), net.y_mean_ + 1.0)
    assert_array_equal(net.coefs_[0], before)


def test_every_call_draws_an_order_of_its_own():
    one, two = regressor().fit(*rows(0)), regressor().fit(*rows(0))
    two.n_iter_ += 1
    found = [parameters(net.partial_fit(*rows(1))) for net in (one, two)]
    assert not np.array_equal(*found)
