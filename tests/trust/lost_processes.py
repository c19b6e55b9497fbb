"""Processes share a fit, one of them is killed or stopped: nobody waits for it."""

import os
import signal
import tempfile
import time
import warnings
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
from torch.distributed import TCPStore

from sklearn_sparsenet import SparseNetRegressor
from sklearn_sparsenet.distributed.group import Group
from sklearn_sparsenet.utils.exceptions import ProcessLostError
from sklearn_sparsenet.utils.processes import joined
from tests.trust.campaigns import attack

_TIMEOUT, _SLACK = 8.0, 20.0  # seconds; the machine may be busy
_LASTS = 2.0  # seconds, about, of a fit by several processes
_CONNECTS = 0.1  # of which they meet and connect
_LOST = 77  # exit code of a process that says that it has lost another one


def _data():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(240, 12))
    return X, np.tanh(X[:, 0] * X[:, 1]) + X[:, 2]


def _net(folder):
    return SparseNetRegressor(
        (16,), batch_size=40, max_iter=60, random_state=0, checkpoint=folder
    )


@cache
def _alone():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _net(None).fit(*_data())


def _fit_a_part(rank, size, port, name, folder, result):
    """What a process does; it ends with an exit code."""
    warnings.simplefilter("ignore")
    X, y = _data()
    rows = np.array_split(np.arange(len(y)), size)[rank]
    limit = timedelta(seconds=_TIMEOUT)
    try:
        store = TCPStore("127.0.0.1", port, None, False, limit, wait_for_workers=False)
        with joined(Group(store, name, rank, size, limit)):
            net = _net(folder).fit(X[rows], y[rows])
    except ProcessLostError:
        os._exit(_LOST)
    if rank == 0:
        np.savez(result, *net.coefs_)
    os._exit(0)


def _serve(writer):
    """Have the store by which processes meet; forks must not see its threads."""
    store = TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
    os.write(writer, str(store.port).encode())
    signal.pause()


@contextmanager
def _served():
    """Yield the port of a store in a process of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _serve(writer)
    try:
        yield int(os.read(reader, 16))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


def _start(size, port, name, folder, result):
    children = []
    for rank in range(size):
        pid = os.fork()
        if pid == 0:
            try:
                _fit_a_part(rank, size, port, name, folder, result)
            finally:
                os._exit(1)
        children.append(pid)
    return children


def _ends(pid, deadline):
    """Return the exit code of a process; None if it does not end in time."""
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


@attack
def check_lost_process(rng, found):
    """Lose one at some moment of the fit."""
    return _lose_one(rng, found, _LASTS)


@attack
def check_lost_while_connecting(rng, found):
    """Lose one before they have begun."""
    return _lose_one(rng, found, _CONNECTS)


def _lose_one(rng, found, within):
    """Kill or stop one at a random moment: the others end in time, then all go on."""
    size = int(rng.integers(2, 5))
    victim = int(rng.integers(size))
    how = (signal.SIGKILL, signal.SIGSTOP)[int(rng.random() < 0.2)]
    with _served() as port, tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkpoints" if rng.random() < 0.5 else None
        result = Path(name) / "coefs.npz"
        children = _start(size, port, "first", folder, result)
        time.sleep(rng.uniform(0, within))
        os.kill(children[victim], how)
        deadline = time.monotonic() + _TIMEOUT + _SLACK
        others = [pid for rank, pid in enumerate(children) if rank != victim]
        codes = [_ends(pid, deadline) for pid in others]
        os.kill(children[victim], signal.SIGKILL)
        os.waitpid(children[victim], 0)
        found.facts["processes lost"] += 1
        found.facts["errors in the others"] += codes.count(_LOST)
        found.check(None not in codes, "a process hangs")
        found.check(set(codes) <= {0, _LOST, None}, f"exit codes {codes}")
        if folder is not None:
            again = _start(size, port, "second", folder, result)
            deadline = time.monotonic() + 3 * _SLACK
            codes = [_ends(pid, deadline) for pid in again]
            found.facts["fits taken up again"] += 1
            found.check(codes == [0] * size, f"taken up again: {codes}")
            same = result.exists() and _is_that_of_one(result)
            found.check(same, "another network than that of one, or none")
    return f"{size} processes"


def _is_that_of_one(result):
    with np.load(result) as coefs:
        pairs = zip(coefs.values(), _alone().coefs_, strict=True)
        return all(np.allclose(a, b, rtol=0, atol=1e-9) for a, b in pairs)


def prepare():
    """Fit alone once, for all children."""
    _alone()
