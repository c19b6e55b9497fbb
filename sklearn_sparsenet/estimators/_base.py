"""What both estimators share: fit, prediction, fitted attributes."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from sklearn_sparsenet.deploy.predictor import predict_from
from sklearn_sparsenet.estimators._fitting import fit_network
from sklearn_sparsenet.estimators._jobs import count_threads
from sklearn_sparsenet.estimators._modules import linear_layers
from sklearn_sparsenet.estimators._pickling import PicklingMixin
from sklearn_sparsenet.estimators._reports import ReportsMixin
from sklearn_sparsenet.estimators._scales import check_finite
from sklearn_sparsenet.estimators._shipping import DeployMixin
from sklearn_sparsenet.estimators._table_rows import TableRows
from sklearn_sparsenet.estimators._validation import (
    COMMON_CONSTRAINTS,
    check_new_data,
    check_parameters,
    fit_context,
)
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.solvers.dataset import make_dataset
from sklearn_sparsenet.solvers.stopping import forward
from sklearn_sparsenet.solvers.streamed import StreamedTable
from sklearn_sparsenet.utils.arguments import as_number
from sklearn_sparsenet.utils.runtime import resolve_device, single_threaded
from sklearn_sparsenet.utils.workers import sharing_work

__all__ = ["SparseNet"]


class SparseNet(
    CallbackSupportMixin,
    ReportsMixin,
    DeployMixin,
    PicklingMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Base of the estimators: everything but parameters and predictions of a kind."""

    _parameter_constraints: dict = COMMON_CONSTRAINTS

    def _validate_params(self) -> None:
        """Refuse values that parameters cannot have, whatever the data."""
        check_parameters(type(self), self.get_params(deep=False))
        resolve_device(self.device)

    @abstractmethod
    def _prediction_parts(self) -> dict[str, object]:
        """Return what `deploy.Function` is told of the target."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Find λ and the network with the prescribed number of weights.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dataset} of shape (n_samples, n_features)
            CSR rows are densified batch by batch; memory maps, and objects that are a
            `sklearn_sparsenet.Dataset`, are read batch by batch. With `module=` also
            arrays of more than two dimensions.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            None only with a dataset that has a `target`.
        sample_weight : array-like of shape (n_samples,), default=None
            Rows of weight 0 are dropped before anything else.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For input or parameters that cannot be used, before any training, and
            if the loss stays infinite or NaN however small the steps.
        KeyboardInterrupt
            If the user interrupts it (Ctrl-C), with the network that there is kept;
            see Notes.

        Warns
        -----
        ConvergenceWarning
            If the target was not met; the closest network is kept.

        Notes
        -----
        Callbacks of `set_callbacks` see each solve and blocks of its epochs as tasks.
        One that returns True at the end of such a task ends the fit, with the best
        network so far; the one-pass search brings it to the target.

        An interruption (Ctrl-C) ends `fit`, and whatever it is a part of: a search, a
        pipeline. Before that the network in training is brought to the target, as after
        a stop by a callback, and stored, so that one can go on with it; `converged_` is
        False. A second interruption meanwhile, or one before training, leaves the
        estimator as it was.
        """
        message = fit_network(self, X, y, sample_weight).message
        if message is not None:
            warn_user(message, ConvergenceWarning)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def _predictions(self, X) -> np.ndarray:
        """Return what the loss predicts for the outputs of the fitted network."""
        return predict_from(self._outputs(X), self._loss_)

    def _outputs(self, X) -> np.ndarray:
        """Return the outputs of the fitted network, of shape (n_samples, n_outputs)."""
        check_is_fitted(self)
        if isinstance(X, TableRows):
            return np.concatenate([self._outputs(rows) for rows in X.blocks()])
        X = check_new_data(self, X, self._fill)
        if isinstance(X, StreamedTable):
            return np.concatenate([self._computed(rows) for rows in X.blocks()])
        return self._computed(X)

    def _computed(self, X) -> np.ndarray:
        """Return the outputs for an array or sparse matrix that has been checked."""
        predictor = self._route_.predictor(self.module_)
        threads = sharing_work(count_threads(as_number(self.n_jobs)))
        with threads, np.errstate(all="ignore"):  # what overflows is refused below
            outputs = predictor(X) if predictor is not None else self._forward(X)
        return check_finite(outputs)

    @single_threaded()
    def _forward(self, X) -> np.ndarray:
        some = next(p for p in self.module_.parameters() if p.is_floating_point())
        rows = make_dataset(X, some.dtype, some.device)
        return forward(self.module_.eval(), rows).cpu().numpy()

    @property
    def coefs_(self) -> list[np.ndarray]:
        """Weights of the layers of a multilayer perceptron, (fan_in, fan_out) each.

        Arrays, or sparse ones after `sparsify`.
        """
        coefs, _ = self._perceptron_layers()
        is_sparse = getattr(self, "_is_sparse", False)
        return list(map(sparse.csr_array, coefs)) if is_sparse else coefs

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Biases of the layers of a multilayer perceptron."""
        return self._perceptron_layers()[1]

    def _perceptron_layers(self):
        if not hasattr(self, "module_") or self.module is not None:
            raise AttributeError(
                f"{type(self).__name__} has coefs_ and intercepts_ only after fit, and "
                "only without module=. With module=, look at module_."
            )
        return linear_layers(self.module_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
