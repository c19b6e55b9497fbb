"""Threads that share work: the same results, and none left behind."""

import os
import threading
import time
import warnings

import numpy as np
import pytest
import torch

from sklearn_sparsenet.search import connectivity
from sklearn_sparsenet.search.connectivity import largest
from sklearn_sparsenet.utils import workers
from sklearn_sparsenet.utils.workers import over_ranges, run_tasks, sharing_work
from tests.threads import ours, ours_at_the_end


@pytest.fixture(autouse=True)
def no_threads_left():
    yield
    assert ours() == []


def slowly(write):
    def task():
        time.sleep(0.005)
        write()

    return task


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_every_task_is_done_once(n_threads):
    done = []
    tasks = [slowly(lambda k=k: done.append(k)) for k in range(20)]
    with sharing_work(n_threads):
        run_tasks(tasks)
        assert sorted(done) == list(range(20))
        run_tasks([])
        run_tasks(tasks[:1])
    assert sorted(done) == sorted([*range(20), 0])


@pytest.mark.parametrize("started", [True, False])
def test_a_thread_whose_start_is_interrupted_ends(monkeypatch, started):
    start = threading.Thread.start

    def interrupted(thread):
        if started:
            start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), sharing_work(2):
        run_tasks([lambda: None] * 2)
    assert ours_at_the_end(within=5.0) == []


def test_threads_begin_with_the_first_work_and_compute_alone():
    seen = {}

    def look():
        time.sleep(0.01)
        seen[threading.get_ident()] = torch.get_num_threads()

    torch.set_num_threads(3)
    with sharing_work(3):
        assert ours() == []
        run_tasks([look] * 12)
        assert len(ours()) == 2
    del seen[threading.get_ident()]  # whose number is the caller's affair
    assert set(seen.values()) == {1}
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_is_raised_in_a_task_ends_the_others_first(kind):
    running, most = set(), []

    def task(number):
        running.add(number)
        time.sleep(0.01)
        if number == 3:
            running.discard(number)
            raise kind("three")
        running.discard(number)
        most.append(number)

    with sharing_work(3):
        with pytest.raises(kind, match="three"):
            run_tasks([lambda k=k: task(k) for k in range(40)])
        assert not running
        assert len(most) < 39


def test_an_interruption_while_others_work_waits_for_them():
    """The main thread is done, and interrupted as it waits."""
    written = []
    main = threading.get_ident()

    def task():
        if threading.get_ident() == main:
            raise KeyboardInterrupt
        time.sleep(0.05)
        written.append(1)

    with sharing_work(2):
        run_tasks([lambda: time.sleep(0.01)] * 4)  # the other one is there
        with pytest.raises(KeyboardInterrupt):
            run_tasks([lambda: time.sleep(0.02), task, task])
        n_written = len(written)
        time.sleep(0.06)
        assert len(written) == n_written


def test_a_task_may_share_in_turn():
    done = []
    with sharing_work(3):
        run_tasks([lambda: run_tasks([lambda: done.append(1)] * 3)] * 3)
    assert len(done) == 9


def test_what_numpy_ignores_is_ignored_by_all():
    def overflow():
        time.sleep(0.005)
        np.float32(1e38) * np.full(3, 1e38, np.float32)

    with warnings.catch_warnings(), sharing_work(2), np.errstate(over="ignore"):
        warnings.simplefilter("error")
        run_tasks([overflow] * 8)


def test_a_forked_process_does_the_work_alone():
    if not hasattr(os, "fork"):
        pytest.skip("nothing forks here")
    with warnings.catch_warnings(), sharing_work(2):
        warnings.simplefilter("ignore")  # of Python 3.12: there are threads
        run_tasks([lambda: time.sleep(0.01)] * 2)
        child = os.fork()
        if child == 0:
            done = []
            run_tasks([lambda: done.append(1)] * 4)
            os._exit(len(done))
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 4


def test_ranges_are_those_of_the_length(monkeypatch):
    monkeypatch.setattr(workers, "_RANGE", 10)
    first, other, few = torch.arange(35.0), torch.ones(35), torch.ones(1)
    seen = []

    def add(values, others, factor, some):
        seen.append(len(values))
        values.add_(others, alpha=factor).add_(some)

    with sharing_work(3):
        over_ranges(add, first, other, 2.0, few)
    torch.testing.assert_close(first, torch.arange(35.0) + 3)
    assert sorted(seen) == [5, 10, 10, 10]
    seen.clear()
    over_ranges(add, first[:19], other[:19], 2.0, few)
    over_ranges(add, torch.zeros(20, 2), torch.zeros(20, 2), 2.0, few)
    assert seen == [19, 20]


@pytest.mark.parametrize("tied", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.4, 0.9])
def test_a_sample_finds_the_order_statistic(tied, part, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(5000, generator=generator)
    values[torch.rand(5000, generator=generator) < tied] = -1.0
    values[:7] = torch.tensor([0.0, -0.0, float("inf"), 1e-42, -1e-42, 3.0, 3.0])
    k = int(part * 5000)
    mask, cut = largest(values, k)
    monkeypatch.setattr(connectivity, "_SAMPLED", 100)
    monkeypatch.setattr(connectivity, "_SAMPLE", 100)
    bracket = connectivity._bracket(values, k)
    assert connectivity._select_between(*bracket, values, k) == cut
    by_sample = largest(values, k)
    assert by_sample[1] == cut
    assert torch.equal(by_sample[0], mask)
    assert int(by_sample[0].sum()) == k


@pytest.mark.parametrize("shift", [-9.0, 9.0])
def test_a_sample_that_misleads_changes_nothing(shift, monkeypatch):
    values = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    values[:: 5000 // 100 | 1] += shift
    mask, cut = largest(values, 2000)
    monkeypatch.setattr(connectivity, "_SAMPLED", 100)
    monkeypatch.setattr(connectivity, "_SAMPLE", 100)
    bracket = connectivity._bracket(values, 2000)
    assert connectivity._select_between(*bracket, values, 2000) is None
    assert largest(values, 2000)[1] == cut
    assert torch.equal(largest(values, 2000)[0], mask)
