"""Estimators that choose how many weights they keep by cross-validation."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

from sklearn.base import clone, is_classifier
from sklearn.callback import with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import indexable
from sklearn.utils.validation import check_is_fitted

from sklearn_sparsenet.estimators._coding import weigh
from sklearn_sparsenet.estimators._docs import add_common_docs
from sklearn_sparsenet.estimators._fitted import set_fitted
from sklearn_sparsenet.estimators._fitting import fit_network
from sklearn_sparsenet.estimators._folds import make_folds, run_folds, warn_of_the_folds
from sklearn_sparsenet.estimators._partial import WithoutPartialFit
from sklearn_sparsenet.estimators._scoring import scorer_of, weights_for, with_labels
from sklearn_sparsenet.estimators._settings import OF_ONE_TARGET
from sklearn_sparsenet.estimators._specification import check_table, specified
from sklearn_sparsenet.estimators._validation import (
    POSITIVE_INT,
    Number,
    StrOptions,
    check_weights,
    fit_context,
    naming,
)
from sklearn_sparsenet.estimators._warnings import told_before, warn_user
from sklearn_sparsenet.estimators.classifier import SparseNetClassifier
from sklearn_sparsenet.estimators.path import Grid, plan_path, settings_for
from sklearn_sparsenet.estimators.regressor import SparseNetRegressor
from sklearn_sparsenet.estimators.selection import SELECTIONS, choose

__all__ = ["SparseNetClassifierCV", "SparseNetRegressorCV"]


def _constraints(single: type) -> dict:
    """Return the constraints of the parameters, given those of the single fit."""
    shared = single._parameter_constraints
    return {
        **{name: rule for name, rule in shared.items() if name not in OF_ONE_TARGET},
        "target_sparsities": ["array-like", POSITIVE_INT, list, tuple],
        "selection": [StrOptions(set(SELECTIONS)), callable],
        "cv": ["cv_object"],
        "scoring": [str, callable, None],
        "n_jobs": [Number(Integral, None, None, closed="neither"), None],
    }


class CrossValidated(WithoutPartialFit):
    """Adds the choice of the target to an estimator, `_single`."""

    _single: ClassVar[type]

    @fit_context(prefer_skip_nested_validation=True)
    @with_callbacks
    def fit(self, X, y, sample_weight=None, groups=None):
        """Choose a target by cross-validation and fit a network with it to all data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            For the fits and the scores; rows of weight 0 are in no fold. With metadata
            routing, a scorer with ``set_score_request(sample_weight=False)`` gets none.
        groups : array-like of shape (n_samples,), default=None
            For splitters that keep groups together, such as `GroupKFold`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As for a single target; for folds without rows or scores to choose by.
        KeyboardInterrupt
            If the user interrupts it (Ctrl-C): without all scores there is nothing to
            choose by.

        Warns
        -----
        ConvergenceWarning
            Once of all networks of the folds that missed their targets, and of the
            last fit.
        """
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        facts = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        single = self._make_single()
        grid = Grid.of_targets(self.target_sparsities)
        targets, classes, used = _plan(single, X, y, sample_weight, grid)
        if sample_weight is not None:
            sample_weight = check_weights(sample_weight, X)
        X, y, sample_weight, groups = indexable(X, y, sample_weight, groups)
        what = (X, y, used, groups, is_classifier(self))
        with naming("cv"):
            folds = make_folds(self.cv, *what)
        scorer = scorer_of(single, self.scoring)
        data = (X, y, sample_weight)
        root = self._init_callback_context(max_subtasks=2)
        root.call_on_fit_task_begin(**facts)
        what = (single, data, Grid(grid.parameter, targets), scorer, classes)
        results = run_folds(self, root, folds, *what)
        warn_of_the_folds(results, type(self).__name__)
        chosen = choose(targets, results, self.selection)
        refit = root.subcontext(task_name="refit")
        refit.call_on_fit_task_begin(**facts)
        single.set_params(target_sparsity=chosen["target_sparsity_"])
        with refit.propagate_callback_context(single), told_before():
            found = fit_network(single, X, y, sample_weight)
        refit.call_on_fit_task_end(**facts)
        set_fitted(self, found.attributes | chosen)
        root.call_on_fit_task_end(**facts, reconstruction_attributes={})
        if found.message is not None:
            warn_user(found.message, ConvergenceWarning)
        return self

    def score(self, X, y, sample_weight=None):
        """Return the score on other data: by `scoring`, if that is given.

        Otherwise the accuracy, or R², as other estimators do.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            Larger is better.
        """
        if self.scoring is None:
            return super().score(X, y, sample_weight)
        check_is_fitted(self)
        scorer = scorer_of(self, self.scoring)
        if is_classifier(self) and not self._multilabel:
            scorer = with_labels(scorer, self.classes_)
        return scorer(self, X, y, **weights_for(scorer, sample_weight))

    def _make_single(self):
        """Return the estimator of one target, with all other parameters as here."""
        own = self.get_params(deep=False)
        shared = self._single().get_params(deep=False).keys() - OF_ONE_TARGET.keys()
        return clone(self._single(**{name: own[name] for name in shared}))


def _plan(single, X, y, sample_weight, grid: Grid) -> tuple:
    """Return what all folds have in common.

    Returns
    -------
    targets : list
        Of the path, from dense to sparse.
    classes : ndarray, or None
        All that are in rows of positive weight; None unless there are classes.
    weight : ndarray of shape (n_samples,)
        With that of the classes; rows of weight 0 are in no fold.
    """
    settings = settings_for(clone(single), grid)  # whose random numbers are its own
    table = check_table(settings, X, y, sample_weight)
    with specified(settings, table) as spec:
        entries, _ = plan_path(spec, grid)
        classes = spec.coding.labels
    targets = [entry["target_sparsity"] for entry in entries]
    return targets, classes, weigh(settings, table.y, table.weight)


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
    _parameter_constraints: ClassVar[dict] = _constraints(SparseNetRegressor)

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        target_sparsities=10,
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
    _parameter_constraints: ClassVar[dict] = _constraints(SparseNetClassifier)

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        target_sparsities=10,
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
