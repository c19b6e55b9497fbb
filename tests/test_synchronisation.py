"""Whoever trains on an accelerator waits for it once an epoch, not at every step."""

import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sklearn_sparsenet import SparseNetClassifier

# What has to know values on the device: to return a number, or to size its result.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero"}
EPOCHS = 11
FEW = 10  # the cuts at the end look at the network some times, as many as it needs


class Waits(TorchDispatchMode):
    """Counts the operations that would wait for an accelerator."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation._schema.name.removeprefix("aten::")
        masks = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        unsized = name == "repeat_interleave" and "output_size" not in (kwargs or {})
        if name in WAITING or masks or unsized:
            self.found[name] += 1
        return operation(*args, **(kwargs or {}))


def cnn(n_channels, n_outputs):
    return nn.Sequential(
        nn.Conv2d(n_channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, n_outputs)
    )


def fit(steps, device="cpu", **params):
    X, y = load_digits(return_X_y=True)
    X, y = (X[:1000] / 16).astype(np.float32), y[:1000]
    if params.get("module"):
        X = X.reshape(-1, 1, 8, 8)
    settings = {
        "max_iter": EPOCHS,
        "batch_size": 1000 // steps,
        "weight_decay": 0.01,  # "auto" trains before, if there are many steps
        "random_state": 0,
    }
    if "alpha" not in params:
        params = {"target_sparsity": 0.8, **params}
    return SparseNetClassifier((30,), device=device, **settings, **params).fit(X, y)


CASES = {
    "default": {},
    "sgd": {"solver": "sgd"},
    "cnn": {"module": cnn},
    "per layer": {"target_sparsity": [300, 100]},
    "mcp": {"penalty": "mcp"},
    "fixed": {"alpha": 1e-3},
}


@pytest.mark.parametrize("params", CASES.values(), ids=CASES)
def test_waiting_does_not_grow_with_the_number_of_steps(params):
    few, many = Waits(), Waits()
    with few:
        fit(5, **params)
    with many:
        fit(25, **params)
    assert few.found["_local_scalar_dense"] >= EPOCHS  # the counter counts
    # 20 steps more in each of 11 epochs, of which one in ten narrows.
    assert many.found.total() <= few.found.total() + FEW


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_so_it_is_on_a_gpu():
    counts = []
    for steps in (5, 25):
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                fit(steps, "cuda", module=cnn)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        counts.append(sum("synchroniz" in str(w.message) for w in caught))
    assert counts[1] <= counts[0] + FEW
