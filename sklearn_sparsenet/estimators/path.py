"""Networks over a grid of targets, or of λ, in one run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsenet.estimators._base import SparseNet
from sklearn_sparsenet.estimators._fitted import set_fitted
from sklearn_sparsenet.estimators._fitting import follow
from sklearn_sparsenet.estimators._settings import Settings
from sklearn_sparsenet.estimators._specification import (
    Specification,
    check_table,
    specified,
)
from sklearn_sparsenet.estimators._validation import check_parameters
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.networks.network import find_layers
from sklearn_sparsenet.search import FixedAlpha
from sklearn_sparsenet.search.path import PathPoint
from sklearn_sparsenet.search.targets import has_entries, resolve_target
from sklearn_sparsenet.utils.arguments import as_number

__all__ = [
    "SparseNetPath",
    "as_grid",
    "plan_path",
    "run_path",
    "settings_for",
    "sparsenet_path",
]

_DENSEST, _SPARSEST = 0.5, 0.005  # shares of the weights in a grid of our own
_PER_LAYER = 2  # weights in each layer, at least, in such a grid


@dataclass(frozen=True)
class SparseNetPath:
    """Networks from dense to sparse, and what they are worth.

    Attributes
    ----------
    estimators : tuple of estimator
        Fitted, one for each target.
    targets : list of int or tuple of int, or None
        Weights asked for, in all or per layer; None with a grid of λ.
    train_scores : ndarray of shape (n_targets,)
        What `score` says on the training data, larger is better.
    test_scores : ndarray of shape (n_targets,) or None
        The same on the test data, if there are any.
    """

    estimators: tuple[BaseEstimator, ...]
    targets: list[int | tuple[int, ...]] | None
    train_scores: np.ndarray
    test_scores: np.ndarray | None

    @property
    def alphas(self) -> np.ndarray:
        """The λ, shape (n_targets,) or (n_targets, n_layers)."""
        return np.array([point.alpha_ for point in self.estimators])

    @property
    def n_nonzeros(self) -> np.ndarray:
        """Weights that are left, shape (n_targets,)."""
        return np.array([point.n_nonzero_ for point in self.estimators])

    @property
    def coefs(self) -> list[list[np.ndarray]]:
        """Weights (fan_in, fan_out) of each layer, for each target; of perceptrons."""
        return [point.coefs_ for point in self.estimators]

    @property
    def kkt_residuals(self) -> np.ndarray:
        """Relative residuals of the optimality conditions, shape (n_targets,)."""
        return np.array([point.kkt_residual_ for point in self.estimators])

    @property
    def n_iters(self) -> np.ndarray:
        """Epochs that were spent on each target, shape (n_targets,)."""
        return np.array([point.n_iter_ for point in self.estimators])


def sparsenet_path(
    estimator,
    X,
    y,
    *,
    target_sparsities=20,
    alphas=None,
    sample_weight=None,
    X_test=None,
    y_test=None,
    sample_weight_test=None,
) -> SparseNetPath:
    """Fit networks for many targets in one run, each going on from a denser one.

    The first is what a single fit would give. The others share 2.3 times its budget, at
    most a quarter of it each on average; their errors are mostly within the spread of
    single fits (figures, and where they are not, in docs/design_notes.md).

    Parameters
    ----------
    estimator : SparseNetRegressor or SparseNetClassifier
        Everything but the target. Not changed, and its callbacks are not called.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    target_sparsities : int or sequence, default=20
        A number of targets, spread evenly on a logarithmic scale from half of the
        weights to a two-hundredth of them; or the targets themselves, each as
        `target_sparsity` takes it, all of them for the same layers.
    alphas : sequence of float, default=None
        A grid of λ instead.
    sample_weight : array-like of shape (n_samples,), default=None
    X_test, y_test, sample_weight_test : default=None
        Data to score the networks on as well.

    Returns
    -------
    SparseNetPath
        From dense to sparse.

    Raises
    ------
    TypeError, ValueError
        As for `fit`; for another estimator; for a grid that is empty or is none.
    KeyboardInterrupt
        If the user interrupts it (Ctrl-C). With `checkpoint=`, the same call goes on
        from where it was.

    Warns
    -----
    ConvergenceWarning
        For each target that was not met.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_sparsenet import SparseNetRegressor, sparsenet_path
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = SparseNetRegressor((20,), random_state=0, tol=0)
    >>> path = sparsenet_path(net, X / X.std(axis=0), y, target_sparsities=[20, 80, 40])
    >>> path.n_nonzeros.tolist()
    [80, 40, 20]
    """
    # Those that choose their target are SparseNets without one.
    if not isinstance(estimator, SparseNet) or not hasattr(estimator, "alpha"):
        raise TypeError(
            "estimator must be a SparseNetRegressor or SparseNetClassifier, got "
            f"{type(estimator).__name__}."
        )
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test go together; got only one of them.")
    if X_test is None and sample_weight_test is not None:
        raise ValueError("sample_weight_test goes with X_test and y_test.")
    grid = as_grid(target_sparsities) if alphas is None else _as_alphas(alphas)
    base = clone(estimator).set_params(alpha=None if alphas is None else grid[0])
    points, messages = run_path(base, X, y, sample_weight, grid)
    for message in messages:
        warn_user(message, ConvergenceWarning)
    targets = None
    if alphas is None:
        targets = [_plain(point.target_n_nonzero_) for point in points]
    test = None
    if X_test is not None:
        test = _scores(points, X_test, y_test, sample_weight_test)
    train = _scores(points, X, y, sample_weight)
    return SparseNetPath(tuple(points), targets, train, test)


def as_grid(target_sparsities) -> int | list:
    """Return a number of targets, or the targets.

    Raises
    ------
    TypeError, ValueError
        If they are neither, or none.
    """
    number = as_number(target_sparsities)
    if isinstance(number, int):
        return number
    if not has_entries(target_sparsities) or isinstance(target_sparsities, Mapping):
        raise TypeError(
            f"target_sparsities={target_sparsities!r} must be a number of targets "
            "(int), or a sequence of targets."
        )
    grid = list(target_sparsities)
    if not grid:
        raise ValueError("target_sparsities is empty: give a target at least.")
    return grid


def _as_alphas(alphas) -> list[float]:
    entries = list(alphas) if has_entries(alphas) else [alphas]
    grid = [as_number(entry) for entry in entries]
    if not grid or not all(a is not None and 0 <= a < np.inf for a in grid):
        raise ValueError(
            f"alphas={alphas!r} must be numbers that are finite and not negative, each "
            "for all layers, and not an empty grid."
        )
    return sorted(map(float, grid))


def run_path(
    base, X, y, sample_weight, grid, numbers=None, known=None
) -> tuple[list, list[str]]:
    """Return fitted estimators, for the entries of the grid.

    Parameters
    ----------
    base : SparseNet
        Has all parameters but the target.
    X, y, sample_weight
        As for `fit`.
    grid : list, or int
    numbers : ndarray of int, optional
        Of the rows to train with; None: all.
    known : ndarray of shape (n_classes,), optional
        Classes there are, whether or not these rows have them.

    Returns
    -------
    fitted : list of SparseNet
    messages : list of str
        What there is to warn of their outcomes.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts it.
    """
    settings = settings_for(base, grid)
    table = check_table(settings, X, y, sample_weight)
    fitted, messages = [], []
    with ExitStack() as stack:
        fit = specified(settings, table, numbers=numbers, known=known)
        spec = stack.enter_context(fit)
        entries, points = plan_path(spec, grid)
        # Solves are known by their number: other targets are another run.
        trainer = stack.enter_context(spec.training(repr(entries)))
        found = follow(spec, trainer, points)
        for entry, point in zip(entries, found, strict=True):
            if point.was_interrupted:
                raise KeyboardInterrupt(
                    "A path was interrupted; nothing of it is kept."
                )
            # They share a module= that is not theirs to change.
            estimator = clone(base).set_params(**entry, module=base.module)
            set_fitted(estimator, point.attributes)
            fitted.append(estimator)
            messages.append(point.message)
    return fitted, [text for text in messages if text is not None]


def settings_for(base, grid: list | int) -> Settings:
    """Return the settings of a path, checked; the target is that of no point yet.

    Raises
    ------
    TypeError, ValueError
        If a parameter cannot be.
    """
    if base.alpha is None:
        some = _DENSEST if isinstance(grid, int) else grid[0]
        settings = Settings.of(base, target_sparsity=some)
    else:
        settings = Settings.of(base)
    check_parameters(settings.kind, settings.values)
    return settings


def plan_path(
    spec: Specification, grid: int | list
) -> tuple[list[dict], list[PathPoint]]:
    """Return the parameters, and the points, of a path from dense to sparse.

    Parameters
    ----------
    spec : Specification
        With a fixed λ, the grid is one of λ.
    grid : list, or int
        An int: so many targets.
    """
    network, settings = spec.problem.network, spec.settings
    if spec.target is None:
        n_layers = len(network.layers)
        fixed = [FixedAlpha((alpha,) * n_layers) for alpha in grid]
        return [{"alpha": x} for x in grid], [PathPoint(None, x) for x in fixed]
    sizes = {name: p.numel() for name, p in find_layers(network.module).items()}
    if isinstance(grid, int):
        grid = _spread(grid, sizes)
    rules = {"tol": settings.tol, "min_layers": settings.min_layers_on_target}
    units = spec.target.units
    rules["with_units"] = units is not None
    targets = [resolve_target(entry, sizes, **rules) for entry in grid]
    if units is not None:
        targets = [target.with_units(units) for target in targets]
    penalized = tuple(layer.name for layer in network.layers)
    if any(target.layer_names != penalized for target in targets):
        raise ValueError("target_sparsities are for different layers; a path has one.")
    order = sorted(range(len(grid)), key=lambda i: -sum(targets[i].n_nonzero))
    entries = [{"target_sparsity": grid[i]} for i in order]
    return entries, [PathPoint(targets[i], spec.search) for i in order]


def _spread(n_targets: int, sizes: dict[str, int]) -> list[int]:
    """Return counts from half of the weights down, evenly in their logarithms."""
    if n_targets < 1:
        raise ValueError(f"target_sparsities={n_targets}: at least one is needed.")
    size = sum(sizes.values())
    most = max(len(sizes), round(_DENSEST * size))  # one in each layer, for a path
    least = min(most, max(round(_SPARSEST * size), _PER_LAYER * len(sizes)))
    # With so many, steps are below 1: all counts there are.
    n_targets = min(n_targets, 2 + math.ceil(most * math.log(most / least)))
    return np.unique(np.geomspace(most, least, n_targets).round().astype(int)).tolist()


def _plain(target: int | np.ndarray) -> int | tuple[int, ...]:
    return target if np.ndim(target) == 0 else tuple(target.tolist())


def _scores(points: Sequence, X, y, sample_weight) -> np.ndarray:
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    return np.array([point.score(X, y, **weights) for point in points])
