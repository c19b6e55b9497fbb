"""The problem that a fit solved, at its penalised solution."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_sparsenet.estimators._modules import set_penalized
from sklearn_sparsenet.estimators._settings import Settings
from sklearn_sparsenet.estimators._specification import check_table, specified
from sklearn_sparsenet.estimators._warnings import told_before, warn_user
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["penalized_problem"]

_SAME_LOSS = 1e-4  # relative difference of losses that rounding may leave


@single_threaded()
def penalized_problem(estimator, X, y, sample_weight=None) -> Problem:
    """Return the problem of a fit, its network standing at the penalised solution.

    What `alpha_`, `loss_` and `kkt_residual_` belong to, before debiasing.

    Parameters
    ----------
    estimator : SparseNetRegressor or SparseNetClassifier, or with cross-validation
        Fitted; left as it is.
    X, y, sample_weight
        What it was fitted with.

    Returns
    -------
    Problem
        On the CPU.

    Raises
    ------
    ValueError
        If the data have other features or classes than those of the fit.

    Warns
    -----
    UserWarning
        If the loss is not `loss_`: the data are not those of the fit, other rows are
        held out for early stopping, or the network has trainable parameters outside
        its linear layers, of which only the refitted values are kept.
    """
    check_is_fitted(estimator)
    changes = {"device": "cpu", "checkpoint": None, "verbose": 0}
    changes["weight_decay"] = estimator.weight_decay_  # of the fit, and no other
    for name in ("target_sparsity", "target_inputs"):
        if hasattr(estimator, f"{name}_"):  # the one that was chosen
            changes[name] = getattr(estimator, f"{name}_")
    # Of a clone, whose random numbers are its own.
    settings = Settings.of(clone(estimator), **changes)
    with told_before():
        table = check_table(settings, X, y, sample_weight)
        with specified(settings, table) as spec:
            n_features = spec.features["n_features_in_"]
            _check_same(estimator.n_features_in_, n_features, "features")
            classes = spec.coding.attributes.get("classes_")
            _check_same(getattr(estimator, "classes_", None), classes, "classes")
            problem = spec.problem
            _load_penalized(problem.network.module, estimator)
            loss = float(problem.evaluate()[0])
    if not np.isclose(loss, estimator.loss_, rtol=_SAME_LOSS, atol=1e-12):
        warn_user(
            f"The penalised solution has a loss of {loss:.6g}, and had "
            f"{estimator.loss_:.6g} in the fit, so that alpha_ does not belong to "
            "these data. Pass the X, y and sample_weight of the fit. If they are the "
            "same, the solution cannot be restored: early_stopping has held out other "
            "rows, or the refit has changed parameters outside linear layers.",
            UserWarning,
        )
    return problem


def _check_same(had, got, what: str) -> None:
    if not np.array_equal(had, got):
        raise ValueError(f"The data have other {what} than the fit: {got}, not {had}.")


@torch.no_grad()
def _load_penalized(module: nn.Module, estimator) -> None:
    """Set a module to the penalised solution; its parameters stay the same tensors."""
    fitted = estimator.module_.state_dict()
    own = module.state_dict()
    # After `compact` they do not fit; a perceptron needs no more than what follows.
    for name, values in own.items():
        if name in fitted and fitted[name].shape == values.shape:
            values.copy_(fitted[name])
    set_penalized(module, estimator)
