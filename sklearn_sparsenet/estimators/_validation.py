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
from sklearn.utils import _safe_indexing, check_array, check_X_y
from sklearn.utils import indexable as _indexable
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils._param_validation import (
    validate_parameter_constraints as check_constraints,
)
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _get_feature_names as get_feature_names
from sklearn.utils.validation import (
    _num_samples,
    validate_data,
)

from sklearn_sparsenet.estimators._dataset_input import (
    check_columns,
    names_of,
    stand_in,
)
from sklearn_sparsenet.estimators._missing import fill_missing
from sklearn_sparsenet.losses import as_loss
from sklearn_sparsenet.networks.activations import ACTIVATIONS
from sklearn_sparsenet.penalties import PENALTIES
from sklearn_sparsenet.search import BracketSearch, ContinuationSearch, OnePassSearch
from sklearn_sparsenet.search.targets import has_entries
from sklearn_sparsenet.solvers import OPTIMIZERS
from sklearn_sparsenet.solvers.streamed import DatasetPart, StreamedTable, is_dataset
from sklearn_sparsenet.utils.arguments import as_number
from sklearn_sparsenet.utils.sparse_input import check_sparse

__all__ = [
    "COMMON_CONSTRAINTS",
    "POSITIVE_INT",
    "SEARCHES",
    "HasMethods",
    "Number",
    "StrOptions",
    "check_bounds",
    "check_class_weight",
    "check_data",
    "check_hidden_layers",
    "check_new_data",
    "check_parameters",
    "check_same_columns",
    "check_sample_weight",
    "count_samples",
    "feature_names_of",
    "fit_context",
    "indexable",
    "naming",
    "resolve_dtype",
    "safe_indexing",
    "target_of",
]

# What checks of values raise, and what values themselves do when they are converted.
_OF_VALUES = (ValueError, TypeError, OverflowError, IndexError, RuntimeError)
# Of X, for `check_X_y` and `validate_data`.
_RULES = {"accept_sparse": ("csr", "csc"), "dtype": "numeric"}


class Number(Interval):
    """Numbers of an interval, as `as_number` knows them: no booleans, no durations."""

    def is_satisfied_by(self, val: object) -> bool:
        """Tell whether a value is such a number."""
        return super().is_satisfied_by(as_number(val))


SEARCHES = {
    "one_pass": OnePassSearch,
    "bracket": BracketSearch,
    "continuation": ContinuationSearch,
}
POSITIVE_INT = Number(Integral, 1, None, closed="left")
_NON_NEGATIVE = Number(Real, 0, None, closed="left")
_STEP_SIZE = Number(Real, 1e-15, 1e15, closed="both")
_N_JOBS = [
    Number(Integral, 1, None, closed="left"),
    Number(Integral, None, -1, closed="right"),
    None,
]
_SEED = Number(Integral, 0, 2**32 - 1, closed="both")

_ONE_TYPE = re.compile(r"[<>=|]?[A-Za-z]+[0-9]*")  # as NumPy writes it

COMMON_CONSTRAINTS: dict[str, list | str] = {
    "hidden_layer_sizes": ["array-like", POSITIVE_INT],
    "activation": [StrOptions(ACTIVATIONS.keys())],  # also those of later
    "module": [None, callable],
    "target_sparsity": "no_validation",  # by resolve_target, with the layers at hand
    "target_inputs": "no_validation",  # nor these, by with_unit_targets
    "target_units": "no_validation",
    "input_groups": [None, "array-like"],
    "always_keep": [None, str, int, "array-like"],
    "tol": [_NON_NEGATIVE],
    "max_outer_iter": [POSITIVE_INT],
    "min_layers_on_target": [None, POSITIVE_INT],
    "search": [StrOptions(set(SEARCHES)), HasMethods("run")],
    "alpha": [None, _NON_NEGATIVE, "array-like", dict],
    "alpha_bounds": ["array-like"],
    "penalty": [StrOptions(set(PENALTIES)), HasMethods("prox")],
    "penalize_bias": ["boolean"],
    "weight_decay": [StrOptions({"auto"}), _NON_NEGATIVE],
    "debias": ["boolean", StrOptions({"auto"})],
    "solver": [StrOptions({*OPTIMIZERS, "lbfgs"})],
    "learning_rate_init": [StrOptions({"auto"}), _STEP_SIZE],
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
    "n_jobs": _N_JOBS,
    "random_state": [_SEED, np.random.RandomState, None],
    "verbose": ["verbose"],
}


def resolve_dtype(
    dtype: object, given: np.dtype, device: torch.device, solver: str
) -> torch.dtype:
    """Return the floating type of a fit.

    ``"auto"``: float32 on an accelerator; on the CPU that of X, `given`, float64 where
    that is no floating type that PyTorch computes with. ``solver="lbfgs"`` takes
    float64 only: the last digits of its residuals drown in single precision.
    """
    if solver == "lbfgs":
        if not (isinstance(dtype, str) and dtype == "auto"):
            if resolve_dtype(dtype, given, device, "") is not torch.float64:
                raise ValueError(
                    f"solver='lbfgs' computes in float64; dtype={dtype!r} needs "
                    "solver='adam' or 'sgd'."
                )
        return torch.float64
    if isinstance(dtype, str) and dtype == "auto":
        single = device.type != "cpu" or given in (np.float32, np.float16)
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
    """Return the widths of the hidden layers, if they are positive integers."""
    given = np.atleast_1d(np.asarray(hidden_layer_sizes, dtype=object)).tolist()
    sizes = [as_number(size) for size in given]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(
            "hidden_layer_sizes must be > 0 integers, got "
            f"{given}; () is a network without hidden layer."
        )
    return sizes


def check_bounds(alpha_bounds: object) -> tuple[float, float]:
    """Return the first bracket of λ, if it is one with 1e-30 <= low < high <= 1e30."""
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


def check_parameters(kind: type, values: Mapping) -> None:
    """Refuse values that parameters of an estimator cannot have, whatever the data."""
    check_constraints(kind._parameter_constraints, values, kind.__name__)
    for name in ("penalty", "search", "loss"):
        if isinstance(values[name], type):
            text = f"{name}={values[name].__name__}"
            raise TypeError(f"{text} is a class; make an object of it: {text}(...).")
    if not isinstance(values["loss"], str):
        as_loss(values["loss"])
    check_hidden_layers(values["hidden_layer_sizes"])
    check_bounds(values["alpha_bounds"])


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


def check_data(settings, X, y) -> tuple:
    """Return X and y as arrays, and what the fit keeps of the columns of X.

    A dataset as a table that is read. As `validate_data` does, which would set that of
    an estimator, and with errors that name X or y: also for dates and durations, which
    NumPy would turn into numbers, and for malformed sparse matrices, before any
    compiled code reads them.
    """
    if is_dataset(X):
        return _check_dataset(settings, X, y)
    X, y = check_sparse(X, "X"), check_sparse(y, "y")
    y = y.toarray() if sparse.issparse(y) else y
    name, is_regression = settings.kind.__name__, not settings.is_classification
    rules = {**_RULES, "allow_nd": settings.module is not None}
    try:
        names = get_feature_names(X)
        if y is None:
            raise ValueError(
                f"This {name} estimator requires y to be passed, but the target y is "
                "None."
            )
        with np.errstate(over="ignore", invalid="ignore"):  # in its search for NaN
            kinds = {"multi_output": True, "y_numeric": is_regression}
            X, y = check_X_y(X, y, estimator=name, **kinds, **rules)
    except _OF_VALUES as error:
        if re.search(r"\b[Xy]\b", str(error)):
            raise
        raise _named(error, _culprit(X, rules)) from error
    features = {"n_features_in_": X.shape[1]}
    if names is not None:
        features["feature_names_in_"] = names
    X = _in_numbers("X", X)
    return X, _in_numbers("y", y) if is_regression else y, features


def _check_dataset(settings, dataset, y) -> tuple:
    """Do what `check_data` does, and read the first row of X only."""
    table = StreamedTable(dataset)
    rules = {**_RULES, "allow_nd": settings.module is not None}
    with naming("X"):
        check_array(table[:1], **rules)
    names = names_of(table)
    y = target_of(dataset, y)
    _, y, _ = check_data(settings, stand_in(table.shape[0]), y)
    features = {"n_features_in_": table.shape[1]}
    if names is not None:
        features["feature_names_in_"] = names
    return table, y, features


def count_samples(X) -> int:
    """Return the number of rows of what may be fitted."""
    return X.n_samples if is_dataset(X) else _num_samples(X)


def indexable(X, *others) -> list:
    """Return arrays whose rows can be taken, all of them of one length."""
    if not is_dataset(X):
        return _indexable(X, *others)
    return [X, *_indexable(stand_in(X.n_samples), *others)[1:]]


def feature_names_of(X) -> np.ndarray | None:
    """Return the names of the columns, if X has them."""
    return names_of(StreamedTable(X)) if is_dataset(X) else get_feature_names(X)


def safe_indexing(X, index):
    """Return some rows: a copy of them, or a part of a dataset."""
    return DatasetPart(X, index) if is_dataset(X) else _safe_indexing(X, index)


def target_of(X, y):
    """Return y, or that of a dataset which has one."""
    if y is not None or not is_dataset(X):
        return y
    return StreamedTable(X).offered("target")


def check_same_columns(estimator, X) -> None:
    """Refuse rows with other columns than those of the fit."""
    if is_dataset(X):
        check_columns(estimator, StreamedTable(X))
    else:
        validate_data(estimator, X, reset=False, skip_check_array=True)


def check_new_data(estimator, X, fill=None):
    """Return X as an array, or as a table that is read, for predictions.

    Errors are those of `check_data`; columns have to be those of the fit. With `fill`
    values may be missing, and columns that the network does not use may be anything.
    """
    if is_dataset(X):
        table = StreamedTable(X)
        check_columns(estimator, table)
        return table
    X = check_sparse(X, "X")
    rules = {**_RULES, "allow_nd": estimator.module is not None}
    with naming("X"), np.errstate(over="ignore", invalid="ignore"):
        if fill is None:
            return _in_numbers("X", validate_data(estimator, X, reset=False, **rules))
        rules["ensure_all_finite"] = "allow-nan"
        X = _in_numbers("X", _used_columns(estimator, X, rules))
        return fill_missing(X, fill)


def _used_columns(estimator, X, rules):
    """Return X with zeros in the columns of a frame that the network does not use."""
    if not hasattr(X, "columns") or estimator.support_ is None:
        return validate_data(estimator, X, reset=False, **rules)
    X = validate_data(estimator, X, reset=False, skip_check_array=True)
    used = np.flatnonzero(estimator.support_)
    if not len(used):
        return np.zeros((_num_samples(X), len(estimator.support_)))
    X = _safe_indexing(X, used, axis=1)
    read = check_array(X, input_name="X", **rules)
    values = np.zeros((len(read), len(estimator.support_)), read.dtype)
    values[:, used] = read
    return values


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
    try:
        check_array(X, **rules)
    except _OF_VALUES:
        return "X"
    return "y"


def check_class_weight(class_weight: Mapping | str | None) -> None:
    """Refuse weights of classes that are no numbers, negative or not finite."""
    if not isinstance(class_weight, Mapping):
        return
    weights = [as_number(weight) for weight in class_weight.values()]
    if not all(weight is not None and 0 <= weight < np.inf for weight in weights):
        raise ValueError(
            f"class_weight={class_weight!r} has negative weights, or some that are no "
            "finite numbers."
        )
