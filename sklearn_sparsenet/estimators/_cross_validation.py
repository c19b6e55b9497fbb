"""How a target is chosen by cross-validation, whatever the estimator."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.base import clone, is_classifier
from sklearn.callback import with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from sklearn_sparsenet.estimators._coding import weigh
from sklearn_sparsenet.estimators._fitted import set_fitted
from sklearn_sparsenet.estimators._fitting import fit_network
from sklearn_sparsenet.estimators._folds import make_folds, run_folds, warn_of_the_folds
from sklearn_sparsenet.estimators._partial import WithoutPartialFit
from sklearn_sparsenet.estimators._scoring import scorer_of, weights_for, with_labels
from sklearn_sparsenet.estimators._settings import OF_ONE_TARGET
from sklearn_sparsenet.estimators._specification import check_table, specified
from sklearn_sparsenet.estimators._validation import (
    POSITIVE_INT,
    StrOptions,
    fit_context,
    indexable,
    naming,
    target_of,
)
from sklearn_sparsenet.estimators._warnings import told_before, warn_user
from sklearn_sparsenet.estimators._weights import as_ratios, check_weights
from sklearn_sparsenet.estimators.path import Grid, plan_path, settings_for
from sklearn_sparsenet.estimators.selection import SELECTIONS, choose
from sklearn_sparsenet.search.targets import has_entries
from sklearn_sparsenet.utils.processes import current_processes

__all__ = ["CrossValidated", "constraints_of_cv"]

_N_TARGETS = 10  # on weights, unless it is told which


def constraints_of_cv(single: type) -> dict:
    """Return the constraints of the parameters, given those of the single fit."""
    shared = single._parameter_constraints
    return {
        **{name: rule for name, rule in shared.items() if name not in OF_ONE_TARGET},
        "target_sparsities": ["array-like", POSITIVE_INT, list, tuple, None],
        "selection": [StrOptions(set(SELECTIONS)), callable],
        "cv": ["cv_object"],
        "scoring": [str, callable, None],
    }


class CrossValidated(WithoutPartialFit):
    """Adds the choice of the target to an estimator, `_single`."""

    _single: ClassVar[type]

    @fit_context(prefer_skip_nested_validation=True)
    @with_callbacks
    def fit(self, X, y=None, sample_weight=None, groups=None):
        """Choose a target by cross-validation and fit a network with it to all data.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dataset} of shape (n_samples, n_features)
            The rows, all of them: folds are made here.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Their target; not given if X is a `Dataset` that has it.
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
        current_processes().refuse(
            f"{type(self).__name__} cannot be fitted within data_parallel: its folds "
            "are what runs in parallel, by n_jobs and a backend of joblib."
        )
        y = target_of(X, y)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        facts = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        single, grid = self._make_single(), self._grid()
        entries, classes, used = _plan(single, X, y, sample_weight, grid)
        if sample_weight is not None:
            sample_weight = as_ratios(check_weights(sample_weight, X))
        X, y, sample_weight, groups = indexable(X, y, sample_weight, groups)
        what = (X, y, used, groups, is_classifier(self))
        with naming("cv"):
            folds = make_folds(self.cv, *what)
        scorer = scorer_of(single, self.scoring)
        data = (X, y, sample_weight)
        root = self._init_callback_context(max_subtasks=2)
        root.call_on_fit_task_begin(**facts)
        ordered = Grid(grid.parameter, [entry[grid.parameter] for entry in entries])
        what = (single, data, ordered, scorer, classes)
        results = run_folds(self, root, folds, *what)
        warn_of_the_folds(results, type(self).__name__)
        chosen = choose(ordered, results, self.selection)
        refit = root.subcontext(task_name="refit")
        refit.call_on_fit_task_begin(**facts)
        chosen |= _targets_of(single, entries, chosen["best_index_"])
        single.set_params(**entries[chosen["best_index_"]], n_jobs=self.n_jobs)
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
        X : {array-like, sparse matrix, Dataset} of shape (n_samples, n_features)
            The rows to predict.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their target.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights in the score.

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
        """Return the estimator of one target, with all but `n_jobs` as here."""
        own, alone = self.get_params(deep=False), {*OF_ONE_TARGET, "n_jobs"}
        shared = self._single().get_params(deep=False).keys() - alone
        single = clone(self._single(**{name: own[name] for name in shared}))
        if has_entries(self.target_inputs):
            single.set_params(target_sparsity=_besides_inputs(self.target_sparsities))
        return single

    def _grid(self) -> Grid:
        """Return what is to be chosen among: numbers of inputs, or of weights."""
        if has_entries(self.target_inputs):
            return Grid.of_targets(self.target_inputs, "target_inputs")
        asked = self.target_sparsities
        return Grid.of_targets(_N_TARGETS if asked is None else asked)


def _besides_inputs(target_sparsities) -> Any:
    """Return the one target on weights that holds with each number of inputs."""
    if target_sparsities is None:
        return None
    grid = Grid.of_targets(target_sparsities)
    if isinstance(grid.values, list) and len(grid.values) == 1:
        return grid.values[0]
    raise ValueError(
        "Give several target_inputs or several target_sparsities to choose from, not "
        f"both; got target_sparsities={target_sparsities!r}. With several "
        "target_inputs, target_sparsities is None, which keeps all weights between "
        "them, or has one target that holds with each of them, such as [0.9]. With "
        "several target_sparsities, target_inputs is one number."
    )


def _targets_of(single, entries: list[dict], index: int) -> dict[str, Any]:
    """Return the targets that there were, and the ones at `index`, as attributes."""
    both = {
        "target_sparsity": "target_sparsities_",
        "target_inputs": "target_inputs_grid_",
    }
    found = {}
    for name, plural in both.items():
        found[plural] = [entry.get(name, getattr(single, name)) for entry in entries]
        found[f"{name}_"] = found[plural][index]
    return found


def _plan(single, X, y, sample_weight, grid: Grid) -> tuple:
    """Return what all folds have in common.

    Returns
    -------
    entries : list of dict
        The target of each point, by the name of its parameter, from dense to sparse.
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
    return entries, classes, weigh(settings, table.y, table.weight)
