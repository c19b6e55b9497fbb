"""The process is left as it was."""

import multiprocessing

import pytest
import torch
from joblib import Parallel, delayed

from sklearn_sparsenet.utils.runtime import (
    Later,
    forked_random_state,
    resolve_device,
    single_threaded,
)


def test_threads_are_given_back_also_after_errors():
    torch.set_num_threads(3)

    @single_threaded()
    def fails():
        with single_threaded():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert torch.get_num_threads() == 3


def test_random_state_is_restored_and_seeded():
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with forked_random_state(3, torch.device("cpu")):
            drawn.append(torch.rand(2))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == (
        "cuda" if torch.cuda.is_available() else "cpu"
    )
    for missing in ("cuda:99", "nonsense"):
        with pytest.raises(ValueError, match="device='auto' falls back"):
            resolve_device(missing)


def test_processes_of_joblib_are_dealt_the_gpus():
    def auto(n_gpus):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: True)
            patch.setattr(torch.cuda, "device_count", lambda: n_gpus)
            return multiprocessing.current_process().name, resolve_device("auto")

    assert auto(2)[1] == torch.device("cuda")  # the current one
    for n_gpus in (1, 2):
        for name, device in Parallel(n_jobs=2)([delayed(auto)(n_gpus)] * 2):
            number = int(name.removeprefix("LokyProcess-"))
            assert device == torch.device("cuda", (number - 1) % n_gpus)


def test_overlapping_fits_share_the_setting_and_the_last_one_restores_it():
    torch.set_num_threads(3)
    first, second = single_threaded(), single_threaded()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.get_num_threads() == 1  # the other fit is still running
    second.__exit__(None, None, None)
    assert torch.get_num_threads() == 3


def test_random_state_is_restored_after_errors_too():
    before = torch.get_rng_state()

    @forked_random_state(3, torch.device("cpu"))
    def fails():
        torch.rand(2)
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert torch.equal(torch.get_rng_state(), before)


def test_values_are_read_later():
    assert Later(torch.tensor([True, False])).read() == [True, False]
