"""Ends at the worst moment: of saves, of checkpoints, of fits that are made again."""

import errno
import os
import resource
import signal
import tempfile
import time
import warnings
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from sklearn_sparsenet import load
from sklearn_sparsenet.utils import atomic_files
from tests.comparisons import same_network
from tests.faults import interrupted
from tests.trust.campaigns import attack
from tests.trust.specimens import N_FEATURES, fit_of, inputs, specimens

_OPERATIONS = ("open_new", "write", "fsync", "replace", "fsync_directory")
_EXIT = 77  # of a process that ends itself


def dies(work, after=None):
    """Run something in a forked child; return whether it was killed, or ended itself.

    After some seconds, if these are given, the child gets a SIGKILL.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1:
        raise RuntimeError("the child raised an exception")
    return os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == _EXIT


@contextmanager
def _broken(number, end):
    """Let the n-th operation on the file system, counted from 1, end in some way."""
    calls = count(1)

    def wrap(original):
        def operation(*args):
            if next(calls) == number:
                return end(original, *args)
            return original(*args)

        return operation

    with ExitStack() as stack:
        for name in _OPERATIONS:
            original = getattr(atomic_files, name)
            stack.enter_context(mock.patch.object(atomic_files, name, wrap(original)))
        yield


def _raising(error):
    def end(original, *args):
        raise error

    end.__name__ = str(error)
    return end


def _killed_before(original, *args):
    os._exit(_EXIT)


def _killed_after(original, *args):
    original(*args)
    os._exit(_EXIT)


def _killed_within(original, *args):
    """Write half of what is to be written, or do nothing at all."""
    if len(args) == 2 and isinstance(args[1], (bytes, memoryview)):
        original(args[0], bytes(args[1])[: len(args[1]) // 2])
    os._exit(_EXIT)


_RAISING = (
    _raising(OSError(errno.ENOSPC, "No space left on device")),
    _raising(OSError(errno.EIO, "Input/output error")),
    _raising(MemoryError("no memory")),
)
_KILLING = (_killed_before, _killed_after, _killed_within)


def _check_file(path, written, found):
    """Check that a file holds one of the estimators that were saved to it."""
    X, _ = inputs()
    loaded = load(path).predict(X)
    whole = any(np.array_equal(loaded, one.predict(X)) for one in written)
    found.check(whole, f"the file is none of {len(written)} that were written")


@contextmanager
def _saved():
    """Yield a file with an estimator, and that estimator and another one."""
    with tempfile.TemporaryDirectory() as folder:
        pair = [specimens()[0], specimens()[2]]
        path = Path(folder) / "net"
        pair[0].save(path)
        yield path, pair


@attack
def check_broken_save(rng, found):
    """Let one operation of `save` fail, or the process end in it."""
    number, kills = int(rng.integers(1, 8)), bool(rng.random() < 0.5)
    endings = _KILLING if kills else _RAISING
    end = endings[rng.integers(len(endings))]
    with _saved() as (path, pair):

        def save():
            with _broken(number, end):
                pair[1].save(path)

        if kills:
            found.facts["kills of saves"] += dies(save)
        else:
            try:
                save()
            except (OSError, MemoryError):
                found.facts["errors in saves"] += 1
            left = [name for name in os.listdir(path.parent) if name != "net"]
            found.check(not left, f"left behind: {left}")
        _check_file(path, pair, found)
        pair[1].save(path)  # that can be done again
        _check_file(path, pair[1:], found)
    return f"{end.__name__} at {number}"


@attack
def check_killed_save(rng, found):
    """Kill a process that saves, and saves again, at any moment."""
    with _saved() as (path, pair):

        def keep_saving():
            for number in count():
                pair[number % 2].save(path)

        found.facts["kills of saves"] += dies(keep_saving, after=rng.uniform(0, 0.05))
        _check_file(path, pair, found)


# --- checkpoints ---------------------------------------------------------------------


@cache
def _fits():
    """Return fits of several solves and stages, not made yet."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(N_FEATURES, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 1)
    )
    return (
        fit_of(3, search="bracket", max_outer_iter=4),
        fit_of(4, batch_size=16),
        fit_of(5, module=module, early_stopping=True),
        fit_of(6, solver="sgd", target_sparsity={"*": 0.6}),
    )


def _fit(which, folder):
    """Make a fit that keeps its state at every epoch; return it, and the warnings."""
    X, y = inputs()
    estimator = clone(_fits()[which]).set_params(checkpoint=folder)
    with (
        mock.patch("sklearn_sparsenet.solvers.checkpoint._EVERY_SECONDS", 0.0),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        estimator.fit(X, y)
    return estimator, [str(w.message) for w in caught if "checkpoint" in str(w.message)]


@attack
def check_killed_fit(rng, found):
    """Kill a fit, go on with it, kill it again: in the end it is the same."""
    which = int(rng.integers(len(_fits())))
    whole, _ = _fit(which, None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkpoints"
        for _ in range(rng.integers(1, 4)):
            killed = dies(lambda: _fit(which, folder), after=rng.uniform(0, 0.3))
            found.facts["kills of fits"] += killed
        resumed, messages = _fit(which, folder)
        found.check(same_network(resumed, whole), "resumed to another network")
        found.check(not messages, f"warned after a kill: {messages}")
        left = [p for p in folder.rglob("*") if p.is_file()]
        found.check(not left, f"left behind: {left}")
    return f"fit {which}"


@attack
def check_broken_checkpoint(rng, found):
    """Break the disk under a fit, or damage what it kept: it is made all the same."""
    which = int(rng.integers(len(_fits())))
    whole, _ = _fit(which, None)
    number = int(rng.integers(1, 60))
    end = _RAISING[rng.integers(2)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkpoints"
        if rng.random() < 0.5:
            with _broken(number, end):
                fitted, messages = _fit(which, folder)
            found.facts["fits on a broken disk"] += 1
        else:

            def is_cut_off():
                with _broken(number, _KILLING[rng.integers(3)]):
                    _fit(which, folder)

            found.facts["kills of fits"] += dies(is_cut_off)
            found.facts["damaged checkpoints"] += _damage(rng, folder)
            fitted, messages = _fit(which, folder)
        found.check(same_network(whole, fitted), "another network")
        found.check(len(messages) <= 1, f"{len(messages)} warnings: {messages[:2]}")
    return f"fit {which}, {number}"


def _damage(rng, folder):
    """Change bits in some of the files; return in how many."""
    damaged = 0
    for path in sorted(folder.rglob("*")):
        content = bytearray(path.read_bytes()) if path.is_file() else b""
        if content and rng.random() < 0.7:
            if rng.random() < 0.3:
                del content[rng.integers(len(content)) :]
            else:
                content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
            path.write_bytes(content)
            damaged += 1
    return damaged


@attack
def check_full_disk(rng, found):
    """Let no file grow beyond some size: saves fail, fits do not."""
    size = int(rng.integers(0, 6000))
    with _saved() as (path, pair):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            try:
                pair[1].save(path)
            except OSError:
                found.facts["saves on a full disk"] += 1
            fitted, messages = _fit(0, path.parent / "checkpoints")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        _check_file(path, pair, found)
        found.check(same_network(fitted, _fit(0, None)[0]), "another network")
        found.check(len(messages) <= 1, f"{len(messages)} warnings")
        found.facts["fits on a full disk"] += 1


# --- errors in the user's code -------------------------------------------------------


class _FailingModule(nn.Module):
    def __init__(self, fails):
        super().__init__()
        self.fails = fails
        self.body = nn.Sequential(nn.Linear(N_FEATURES, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, x):
        self.fails()
        return self.body(x)


class _FailingCallback:
    def __init__(self, fails):
        self.fails = fails

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **facts):
        self.fails()

    on_fit_task_end = on_fit_task_begin
    teardown = setup


_ERRORS = (MemoryError(), RuntimeError("no"), KeyboardInterrupt(), SystemExit(3),
           OSError("disk"), ZeroDivisionError(), AssertionError())  # fmt: skip


@attack
def check_failing_fit(rng, found):
    """Let a module, loss or callback of the user's raise: the fit before is kept."""
    X, y = inputs()
    estimator = fit_of(0).fit(X, y)
    before, names = estimator.predict(X), set(vars(estimator))
    error = _ERRORS[rng.integers(len(_ERRORS))]
    # Copies of a function are the function itself: the calls of all are counted.
    fails = interrupted(lambda: None, int(rng.integers(1, 120)), error)
    place = ("module", "loss", "callback")[rng.integers(3)]

    def loss(output, target):
        fails()
        return ((output - target) ** 2).sum(dim=1)

    if place == "module":
        estimator.set_params(module=_FailingModule(fails), hidden_layer_sizes=(100,))
    elif place == "loss":
        estimator.set_params(loss=loss)
    else:
        estimator.set_callbacks(_FailingCallback(fails))
    try:
        estimator.fit(X, y)
        found.facts["never called so often"] += 1
    except BaseException as raised:
        found.facts[f"errors in a {place}"] += 1
        own = isinstance(raised, (type(error), ValueError))
        found.check(own, f"{error!r} became {raised!r}")
        if not isinstance(error, KeyboardInterrupt):  # which keeps what it has
            estimator.set_params(module=None, loss="squared_error")
            same = np.array_equal(before, estimator.predict(X))
            found.check(same, "the fit before was lost")
            new = set(vars(estimator)) - names - {"_skl_callbacks"}
            found.check(not new, f"left behind: {new}")
        found.check(np.isfinite(estimator.predict(X)).all(), "cannot predict any more")
    return f"{error!r} in a {place}"
