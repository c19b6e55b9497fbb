"""Sparse networks for regression."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.base import RegressorMixin

from sklearn_sparsenet.deploy.module import smallest_type
from sklearn_sparsenet.estimators._base import SparseNet
from sklearn_sparsenet.estimators._docs import add_common_docs
from sklearn_sparsenet.estimators._partial import PartialFitRegressorMixin
from sklearn_sparsenet.estimators._scales import check_finite
from sklearn_sparsenet.estimators._validation import HasMethods, StrOptions
from sklearn_sparsenet.losses import LOSSES

__all__ = ["SparseNetRegressor"]


@add_common_docs
class SparseNetRegressor(PartialFitRegressorMixin, RegressorMixin, SparseNet):
    """Neural network for regression with as many weights as you ask for.

    {target}

    {overview}

    {search}

    Parameters
    ----------
    loss : str, callable or Loss, default="squared_error"
        "squared_error" (without ½), "absolute_error", "huber" (δ = 1.35), "poisson"
        (log link) or "poisson_emission" (no link); a function of output and target
        that returns one value per sample; or an object such as
        `sklearn_sparsenet.losses.PoissonEmission`.
    normalize_y : bool or "auto", default="auto"
        Whether the target is standardised for training (weighted, per output);
        ``"auto"``: for the squared, absolute and Huber losses. `alpha_`, losses and
        residuals are in those units; `predict` undoes it.

    Attributes
    ----------
    y_mean_, y_scale_ : ndarray of shape (n_outputs,)
        What the target was standardised with; 0 and 1 if it was not.

    See Also
    --------
    SparseNetClassifier : The same for classification.
    sklearn.linear_model.Lasso : What ``hidden_layer_sizes=()`` amounts to; its alpha
        is half of ours.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_sparsenet import SparseNetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = SparseNetRegressor((20,), target_sparsity=40, random_state=0)
    >>> net = net.fit(X / X.std(axis=0), y)
    >>> net.n_nonzero_
    40
    """

    _parameter_constraints: ClassVar[dict] = {
        **SparseNet._parameter_constraints,
        "loss": [StrOptions(LOSSES["real"].keys()), callable, HasMethods("per_sample")],
        "normalize_y": ["boolean", StrOptions({"auto"})],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        target_sparsity=0.9,
        max_iter="auto",
        random_state=None,
        target_inputs=None,
        target_units=None,
        input_groups=None,
        always_keep=None,
        loss="squared_error",
        normalize_y="auto",
        module=None,
        weight_decay="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        solver="adam",
        learning_rate_init="auto",
        learning_rate="cosine",
        batch_size="auto",
        shuffle=True,
        n_jobs=None,
        device="cpu",
        dtype="auto",
        checkpoint=None,
        verbose=0,
        tol=0.01,
        alpha=None,
        search="one_pass",
        penalty="l1",
        penalize_bias=False,
        debias="auto",
        kkt_tol=1e-3,
        alpha_bounds=(1e-7, 1e-2),
        max_outer_iter=20,
        min_layers_on_target=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.target_sparsity = target_sparsity
        self.max_iter = max_iter
        self.random_state = random_state
        self.target_inputs = target_inputs
        self.target_units = target_units
        self.input_groups = input_groups
        self.always_keep = always_keep
        self.loss = loss
        self.normalize_y = normalize_y
        self.module = module
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.n_jobs = n_jobs
        self.device = device
        self.dtype = dtype
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.tol = tol
        self.alpha = alpha
        self.search = search
        self.penalty = penalty
        self.penalize_bias = penalize_bias
        self.debias = debias
        self.kkt_tol = kkt_tol
        self.alpha_bounds = alpha_bounds
        self.max_outer_iter = max_outer_iter
        self.min_layers_on_target = min_layers_on_target

    def predict(self, X):
        """Predict the target.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dataset} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the floating type of the fit, or in double precision where a target in
            single precision would lose its digits, as 1.7e9 ± 60 does.

        Raises
        ------
        ValueError
            If X is so large that what comes out is no number.
        """
        values = self._predictions(X)
        dtype = np.result_type(values.dtype, self._target_type())
        with np.errstate(over="ignore"):
            values = values * self.y_scale_.astype(dtype) + self.y_mean_.astype(dtype)
        check_finite(values)
        return values[:, 0] if self._flat_target else values

    def _target_type(self) -> type[np.floating]:
        return smallest_type(self.y_mean_, self.y_scale_)

    def _prediction_parts(self):
        return {"scale": self.y_scale_, "shift": self.y_mean_}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
