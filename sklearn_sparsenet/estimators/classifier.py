"""Sparse networks for classification."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_sparsenet.deploy.predictor import log_link
from sklearn_sparsenet.estimators._base import SparseNet
from sklearn_sparsenet.estimators._docs import add_common_docs
from sklearn_sparsenet.estimators._stored import ClassifierState
from sklearn_sparsenet.estimators._validation import (
    HasMethods,
    StrOptions,
    check_class_weight,
    naming,
)
from sklearn_sparsenet.losses import LOSSES, Loss, as_loss

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

    _stored_parts: ClassVar[tuple[type, ...]] = (ClassifierState,)
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.module = module
        self.target_sparsity = target_sparsity
        self.tol = tol
        self.max_outer_iter = max_outer_iter
        self.min_layers_on_target = min_layers_on_target
        self.search = search
        self.alpha = alpha
        self.alpha_bounds = alpha_bounds
        self.penalty = penalty
        self.penalize_bias = penalize_bias
        self.weight_decay = weight_decay
        self.debias = debias
        self.loss = loss
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.kkt_tol = kkt_tol
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.dtype = dtype
        self.device = device
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

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

    def _adjust_weight(self, y, weight):
        check_class_weight(self.class_weight)
        if self.class_weight is None:
            return weight
        if self.class_weight == "balanced" and y.ndim == 1:
            kept = weight > 0
            classes, index = np.unique(y[kept], return_inverse=True)
            total = np.bincount(index, weights=weight[kept])
            factor = weight[kept].sum() / (len(classes) * total)
            adjusted = np.zeros_like(weight)
            adjusted[kept] = weight[kept] * factor[index]
            return adjusted
        if y.ndim > 1 and isinstance(self.class_weight, dict):
            raise ValueError(
                "class_weight as a dict is for one label with several classes; for "
                "several labels there are 'balanced' and sample_weight."
            )
        wanted = self.class_weight
        if self._known_classes is not None and not isinstance(wanted, str):
            present = set(y.tolist())
            wanted = {k: v for k, v in wanted.items() if k in present}
        with naming("class_weight"):
            adjusted = weight * compute_sample_weight(wanted, y)
        if not adjusted.any():
            raise ValueError(
                f"class_weight={self.class_weight!r} leaves all samples without weight."
            )
        return adjusted

    def _encode_target(self, y, weight):
        with naming("y"):
            check_classification_targets(y)
            kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ValueError(
                "y has several outputs with several classes each; only indicators of "
                "several labels are supported. Use MultiOutputClassifier."
            )
        continuing = self._continues()
        known = self.classes_ if continuing else self._known_classes
        self._multilabel = kind == "multilabel-indicator"
        if self._multilabel:
            self.classes_ = np.arange(y.shape[1])
            return y.astype(np.int64)
        with naming("y"):
            classes, encoded = np.unique(y, return_inverse=True)
        if continuing and not np.array_equal(known, classes):
            raise ValueError(
                "warm_start=True needs the same classes as the fit before; got "
                f"{classes}, had {known}."
            )
        if known is not None and not continuing:
            classes, encoded = known, np.searchsorted(known, y)
        self.classes_ = classes
        if len(self.classes_) < 2:
            raise ValueError(
                "y needs a number of classes greater than one; it has 1 class, "
                f"{self.classes_[0]!r} (in rows of positive weight)."
            )
        return encoded

    def _n_outputs(self, encoded):
        n_classes = len(self.classes_)
        return 1 if n_classes == 2 and not self._multilabel else n_classes

    def _make_loss(self, n_outputs) -> Loss:
        expected = {self._n_outputs(None), len(self.classes_)}
        if n_outputs not in expected:
            raise ValueError(
                f"module= has {n_outputs} outputs; {len(self.classes_)} classes need "
                f"{' or '.join(map(str, sorted(expected)))}."
            )
        return self._loss_for(elementwise=self._multilabel or n_outputs == 1)

    def _loss_for(self, elementwise: bool) -> Loss:
        known = LOSSES["indicators" if elementwise else "classes"]
        made_with = () if elementwise else (len(self.classes_),)
        if not isinstance(self.loss, str):
            return as_loss(self.loss, known["log_loss"](*made_with).predict)
        if self.loss not in known:
            raise ValueError(
                f"loss={self.loss!r} is for two classes (one output) or several "
                f"labels; got {len(self.classes_)} classes."
            )
        return known[self.loss](*made_with)

    def _target_tensor(self, encoded, n_outputs, dtype):
        if not self._multilabel and n_outputs > 1:
            return torch.as_tensor(encoded, dtype=torch.int64)
        return torch.as_tensor(encoded, dtype=dtype).reshape(len(encoded), -1)

    def _score_outputs(self, output: Tensor, encoded, weight):
        if self._multilabel or output.shape[1] == 1:
            predicted = (output > 0).cpu().numpy().astype(int)
            predicted = predicted if self._multilabel else predicted[:, 0]
        else:
            predicted = output.argmax(1).cpu().numpy()
        return float(accuracy_score(encoded, predicted, sample_weight=weight))

    def _strata(self, encoded):
        return super()._strata(encoded) if self._multilabel else encoded

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
