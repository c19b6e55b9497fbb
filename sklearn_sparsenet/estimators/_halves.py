"""Complementary halves of the rows, and fits to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.utils import column_or_1d

from sklearn_sparsenet.estimators._validation import safe_indexing
from sklearn_sparsenet.solvers.streamed import StreamedTable, is_dataset

__all__ = ["Half", "draw_halves", "fit_half", "make_strata"]


@dataclass(frozen=True)
class Half:
    """What one fit is made to.

    Attributes
    ----------
    name : str
        For errors.
    rows : ndarray of int
    seed : int
        For the random numbers of the fit.
    """

    name: str
    rows: np.ndarray
    seed: int


def draw_halves(
    strata: list[np.ndarray], n_pairs: int, random: np.random.RandomState
) -> Iterator[Half]:
    """Yield the halves of each pair, one after the other.

    Parameters
    ----------
    strata : list of ndarray of int
        Rows, of which each half gets half, rounded down.
    n_pairs : int
    random : RandomState
    """
    for pair in range(n_pairs):
        orders = [random.permutation(rows) for rows in strata]
        for which, name in enumerate(("first", "second")):
            parts = [
                order[which * (len(order) // 2) :][: len(order) // 2]
                for order in orders
            ]
            name = f"the {name} half of pair {pair} (of {n_pairs}, from 0)"
            seed = int(random.randint(np.iinfo(np.int32).max))
            yield Half(name, np.sort(np.concatenate(parts)), seed)


def make_strata(n_samples: int, has_weight, labels) -> list[np.ndarray]:
    """Return the rows of positive weight, label by label.

    Raises
    ------
    ValueError
        If there are less than two of one, or each row has several labels.
    """
    kept = np.arange(n_samples)
    if has_weight is not None:
        kept = np.flatnonzero(has_weight)
    if labels is None:
        if len(kept) < 2:
            raise ValueError(
                f"Two rows of positive weight are needed, got {len(kept)}."
            )
        return [kept]
    known, codes = np.unique(column_or_1d(labels)[kept], return_inverse=True)
    strata = [kept[codes == code] for code in range(len(known))]
    for label, rows in zip(known.tolist(), strata, strict=True):
        if len(rows) < 2:
            raise ValueError(
                f"Label {label!r} has a single row of positive weight, and both halves "
                "of a pair need one. Leave it out, or say stratify=None."
            )
    return strata


def fit_half(half: Half, estimator, data: tuple, selected: Callable) -> np.ndarray:
    """Fit an estimator to half of the rows; return the inputs that it uses.

    Parameters
    ----------
    half : Half
    estimator : estimator
    data : tuple of X, y, sample_weight
    selected : callable(estimator) -> ndarray of bool, shape (n_features,)

    Raises
    ------
    Exception
        As of the fit, or of `selected`; a note says of which half.
    """
    model = _reseeded(clone(estimator), half.seed)
    X, y, weight = (
        part if part is None else safe_indexing(part, half.rows) for part in data
    )
    try:
        model.fit(X, y, **_weights_for(model, weight))
        return _checked_mask(selected(model), X)
    except Exception as error:
        error.add_note(f"stability_selection: this was {half.name}.")
        raise


def _reseeded(estimator, seed: int):
    """Set all that is called random_state, in steps of a Pipeline and the like too."""
    random = np.random.RandomState(seed)
    names = [
        name
        for name in sorted(estimator.get_params(deep=True))
        if name.rpartition("__")[2] == "random_state"
    ]
    most = np.iinfo(np.int32).max
    return estimator.set_params(**{name: random.randint(most) for name in names})


def _weights_for(estimator, weight) -> dict[str, Any]:
    """Return the keyword arguments that hand the weights to `fit`."""
    from sklearn.pipeline import Pipeline  # slow to import

    if weight is None:
        return {}
    name = "sample_weight"
    if not get_config()["enable_metadata_routing"]:
        path = []
        while isinstance(estimator, Pipeline):
            step, estimator = estimator.steps[-1]
            path.append(step)
        name = "__".join([*path, name])
    return {name: weight}


def _checked_mask(used, X) -> np.ndarray:
    mask = np.asarray(used)
    table = StreamedTable(X) if is_dataset(X) else X
    shape = getattr(table, "shape", None) or np.shape(X)
    if mask.dtype != bool or mask.size != prod(shape[1:]):
        raise ValueError(
            f"Which inputs are used must be told by a mask, one bool for each of the "
            f"{prod(shape[1:])} inputs; got an array of dtype {mask.dtype} and shape "
            f"{mask.shape}."
        )
    return mask.ravel()
