"""Sparse networks for classification."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_sparsenet.deploy.predictor import log_link
from sklearn_sparsenet.estimators._base import SparseNet
from sklearn_sparsenet.estimators._docs import add_common_docs
from sklearn_sparsenet.estimators._partial import PartialFitClassifierMixin
from sklearn_sparsenet.estimators._validation import HasMethods, StrOptions
from sklearn_sparsenet.losses import LOSSES

__all__ = ["SparseNetClassifier"]


@add_common_docs
class SparseNetClassifier(PartialFitClassifierMixin, ClassifierMixin, SparseNet):
    """Neural network for classification with as many weights as you ask for.

    {target}

    {overview}

    {search}

    Parameters
    ----------
    loss : {{"log_loss", "one_bit"}}, callable or Loss, default="log_loss"
        Cross-entropy (binary per label for several labels); the likelihood of
        labels that are flipped at random (binary only, flip rate 0.1, or
        ``OneBit(flip_rate)``); or a function of output and target that returns one
        value per sample, the target being class indices, or 0.0 and 1.0 in shape
        (n_samples, n_outputs) for binary problems and several labels.
    class_weight : dict or "balanced", default=None
        Weight of each class, by which the weights of its rows are multiplied.
        "balanced" gives all classes the same weight in all. None: 1 each.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, in the order of the probabilities. For several labels: their
        numbers.

    See Also
    --------
    SparseNetRegressor : The same for regression.
    sklearn.linear_model.LogisticRegression : What ``hidden_layer_sizes=()`` amounts
        to with two classes; its C is 1 / (alpha * n_samples).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_sparsenet import SparseNetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = SparseNetClassifier((20,), target_sparsity=30, random_state=0)
    >>> net = net.fit(X, y)
    >>> net.n_nonzero_
    30
    """

    _parameter_constraints: ClassVar[dict] = {
        **SparseNet._parameter_constraints,
        "loss": [
            StrOptions(LOSSES["indicators"].keys()),
            callable,
            HasMethods("per_sample"),
        ],
        "class_weight": [dict, StrOptions({"balanced"}), None],
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
        loss="log_loss",
        class_weight=None,
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
        self.class_weight = class_weight
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

    def predict_proba(self, X):
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dataset} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; for several labels the probability of each.
            With ``loss="one_bit"`` that of the label as it is observed, flips
            included.
        """
        values = self._predictions(X)
        if self._multilabel or values.shape[1] > 1:
            return values
        return np.hstack([1 - values, values])

    def predict_log_proba(self, X):
        """Predict the logarithms of the probabilities; see `predict_proba`.

        They are computed from the outputs of the network, and are finite where a
        probability is too small for a number, unless the loss is your own.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dataset} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        link = log_link(self._loss_)
        if link is None:
            with np.errstate(divide="ignore"):
                return np.log(self.predict_proba(X))
        outputs = self._outputs(X)
        if self._multilabel or outputs.shape[1] > 1:
            return link(outputs)
        return np.hstack([link(-outputs), link(outputs)])

    def predict(self, X):
        """Predict the class, or for several labels a 0/1 indicator of each.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dataset} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        probabilities = self.predict_proba(X)
        if self._multilabel:
            return (probabilities > 0.5).astype(int)
        return self.classes_[probabilities.argmax(axis=1)]

    def _prediction_parts(self):
        return {"classes": None if self._multilabel else self.classes_}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
