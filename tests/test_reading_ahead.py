"""What is made ahead is the same, in the same order, and nothing of it stays behind."""

import threading
import traceback
from contextlib import closing

import pytest
import torch

from sklearn_sparsenet.solvers.reading_ahead import read_ahead
from tests.threads import ours


def test_items_come_in_their_order():
    assert list(read_ahead(iter(range(100)))) == list(range(100))
    assert list(read_ahead(iter([]))) == []
    assert ours() == []


def test_items_are_made_in_one_thread_while_others_are_used():
    made = []

    def items():
        for number in range(20):
            made.append(threading.current_thread().name)
            yield number

    with closing(read_ahead(items())) as ahead:
        next(ahead)
        while len(made) < 2:  # the second one, without being asked for
            pass
        assert len(list(ahead)) == 19
    assert len(set(made)) == 1
    assert made[0] != threading.current_thread().name


def test_an_error_has_its_traceback_and_comes_in_its_turn():
    def items():
        yield 0
        yield 1
        raise OSError("disk")

    ahead = read_ahead(items())
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(OSError, match="disk") as caught:
        next(ahead)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "items"
    assert ours() == []


def test_the_thread_ends_with_the_generator():
    with closing(read_ahead(iter(range(100)))) as ahead:
        next(ahead)
        assert len(ours()) == 1
    assert ours() == []


def test_the_thread_computes_on_one_thread():
    torch.set_num_threads(2)
    numbers = read_ahead(torch.get_num_threads() for _ in range(3))
    assert list(numbers) == [1, 1, 1]
