"""Models that end with a network of ours, and the one estimator that each is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_sparsenet.estimators._base import SparseNet
from sklearn_sparsenet.estimators._fitted import TrainingState, set_fitted
from sklearn_sparsenet.estimators._folding import (
    NotFoldedError,
    column_map,
    first_fitted,
    refusal,
)
from sklearn_sparsenet.estimators._shipping import attributes_with
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.networks.column_maps import ColumnMap, fold_columns
from sklearn_sparsenet.networks.tracing import trace
from sklearn_sparsenet.utils.exceptions import DataScaleWarning
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["Parts", "folded", "parts_of"]

_MOST_LOST = 1e-3  # of a column, in units of its deviation, that is not told


@dataclass(frozen=True)
class Parts:
    """A fitted network, what rows go through before it, and predictions after it."""

    net: SparseNet
    steps: tuple[tuple[str, Any], ...] = ()
    # Each with whether predictions have one dimension behind it.
    targets: tuple[tuple[Any, bool], ...] = ()


def parts_of(model: Any) -> Parts:
    """Take a fitted model apart.

    Raises
    ------
    NotFoldedError
        If it does not end with a network of this library.
    NotFittedError
        If it is not fitted.
    """
    while hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    for kind in type(model).__mro__:
        if kind in _KINDS:
            return _KINDS[kind](model)
    raise NotFoldedError(
        "A model is to be a SparseNet estimator, or a Pipeline, a search or a "
        f"TransformedTargetRegressor that ends with one, not {type(model).__name__}."
    )


def _of_net(model: SparseNet) -> Parts:
    check_is_fitted(model)
    return Parts(model)


def _of_pipeline(model: Pipeline) -> Parts:
    *steps, (_, last) = model.steps
    parts = parts_of(last)
    return replace(parts, steps=(*steps, *parts.steps))


def _of_target(model: TransformedTargetRegressor) -> Parts:
    check_is_fitted(model)
    parts = parts_of(model.regressor_)
    outer = (model.transformer_, model._training_dim == 1)
    return replace(parts, targets=(*parts.targets, outer))


_KINDS: dict[type, Callable[[Any], Parts]] = {
    SparseNet: _of_net,
    Pipeline: _of_pipeline,
    TransformedTargetRegressor: _of_target,
}


@single_threaded()
def folded(model: Any, dtype: torch.dtype | None = None) -> SparseNet:
    """Return one estimator that predicts what a fitted model does, from raw rows.

    Parameters
    ----------
    model : estimator, Pipeline, search or TransformedTargetRegressor
        It stays as it is. An estimator of this library is returned itself.
    dtype : torch.dtype, default=None
        What the estimator will compute in, if not in the type of its fit.

    Raises
    ------
    NotFoldedError
        If a step cannot be folded into the network; it is named.

    Warns
    -----
    DataScaleWarning
        If columns lose digits because they are not centred before they are multiplied.
    """
    parts = parts_of(model)
    net = parts.net
    if parts.steps:
        net = _of_raw_rows(net, parts.steps, dtype)
    for transformer, is_flat in parts.targets:
        net = _of_raw_target(net, transformer, is_flat)
    return net


def _of_raw_rows(net: SparseNet, steps: tuple, dtype: torch.dtype | None) -> SparseNet:
    first = first_fitted(steps)
    first = net if first is None else first
    columns = column_map(steps, first.n_features_in_)
    attributes: dict[str, Any] = {"n_features_in_": columns.n_raw}
    used = net.support_
    if not columns.changes_nothing:
        _warn_of_lost_digits(net, columns, dtype)
        attributes |= _network_of_raw(net, columns)
        used = attributes["support_"]
    if len(net.sample_shape_) == 1:
        attributes["_fill"] = _fill(columns, used)
    return _changed(net, attributes, named_by=first)


def _network_of_raw(net: SparseNet, columns: ColumnMap) -> dict[str, Any]:
    try:
        chain = trace(net.module_, net.sample_shape_).network
        module = fold_columns(chain, columns)
    except TypeError as error:
        raise refusal(f"What is before {type(net).__name__}", str(error)) from None
    shape = (columns.n_raw,)
    importances = net.feature_importances_
    if importances is not None:  # those of the fit; weights now depend on units
        given, importances = importances, np.zeros(shape, importances.dtype)
        np.maximum.at(importances, columns.index, given)
    return {
        **attributes_with(net, module, shape),
        "feature_importances_": importances,
        "_sample_shape": shape,
        **_training_state(net, columns).attributes(),
    }


def _training_state(net: SparseNet, columns: ColumnMap) -> TrainingState:
    """Return what `partial_fit` needs to go on in the units of the fit.

    Adam's moments belong to other weights, and are lost.
    """
    state = TrainingState.of(net)
    scale, shift = np.ones(columns.n_raw), np.zeros(columns.n_raw)
    usable = np.where(columns.scale == 0, 1.0, columns.scale)
    inner = state.units or {"scale": 1.0, "shift": 0.0}
    scale[columns.index] = inner["scale"] / usable
    shift[columns.index] = (inner["shift"] - columns.shift) / usable
    sizes = state.input_sizes
    if sizes is not None:
        given, sizes = sizes, np.ones(columns.n_raw, sizes.dtype)
        sizes[columns.index] = given
    units = {"scale": scale, "shift": shift}
    return replace(state, input_sizes=sizes, moments=None, units=units)


def _fill(columns: ColumnMap, used: np.ndarray | None) -> np.ndarray:
    try:
        fill = columns.fill_of_raw()
    except ValueError as error:
        raise refusal("What is before the network", str(error)) from None
    return fill if used is None else np.where(used, fill, 0.0)


def _warn_of_lost_digits(
    net: SparseNet, columns: ColumnMap, dtype: torch.dtype | None
) -> None:
    """Tell of a column whose digits are few between its mean and its deviation.

    The steps subtract the mean first, which loses none; a folded network multiplies
    first.
    """
    dtype = dtype or next(net.module_.parameters()).dtype
    used = True if net.support_ is None else net.support_
    shifts = np.where(used, np.abs(columns.shift), 0.0)
    column = int(np.argmax(shifts))
    lost = float(shifts[column]) * torch.finfo(dtype).eps
    if lost > _MOST_LOST:
        name = str(dtype).removeprefix("torch.")
        warn_user(
            f"Column {columns.index[column]} is so far from zero, for how much it "
            f"varies, that {name} leaves it an error of {lost:.1g} deviations once its "
            "scaler is folded into the network. Subtract a constant from the column "
            "before the fit, or compute in double precision.",
            DataScaleWarning,
        )


def _of_raw_target(net: SparseNet, transformer: Any, is_flat: bool) -> SparseNet:
    columns = column_map([("transformer", transformer)], len(net.y_mean_))
    if not np.array_equal(columns.index, np.arange(columns.n_raw)):
        name = type(transformer).__name__
        raise refusal(f"The transformer of y ({name})", "it chooses columns")
    attributes = {
        "y_mean_": (net.y_mean_ - columns.shift) / columns.scale,
        "y_scale_": net.y_scale_ / columns.scale,
        "_flat_target": is_flat,
    }
    return _changed(net, attributes, named_by=net)


def _changed(net: SparseNet, attributes: dict[str, Any], named_by: Any) -> SparseNet:
    """Return a copy with other attributes, and the names of columns that one knows."""
    names = getattr(named_by, "feature_names_in_", None)
    named = {} if names is None else {"feature_names_in_": names}
    changed = copy.deepcopy(net)
    set_fitted(changed, attributes | named)
    return changed
