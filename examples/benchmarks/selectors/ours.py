"""This library: ``target_inputs=k``, with as many weights as there are, or few.

Defaults but for the two targets. The hidden layers are the problem's.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.problems import Data
from benchmarks.selectors.base import Selection, first
from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

__all__ = ["missing", "select", "select_with_weights"]

N_WEIGHTS = 1000


def missing() -> str:
    """Return why it cannot be run, if so."""
    if "target_inputs" not in inspect.signature(SparseNetClassifier).parameters:
        return "this version of the library has no target_inputs"
    return ""


def select(data: Data, counts: Sequence[int], seed: int) -> list[Selection]:
    """Fit a network with exactly k inputs for each k, its other weights all there."""
    return [_fit(data, k, seed, target_sparsity=None) for k in counts]


def select_with_weights(
    data: Data, counts: Sequence[int], seed: int
) -> list[Selection]:
    """The same with `N_WEIGHTS` weights in all."""
    return [_fit(data, k, seed, target_sparsity=N_WEIGHTS) for k in counts]


def _fit(data: Data, k: int, seed: int, **settings: Any) -> Selection:
    kind = SparseNetClassifier if data.n_classes else SparseNetRegressor
    started = time.process_time()
    network = kind(data.hidden, target_inputs=k, random_state=seed, **settings)
    network.fit(data.X_train, data.y_train)
    seconds = time.process_time() - started
    # Inputs in use come first, whatever their importance.
    scores = network.feature_importances_ + 2.0 * network.support_
    n_own = int(np.count_nonzero(network.support_))
    error = data.error(network.predict(data.X_test))
    return Selection(first(scores, k), seconds, n_own, error)
