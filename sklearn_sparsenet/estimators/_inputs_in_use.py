"""Which inputs a fitted estimator uses, whoever's it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["inputs_in_use"]


def inputs_in_use(estimator: Any) -> np.ndarray:
    """Return which inputs a fitted estimator uses.

    A selector says it by `get_support`, or by a mask `support_`, as the networks of
    this library do; of others it is the inputs with a `coef_`, or else
    `feature_importances_`, that is not zero, for any output. A search is its best
    estimator, and a Pipeline its last step, whose inputs are found by name among those
    of the first.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    ndarray of bool, shape (n_features,)
        In one flat row, for X of more than two dimensions.

    Raises
    ------
    TypeError
        If it does not tell.
    ValueError
        If a step of a Pipeline makes inputs that are none of the first's.
    """
    from sklearn.pipeline import Pipeline  # slow to import

    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    if isinstance(estimator, Pipeline):
        return _inputs_of_pipeline(estimator)
    for read in (_support_of_selector, _support_mask, _coefficients, _importances):
        used = read(estimator)
        if used is not None:
            return used
    raise TypeError(
        f"{type(estimator).__name__} does not tell which inputs it uses: it has no "
        "get_support, support_ (a mask), coef_ or feature_importances_. Tell it by "
        "selected=, a function of the fitted estimator."
    )


def _support_of_selector(estimator: Any) -> np.ndarray | None:
    get_support = getattr(estimator, "get_support", None)
    return None if get_support is None else np.asarray(get_support(), dtype=bool)


def _support_mask(estimator: Any) -> np.ndarray | None:
    support = getattr(estimator, "support_", None)
    # That of support vector machines has the numbers of rows.
    is_mask = isinstance(support, np.ndarray) and support.dtype == bool
    return support.ravel() if is_mask else None


def _coefficients(estimator: Any) -> np.ndarray | None:
    coefficients = getattr(estimator, "coef_", None)
    if coefficients is None:
        return None
    if sparse.issparse(coefficients):
        coefficients = coefficients.toarray()
    coefficients = np.asarray(coefficients)
    by_output = coefficients.reshape(-1, coefficients.shape[-1])
    return (by_output != 0).any(axis=0)


def _importances(estimator: Any) -> np.ndarray | None:
    importances = getattr(estimator, "feature_importances_", None)
    return None if importances is None else np.ravel(importances) != 0


def _inputs_of_pipeline(pipeline) -> np.ndarray:
    used = inputs_in_use(pipeline[-1])
    if len(pipeline) == 1:
        return used
    before = pipeline[:-1]
    names = getattr(pipeline, "feature_names_in_", None)
    if names is None:
        names = [f"x{number}" for number in range(pipeline.n_features_in_)]
    try:
        kept = before.get_feature_names_out(names)[used]
    except AttributeError as error:
        raise ValueError(f"{_UNKNOWN}: {error}") from error
    if not np.isin(kept, names).all():
        made = next(name for name in kept if name not in names)
        raise ValueError(
            f"{_UNKNOWN}: {made!r} is none of the inputs. A ColumnTransformer keeps "
            "their names with verbose_feature_names_out=False."
        )
    return np.isin(names, kept)


_UNKNOWN = (
    "Which inputs the Pipeline uses is not known; tell it by selected=, a function of "
    "the fitted Pipeline"
)
