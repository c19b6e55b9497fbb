"""Weights of samples: one number in memory where all are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_sparsenet.estimators._dataset_input import stand_in
from sklearn_sparsenet.estimators._validation import (
    check_sample_weight,
    count_samples,
    naming,
)

__all__ = ["as_ratios", "check_weights", "weight_tensor"]


def check_weights(sample_weight: object, X: Any) -> np.ndarray:
    """Return the sample weights as float64, ones where none are given.

    They are refused if one is negative, not finite or no number, or if all are zero.
    """
    n_samples = count_samples(X)
    if sample_weight is None:
        return np.broadcast_to(1.0, n_samples)
    with naming("sample_weight"):
        if np.asarray(sample_weight).dtype.kind in "mM":
            raise ValueError("dates and durations are no weights.")
        weight = check_sample_weight(
            sample_weight,
            stand_in(n_samples),
            dtype=np.float64,
            ensure_non_negative=True,
        )
    if not np.isfinite(weight).all():
        raise ValueError(f"sample_weight={sample_weight!r} is not finite.")
    if not weight.any():
        raise ValueError(
            "sample_weight is zero for all samples: nothing to learn from."
        )
    return weight


def as_ratios(weight: np.ndarray) -> np.ndarray:
    """Return weights divided by a power of two, so that the largest is below 1.

    Only their ratios count, and no digit of them is lost. What is positive remains so.
    Where all are the same they become ½, and take the memory of one number.
    """
    largest = weight.max()
    if weight.min() == largest:
        return np.broadcast_to(0.5, weight.shape)
    scaled = np.ldexp(weight, -np.frexp(largest)[1])
    return np.maximum(scaled, np.finfo(np.float64).tiny * (weight > 0))


def weight_tensor(
    weight: np.ndarray, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return weights as a tensor, which takes no more memory than they do."""
    if weight.strides == (0,):
        one = torch.tensor(float(weight[0]), dtype=dtype, device=device)
        return one.expand(len(weight))
    return torch.as_tensor(weight, dtype=dtype, device=device)
