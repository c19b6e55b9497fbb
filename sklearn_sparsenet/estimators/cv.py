"""Estimators that choose how many weights, or inputs, they keep by cross-validation."""

from __future__ import annotations

from typing import ClassVar

from sklearn_sparsenet.estimators._cross_validation import (
    CrossValidated,
    constraints_of_cv,
)
from sklearn_sparsenet.estimators._docs import add_common_docs
from sklearn_sparsenet.estimators.classifier import SparseNetClassifier
from sklearn_sparsenet.estimators.regressor import SparseNetRegressor

__all__ = ["SparseNetClassifierCV", "SparseNetRegressorCV"]


@add_common_docs
class SparseNetRegressorCV(CrossValidated, SparseNetRegressor):
    """Neural network for regression that chooses how many weights it keeps.

    {cv_description}

    {overview}

    Parameters
    ----------
    {cv_parameters}

    Attributes
    ----------
    {cv_attributes}

    See Also
    --------
    SparseNetRegressor : A single target.
    sparsenet_path : Networks for many targets in one run.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_sparsenet import SparseNetRegressorCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = SparseNetRegressorCV(
    ...     (20,), target_sparsities=[20, 40, 80], selection="1se", random_state=0)
    >>> net = net.fit(X / X.std(axis=0), y)
    >>> net.target_sparsity_ in (20, 40, 80), net.test_scores_.shape
    (True, (3, 5))
    """

    _single = SparseNetRegressor
    _parameter_constraints: ClassVar[dict] = constraints_of_cv(SparseNetRegressor)

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        target_sparsities=None,
        selection="min",
        cv=None,
        scoring=None,
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
        solver="adam",
        learning_rate_init="auto",
        learning_rate="cosine",
        batch_size="auto",
        shuffle=True,
        n_jobs=None,
        device="cpu",
        dtype="auto",
        verbose=0,
        tol=0.01,
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
        self.target_sparsities = target_sparsities
        self.selection = selection
        self.cv = cv
        self.scoring = scoring
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
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.n_jobs = n_jobs
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
        self.tol = tol
        self.search = search
        self.penalty = penalty
        self.penalize_bias = penalize_bias
        self.debias = debias
        self.kkt_tol = kkt_tol
        self.alpha_bounds = alpha_bounds
        self.max_outer_iter = max_outer_iter
        self.min_layers_on_target = min_layers_on_target


@add_common_docs
class SparseNetClassifierCV(CrossValidated, SparseNetClassifier):
    """Neural network for classification that chooses how many weights it keeps.

    {cv_description}

    {overview}

    Parameters
    ----------
    {cv_parameters}

    Attributes
    ----------
    {cv_attributes}

    See Also
    --------
    SparseNetClassifier : A single target.
    sparsenet_path : Networks for many targets in one run.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_sparsenet import SparseNetClassifierCV
    >>> X, y = load_iris(return_X_y=True)
    >>> net = SparseNetClassifierCV(
    ...     (20,), target_sparsities=[20, 40, 80], selection="1se", random_state=0)
    >>> net = net.fit(X / X.std(axis=0), y)
    >>> net.target_sparsity_ in (20, 40, 80), net.test_scores_.shape
    (True, (3, 5))
    """

    _single = SparseNetClassifier
    _parameter_constraints: ClassVar[dict] = constraints_of_cv(SparseNetClassifier)

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        target_sparsities=None,
        selection="min",
        cv=None,
        scoring=None,
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
        solver="adam",
        learning_rate_init="auto",
        learning_rate="cosine",
        batch_size="auto",
        shuffle=True,
        n_jobs=None,
        device="cpu",
        dtype="auto",
        verbose=0,
        tol=0.01,
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
        self.target_sparsities = target_sparsities
        self.selection = selection
        self.cv = cv
        self.scoring = scoring
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
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.n_jobs = n_jobs
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
        self.tol = tol
        self.search = search
        self.penalty = penalty
        self.penalize_bias = penalize_bias
        self.debias = debias
        self.kkt_tol = kkt_tol
        self.alpha_bounds = alpha_bounds
        self.max_outer_iter = max_outer_iter
        self.min_layers_on_target = min_layers_on_target
