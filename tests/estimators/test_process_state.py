"""Fits at the same time, in threads and forked processes, leave all as it was."""

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.exceptions import ConvergenceWarning
from torch import nn

import sklearn_sparsenet
from sklearn_sparsenet import (
    DataScaleWarning,
    SparseNetRegressor,
    SparseNetRegressorCV,
    load,
    sparsenet_path,
)
from sklearn_sparsenet.utils.runtime import single_threaded
from tests.processes import run_script

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X[:, 0] - X[:, 1]
SETTINGS = {"target_sparsity": 2, "max_iter": 100, "random_state": 0}
# Of a process of its own, where PyTorch may start threads.
MANY_THREADS = {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "1"}
MISSED = "missed their targets or did not converge|asked for"


class Skipping(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.a, self.b = nn.Linear(n_features, 4), nn.Linear(4, n_outputs)

    def forward(self, inputs):
        return self.b(self.a(inputs).tanh()) + inputs[:, :1]


def fit(**settings):
    return SparseNetRegressor((4, 4), **{**SETTINGS, **settings}).fit(X, Y)


def cross_validate():
    net = SparseNetRegressorCV(
        (4, 4), target_sparsities=[9, 2], cv=3, max_iter=100, random_state=0
    )
    with parallel_config(backend="threading", n_jobs=3):
        return net.fit(X * [1, 1e5, 1], Y)


def path():
    net = SparseNetRegressor((4, 4), **SETTINGS)
    return sparsenet_path(net, X * [1, 1e5, 1], Y, target_sparsities=[9, 2])


def fails():
    with pytest.raises(ValueError, match="target_sparsity=1000"):
        fit(target_sparsity=1000)
    with pytest.raises(ZeroDivisionError):
        fit(module=Skipping, loss=lambda output, target: 1 / 0)


def in_threads(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@pytest.mark.filterwarnings(f"ignore:.*({MISSED})", "ignore::UserWarning")
@pytest.mark.slow
def test_eight_threads_leave_warnings_generators_and_threads_as_they_were():
    torch.set_num_threads(3)

    def state():
        shown = warnings.showwarning, warnings._showwarnmsg_impl
        return warnings.filters, *shown, torch.get_rng_state().tolist()

    filters, before = list(warnings.filters), state()
    ends = in_threads(
        *(
            lambda call=call: (call(), torch.get_num_threads())
            for call in (cross_validate, path, fails, fit) * 2
        )
    )
    assert [n_threads for _, n_threads in ends] == [3] * 8
    assert state() == before
    assert warnings.filters == filters


def test_no_part_of_the_package_exchanges_the_warnings_of_the_process():
    root = Path(sklearn_sparsenet.__file__).parent
    for file in root.rglob("*.py"):
        text = file.read_text()
        assert "catch_warnings" not in text, file
        assert "warnings.warn" not in text or file.name == "_warnings.py", file


def test_warnings_of_folds_are_told_once_in_threads():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cross_validate()
    kinds = [w.category for w in caught if "filters" not in str(w.message)]
    assert kinds.count(DataScaleWarning) == 1
    assert kinds.count(ConvergenceWarning) <= 2  # of the folds, and of the last fit
    assert any("of the 6 networks of the folds" in str(w.message) for w in caught)


def test_an_error_made_of_a_warning_keeps_the_fit():
    net = SparseNetRegressor((4, 4), **SETTINGS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning):
            net.fit(X, Y)
    assert net.n_nonzero_ == 2


def test_threads_that_overlap_get_back_what_each_had():
    torch.set_num_threads(3)
    inside, may_end = threading.Event(), threading.Event()

    def hold():
        with single_threaded():
            inside.set()
            assert may_end.wait(30)
            assert torch.get_num_threads() == 1
        return torch.get_num_threads()

    def begin():  # a thread that is new to PyTorch
        assert inside.wait(30)
        before = torch.get_num_threads()
        with single_threaded():
            within = torch.get_num_threads()
        return before, within, torch.get_num_threads()

    def set_own():
        assert inside.wait(30)
        with single_threaded():
            pass
        may_end.set()

    held, begun, _ = in_threads(hold, begin, set_own)
    assert held == 3
    assert begun == (3, 1, 3)
    assert torch.get_num_threads() == 3


def test_a_module_that_load_makes_leaves_the_generator(tmp_path):
    drawn = []

    def make(n_features, n_outputs):
        drawn.append(torch.rand(3))
        return Skipping(n_features, n_outputs)

    fit(module=make, target_sparsity=4, tol=0.5).save(tmp_path / "net")
    before = torch.get_rng_state()
    for _ in range(2):
        load(tmp_path / "net", module=make)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn[-1], drawn[-2])


class Noisy:
    """A penalty whose steps draw random numbers."""

    separable = True

    def value(self, weight, alpha):
        return weight.abs().sum() * alpha

    def prox(self, weight, step, alpha):
        return weight + 1e-3 * torch.rand(weight.shape)

    def subdifferential_distance(self, weight, gradient, alpha):
        return gradient.abs()


def noisy(output, target):
    return (output - target - torch.rand_like(output)).square().sum(1)


@pytest.mark.parametrize("given", [{"loss": noisy}, {"penalty": Noisy()}])
def test_code_of_the_users_may_draw_and_leaves_the_generator(given):
    before = torch.get_rng_state()
    nets = [fit(alpha=1e-3, **given) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(*(net.predict(X) for net in nets))


def test_no_generator_of_another_device_is_seeded(monkeypatch):
    def seed_all(seed):
        raise AssertionError("torch.manual_seed seeds all devices, for good")

    monkeypatch.setattr(torch, "manual_seed", seed_all)
    fit(module=Skipping, target_sparsity=4, tol=0.5)


OPERATIONS = """
import copy, os, pickle, sys
import numpy as np, torch
from torch import nn
from sklearn.base import clone
from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor, load
from sklearn_sparsenet import optimality

def count():
    return len(os.listdir("/proc/self/task"))

class Skipping(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.a, self.b = nn.Linear(n_features, 500), nn.Linear(500, n_outputs)
    def forward(self, inputs):
        return self.b(self.a(inputs).tanh()) + inputs[:, :1]

X = np.random.default_rng(0).normal(size=(800, 400)).astype("float32")
y = X[:, 0]
few = {"max_iter": 100, "random_state": 0, "tol": 1.0}
path = sys.argv[1] + "/net"
nets = {}

def fit(name, *args, **settings):
    nets[name] = SparseNetRegressor(*args, **few, **settings).fit(X, y)

operations = {
    "fit": lambda: fit("mlp", (500, 300)),
    "fit of two weights": lambda: fit("two", (500,), target_sparsity=2),
    "fit of a module": lambda: fit("module", module=Skipping(400, 1)),
    "predict": lambda: [net.predict(X) for net in nets.values()],
    "clone": lambda: [clone(net) for net in nets.values()],
    "deepcopy": lambda: copy.deepcopy(nets),
    "pickle": lambda: pickle.loads(pickle.dumps(nets)),
    "files": lambda: (nets["mlp"].save(path), load(path)),
    "reports": lambda: (nets["mlp"].sparsity_report(), nets["mlp"].summary()),
    "exports": lambda: (nets["mlp"].to_module(), nets["two"].to_c()),
    "compact": lambda: nets["mlp"].compact(),
    "optimality": lambda: optimality.alpha_interval(gradient, 5),
}
gradient = torch.from_numpy(np.ones(10**6))
before, setting = count(), torch.get_num_threads()
for name, operation in operations.items():
    operation()
    if count() > before:
        sys.exit(f"{name} leaves {count() - before} threads")
if torch.get_num_threads() != setting:
    sys.exit("the setting of the threads is not given back")
"""

FORK = """
import os, signal, sys, threading, time
import numpy as np, torch
from torch import nn
from sklearn_sparsenet import SparseNetRegressor

X = np.random.default_rng(0).normal(size=(900, 300))
y = X[:, 0]
inside, may_end = threading.Event(), threading.Event()

class Waiting(nn.Linear):
    def forward(self, inputs):
        inside.set()
        may_end.wait(60)
        return super().forward(inputs)

few = {"max_iter": 100, "random_state": 0, "tol": 1.0}
torch.ones(2000, 2000) @ torch.ones(2000, 2000)  # a user's: there are threads now
waiting = SparseNetRegressor(module=Waiting(300, 1), **few)
thread = threading.Thread(target=waiting.fit, args=(X, y))
thread.start()
inside.wait(60)
child = os.fork()
if not child:
    signal.alarm(60)
    net = SparseNetRegressor(module=nn.Linear(300, 1), **few).fit(X, y)
    SparseNetRegressor((300,), **few).fit(X, y).compact().predict(X)
    os._exit(0)
_, status = os.waitpid(child, 0)
may_end.set()
thread.join()
sys.exit(f"the child ended with {status}" if status else 0)
"""


SECOND_DERIVATIVES = """
import sys
import warnings
import numpy as np
from sklearn_sparsenet import SparseNetRegressor

X = np.random.default_rng(0).normal(size=(40, 3))
before = list(warnings.filters)
net = SparseNetRegressor((3,), "tanh", solver="lbfgs", alpha=0.01, random_state=0)
net.fit(X, X[:, 0])
assert "sympy" in sys.modules  # or there is nothing to see
sys.exit(0 if warnings.filters == before else "the filters are others")
"""


@pytest.mark.slow
def test_what_pytorch_loads_leaves_no_filter():
    run_script(SECOND_DERIVATIVES, **MANY_THREADS)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks Linux")
@pytest.mark.slow
def test_nothing_starts_threads_that_children_would_wait_for(tmp_path):
    run_script(OPERATIONS, str(tmp_path), **MANY_THREADS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
@pytest.mark.slow
def test_a_child_that_is_forked_in_a_fit_of_a_module_can_fit():
    run_script(FORK, **MANY_THREADS)
