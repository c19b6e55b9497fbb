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

    Parameters
    ----------
    {cv_parameters}

    Attributes
    ----------
    {cv_attributes}

    See Also
    --------
    SparseNetRegressor : One target; has all attributes that are not told here.
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
        n_jobs=None,
        module=None,
        target_inputs=None,
        target_units=None,
        input_groups=None,
        always_keep=None,
        tol=0.01,
        max_outer_iter=20,
        min_layers_on_target=None,
        search="one_pass",
        alpha_bounds=(1e-7, 1e-2),
        penalty="l1",
        penalize_bias=False,
        weight_decay="auto",
        debias="auto",
        loss="squared_error",
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
        normalize_y="auto",
        dtype="auto",
        device="cpu",
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.target_sparsities = target_sparsities
        self.selection = selection
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.module = module
        self.target_inputs = target_inputs
        self.target_units = target_units
        self.input_groups = input_groups
        self.always_keep = always_keep
        self.tol = tol
        self.max_outer_iter = max_outer_iter
        self.min_layers_on_target = min_layers_on_target
        self.search = search
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
        self.normalize_y = normalize_y
        self.dtype = dtype
        self.device = device
        self.random_state = random_state
        self.verbose = verbose


@add_common_docs
class SparseNetClassifierCV(CrossValidated, SparseNetClassifier):
    """Neural network for classification that chooses how many weights it keeps.

    {cv_description}

    Parameters
    ----------
    {cv_parameters}

    Attributes
    ----------
    {cv_attributes}

    See Also
    --------
    SparseNetClassifier : One target; has all attributes that are not told here.
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
        n_jobs=None,
        module=None,
        target_inputs=None,
        target_units=None,
        input_groups=None,
        always_keep=None,
        tol=0.01,
        max_outer_iter=20,
        min_layers_on_target=None,
        search="one_pass",
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
        dtype="auto",
        device="cpu",
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.target_sparsities = target_sparsities
        self.selection = selection
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.module = module
        self.target_inputs = target_inputs
        self.target_units = target_units
        self.input_groups = input_groups
        self.always_keep = always_keep
        self.tol = tol
        self.max_outer_iter = max_outer_iter
        self.min_layers_on_target = min_layers_on_target
        self.search = search
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
        self.dtype = dtype
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
