"""Whatever happens to a checkpoint, the fit finds what it would have found."""

import errno
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import struct
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.model_selection import GridSearchCV

from sklearn_sparsenet import sparsenet_path
from sklearn_sparsenet.search import certified_trainer
from sklearn_sparsenet.solvers import checkpoint, continuation
from sklearn_sparsenet.solvers.monitor import Progress
from sklearn_sparsenet.utils import atomic_files
from tests.comparisons import assert_same_arrays
from tests.estimators import small_fits
from tests.estimators.small_fits import DATA, LBFGS
from tests.faults import Loss, StoppedError, stop

pytestmark = pytest.mark.usefixtures("save_every_epoch")
fork = multiprocessing.get_context("fork")
CERTIFIED = {**LBFGS, "alpha": 0.05, "debias": True, "loss": "squared_error"}


def make(**params):
    return small_fits.make(**{"max_iter": 25, "loss": Loss(), **params})


def kill(losses=None):
    os.kill(os.getpid(), signal.SIGKILL)


def doing(act, *arguments):
    """Return an act of a loss that has its losses all the same."""

    def act_and_go_on(losses):
        act(*arguments)
        return losses

    return act_and_go_on


@pytest.fixture(scope="module")
def alone():
    return make().fit(*DATA)


def stopped_at(part, directory):
    """Let a fit end with an error; return the file of its state."""
    loss = Loss({max(2, int(part * 106)): stop})
    with pytest.raises(StoppedError):
        make(loss=loss, checkpoint=directory).fit(*DATA)
    (run,) = directory.iterdir()
    return sorted(run.iterdir())[-1]


def assert_same(ours, theirs):
    assert_same_arrays(ours.coefs_, theirs.coefs_)
    assert ours.loss_curve_ == theirs.loss_curve_


@contextmanager
def warning_once_of(path, match="checkpoint: "):
    """Expect one warning, which names the path."""
    with pytest.warns(UserWarning, match=match) as caught:
        yield
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
    with warning_once_of(path):
        assert_same(make(checkpoint=tmp_path).fit(*DATA), alone)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("becomes", [os.mkdir, os.mkfifo])
def test_a_file_that_is_none_costs_a_warning(becomes, tmp_path, alone):
    path = stopped_at(0.5, tmp_path)
    path.unlink()
    becomes(path)
    with warning_once_of(path):
        assert_same(make(checkpoint=tmp_path).fit(*DATA), alone)


def test_a_state_that_does_not_fit_leaves_no_trace(tmp_path, alone, monkeypatch):
    """Only by chance: its checksum is right, and so is its name."""
    path = stopped_at(0.5, tmp_path)
    read = checkpoint.read_state

    def wrong(*arguments):
        return {**read(*arguments), "stepper": {"held": True}}

    monkeypatch.setattr(checkpoint, "read_state", wrong)
    with warning_once_of(path):
        assert_same(make(checkpoint=tmp_path).fit(*DATA), alone)


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
    with warning_once_of(tmp_path, match="No space left"):
        assert_same(make(checkpoint=tmp_path).fit(*DATA), alone)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_deleted_costs_a_warning(tmp_path, alone):
    loss = Loss({30: doing(shutil.rmtree, tmp_path)})
    with warning_once_of(tmp_path):
        assert_same(make(checkpoint=tmp_path, loss=loss).fit(*DATA), alone)


def test_what_cannot_be_removed_costs_a_warning(tmp_path, alone, monkeypatch):
    def denied(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", denied)
    with warning_once_of(tmp_path):
        assert_same(make(checkpoint=tmp_path).fit(*DATA), alone)


@pytest.mark.parametrize(
    "place", ["", "file", "file/below", "/proc/none", "\0", "n" * 300, "file/../x/y"]
)
def test_what_is_no_directory_is_refused_before_training(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    net = make(checkpoint=place)
    if place.endswith("y"):  # the only one of them that can be made
        net.fit(*DATA)
        return
    with pytest.raises(ValueError, match="checkpoint="):
        net.fit(*DATA)
    assert net.loss.calls <= 1  # it is tried


def test_the_directory_stays_the_same_one(tmp_path, monkeypatch, alone):
    """Whatever becomes the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    loss = Loss({40: doing(os.chdir, "elsewhere")})
    assert_same(make(checkpoint="kept", loss=loss).fit(*DATA), alone)
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
    make(checkpoint=directory, **params).fit(*DATA)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.8, 0.95])
def test_a_fit_that_was_killed_goes_on(part, tmp_path, alone):
    loss = Loss({int(part * alone.loss.calls): kill})
    assert run(fit_silently, tmp_path, loss=loss) == -signal.SIGKILL
    gone_on = make(checkpoint=tmp_path).fit(*DATA)
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
    whole = make(**CERTIFIED).fit(*DATA)
    assert len(solved) == 3
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "solve", dying)
        assert run(fit_silently, tmp_path, **CERTIFIED) == -signal.SIGKILL
    solved.clear()
    gone_on = make(checkpoint=tmp_path, **CERTIFIED).fit(*DATA)
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
    search = GridSearchCV(net, grid, cv=2, n_jobs=2).fit(*DATA)
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
    X, y = DATA
    with pytest.raises(StoppedError):
        make(loss=Loss({20: stop}), **settings).fit(as_form(X), y, np.ones(len(y)))
    assert len(list(directory.iterdir())) == 1
    X, y, weight = other(X, y)
    with pytest.raises(StoppedError):
        make(loss=Loss({20: stop}), **settings).fit(as_form(X), y, weight)
    assert len(list(directory.iterdir())) == 2


def test_a_path_goes_on(tmp_path):
    targets = {"target_sparsities": [40, 20, 10]}
    whole = sparsenet_path(make(), *DATA, **targets)
    net = make(loss=Loss({110: stop}), checkpoint=tmp_path)
    with pytest.raises(StoppedError):
        sparsenet_path(net, *DATA, **targets)
    loss = Loss()
    path = sparsenet_path(make(checkpoint=tmp_path, loss=loss), *DATA, **targets)
    for ours, theirs in zip(path.estimators, whole.estimators, strict=True):
        assert_same(ours, theirs)
    assert not list(tmp_path.iterdir())
