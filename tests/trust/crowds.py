"""Many fits at a time, and one after the other: the same bits, no hang, no growth."""

import gc
import multiprocessing
import os
import signal
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import nn

from sklearn_sparsenet import SparseNetRegressor, load
from tests.trust.campaigns import Finding
from tests.trust.specimens import fit_of, inputs

_FITS = 8
_LARGE = (400, 300)  # units whose products would start OpenMP's threads


def _network(n_features, n_outputs):
    return nn.Sequential(
        nn.Linear(n_features, 5), nn.ReLU(), nn.Dropout(0.1), nn.Linear(5, n_outputs)
    )


def _weights(number):
    """Fit one of the networks, and return its bits."""
    X, signal_ = inputs()
    if number % 4 == 1:  # has dropout, which knows the global generator alone
        estimator = fit_of(number, module=_network)
    elif number % 4 == 2:
        estimator = fit_of(number, search="bracket", tol=0.5)
    else:
        estimator = fit_of(number)
    estimator.fit(X, signal_)
    estimator.predict(X)
    return b"".join(
        c.numpy().tobytes() for c in estimator.module_.state_dict().values()
    )


def _threads():
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(_weights, range(_FITS)))


def _joblib(backend):
    work = (delayed(_weights)(number) for number in range(_FITS))
    return Parallel(n_jobs=2, backend=backend)(work)


def _processes(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(_weights, range(_FITS))


def _forked_from_threads():
    """Fork while other threads are in the middle of fits."""
    stop = threading.Event()

    def keep_fitting():
        while not stop.is_set():
            _weights(1)

    threads = [threading.Thread(target=keep_fitting) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        return _processes("fork")
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _after_a_server_has_loaded():
    """Fork after everything that a preloading server does with large networks."""
    torch.set_num_threads(4)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 300))
    y = X[:, 0]
    net = SparseNetRegressor(_LARGE, alpha=1e-3, max_iter=1, random_state=0)
    net.fit(X[:100], y[:100])
    with tempfile.TemporaryDirectory() as folder:
        net.save(Path(folder) / "net")
        net = load(Path(folder) / "net")
    net.predict(X)
    net.sparsity_report()
    net.compact().predict(X)
    net.to_module()
    return _processes("fork")


def _dask():
    import dask

    tasks = [dask.delayed(_weights)(number) for number in range(_FITS)]
    return list(dask.compute(*tasks, scheduler="threads", num_workers=4))


CROWDS = {
    "8 threads": _threads,
    "joblib, threading": lambda: _joblib("threading"),
    "joblib, loky": lambda: _joblib("loky"),
    "joblib, multiprocessing": lambda: _joblib("multiprocessing"),
    "fork": lambda: _processes("fork"),
    "spawn": lambda: _processes("spawn"),
    "fork while threads fit": _forked_from_threads,
    "fork after a server has loaded": _after_a_server_has_loaded,
}
if find_spec("dask") is not None:
    CROWDS["dask, threads"] = _dask


def check_crowd(seed):
    """Make the same fits in a crowd and alone."""
    name = list(CROWDS)[seed % len(CROWDS)]
    found = Finding()
    threads, handler = torch.get_num_threads(), signal.getsignal(signal.SIGINT)
    alone = [_weights(number) for number in range(_FITS)]
    found.check(CROWDS[name]() == alone, f"{name}: other bits than alone")
    if "server" not in name:
        found.check(torch.get_num_threads() == threads, f"{name}: threads were changed")
    found.check(
        signal.getsignal(signal.SIGINT) is handler,
        f"{name}: the signal handler was changed",
    )
    found.facts[name] += 1
    found.facts["fits"] += 2 * _FITS
    return found


def _resources():
    gc.collect()
    status = Path("/proc/self/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    return {
        "kB of memory": resident,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "temporary files": len(os.listdir(tempfile.gettempdir())),
    }


def check_soak(n_fits, warm_up=200, allowed_kb=8192):
    """Fit, predict, save and load, many times; nothing may grow.

    The fits of the warm-up fill caches and arenas. The memory may differ by so much
    afterwards: arenas are given back as the allocator likes.
    """
    # Other processes leave files in the folder that all of them share.
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(tempfile, "tempdir", folder),
    ):
        return _soak(n_fits, warm_up, allowed_kb)


def _soak(n_fits, warm_up, allowed_kb):
    X, y = inputs()
    found = Finding()
    for number in range(-warm_up, n_fits):
        if number == 0:
            before = _resources()
        with warnings.catch_warnings():  # of few steps
            warnings.simplefilter("ignore")
            estimator = fit_of(number + warm_up, max_iter=15).fit(X, y)
        estimator.predict(X)
        if number % 10 == 0:
            with tempfile.TemporaryDirectory() as folder:
                estimator.save(Path(folder) / "net")
                load(Path(folder) / "net").predict(X)
        found.facts["fits"] += 1
    for name, value in _resources().items():
        allowed = allowed_kb if name == "kB of memory" else 0
        grown = value - before[name]
        found.check(grown <= allowed, f"{grown} more {name} after {n_fits} fits")
        if allowed:
            found.facts["kB of memory more"] = max(0, grown)
    return found
