"""Checks of parameters and input; the one home of private scikit-learn imports."""

from __future__ import annotations

import os
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _num_samples as count_samples

from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.exceptions import DataScaleWarning
from sklearn_sparsenet.networks import ACTIVATIONS
from sklearn_sparsenet.penalties import PENALTIES
from sklearn_sparsenet.solvers import OPTIMIZERS

__all__ = [
    "CALLBACK_ATTRIBUTES",
    "COMMON_CONSTRAINTS",
    "POSITIVE_INT",
    "HasMethods",
    "StrOptions",
    "check_bounds",
    "check_hidden_layers",
    "check_objects",
    "check_weights",
    "count_samples",
    "fit_context",
    "resolve_dtype",
    "safe_indexing",
    "warn_about_scales",
    "warn_about_target_scale",
]

# Of an estimator, while it is fitted and after: no part of what a fit found.
CALLBACK_ATTRIBUTES = (
    "_skl_callbacks",
    "_skl_callbacks_to_teardown",
    "_callback_fit_ctx",
    "_parent_callback_ctx",
)
POSITIVE_INT = Interval(Integral, 1, None, closed="left")
_NON_NEGATIVE = Interval(Real, 0, None, closed="left")

COMMON_CONSTRAINTS: dict[str, list | str] = {
    "hidden_layer_sizes": ["array-like", POSITIVE_INT],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "module": [None, callable],
    "target_sparsity": "no_validation",  # by resolve_target, with the layers at hand
    "tol": [_NON_NEGATIVE],
    "max_outer_iter": [POSITIVE_INT],
    "min_layers_on_target": [None, POSITIVE_INT],
    "search": [
        StrOptions({"one_pass", "bracket", "continuation"}),
        HasMethods("run"),
    ],
    "alpha": [None, _NON_NEGATIVE, "array-like", dict],
    "alpha_bounds": ["array-like"],
    "penalty": [StrOptions(set(PENALTIES)), HasMethods("prox")],
    "penalize_bias": ["boolean"],
    "debias": ["boolean", StrOptions({"auto"})],
    "solver": [StrOptions({*OPTIMIZERS, "lbfgs"})],
    "learning_rate_init": [
        StrOptions({"auto"}),
        Interval(Real, 0, None, closed="neither"),
    ],
    "learning_rate": [StrOptions({"cosine", "constant"})],
    "batch_size": [StrOptions({"auto"}), POSITIVE_INT],
    "max_iter": [StrOptions({"auto"}), POSITIVE_INT],
    "kkt_tol": [_NON_NEGATIVE],
    "shuffle": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [POSITIVE_INT],
    "warm_start": ["boolean"],
    "dtype": "no_validation",  # by resolve_dtype
    "device": [str, torch.device],
    "checkpoint": [None, str, os.PathLike],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

_SCALE_RATIO = 1e3
_OFFSET, _FEW_ROWS = 20.0, 10
_SCALE_ROWS = 10_000
_TARGET_RATIO = 50.0


def resolve_dtype(
    dtype: object, X: object, device: torch.device, solver: str
) -> torch.dtype:
    """Return the floating type of a fit.

    ``"auto"``: float32 on an accelerator; on the CPU the type of X, float64 where
    that is no floating type that PyTorch computes with. ``solver="lbfgs"`` takes
    float64 only: the last digits of its residuals drown in single precision.
    """
    if solver == "lbfgs":
        if not (isinstance(dtype, str) and dtype == "auto"):
            if resolve_dtype(dtype, X, device, "") is not torch.float64:
                raise ValueError(
                    f"solver='lbfgs' computes in float64; dtype={dtype!r} needs "
                    "solver='adam' or 'sgd'."
                )
        return torch.float64
    if isinstance(dtype, str) and dtype == "auto":
        single = device.type != "cpu" or X.dtype in (np.float32, np.float16)
        return torch.float32 if single else torch.float64
    names = {torch.float32: torch.float32, torch.float64: torch.float64}
    try:
        return names[dtype if isinstance(dtype, torch.dtype) else _by_name(dtype)]
    except (AttributeError, KeyError, TypeError):
        raise ValueError(
            f"dtype={dtype!r} is not accepted: 'auto', 'float32' or 'float64'."
        ) from None


def _by_name(dtype: object) -> torch.dtype:
    if dtype is None:
        raise TypeError
    return getattr(torch, np.dtype(dtype).name)


def check_hidden_layers(hidden_layer_sizes: object) -> list[int]:
    """Return the widths of the hidden layers as a list of int.

    Raises
    ------
    ValueError
        If a width is not a positive integer.
    """
    sizes = np.atleast_1d(np.asarray(hidden_layer_sizes, dtype=object)).tolist()
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise ValueError(
                "hidden_layer_sizes must be > 0 integers, got "
                f"{list(sizes)}; () is a network without hidden layer."
            )
    return [int(size) for size in sizes]


def check_bounds(alpha_bounds: object) -> tuple[float, float]:
    """Return the first bracket of λ, low end first.

    Raises
    ------
    ValueError
        If it is not a pair of numbers with 0 < low < high.
    """
    try:
        low, high = (float(bound) for bound in alpha_bounds)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not 0 < low < high < np.inf:
        raise ValueError(
            f"alpha_bounds={alpha_bounds!r} must be a pair (low, high) with "
            "0 < low < high."
        )
    return low, high


def check_objects(estimator: object) -> None:
    """Refuse classes where objects are expected.

    Raises
    ------
    TypeError
    """
    for name in ("penalty", "search", "loss"):
        value = getattr(estimator, name)
        if isinstance(value, type):
            raise TypeError(
                f"{name}={value.__name__} is a class; make an object of it: "
                f"{name}={value.__name__}(...)."
            )


def check_weights(sample_weight: object, X: object) -> np.ndarray:
    """Return the sample weights as float64, ones where none are given.

    Raises
    ------
    ValueError
        If weights are negative or not finite, or all are zero.
    """
    weight = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():
        raise ValueError(
            "sample_weight is zero for all samples: nothing to learn from."
        )
    return weight


def warn_about_scales(X: np.ndarray | sparse.spmatrix) -> None:
    """Tell the user of columns that one step size cannot suit.

    Judged by means and positive standard deviations of the columns in a sample of the
    rows: scales that are wildly different, or far from 1 altogether, and columns that
    are far from zero in terms of their deviation.
    """
    if X.ndim != 2 or X.shape[0] < 2:
        return
    mean, deviation = _moments(X[:: max(1, X.shape[0] // _SCALE_ROWS)])
    # Rounding leaves constant columns a deviation that is not exactly zero.
    varies = deviation > 1e-12 * max(1.0, deviation.max())
    if not varies.any():
        return
    mean, deviation = np.abs(mean[varies]), deviation[varies]
    smallest, largest = deviation.min(), deviation.max()
    # Few rows, and columns that rarely change, have small deviations by chance.
    usual = np.maximum(deviation, np.median(deviation))
    offset = (mean / usual).max() if X.shape[0] >= _FEW_ROWS else 0.0
    if largest > _SCALE_RATIO * smallest:
        trouble = f"differ in scale by a factor of {largest / smallest:.0e}"
    elif smallest > _SCALE_RATIO or largest < 1 / _SCALE_RATIO:
        trouble = f"have standard deviations from {smallest:.0e} to {largest:.0e}"
    elif offset > _OFFSET:
        trouble = f"have means of up to {offset:.0e} standard deviations"
    else:
        return
    warn_user(
        f"The columns of X {trouble}; one step size and one penalty cannot suit them "
        "all. Put a StandardScaler (for sparse X: MaxAbsScaler) before the network.",
        DataScaleWarning,
    )


def warn_about_target_scale(y: np.ndarray) -> None:
    """Tell the user of a target, not standardised, that the steps do not suit."""
    deviation = y.std(axis=0)
    deviation = deviation[deviation > 1e-12 * np.abs(y).max(axis=0)]
    scales = np.concatenate([deviation, 1 / deviation])
    if len(scales) and scales.max() > _TARGET_RATIO:
        warn_user(
            "y has standard deviations from "
            f"{deviation.min():.0e} to {deviation.max():.0e}, and a loss of your own "
            "gets it as it is; steps suit values near 1. Set normalize_y=True if the "
            "loss allows for it, False if y is to stay.",
            DataScaleWarning,
        )


def _moments(rows: np.ndarray | sparse.spmatrix) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column."""
    rows = rows.astype(np.float64)
    if not sparse.issparse(rows):
        rows = np.asarray(rows)
        return rows.mean(axis=0), rows.std(axis=0)
    mean = np.asarray(rows.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(rows.multiply(rows).mean(axis=0), dtype=np.float64).ravel()
    return mean, np.sqrt(np.maximum(square - mean**2, 0))
