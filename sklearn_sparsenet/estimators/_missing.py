"""Values in place of missing ones, for estimators into which an imputer was folded."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite

__all__ = ["fill_missing"]


def fill_missing(X: Any, fill: np.ndarray) -> Any:
    """Return X with a value for each NaN: a copy if there are some.

    Parameters
    ----------
    X : array of shape (n_samples, n_features) or sparse matrix
        Of numbers, none of which is infinite.
    fill : ndarray of shape (n_features,)
        NaN for columns without missing values; a ValueError tells that they have some.
    """
    X = X.tocsr() if sparse.issparse(X) else X
    values = X.data if sparse.issparse(X) else X
    missing = np.isnan(values)
    if not missing.any():
        return X
    X = X.copy()
    if sparse.issparse(X):
        X.data[missing] = fill[X.indices[missing]]
    else:
        X[missing] = fill[np.nonzero(missing)[1]]
    assert_all_finite(X, input_name="X")
    return X
