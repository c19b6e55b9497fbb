"""By which address the processes of a group reach each other."""

import socket
from datetime import timedelta

import pytest
import torch
from torch.distributed import HashStore, PrefixStore, TCPStore

from sklearn_sparsenet.distributed.group import Group, address_towards


def store_at(host):
    return TCPStore(host, 0, is_master=True, wait_for_workers=False)


@pytest.fixture
def address():
    """Return the address of this machine for others; nothing is sent to any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine is in no network")
        return way.getsockname()[0]


def test_it_is_the_one_by_which_this_process_reaches_the_store(address):
    store = PrefixStore("a", PrefixStore("b", store_at(address)))
    assert address_towards(store) == address


@pytest.mark.parametrize("make", [lambda: store_at("127.0.0.1"), HashStore])
def test_a_store_on_this_machine_alone_tells_nothing(make):
    assert address_towards(make()) is None


@pytest.mark.parametrize("interface", [None, "lo"])
def test_sums_go_there_unless_an_interface_is_chosen(address, interface, monkeypatch):
    made, gloo = [], torch.distributed.ProcessGroupGloo
    for name in ("create_device", "create_default_device"):
        make = getattr(gloo, name)
        noted = lambda make=make, **where: (made.append(where), make(**where))[1]  # noqa: E731
        monkeypatch.setattr(gloo, name, noted)
    if interface is not None:
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", interface)
    group = Group(store_at(address), "a", 0, 1, timedelta(seconds=20))
    numbers = torch.ones(3)
    group.sum(numbers)
    group.leave()
    assert numbers.tolist() == [1.0, 1.0, 1.0]
    assert made == [{} if interface else {"hostname": address}]
