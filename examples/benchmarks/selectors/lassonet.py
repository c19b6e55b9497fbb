"""LassoNet 0.0.21 (Lemhadri et al. 2021), ``pip install lassonet``.

The same hidden layers as ours, steps of 5 % along its path, everything else as it comes
(all rows in a step; Adam, then SGD with momentum; a tenth of the rows held out for its
early stopping). For k inputs: the first entry of the path with at most k, its network
the method's own, the choice filled up by the λ at which the other inputs left.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.problems import Data
from benchmarks.selectors.base import Selection, first

__all__ = ["missing", "select"]

MULTIPLIER = 1.05


def missing() -> str:
    """Return why it cannot be run, if so."""
    if importlib.util.find_spec("lassonet") is None:
        return "lassonet is not installed"
    return ""


def select(data: Data, counts: Sequence[int], seed: int) -> list[Selection]:
    """Follow the path until no input is left."""
    from lassonet import LassoNetClassifier, LassoNetRegressor

    kind = LassoNetClassifier if data.n_classes else LassoNetRegressor
    model = kind(
        hidden_dims=data.hidden,
        path_multiplier=MULTIPLIER,
        verbose=0,
        random_state=seed,
        torch_seed=seed,
    )
    y = data.y_train if data.n_classes else data.y_train[:, None]
    times: list[float] = []
    started = time.process_time()
    path = model.path(
        data.X_train,
        y,
        return_state_dicts=True,
        disable_lambda_warning=True,
        callback=lambda *_: times.append(time.process_time() - started),
    )
    masks = np.array([item.selected.numpy() for item in path])
    in_use = masks.sum(axis=1)
    # The λ at which an input left for good, entry by entry.
    lambdas = np.array([item.lambda_ for item in path])
    left_at = np.max(np.where(masks, lambdas[:, None], 0.0), axis=0)
    found = []
    for k in counts:
        at = int(np.argmax(in_use <= k))
        scores = left_at + np.where(masks[at], lambdas.max() + 1, 0.0)
        error = _error(model, path[at], data)
        found.append(Selection(first(scores, k), times[at], int(in_use[at]), error))
    return found


def _error(model: Any, item: Any, data: Data) -> float:
    model.load(item.state_dict)
    return data.error(np.asarray(model.predict(data.X_test)))
