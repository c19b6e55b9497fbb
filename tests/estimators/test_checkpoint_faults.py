"""Whatever happens to a checkpoint, the fit finds what it would have found."""

import errno
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import struct
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV

from sklearn_sparsenet import SparseNetRegressor, sparsenet_path
from sklearn_sparsenet.search import certified_trainer
from sklearn_sparsenet.solvers import checkpoint, continuation
from sklearn_sparsenet.solvers.monitor import Progress
from sklearn_sparsenet.utils import atomic_files

pytestmark = pytest.mark.usefixtures("save_every_epoch")
fork = multiprocessing.get_context("fork")


class StoppedError(Exception):
    """The process is gone."""


class Loss:
    """Squared error that does something once, at a certain call."""

    def __init__(self, at=None, act=None):
        self.calls, self.at, self.act = 0, at, act

    def __repr__(self):
        return "Loss()"  # whatever it does, it is the same loss

    def __call__(self, output, target):
        self.calls += 1
        if self.calls == self.at:
            self.act()
        return (output - target).square().sum(1)


def stop():
    raise StoppedError


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def data(n_samples=200):
    X, y = load_diabetes(return_X_y=True)
    return X[:n_samples] * 20, (y[:n_samples] - 150) / 80


def make(**params):
    defaults = {
        "hidden_layer_sizes": (8,), "activation": "tanh", "target_sparsity": 15,
        "max_iter": 25, "batch_size": 50, "random_state": 0, "loss": Loss(),
    }  # fmt: skip
    return SparseNetRegressor(**{**defaults, **params})


LBFGS = {
    "solver": "lbfgs", "batch_size": "auto", "max_iter": 300, "alpha": 0.05,
    "hidden_layer_sizes": (3,), "loss": "squared_error", "debias": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def alone():
    return make().fit(*data())


def stopped_at(part, directory, **params):
    """Let a fit end with an error; return the file of its state."""
    loss = Loss(max(2, int(part * 106)), stop)
    with pytest.raises(StoppedError):
        make(loss=loss, checkpoint=directory, **params).fit(*data())
    (run,) = directory.iterdir()
    return sorted(run.iterdir())[-1]


def assert_same(ours, theirs):
    for one, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert ours.loss_curve_ == theirs.loss_curve_


def assert_one_warning(caught, path):
    (warning,) = caught
    assert warning.category is UserWarning
    assert str(path) in str(warning.message)


def flipped(content):
    place = len(content) * 5 // 8
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def forged(header):
    """Return a file whose checksum is right."""

    def forge(content):
        text = json.dumps(header).encode()
        rest = struct.pack("<Q", len(text)) + text
        start = content[: content.index(b"\n") + 1]
        return start + struct.pack("<Q32s", len(rest), sha256(rest).digest()) + rest

    return forge


class Executed:
    def __reduce__(self):
        return (os._exit, (3,))


DAMAGE = {
    "a flipped bit": flipped,
    "the first byte": lambda content: b"?" + content[1:],
    "cut": lambda content: content[:-1],
    "too long": lambda content: content + b"\0",
    "empty": lambda content: b"",
    "a pickle": lambda content: pickle.dumps(Executed()),
    "no header": forged([]),
    "another name": forged({"name": "other", "state": None, "arrays": []}),
    "too large": forged({"name": "", "state": 0, "arrays": [["0", "<f8", [2**60]]]}),
    "nothing in it": lambda content: forged(
        {"name": _name_in(content), "state": {"!": "dict", "of": []}, "arrays": []}
    )(content),
}


def _name_in(content):
    start = content.index(b'{"name": "') + 10
    return content[start : content.index(b'"', start)].decode()


@pytest.mark.parametrize("part", [0.5, 0.95], ids=["unfinished", "finished"])
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_costs_a_warning(kind, part, tmp_path, alone):
    path = stopped_at(part, tmp_path)
    if part > 0.9:
        path = path.with_name("solve-001.state")
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    with pytest.warns(UserWarning, match="checkpoint: ") as caught:
        gone_on = make(checkpoint=tmp_path).fit(*data())
    assert_one_warning(caught, path)
    assert_same(gone_on, alone)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("becomes", [os.mkdir, os.mkfifo])
def test_a_file_that_is_none_costs_a_warning(becomes, tmp_path, alone):
    path = stopped_at(0.5, tmp_path)
    path.unlink()
    becomes(path)
    with pytest.warns(UserWarning, match="checkpoint: ") as caught:
        assert_same(make(checkpoint=tmp_path).fit(*data()), alone)
    assert_one_warning(caught, path)


def test_a_state_that_does_not_fit_leaves_no_trace(tmp_path, alone, monkeypatch):
    """Only by chance: its checksum is right, and so is its name."""
    path = stopped_at(0.5, tmp_path)
    read = checkpoint.read_state

    def wrong(*arguments):
        return {**read(*arguments), "stepper": {"held": True}}

    monkeypatch.setattr(checkpoint, "read_state", wrong)
    with pytest.warns(UserWarning, match="checkpoint: ") as caught:
        assert_same(make(checkpoint=tmp_path).fit(*data()), alone)
    assert_one_warning(caught, path)


@pytest.mark.parametrize("name", ["open_new", "write", "fsync", "replace"])
@pytest.mark.parametrize("first", [1, 4])
def test_a_full_disk_costs_a_warning(name, first, tmp_path, alone, monkeypatch):
    original, calls = getattr(atomic_files, name), []

    def full(*arguments):
        calls.append(1)
        if len(calls) >= first:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(atomic_files, name, full)
    with pytest.warns(UserWarning, match="No space left") as caught:
        assert_same(make(checkpoint=tmp_path).fit(*data()), alone)
    assert_one_warning(caught, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_deleted_costs_a_warning(tmp_path, alone):
    loss = Loss(30, lambda: shutil.rmtree(tmp_path))
    with pytest.warns(UserWarning, match="checkpoint: ") as caught:
        assert_same(make(checkpoint=tmp_path, loss=loss).fit(*data()), alone)
    assert_one_warning(caught, tmp_path)


def test_what_cannot_be_removed_costs_a_warning(tmp_path, alone, monkeypatch):
    def denied(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", denied)
    with pytest.warns(UserWarning, match="checkpoint: ") as caught:
        assert_same(make(checkpoint=tmp_path).fit(*data()), alone)
    assert_one_warning(caught, tmp_path)


@pytest.mark.parametrize(
    "place", ["", "file", "file/below", "/proc/none", "\0", "n" * 300, "file/../x/y"]
)
def test_what_is_no_directory_is_refused_before_training(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    net = make(checkpoint=place)
    if place.endswith("y"):  # the only one of them that can be made
        net.fit(*data())
        return
    with pytest.raises(ValueError, match="checkpoint="):
        net.fit(*data())
    assert net.loss.calls <= 1  # it is tried


def test_the_directory_stays_the_same_one(tmp_path, monkeypatch, alone):
    """Whatever becomes the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    loss = Loss(40, lambda: os.chdir("elsewhere"))
    assert_same(make(checkpoint="kept", loss=loss).fit(*data()), alone)
    assert not list((tmp_path / "elsewhere").iterdir())


def run(function, *arguments, **named):
    """Run a function in a child; return its exit code."""
    child = fork.Process(target=function, args=arguments, kwargs=named)
    child.start()
    child.join(60)
    assert child.exitcode is not None, "it hangs"
    return child.exitcode


def fit_silently(directory, **params):
    """Fit; warnings are errors in all tests, and in children and threads of theirs."""
    make(checkpoint=directory, **params).fit(*data())


@pytest.mark.parametrize("part", [0.1, 0.5, 0.8, 0.95])
def test_a_fit_that_was_killed_goes_on(part, tmp_path, alone):
    loss = Loss(int(part * alone.loss.calls), kill)
    assert run(fit_silently, tmp_path, loss=loss) == -signal.SIGKILL
    gone_on = make(checkpoint=tmp_path).fit(*data())
    assert_same(gone_on, alone)
    assert gone_on.loss.calls < (1 - part) * alone.loss.calls + 12
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("solve", "left"), [("start", 3), ("solve", 2), ("refit", 1)])
def test_certified_solves_are_kept_too(solve, left, tmp_path, monkeypatch):
    def dying(progress, name, *arguments):
        if name == solve:
            kill()
        return begin(progress, name, *arguments)

    def counted(*arguments):
        solved.append(arguments)
        return active_set(*arguments)

    begin, active_set, solved = Progress.solve, certified_trainer.solve_active_set, []
    for module in (certified_trainer, continuation):
        monkeypatch.setattr(module, "solve_active_set", counted)
    whole = make(**LBFGS).fit(*data())
    assert len(solved) == 3
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "solve", dying)
        assert run(fit_silently, tmp_path, **LBFGS) == -signal.SIGKILL
    solved.clear()
    gone_on = make(checkpoint=tmp_path, **LBFGS).fit(*data())
    assert len(solved) == left
    assert_same(gone_on, whole)
    assert gone_on.n_iter_ == whole.n_iter_
    assert not list(tmp_path.iterdir())


def fit_many(directory, number):
    for _ in range(number):
        fit_silently(directory)


def test_equal_fits_in_many_processes_leave_each_other_alone(tmp_path):
    children = [fork.Process(target=fit_many, args=(tmp_path, 4)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 4
    assert not list(tmp_path.iterdir())


def test_equal_fits_in_many_threads_leave_each_other_alone(tmp_path):
    fits = (delayed(fit_silently)(tmp_path) for _ in range(6))
    Parallel(n_jobs=3, backend="threading")(fits)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_search_in_many_processes_may_share_a_directory(tmp_path):
    grid = {"target_sparsity": [10, 15, 15]}  # two of them are equal
    net = make(checkpoint=tmp_path, loss="squared_error")
    search = GridSearchCV(net, grid, cv=2, n_jobs=2).fit(*data())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert not list(tmp_path.iterdir())


def change(array, row):
    changed = array.copy()
    changed[row] += 1.0
    return changed


def other_last_row(X, y):
    return change(X, -1), y, None


def other_held_out_target(X, y):
    return X, change(y, slice(None, None, 7)), None


def other_weights(X, y):
    return X, y, change(np.ones(len(y)), -3)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, "memory map"])
@pytest.mark.parametrize(
    "other", [other_last_row, other_held_out_target, other_weights]
)
def test_other_data_are_another_fit(other, form, tmp_path, convert_at_once):
    convert_at_once(0)

    def as_form(X):
        if form != "memory map":
            return form(X)
        np.save(tmp_path / "X.npy", X)
        return np.load(tmp_path / "X.npy", mmap_mode="r")

    directory = tmp_path / "kept"
    settings = {"checkpoint": directory, "early_stopping": True}
    X, y = data()
    with pytest.raises(StoppedError):
        make(loss=Loss(20, stop), **settings).fit(as_form(X), y, np.ones(len(y)))
    assert len(list(directory.iterdir())) == 1
    X, y, weight = other(X, y)
    with pytest.raises(StoppedError):
        make(loss=Loss(20, stop), **settings).fit(as_form(X), y, weight)
    assert len(list(directory.iterdir())) == 2


def test_a_path_goes_on(tmp_path):
    targets = {"target_sparsities": [40, 20, 10]}
    whole = sparsenet_path(make(), *data(), **targets)
    net = make(loss=Loss(110, stop), checkpoint=tmp_path)
    with pytest.raises(StoppedError):
        sparsenet_path(net, *data(), **targets)
    loss = Loss()
    path = sparsenet_path(make(checkpoint=tmp_path, loss=loss), *data(), **targets)
    for ours, theirs in zip(path.estimators, whole.estimators, strict=True):
        assert_same(ours, theirs)
    assert not list(tmp_path.iterdir())
