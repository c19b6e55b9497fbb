"""Checks of datasets of users, next to those of arrays in `_validation`."""

from __future__ import annotations

import numpy as np

from sklearn_sparsenet.solvers.streamed import StreamedTable

__all__ = ["check_columns", "names_of", "stand_in"]


def stand_in(n_samples: int) -> np.ndarray:
    """Return an array with as many rows as a dataset, to check others beside it."""
    return np.broadcast_to(np.zeros((1, 1), np.int8), (n_samples, 1))


def names_of(table: StreamedTable) -> np.ndarray | None:
    """Return the names of the columns of a dataset, if it has them for all."""
    given = table.offered("feature_names")
    if given is None:
        return None
    names = np.array(list(given), dtype=object)
    is_sound = all(isinstance(name, str) for name in names)
    if not is_sound or len(set(names)) < len(names) or len(names) != table.shape[1]:
        raise ValueError(
            f"X.feature_names must be {table.shape[1]} different str, one for each "
            f"column; got {given!r}."
        )
    return names


def check_columns(estimator, table: StreamedTable) -> None:
    """Refuse a dataset with other columns than the fit had."""
    if table.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {table.shape[1]} features, but {type(estimator).__name__} is "
            f"expecting {estimator.n_features_in_} features as input."
        )
    names, known = names_of(table), getattr(estimator, "feature_names_in_", None)
    if not (names is None or known is None or np.array_equal(names, known)):
        raise ValueError(
            "X.feature_names must be those of the fit, in the same order: "
            f"{list(known)}; got {list(names)}."
        )
