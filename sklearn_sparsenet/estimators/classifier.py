"""Sparse networks for classification."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_sparsenet.deploy.predictor import log_link
from sklearn_sparsenet.estimators._base import SparseNet
from sklearn_sparsenet.estimators._docs import add_common_docs
from sklearn_sparsenet.estimators._validation import HasMethods, StrOptions
from sklearn_sparsenet.losses import LOSSES

__all__ = ["SparseNetClassifier"]


@add_common_docs
class SparseNetClassifier(ClassifierMixin, SparseNet):
    """Neural network for classification with as many weights as you ask for.

    {target}

    {search}

    Parameters
    ----------
    {parameters_first}
    loss : {{"log_loss", "one_bit"}}, callable or Loss, default="log_loss"
        Cross-entropy (binary per label for several labels); the likelihood of
        labels that are flipped at random (binary only, flip rate 0.1, or
        ``OneBit(flip_rate)``); or a function of output and target that returns one
        value per sample, the target being class indices, or 0.0 and 1.0 in shape
        (n_samples, n_outputs) for binary problems and several labels.
    {parameters_second}
    class_weight : dict or "balanced", default=None
        Multiplies the sample weights.
    {parameters_third}

    Attributes
    ----------
    {attributes}
    classes_ : ndarray of shape (n_classes,)
        For several labels: their numbers.

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
        module=None,
        target_sparsity=0.9,
        tol=0.01,
        max_outer_iter=20,
        min_layers_on_target=None,
        search="one_pass",
        alpha=None,
        alpha_bounds=(1e-7, 1e-2),
        penalty="l1",
        penalize_bias=False,
        weight_decay="auto",
        debias="auto",
        loss="log_loss",
        solver="adam",
        learning_rate_init="auto",
        learning_rate="cosine",
        batch_size="auto",
        max_iter="auto",
        kkt_tol=1e-3,
        shuffle=True,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        class_weight=None,
        warm_start=False,
        dtype="auto",
        device="cpu",
        checkpoint=None,
        random_state=None,
        verbose=0,
    ):
        self._keep(locals())

    def predict_proba(self, X):
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

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
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

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
