"""Fitted steps of scikit-learn as column maps: what can be folded into a network.

Each kind of step has one entry in `_STEPS`. A class that is derived from such a kind,
and transforms in its own way, is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import getattr_static
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from sklearn_sparsenet.networks.column_maps import ColumnMap

__all__ = ["NotFoldedError", "column_map", "first_fitted", "refusal"]

Steps = Iterable[tuple[str, Any]]


class NotFoldedError(TypeError):
    """A model is more than a network and what can be folded into it."""


def refusal(what: str, why: str) -> NotFoldedError:
    """Return the error for what stands before, or behind, a network."""
    return NotFoldedError(
        f"{what} cannot be folded into the network: {why}. With skl2onnx installed, "
        "sklearn_sparsenet.to_onnx(model, X=X) may convert the model; in Python it can "
        "be pickled."
    )


def column_map(steps: Steps, n_raw: int) -> ColumnMap:
    """Return the columns that fitted steps make of raw ones, one after another.

    Parameters
    ----------
    steps : iterable of (name, transformer)
    n_raw : int

    Raises
    ------
    NotFoldedError
        If a step is anything but a choice, scaling or filling of single columns.
    """
    return _in_turn(steps, ColumnMap.identity(n_raw), "")


def first_fitted(steps: Steps) -> Any:
    """Return the first step that says which columns it was fitted to; None if none.

    Those before it leave the columns as they are.
    """
    for _, step in steps:
        inner = getattr(step, "steps", getattr(step, "transformer_list", ()))
        found = step if hasattr(step, "n_features_in_") else first_fitted(inner)
        if found is not None:
            return found
    return None


def _in_turn(steps: Steps, columns: ColumnMap, place: str) -> ColumnMap:
    for name, step in steps:
        columns = _through(step, columns, f"{place}{name}")
    return columns


def _through(step: Any, columns: ColumnMap, name: str) -> ColumnMap:
    own = getattr_static(type(step), "transform", None)
    for kind in type(step).__mro__:
        if kind in _STEPS and own is getattr_static(kind, "transform", None):
            return _STEPS[kind](step, columns, name)
    why = "what it makes is more than single columns, scaled and shifted"
    raise _refusal(step, name, why)


def _refusal(step: Any, name: str, why: str) -> NotFoldedError:
    return refusal(f"The step {name!r} ({type(step).__name__})", why)


def _standardized(step: StandardScaler, columns: ColumnMap, name: str) -> ColumnMap:
    scale = 1.0 if step.scale_ is None else 1.0 / step.scale_
    return columns.scaled(scale, -step.mean_ * scale if step.with_mean else 0.0)


def _robust(step: RobustScaler, columns: ColumnMap, name: str) -> ColumnMap:
    scale = 1.0 if step.scale_ is None else 1.0 / step.scale_
    return columns.scaled(scale, 0.0 if step.center_ is None else -step.center_ * scale)


def _between(step: MinMaxScaler, columns: ColumnMap, name: str) -> ColumnMap:
    _refuse_clipping(step, name)
    return columns.scaled(step.scale_, step.min_)


def _by_largest(step: MaxAbsScaler, columns: ColumnMap, name: str) -> ColumnMap:
    _refuse_clipping(step, name)
    return columns.scaled(1.0 / step.scale_)


def _refuse_clipping(step: Any, name: str) -> None:
    if getattr(step, "clip", False):  # MaxAbsScaler has it since scikit-learn 1.9
        raise _refusal(step, name, "clip=True is not linear")


def _filled(step: SimpleImputer, columns: ColumnMap, name: str) -> ColumnMap:
    missing = step.missing_values
    if not (isinstance(missing, float) and np.isnan(missing)):
        raise _refusal(step, name, f"missing_values={missing!r} is not NaN")
    if step.add_indicator:
        raise _refusal(step, name, "add_indicator=True makes columns that jump")
    try:
        values = np.asarray(step.statistics_, dtype=np.float64)
    except ValueError as error:
        raise _refusal(step, name, "it fills with texts") from error
    kept = np.ones(len(values), bool) if step.keep_empty_features else ~np.isnan(values)
    return columns.taken(kept).filled(values[kept])


def _selected(step: SelectorMixin, columns: ColumnMap, name: str) -> ColumnMap:
    return columns.taken(np.flatnonzero(step.get_support()))


def _unchanged(step: FunctionTransformer, columns: ColumnMap, name: str) -> ColumnMap:
    if step.func is not None:
        raise _refusal(step, name, f"func={step.func!r} may do anything")
    return columns


def _by_word(step: str | None, columns: ColumnMap, name: str) -> ColumnMap:
    return columns.taken([]) if step == "drop" else columns


def _by_columns(step: ColumnTransformer, columns: ColumnMap, name: str) -> ColumnMap:
    names = getattr(step, "feature_names_in_", np.arange(step.n_features_in_))
    parts = [
        (part, transformer, columns.taken(_places(chosen, names.tolist())))
        for part, transformer, chosen in step.transformers_
    ]
    return _side_by_side(step, parts, name)


def _united(step: FeatureUnion, columns: ColumnMap, name: str) -> ColumnMap:
    parts = [(part, inner, columns) for part, inner in step.transformer_list]
    return _side_by_side(step, parts, name)


def _side_by_side(step: Any, parts: Iterable[tuple], name: str) -> ColumnMap:
    weights = step.transformer_weights or {}
    made = [
        _through(inner, columns, f"{name}: {part}").scaled(weights.get(part, 1.0))
        for part, inner, columns in parts
        if len(columns.index)  # a transformer without columns was not fitted
    ]
    return ColumnMap.joined(made)


def _places(chosen: Any, names: list) -> np.ndarray:
    """Return the numbers of columns that are chosen as a ColumnTransformer does it."""
    places = np.arange(len(names))
    if isinstance(chosen, slice):
        start, stop = (
            names.index(end) + last if isinstance(end, str) else end
            for end, last in ((chosen.start, 0), (chosen.stop, 1))
        )
        return places[start : stop : chosen.step]
    chosen = np.atleast_1d(np.asarray(chosen))
    if chosen.dtype.kind in "OUT":
        return np.array([names.index(name) for name in chosen], dtype=int)
    return places[chosen if len(chosen) else []]


def _nested(step: Pipeline, columns: ColumnMap, name: str) -> ColumnMap:
    return _in_turn(step.steps, columns, f"{name}: ")


_STEPS: dict[type, Callable[[Any, ColumnMap, str], ColumnMap]] = {
    StandardScaler: _standardized,
    RobustScaler: _robust,
    MinMaxScaler: _between,
    MaxAbsScaler: _by_largest,
    SimpleImputer: _filled,
    SelectorMixin: _selected,
    FunctionTransformer: _unchanged,
    ColumnTransformer: _by_columns,
    FeatureUnion: _united,
    Pipeline: _nested,
    str: _by_word,
    type(None): _by_word,
}
