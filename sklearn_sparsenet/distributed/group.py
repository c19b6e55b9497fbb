"""Processes that are connected, with a limit to each wait."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from ipaddress import ip_address
from threading import Thread
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import (
    PrefixStore,
    ProcessGroup,
    ProcessGroupGloo,
    Store,
    TCPStore,
)

from sklearn_sparsenet.utils.exceptions import ProcessLostError
from sklearn_sparsenet.utils.processes import Processes

__all__ = ["Group", "address_towards"]

_LEAST_WAIT = timedelta(seconds=1)  # for a process that is there to be connected


class Group(Processes):
    """What a fit asks of the other processes; see `utils.processes.Processes`.

    Connections are its own. When it is left they are closed, so that whoever waits for
    this process gets an error at once.

    Parameters
    ----------
    store : Store
        By which the processes find each other.
    name : str
        That no other group of this store has, or had.
    rank, size : int
    timeout : timedelta
        The longest wait for the others.
    accelerated : ProcessGroup, optional
        Of the same processes, for sums of tensors that are on GPUs; None: by way of the
        CPU.

    Raises
    ------
    ProcessLostError
        If one of the processes does not come, here and in every method.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        rank: int,
        size: int,
        timeout: timedelta,
        accelerated: ProcessGroup | None = None,
    ) -> None:
        self.rank, self.size = rank, size
        self._timeout, self._accelerated = timeout, accelerated
        self._group: Any = None  # whose methods are not declared
        try:
            self._group = self._connected(PrefixStore(name, store))
        except RuntimeError as error:
            raise self._lost(error) from error

    def _connected(self, store: Store) -> Any:
        """Return connections to all processes, once they are all there.

        gloo waits for one process after the other, so that each has a share of the
        timeout: those that are lost by then would cost a timeout each. Nobody leaves
        before all are connected: the others would miss what it has to say.
        """
        self._meet(store, "present")
        n_others = max(1, self.size - 1)
        share = max(self._timeout / n_others, _LEAST_WAIT)
        options, limit = _options(store, share), n_others * share + _LEAST_WAIT
        connect = partial(ProcessGroupGloo, store, self.rank, self.size, options)
        group: Any = _result(connect, limit)
        group._set_default_timeout(self._timeout)
        self._meet(store, "connected")
        return group

    def _meet(self, store: Store, where: str) -> None:
        """Wait until all processes have come so far."""
        keys = [f"{where}/{rank}" for rank in range(self.size)]
        store.set(keys[self.rank], "")
        store.wait(keys, self._timeout)

    def sum(self, values: Tensor) -> None:
        """Replace values by their sums over all processes: the same bits in each."""
        if values.is_cuda and self._accelerated is not None:
            distributed.all_reduce(values, group=self._accelerated)
            return
        here = values.cpu().contiguous()
        self._wait(lambda group: group.allreduce([here]))
        if here.data_ptr() != values.data_ptr():
            values.copy_(here)

    def gather(self, value: Any) -> list[Any]:
        """Return what each of the processes gives, in their order."""
        content = torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)
        sizes = list(map(int, self._gather(torch.tensor([len(content)]))))
        padded = content.new_zeros(max(sizes))
        padded[: len(content)] = content
        pairs = zip(self._gather(padded), sizes, strict=True)
        return [pickle.loads(one[:size].numpy().tobytes()) for one, size in pairs]

    def _gather(self, values: Tensor) -> list[Tensor]:
        found = [torch.empty_like(values) for _ in range(self.size)]
        self._wait(lambda group: group.allgather([found], [values]))
        return found

    def _wait(self, begin: Callable[[Any], Any]) -> None:
        if self._group is None:
            raise ProcessLostError("This process has left the group.")
        try:
            begin(self._group).wait()
        except RuntimeError as error:
            self.leave()
            raise self._lost(error) from error

    def _lost(self, error: RuntimeError) -> ProcessLostError:
        return ProcessLostError(
            f"Process {self.rank} of {self.size} has lost another one: it ended, "
            "raised an error (see its output), or did not come along within "
            f"{self._timeout.total_seconds():g} s. The fit cannot go on without it; "
            f"with checkpoint= the same call takes it up again. ({error})"
        )

    def leave(self) -> None:
        """Close the connections."""
        self._group = None


def _result(call: Callable[[], Any], limit: timedelta) -> Any:
    """Return what a call gives, or raise a RuntimeError that it does not come back.

    The thread that waits for it stays behind then. gloo, of which another process is
    killed while they shake hands, waits for ever, in one of some hundred such kills.
    """
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    Thread(target=run, name="connects", daemon=True).start()
    try:
        return outcome.result(limit.total_seconds())
    except TimeoutError as error:
        raise RuntimeError("connections were not made in time") from error


def _options(store: Store, timeout: timedelta) -> Any:
    """Return the options of a group whose processes find each other by a store."""
    gloo: Any = ProcessGroupGloo  # whose members are not all declared
    options = gloo._Options()
    options._timeout = timeout
    host = address_towards(store)
    if host is None or "GLOO_SOCKET_IFNAME" in os.environ:
        options._devices = [gloo.create_default_device()]
    else:
        options._devices = [gloo.create_device(hostname=host)]
    return options


def address_towards(store: Store) -> str | None:
    """Return the address of this machine by which it reaches a store.

    The others reach it by the same. The name of a machine may lead to the machine
    itself alone, as 127.0.1.1. None where that is all that is known.
    """
    while isinstance(store, PrefixStore):
        store = store.underlying_store
    if not isinstance(store, TCPStore):
        return None
    try:
        # Nothing is sent, but the system says which way it would go.
        found = socket.getaddrinfo(store.host, store.port, type=socket.SOCK_DGRAM)
        family, kind, _, _, there = found[0]
        with socket.socket(family, kind) as way:
            way.connect(there)
            host = way.getsockname()[0]
    except OSError:
        return None
    return None if ip_address(host).is_loopback else host
