"""Networks over a grid of targets, or of λ, in one run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from sklearn_sparsenet.estimators._unit_targets import (
    has_unit_targets,
    with_unit_targets,
)
from sklearn_sparsenet.estimators._validation import check_parameters, target_of
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.networks.network import find_layers
from sklearn_sparsenet.search import FixedAlpha
from sklearn_sparsenet.search.path import PathPoint
from sklearn_sparsenet.search.targets import Target, has_entries, resolve_target
from sklearn_sparsenet.utils.arguments import as_number

__all__ = [
    "Grid",
    "SparseNetPath",
    "count_inputs",
    "plan_path",
    "run_path",
    "settings_for",
    "sparsenet_path",
]

_DENSEST, _SPARSEST = 0.5, 0.005  # shares of the weights in a grid of our own
_GRIDS = {
    "target_sparsity": (
        "target_sparsities",
        "a number of targets (int), or a sequence",
    ),
    "target_inputs": ("target_inputs", "a sequence"),
}
_PER_LAYER = 2  # weights in each layer, at least, in such a grid


@dataclass(frozen=True)
class Grid:
    """What differs between the points of a path.

    Attributes
    ----------
    parameter : {"target_sparsity", "target_inputs", "alpha"}
    values : list, or int
        An int stands for so many targets on weights.
    """

    parameter: str
    values: list | int

    @classmethod
    def of_targets(cls, values, parameter: str = "target_sparsity") -> Grid:
        """Return a number of targets, or the targets; refuse what is neither."""
        number, (name, kinds) = as_number(values), _GRIDS[parameter]
        if isinstance(number, int) and parameter == "target_sparsity":
            return cls(parameter, number)
        if not has_entries(values) or isinstance(values, Mapping):
            raise TypeError(f"{name}={values!r} must be {kinds} of targets.")
        if not list(values):
            raise ValueError(f"{name} is empty: give a target at least.")
        return cls(parameter, list(values))

    @classmethod
    def of_alphas(cls, alphas) -> Grid:
        """Return λ, from small to large."""
        entries = list(alphas) if has_entries(alphas) else [alphas]
        grid = [as_number(entry) for entry in entries]
        if not grid or not all(a is not None and 0 <= a < np.inf for a in grid):
            raise ValueError(
                f"alphas={alphas!r} must be numbers that are finite and not negative, "
                "each for all layers, and not an empty grid."
            )
        return cls("alpha", sorted(map(float, grid)))

    @property
    def first(self) -> dict[str, Any]:
        """The parameter as a specification may have it, whatever the data."""
        value = _DENSEST if isinstance(self.values, int) else self.values[0]
        return {self.parameter: value}


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
    def n_inputs(self) -> np.ndarray:
        """Inputs in use, shape (n_targets,); -1 where that is not known."""
        return count_inputs(self.estimators)

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
    y=None,
    *,
    target_sparsities=20,
    alphas=None,
    target_inputs=None,
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
    X : {array-like, sparse matrix, Dataset} of shape (n_samples, n_features)
        The rows to train with.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Their target; not given if X is a `Dataset` that has it.
    target_sparsities : int or sequence, default=20
        A number of targets, spread evenly on a logarithmic scale from half of the
        weights to a two-hundredth of them; or the targets themselves, each as
        `target_sparsity` takes it, all of them for the same layers.
    alphas : sequence of float, default=None
        A grid of λ instead.
    target_inputs : sequence of int or float, default=None
        Numbers of inputs instead, each as `target_inputs` of the estimators takes it;
        `target_sparsity` of the estimator holds at each of them.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, 1 each if not given.
    X_test : {array-like, sparse matrix, Dataset}, default=None
        Further rows, of shape (n_test_samples, n_features), to score the networks on.
    y_test : array-like, default=None
        Their target.
    sample_weight_test : array-like of shape (n_test_samples,), default=None
        Their weights in the score.

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
    if alphas is not None and target_inputs is not None:
        raise ValueError("A path is one of alphas or of target_inputs; got both.")
    if alphas is not None:
        grid = Grid.of_alphas(alphas)
    elif target_inputs is not None:
        grid = Grid.of_targets(target_inputs, "target_inputs")
    else:
        grid = Grid.of_targets(target_sparsities)
    y = target_of(X, y)
    base = clone(estimator).set_params(alpha=grid.first.get("alpha"))
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


def count_inputs(points: Sequence) -> np.ndarray:
    """Return how many inputs estimators use; -1 where that is not known."""
    supports = [point.support_ for point in points]
    return np.array([-1 if each is None else int(each.sum()) for each in supports])


def run_path(
    base, X, y, sample_weight, grid, numbers=None, known=None, name=""
) -> tuple[list, list[str]]:
    """Return fitted estimators, for the entries of the grid, and what to warn of.

    An interruption by the user ends it, with nothing kept.

    Parameters
    ----------
    base : SparseNet
        Has all parameters but the target.
    X, y, sample_weight
        As for `fit`.
    grid : Grid
    numbers : ndarray of int, optional
        Of the rows to train with; None: all.
    known : ndarray of shape (n_classes,), optional
        Classes there are, whether or not these rows have them.
    name : str
        Of the run among several, in what `verbose` prints.
    """
    settings = settings_for(base, grid)
    table = check_table(settings, X, y, sample_weight)
    fitted, messages = [], []
    with specified(settings, table, numbers=numbers, known=known) as spec:
        entries, points = plan_path(spec, grid)
        # Solves are known by their number: other targets are another run.
        with spec.training(repr(entries)) as trainer:
            found = follow(spec, trainer, points, name)
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


def settings_for(base, grid: Grid) -> Settings:
    """Return the settings of a path, checked; the target is that of no point yet."""
    settings = Settings.of(base, **grid.first)
    check_parameters(settings.kind, settings.values)
    return settings


def plan_path(spec: Specification, grid: Grid) -> tuple[list[dict], list[PathPoint]]:
    """Return the parameters, and the points, of a path from dense to sparse."""
    network, settings = spec.problem.network, spec.settings
    sizes = {name: p.numel() for name, p in find_layers(network.module).items()}
    values = grid.values
    if isinstance(values, int):
        room = (1, sum(sizes.values()))
        if spec.target is not None and spec.target.units is not None:
            (room,) = spec.target.units.bounds([slice(0, network.n_weights)])
        values = _spread(values, sizes, room)
    entries = [{grid.parameter: value} for value in values]
    if grid.parameter == "alpha":
        fixed = [FixedAlpha((alpha,) * len(network.layers)) for alpha in values]
        return entries, [PathPoint(None, x) for x in fixed]
    targets = [_target_at(spec, settings.changed(entry), sizes) for entry in entries]
    penalized = tuple(layer.name for layer in network.layers)
    if any(target.layer_names != penalized for target in targets):
        raise ValueError("target_sparsities are for different layers; a path has one.")
    is_mixed = len({target.per_layer for target in targets}) > 1
    if is_mixed and len(sizes) > 1:
        raise ValueError(
            "target_sparsities mix numbers for the whole network with numbers for each "
            "layer; a path has one or the other."
        )
    sizes_of = [(sum(each.n_nonzero), each.n_groups_of_units) for each in targets]
    order = sorted(range(len(values)), key=sizes_of.__getitem__, reverse=True)
    points = [PathPoint(targets[i], spec.search) for i in order]
    return [entries[i] for i in order], points


def _target_at(spec: Specification, settings: Settings, sizes: dict) -> Target:
    target = resolve_target(
        settings.target_sparsity,
        sizes,
        tol=settings.tol,
        min_layers=settings.min_layers_on_target,
        with_units=has_unit_targets(settings),
    )
    return with_unit_targets(settings, target, spec.problem, spec.features)


def _spread(n_targets: int, sizes: dict[str, int], room: tuple[int, int]) -> list[int]:
    """Return counts from half of the weights down, evenly in their logarithms.

    `room` has the fewest and the most weights that there can be.
    """
    if n_targets < 1:
        raise ValueError(f"target_sparsities={n_targets}: at least one is needed.")
    size, (fewest, most) = sum(sizes.values()), room
    # One weight in each layer, for a path.
    most = min(max(len(sizes), fewest, round(_DENSEST * size)), most)
    least = max(round(_SPARSEST * size), _PER_LAYER * len(sizes), fewest)
    least = min(most, least)
    # With so many, steps are below 1: all counts there are.
    n_targets = min(n_targets, 2 + math.ceil(most * math.log(most / least)))
    return np.unique(np.geomspace(most, least, n_targets).round().astype(int)).tolist()


def _plain(target: int | np.ndarray) -> int | tuple[int, ...]:
    return target if np.ndim(target) == 0 else tuple(target.tolist())


def _scores(points: Sequence, X, y, sample_weight) -> np.ndarray:
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    return np.array([point.score(X, y, **weights) for point in points])
