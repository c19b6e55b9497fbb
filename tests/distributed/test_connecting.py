"""Processes that connect: all of them have to be there, and no wait adds up."""

from datetime import timedelta
from threading import Event

import pytest
from torch.distributed import HashStore, PrefixStore, ProcessGroupGloo

from sklearn_sparsenet.distributed import group as module
from sklearn_sparsenet.distributed.group import Group
from sklearn_sparsenet.utils.exceptions import ProcessLostError
from tests.together import together


def test_waits_for_connections_are_one_timeout_in_all(monkeypatch):
    shares, later = [], []

    class Noted(ProcessGroupGloo):
        def __init__(self, store, rank, size, options):
            shares.append(options._timeout)
            super().__init__(store, rank, size, options)

        def _set_default_timeout(self, timeout):
            later.append(timeout)
            super()._set_default_timeout(timeout)

    monkeypatch.setattr(module, "ProcessGroupGloo", Noted)
    assert together(4, lambda rank: rank, timeout=30.0) == [0, 1, 2, 3]
    assert shares == [timedelta(seconds=10)] * 4
    assert later == [timedelta(seconds=30)] * 4


def test_a_process_that_is_lost_while_they_connect_is_lost_for_all():
    """It came, and was not there any more when the others called it."""
    store = HashStore()

    def connect(rank):
        return Group(store, "together", rank, 3, timedelta(seconds=1))

    PrefixStore("together", store).set("present/2", "")
    found = together(2, connect)
    assert [type(error) for error in found] == [ProcessLostError] * 2


def test_one_that_does_not_come_is_lost():
    found = together(
        2, lambda rank: Group(HashStore(), "b", 0, 2, timedelta(seconds=1))
    )
    assert [type(error) for error in found] == [ProcessLostError] * 2


def test_what_one_raises_at_once_does_not_lose_it_to_the_others():
    """Nobody leaves while another one is still connecting."""

    def refuse(rank):
        raise ValueError("no")

    for _ in range(30):
        assert [str(error) for error in together(3, refuse)] == ["no"] * 3


def test_connections_that_never_come_about_are_not_waited_for(monkeypatch):
    """gloo waits for ever if another process is killed while they shake hands."""
    goes_on = Event()

    class Stuck(ProcessGroupGloo):
        def __init__(self, *args):
            goes_on.wait(timeout=60)
            raise RuntimeError

    monkeypatch.setattr(module, "ProcessGroupGloo", Stuck)
    monkeypatch.setattr(module, "_options", lambda store, timeout: None)
    store = HashStore()
    PrefixStore("together", store).set("present/1", "")
    with pytest.raises(ProcessLostError, match="not made in time"):
        Group(store, "together", 0, 2, timedelta(seconds=1))
    assert not goes_on.is_set()
    goes_on.set()


@pytest.mark.parametrize("error", [KeyError("a"), KeyboardInterrupt()])
def test_what_connecting_raises_is_raised(error):
    def fail():
        raise error

    with pytest.raises(type(error)):
        module._result(fail, timedelta(seconds=30))
