"""Count weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["count_nonzero", "count_per_layer"]


@single_threaded()
def count_nonzero(weights: Tensor) -> int:
    """Return how many entries are not exactly ``0.0``: the one count of the library."""
    return int(torch.count_nonzero(weights))


def count_per_layer(weights: Sequence[Tensor]) -> list[int]:
    """Return the count of nonzero weights of each layer."""
    return [count_nonzero(weight) for weight in weights]
