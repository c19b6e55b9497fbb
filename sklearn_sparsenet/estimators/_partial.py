"""Estimators for data that keep coming: `partial_fit`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels

from sklearn_sparsenet.estimators._continuing import train_on
from sklearn_sparsenet.estimators._fitting import fit_network
from sklearn_sparsenet.estimators._validation import (
    check_parameters,
    fit_context,
    naming,
)
from sklearn_sparsenet.estimators._warnings import warn_user

__all__ = [
    "PartialFitClassifierMixin",
    "PartialFitRegressorMixin",
    "WithoutPartialFit",
]


def _takes_steps(estimator: Any) -> bool:
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit needs solver='adam' or 'sgd'; 'lbfgs' takes no steps, it "
            "solves for the rows that it has."
        )
    return True


def _check_for_parts(estimator: Any) -> None:
    """Refuse parameters that need all rows at once."""
    check_parameters(type(estimator), estimator.get_params(deep=False))
    if estimator.early_stopping:
        raise ValueError(
            "partial_fit does not support early_stopping=True, for which rows are held "
            "out of those of a fit."
        )


def _learn(estimator: Any, X: Any, y: Any, sample_weight: Any, known: Any) -> None:
    """Fit an estimator that is not fitted, train on one that is."""
    if hasattr(estimator, "module_"):
        train_on(estimator, X, y, sample_weight)
        return
    message = fit_network(estimator, X, y, sample_weight, known).message
    if message is not None:
        warn_user(message, ConvergenceWarning)


class PartialFitRegressorMixin:
    """Adds `partial_fit` to a regressor."""

    @available_if(_takes_steps)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Fit to the first rows; train on, with the same weights, with further ones.

        The first call is `fit`, and chooses which weights are kept. Later calls, and
        those after a `fit`, make one pass over the rows that they are given. Weights
        that are zero stay zero, and the others nonzero. There is no search, and y is
        scaled as in the first call. If λ was given (`alpha`, without `debias`), later
        calls take proximal steps for it instead, and weights may come and go.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Further rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their target.
        sample_weight : array-like of shape (n_samples,), default=None
            How much rows count next to the others of this call.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For what `fit` refuses, for rows of another form than the first ones, and
            for ``early_stopping=True``.
        AttributeError
            With ``solver="lbfgs"``.

        Warns
        -----
        ConvergenceWarning
            At the first call, if the target was not met.

        Notes
        -----
        Later calls add to `n_iter_` and `loss_curve_`; `alpha_`, `penalized_coefs_` and
        what else is told of the penalised solution, `weight_decay_` among it, stays
        that of the first call, but where steps are for a given λ. A call that fails or
        is interrupted leaves the estimator as it was. Callbacks watch the first call
        only.

        Adam's moments are kept from call to call, also in pickles and files. With
        ``weight_decay="auto"`` the weight decay is that of the first rows: the fewer
        they were, the stronger. A number may be set between calls; see the user guide.
        """
        _check_for_parts(self)
        _learn(self, X, y, sample_weight, None)
        return self


class PartialFitClassifierMixin:
    """Adds `partial_fit` to a classifier."""

    @available_if(_takes_steps)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Fit to the first rows; train on, with the same weights, with further ones.

        The first call is `fit`, and chooses which weights are kept. Later calls, and
        those after a `fit`, make one pass over the rows that they are given. Weights
        that are zero stay zero, and the others nonzero; there is no search. If λ was
        given (`alpha`, without `debias`), later calls take proximal steps for it
        instead, and weights may come and go.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Further rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their classes.
        classes : array-like of shape (n_classes,), default=None
            All classes that there will be; for several labels their numbers, from 0 on.
            To be given at the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            How much rows count next to the others of this call.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For what `fit` refuses, for other classes than those of the first call, for
            rows of another form, and for ``early_stopping=True`` and
            ``class_weight="balanced"``.
        AttributeError
            With ``solver="lbfgs"``.

        Warns
        -----
        ConvergenceWarning
            At the first call, if the target was not met.

        Notes
        -----
        As with `SparseNetRegressor.partial_fit`.
        """
        _check_for_parts(self)
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows, and partial_fit has some. Pass"
                " a dict, as sklearn.utils.class_weight.compute_class_weight makes one "
                "of rows that you know."
            )
        _learn(self, X, y, sample_weight, _classes_of(self, classes))
        return self


class WithoutPartialFit:
    """Takes `partial_fit` from an estimator that derives from one that has it."""

    @property
    def partial_fit(self):
        """Not available, because targets are chosen with all rows."""
        raise AttributeError(
            f"{type(self).__name__} has no partial_fit, because it chooses its target "
            "with all rows. Fit an estimator of one target, such as SparseNetRegressor "
            "or SparseNetClassifier, with the target that was chosen; it has one."
        )


def _classes_of(estimator: Any, classes: Any) -> np.ndarray:
    """Return the classes that there are to be, by scikit-learn's rules."""
    before = getattr(estimator, "classes_", None)
    if classes is None:
        if before is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return before
    with naming("classes"):
        given = unique_labels(classes)
    if before is not None and not np.array_equal(before, given):
        raise ValueError(
            f"classes={classes!r} are not those of the fit before, {before}."
        )
    return given
