"""`n_jobs`: the same network to the last bit, and a process as it was."""

import pickle
import threading

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from torch import nn

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    sparsenet_path,
)
from sklearn_sparsenet.deploy import predictor
from sklearn_sparsenet.estimators._jobs import count_threads
from sklearn_sparsenet.networks import chain
from sklearn_sparsenet.utils import workers
from tests.threads import ours

X = np.random.default_rng(0).normal(size=(300, 20)).astype(np.float32)
CLASSES = (X @ np.random.default_rng(1).normal(size=(20, 3))).argmax(1)
SPARSE = sparse.random_array((300, 400), density=0.02, random_state=0, format="csr")
COMMON = {"max_iter": 6, "batch_size": 64, "random_state": 0, "target_sparsity": 0.7}


@pytest.fixture
def divided(monkeypatch):
    """Small networks are divided as large ones are."""
    monkeypatch.setattr(chain, "_WORTH_A_PART", 2**10)
    monkeypatch.setattr(workers, "_RANGE", 2**8)
    monkeypatch.setattr(predictor, "_WORTH_A_TASK", 1e-6)


@pytest.fixture(autouse=True)
def left_as_it_was():
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    assert ours() == []


@pytest.fixture
def started(monkeypatch):
    """Collects the threads that are started."""
    found, start = [], threading.Thread.start

    def spy(thread):
        found.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", spy)
    return found


def parameters(net):
    return [p.detach().numpy().copy() for p in net.module_.parameters()]


def assert_same(nets, rows):
    first, *others = nets
    for other in others:
        for a, b in zip(parameters(first), parameters(other), strict=True):
            assert_array_equal(a, b)
        assert_array_equal(first.predict_proba(rows), other.predict_proba(rows))
        assert first.kkt_residual_ == other.kkt_residual_
        assert first.loss_curve_ == other.loss_curve_


CONVOLUTIONS = nn.Sequential(
    nn.Unflatten(1, (1, 20)), nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(),
    nn.Linear(72, 3),
)  # fmt: skip
KINDS = {
    "steps": (X, {}),
    "sgd": (X, {"solver": "sgd"}),
    "smooth": (X, {"activation": "gelu", "weight_decay": 1e-3}),
    "double": (X.astype(float), {"dtype": "float64"}),
    "csr": (SPARSE, {"solver": "adam"}),
    "early": (X, {"early_stopping": True, "n_iter_no_change": 2}),
    "whole": (X, {"batch_size": 300, "max_iter": 120}),
    "bracket": (X, {"search": "bracket", "max_outer_iter": 3}),
    "autograd": (X, {"module": CONVOLUTIONS}),
    "module": (X, {"module": nn.Sequential(nn.Linear(20, 64), nn.Linear(64, 3))}),
}


@pytest.mark.usefixtures("divided")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*100 steps:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_whatever_the_number_of_threads(kind, started):
    rows, settings = KINDS[kind]
    nets = []
    for n_jobs in (1, 2, 3, 4):
        net = SparseNetClassifier((70, 50), n_jobs=n_jobs, **{**COMMON, **settings})
        nets.append(net.fit(rows, CLASSES))
    assert_same(nets, rows)
    assert len(started) > 1 or kind == "autograd"


def test_a_network_that_is_large_enough_is_divided(started):
    rows = np.random.default_rng(0).normal(size=(512, 400)).astype(np.float32)
    target = rows[:, 0] - rows[:, 1]
    nets = []
    for n_jobs in (1, 2, 3):
        net = SparseNetRegressor((800, 300), alpha=1e-3, max_iter=2, n_jobs=n_jobs)
        net.set_params(random_state=0, batch_size=256).fit(rows, target)
        nets.append(net)
    assert len(started) >= 1 + 2
    for net in nets[1:]:
        for a, b in zip(parameters(nets[0]), parameters(net), strict=True):
            assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*100 steps:UserWarning")
def test_small_networks_stay_on_one_thread(started):
    SparseNetClassifier((70, 50), n_jobs=4, **COMMON).fit(X, CLASSES).predict(X)
    assert started == []


@pytest.mark.usefixtures("divided")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*100 steps:UserWarning")
def test_contexts_say_how_many_unless_it_is_told(started):
    net = SparseNetClassifier((70, 50), **COMMON)
    net.fit(X, CLASSES)
    assert started == []
    with joblib.parallel_config(n_jobs=2):
        net.fit(X, CLASSES)
    assert len(started) == min(2, joblib.cpu_count()) - 1
    with joblib.parallel_config(n_jobs=2):
        net.set_params(n_jobs=1).fit(X, CLASSES)
    assert len(started) == min(2, joblib.cpu_count()) - 1


def test_numbers_of_threads():
    n_cores = joblib.cpu_count()
    assert [count_threads(n) for n in (None, 1, 5, -1)] == [1, 1, 5, n_cores]
    assert count_threads(-n_cores - 7) == 1
    with joblib.parallel_config(n_jobs=-1):
        assert count_threads(None) == n_cores
    with joblib.parallel_config(n_jobs=10 * n_cores):
        assert count_threads(None) == n_cores


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_in_workers_of_joblib_there_is_no_more_than_it_leaves(backend):
    with joblib.parallel_config(backend, inner_max_num_threads=None):
        jobs = (joblib.delayed(count_threads)(n) for n in (None, 7, -1))
        found = joblib.Parallel(n_jobs=2)(jobs)
    most = max(1, joblib.cpu_count() // 2) if backend == "loky" else 1
    assert found[0] == 1
    assert max(found) <= most
    if backend == "loky":
        with joblib.parallel_config(backend, inner_max_num_threads=3):
            jobs = (joblib.delayed(count_threads)(n) for n in (None, 7))
            assert joblib.Parallel(n_jobs=2)(jobs) == [1, 3]


@pytest.mark.usefixtures("divided")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*100 steps:UserWarning")
def test_folds_are_jobs_and_have_one_thread_each(started):
    settings = {k: v for k, v in COMMON.items() if k != "target_sparsity"}
    settings |= {"target_sparsities": [0.5, 0.8], "cv": 2}
    alone = SparseNetClassifierCV((70, 50), **settings).fit(X, CLASSES)
    assert started == []
    with joblib.parallel_config("threading"):
        both = SparseNetClassifierCV((70, 50), n_jobs=2, **settings).fit(X, CLASSES)
    assert_array_equal(alone.test_scores_, both.test_scores_)
    assert_same([alone, both], X)
    assert both._make_single().n_jobs is None  # of a fold
    sharing = [thread for thread in started if thread.name == "shares_work"]
    assert len(sharing) == 1 + 1  # of the last fit, and of predictions


@pytest.mark.usefixtures("divided")
@pytest.mark.parametrize("error", [ValueError("in a part"), KeyboardInterrupt()])
@pytest.mark.filterwarnings("ignore:.*100 steps:UserWarning")
def test_errors_in_a_part_are_those_of_the_fit(error, monkeypatch):
    """Also in another thread; and none is left."""
    compute, left = chain._Part.compute, [60]

    def fails_once(part, inputs):
        left[0] -= 1
        if left[0] == 0:
            raise error
        compute(part, inputs)

    monkeypatch.setattr(chain._Part, "compute", fails_once)
    net = SparseNetClassifier((70, 50), n_jobs=3, **COMMON)
    with pytest.raises(type(error)):
        net.fit(X, CLASSES)


@pytest.mark.usefixtures("divided")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*100 steps:UserWarning")
def test_pickles_and_paths(started):
    net = SparseNetClassifier((70, 50), n_jobs=2, **COMMON).fit(X, CLASSES)
    twin = pickle.loads(pickle.dumps(net))
    assert twin.n_jobs == 2
    assert_same([net, twin], X)
    before = len(started)
    sparsenet_path(net, X, CLASSES, target_sparsities=[0.5, 0.7])
    assert len(started) > before


def test_what_is_older_than_the_parameter_has_its_default():
    net = SparseNetRegressor((5,), target_sparsity=5, max_iter=100, random_state=0)
    net.fit(X, X[:, 0])
    state = net.__getstate__()
    del state["n_jobs"]
    old = SparseNetRegressor.__new__(SparseNetRegressor)
    old.__setstate__(state)
    assert old.n_jobs is None
    assert_array_equal(old.predict(X), net.predict(X))


@pytest.mark.parametrize("n_jobs", [0, 1.5, "2", True])
def test_other_numbers_are_refused(n_jobs):
    with pytest.raises(ValueError, match="n_jobs"):
        SparseNetRegressor(n_jobs=n_jobs).fit(X, X[:, 0])
