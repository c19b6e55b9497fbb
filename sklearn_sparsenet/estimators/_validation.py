"""Checks of parameters and input; the one home of private scikit-learn imports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from sklearn.base import _fit_context as fit_context
from sklearn.base import is_regressor
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils import check_array
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _num_samples as count_samples
from sklearn.utils.validation import validate_data

from sklearn_sparsenet.estimators._sparse_input import check_sparse
from sklearn_sparsenet.losses import as_loss
from sklearn_sparsenet.networks.activations import ACTIVATIONS
from sklearn_sparsenet.penalties import PENALTIES
from sklearn_sparsenet.search.targets import has_entries
from sklearn_sparsenet.solvers import OPTIMIZERS
from sklearn_sparsenet.utils.arguments import as_number

__all__ = [
    "CALLBACK_ATTRIBUTES",
    "COMMON_CONSTRAINTS",
    "POSITIVE_INT",
    "HasMethods",
    "Number",
    "StrOptions",
    "as_ratios",
    "check_bounds",
    "check_class_weight",
    "check_data",
    "check_hidden_layers",
    "check_objects",
    "check_weights",
    "count_samples",
    "fit_context",
    "naming",
    "resolve_dtype",
    "safe_indexing",
]

# What checks of values raise, and what values themselves do when they are converted.
_OF_VALUES = (ValueError, TypeError, OverflowError, IndexError)
# Of an estimator, while it is fitted and after: no part of what a fit found.
CALLBACK_ATTRIBUTES = (
    "_skl_callbacks",
    "_skl_callbacks_to_teardown",
    "_callback_fit_ctx",
    "_parent_callback_ctx",
)


class Number(Interval):
    """Numbers of an interval, as `as_number` knows them: no booleans, no durations."""

    def is_satisfied_by(self, val: object) -> bool:
        """Tell whether a value is such a number."""
        return super().is_satisfied_by(as_number(val))


POSITIVE_INT = Number(Integral, 1, None, closed="left")
_NON_NEGATIVE = Number(Real, 0, None, closed="left")

_ONE_TYPE = re.compile(r"[<>=|]?[A-Za-z]+[0-9]*")  # as NumPy writes it

COMMON_CONSTRAINTS: dict[str, list | str] = {
    "hidden_layer_sizes": ["array-like", POSITIVE_INT],
    "activation": [StrOptions(ACTIVATIONS.keys())],  # also those of later
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
    "weight_decay": [StrOptions({"auto"}), _NON_NEGATIVE],
    "debias": ["boolean", StrOptions({"auto"})],
    "solver": [StrOptions({*OPTIMIZERS, "lbfgs"})],
    "learning_rate_init": [
        StrOptions({"auto"}),
        Number(Real, 1e-15, 1e15, closed="both"),
    ],
    "learning_rate": [StrOptions({"cosine", "constant"})],
    "batch_size": [StrOptions({"auto"}), POSITIVE_INT],
    "max_iter": [StrOptions({"auto"}), POSITIVE_INT],
    "kkt_tol": [_NON_NEGATIVE],
    "shuffle": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Number(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [POSITIVE_INT],
    "warm_start": ["boolean"],
    "dtype": "no_validation",  # by resolve_dtype
    "device": [str, torch.device],
    "checkpoint": [None, str, os.PathLike],
    "random_state": [
        Number(Integral, 0, 2**32 - 1, closed="both"),
        np.random.RandomState,
        None,
    ],
    "verbose": ["verbose"],
}


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
    if not isinstance(dtype, str | type | np.dtype):
        raise TypeError
    # NumPy parses others, of several types, as Python: not what a file may have it do.
    if isinstance(dtype, str) and not _ONE_TYPE.fullmatch(dtype):
        raise TypeError
    return getattr(torch, np.dtype(dtype).name)


def check_hidden_layers(hidden_layer_sizes: object) -> list[int]:
    """Return the widths of the hidden layers as a list of int.

    Raises
    ------
    ValueError
        If a width is not a positive integer.
    """
    given = np.atleast_1d(np.asarray(hidden_layer_sizes, dtype=object)).tolist()
    sizes = [as_number(size) for size in given]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(
            "hidden_layer_sizes must be > 0 integers, got "
            f"{given}; () is a network without hidden layer."
        )
    return sizes


def check_bounds(alpha_bounds: object) -> tuple[float, float]:
    """Return the first bracket of λ, low end first.

    Raises
    ------
    ValueError
        If it is not a pair of numbers with 1e-30 <= low < high <= 1e30.
    """
    is_sequence = has_entries(alpha_bounds) and not isinstance(alpha_bounds, Mapping)
    bounds = [as_number(bound) for bound in alpha_bounds] if is_sequence else []
    if len(bounds) == 2 and None not in bounds:
        low, high = map(float, bounds)
        if 1e-30 <= low < high <= 1e30:
            return low, high
    raise ValueError(
        f"alpha_bounds={alpha_bounds!r} must be a pair (low, high) of numbers with "
        "1e-30 <= low < high <= 1e30."
    )


def check_objects(estimator: object) -> None:
    """Refuse classes where objects are expected, and losses that are none.

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
    if not isinstance(estimator.loss, str):
        as_loss(estimator.loss)


@contextmanager
def naming(parameter: str) -> Iterator[None]:
    """Let errors name the parameter that they are about."""
    try:
        yield
    except _OF_VALUES as error:
        if re.search(rf"\b{parameter}\b", str(error)):
            raise
        raise _named(error, parameter) from error


def _named(error: Exception, parameter: str) -> Exception:
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{parameter}: {error}")


def check_data(estimator, X, y="no_validation", **rules):
    """Return X, and y, as `validate_data` does, with errors that name one of them.

    Raises
    ------
    ValueError, TypeError
        Also for dates and durations, which NumPy would turn into numbers, and for
        malformed sparse matrices, before any compiled code reads them.
    """
    X, y = check_sparse(X, "X"), check_sparse(y, "y")
    y = y.toarray() if sparse.issparse(y) else y
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # in its search for NaN
            found = validate_data(estimator, X, y, **rules)
    except _OF_VALUES as error:
        if re.search(r"\b[Xy]\b", str(error)):
            raise
        raise _named(error, _culprit(X, rules)) from error
    if not isinstance(found, tuple):
        return _in_numbers("X", found)
    X, y = found
    return _in_numbers("X", X), _in_numbers("y", y) if is_regressor(estimator) else y


def _in_numbers(name: str, values):
    if values.dtype.kind in "biuf":
        return values
    if values.dtype.kind in "mM":
        raise ValueError(
            f"{name} has dates or durations (dtype {values.dtype}), which are no "
            "numbers. Make numbers of them, such as days since the first one."
        )
    with naming(name):
        return values.astype(np.float64)


def _culprit(X: object, rules: dict) -> str:
    """Return which of X and y cannot be used, given that one of them cannot."""
    shared = ("accept_sparse", "allow_nd", "dtype")
    try:
        check_array(X, **{name: rules[name] for name in shared if name in rules})
    except _OF_VALUES:
        return "X"
    return "y" if rules.get("reset", True) else "X"


def check_weights(sample_weight: object, X: object) -> np.ndarray:
    """Return the sample weights as float64, ones where none are given.

    Raises
    ------
    ValueError, TypeError
        If weights are negative, not finite or no numbers, or all are zero.
    """
    with naming("sample_weight"):
        if np.asarray(sample_weight).dtype.kind in "mM":
            raise ValueError("dates and durations are no weights.")
        weight = check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
    if not np.isfinite(weight).all():
        raise ValueError(f"sample_weight={sample_weight!r} is not finite.")
    if not weight.any():
        raise ValueError(
            "sample_weight is zero for all samples: nothing to learn from."
        )
    return as_ratios(weight)


def as_ratios(weight: np.ndarray) -> np.ndarray:
    """Return weights divided by a power of two, so that the largest is below 1.

    Only their ratios count, and no digit of them is lost. What is positive remains so.
    """
    scaled = np.ldexp(weight, -np.frexp(weight.max())[1])
    return np.maximum(scaled, np.finfo(np.float64).tiny * (weight > 0))


def check_class_weight(class_weight: Mapping | str | None) -> None:
    """Refuse weights of classes that are none.

    Raises
    ------
    ValueError
        If a weight is no number, negative or not finite, or all are zero.
    """
    if not isinstance(class_weight, Mapping):
        return
    weights = [as_number(weight) for weight in class_weight.values()]
    if not all(weight is not None and 0 <= weight < np.inf for weight in weights):
        raise ValueError(
            f"class_weight={class_weight!r} has negative weights, or some that are no "
            "finite numbers."
        )
