"""The process and the devices around a fit: threads, random states, queues."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "Later",
    "available_memory",
    "computed_once",
    "forked_random_state",
    "load_symbolic_shapes",
    "random_states",
    "resolve_device",
    "set_random_states",
    "single_threaded",
]

_JOBLIB_WORKER = re.compile(r"LokyProcess-(\d+)")  # numbered from 1
_MEMORY = Path("/proc/meminfo")  # of Linux
_MEMORY_LIMITS = (  # of a container
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def _find_thread_settings() -> Callable[[int, int], int]:
    """Return a function that sets the threads of OpenMP and MKL for this thread alone.

    It takes both numbers, and returns the one that MKL had. `torch.set_num_threads`
    sets them as well, but also what threads begin with that use PyTorch for the first
    time, which then is wrong for good if they begin meanwhile. threadpoolctl does not
    see the MKL that PyTorch is linked with. Where PyTorch does not lead to both, as on
    Windows, `torch.set_num_threads` has to do.
    """

    def set_both(openmp: int, mkl: int) -> int:
        set_openmp(openmp)
        return set_mkl(mkl)

    def set_by_torch(openmp: int, mkl: int) -> int:
        torch.set_num_threads(openmp)
        return mkl

    try:
        library = ctypes.PyDLL(torch._C.__file__)  # and all that it depends on
        set_openmp = library.omp_set_num_threads
        set_mkl = lambda n_threads: 0  # noqa: E731 - there is none
        if torch.backends.mkl.is_available():
            set_mkl = library.MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):
        return set_by_torch
    before = torch.get_num_threads()
    mkl_before = set_both(before + 1, 0)
    is_the_one_of_torch = torch.get_num_threads() == before + 1
    set_both(before, mkl_before)
    return set_both if is_the_one_of_torch else set_by_torch


_set_threads = _find_thread_settings()


def _leave_modes() -> ExitStack:
    """Leave the modes of the caller's; return what enters them again."""
    left = ExitStack()
    if torch.is_inference_mode_enabled():
        left.enter_context(torch.inference_mode(False))
    for kind in ("cpu", "cuda"):
        if torch.is_autocast_enabled(kind):
            left.enter_context(torch.autocast(kind, enabled=False))
    if torch.get_default_device().type != "cpu":
        left.enter_context(torch.device("cpu"))
    return left


class _Outside(threading.local):
    """How many guards a thread is in, and what it had before the first of them."""

    depth = 0
    openmp = mkl = 1
    modes: ExitStack


_outside = _Outside()


class single_threaded(ContextDecorator):
    """Compute on one thread, then give the calling thread its settings back.

    One thread is the fastest for small networks, leaves the other cores to joblib,
    gives the same bits whatever the setting around it is, and starts no threads of
    OpenMP, after which forked processes would wait for ever. So all of the library
    that computes with PyTorch does it in here. It holds for the thread that enters it,
    and to enter it again costs next to nothing.

    The caller's inference mode, autocast and default device do not reach inside,
    either: they would change the numbers of a fit, leave a loaded network that cannot
    be trained, or put half of the tensors on another device.
    """

    def __enter__(self) -> None:
        if _outside.depth == 0:
            _outside.openmp = torch.get_num_threads()
            _outside.mkl = _set_threads(1, 1)
            _outside.modes = _leave_modes()
        _outside.depth += 1

    def __exit__(self, *error: object) -> None:
        _outside.depth -= 1
        if _outside.depth == 0:
            _outside.modes.close()
            _set_threads(_outside.openmp, _outside.mkl)


_global_generators = threading.RLock()


@contextmanager
def forked_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's global generators for a while, then restore them.

    For code that offers no generator of its own: users' modules, dropout. There is one
    of them in a process: fits in other threads wait.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    with _global_generators:
        before = [generator.get_state() for generator in generators]
        try:
            # `torch.manual_seed` would seed those of all devices, for good.
            for generator in generators:
                generator.manual_seed(seed)
            yield
        finally:
            for generator, state in zip(generators, before, strict=True):
                generator.set_state(state)


def _unlock() -> None:
    """Give a forked process a lock that no thread holds; it has but one."""
    global _global_generators
    _global_generators = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class computed_once:
    """A property that is computed when it is first asked for.

    As `functools.cached_property`, whose lock (of Python 3.11, one for all objects)
    would make threads wait for each other, and forked processes for ever.
    """

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None:
            return self
        value = vars(owner)[self._name] = self._compute(owner)
        return value


def random_states(device: torch.device) -> list[Tensor]:
    """Return the states of PyTorch's global generators for a device."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def set_random_states(states: list[Tensor], device: torch.device) -> None:
    """Take over what `random_states` returned, from another device as well."""
    torch.set_rng_state(states[0].cpu())
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1].cpu(), device)


def load_symbolic_shapes() -> None:
    """Load what PyTorch loads for batched products; leave the warnings filters alone.

    It is a second's work, at the first product of a process. SymPy, which is part of
    it, appends a filter for its own warnings to those of the process.
    """
    if "sympy" in sys.modules:
        return
    import torch.fx.experimental.symbolic_shapes  # noqa: F401

    filters: Any = warnings.filters
    for entry in list(filters):
        if entry[2].__module__.startswith("sympy."):
            filters.remove(entry)


@single_threaded()
def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device of that name; ``"auto"`` is CUDA if there is any, else CPU.

    A device that is not there is a ValueError. In the processes of joblib "auto" deals
    the GPUs out, to one process after the other.
    """
    if device == "auto":
        return _dealt_gpu() if torch.cuda.is_available() else torch.device("cpu")
    try:
        # Unknown names, devices that are not there, and builds without their kind are
        # different errors. Some that are none, as "meta", make tensors nevertheless.
        resolved = torch.device(device)
        torch.zeros(1, device=resolved).tolist()
        n_devices = torch.get_device_module(resolved).device_count()
        if (resolved.index or 0) >= n_devices:
            raise RuntimeError(f"there are {n_devices} of its kind, counted from 0")
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise ValueError(
            f"device={device!r} is not available here ({error}); device='auto' falls "
            "back to the CPU."
        ) from error
    return resolved


def _dealt_gpu() -> torch.device:
    """Return the GPU of this process: the current one, but in a worker of joblib's.

    Dask and Ray have ways of their own to show each worker its GPU alone.
    """
    worker = _JOBLIB_WORKER.fullmatch(multiprocessing.current_process().name)
    if worker is None:
        return torch.device("cuda")
    return torch.device("cuda", (int(worker[1]) - 1) % torch.cuda.device_count())


def available_memory(device: torch.device) -> int | None:
    """Return the bytes that can still be taken on a device; None if that is unknown."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
        return free + reserved - torch.cuda.memory_allocated(device)
    found = []
    if device.type == "cpu" and _MEMORY.exists():
        lines = dict(line.split(":") for line in _MEMORY.read_text().splitlines())
        found.append(1024 * int(lines["MemAvailable"].split()[0]))
        limits = [path.read_text().strip() for path in _MEMORY_LIMITS if path.exists()]
        found += [int(limit) for limit in limits if limit.isdigit()]
    return min(found, default=None)


class Later:
    """Values on a device that are asked for some steps later.

    Their copy to the host is queued behind what computes them. To read it then waits
    for that alone, and not for the steps that were queued since, as reading the tensor
    itself would.
    """

    def __init__(self, values: Tensor) -> None:
        self._copied: torch.cuda.Event | None = None
        self._values = values
        if values.is_cuda:
            self._values = torch.empty_like(values, device="cpu", pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(values.device))

    def read(self) -> list[Any]:
        """Return the values as `Tensor.tolist` does."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._values.tolist()
