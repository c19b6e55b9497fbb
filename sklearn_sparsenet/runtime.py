"""The process and the devices around a fit: threads, random states, queues."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "Later",
    "forked_random_state",
    "random_states",
    "resolve_device",
    "set_random_states",
    "single_threaded",
]

_lock = threading.Lock()
_global_generators = threading.RLock()
_depth = 0
_threads_outside = 1


@contextmanager
def single_threaded() -> Iterator[None]:
    """Compute on one thread, then give the caller's setting back.

    One thread is the fastest for small networks, leaves the other cores to joblib,
    and gives the same bits whatever the setting around it is. Fits that run at the
    same time in several threads share the setting; the last one restores it.
    """
    global _depth, _threads_outside
    with _lock:
        if _depth == 0:
            _threads_outside = torch.get_num_threads()
        _depth += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                torch.set_num_threads(_threads_outside)


@contextmanager
def forked_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's global generators for a while, then restore them.

    For code that offers no generator of its own: users' modules, dropout. There is one
    of them in a process: fits in other threads wait.
    """
    devices = [] if device.type == "cpu" else [device]
    with (
        _global_generators,
        torch.random.fork_rng(devices=devices, device_type=_fork_type(device)),
    ):
        torch.manual_seed(seed)
        yield


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


def _fork_type(device: torch.device) -> str:
    return "cuda" if device.type == "cpu" else device.type


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device of that name; ``"auto"`` is CUDA if there is any, else CPU.

    Raises
    ------
    ValueError
        If there is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        # Unknown names, devices that are not there, and builds without their kind are
        # three different errors.
        resolved = torch.device(device)
        torch.zeros(1, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} is not available here ({error}); device='auto' falls "
            "back to the CPU."
        ) from error
    return resolved


class Later:
    """Values on a device that are asked for some steps later.

    Their copy to the host is queued behind what computes them. To read it then waits
    for that alone, and not for the steps that were queued since, as reading the tensor
    itself would.

    Parameters
    ----------
    values : Tensor
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
