"""Error against the number of weights, or of inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_sparsenet.estimators._scoring import default_score_name
from sklearn_sparsenet.estimators.path import SparseNetPath
from sklearn_sparsenet.estimators.selection import (
    best,
    paired_errors,
    within_one_standard_error,
)
from sklearn_sparsenet.plots import style
from sklearn_sparsenet.plots.fitted import open_up
from sklearn_sparsenet.plots.searched import SearchedTargets

__all__ = ["SparsityCurveDisplay"]

Array = np.ndarray
_COUNTS = {"weights": "n_nonzeros", "inputs": "n_inputs"}


@dataclass(kw_only=True, eq=False, repr=False)
class SparsityCurveDisplay:
    """Error, or score, against the number of weights, or of inputs.

    With several test scores for each network, of folds: their mean, each fold, and a
    band about the mean of one standard error of the difference to the best network.
    Marked are the best mean, of equals the sparsest, and the 1-SE choice, the sparsest
    network that is worse by no more than that error. What all networks have in common
    in a fold is not in the band: it says nothing of which one is better.

    Parameters
    ----------
    n_nonzeros : array-like of shape (n_networks,)
        Weights kept, or inputs in use.
    test_scores : array-like of shape (n_networks,) or (n_networks, n_folds), optional
        Larger is better.
    train_scores : array-like of the same shape, optional
        The same on the rows of the fits.
    chosen : int, optional
        Which network was chosen.
    score_name : str, default="score"
        For the label. Of names that begin with ``"neg_"`` the error is minus the
        score, else one minus the score.
    counted : str, default="weights"
        What the numbers are of, for the label.
    remark : str, optional
        What there is to say of the scores, for the legend.

    Attributes
    ----------
    mean_line_, train_line_ : Line2D or None
    fold_lines_ : list of Line2D
    band_ : collection or None
    best_, one_se_, chosen_ : Line2D or None
        The marks.
    ax_ : Axes
    figure_ : Figure

    Examples
    --------
    >>> from sklearn_sparsenet.plots import SparsityCurveDisplay
    >>> scores = [[0.93, 0.95], [0.94, 0.96], [0.93, 0.965], [0.80, 0.83]]
    >>> display = SparsityCurveDisplay(n_nonzeros=[400, 200, 100, 50],
    ...                                test_scores=scores)
    >>> display.best_index, display.one_se_index
    (1, 2)
    >>> display.plot().ax_.get_xscale()
    'log'
    """

    n_nonzeros: Any
    test_scores: Any = None
    train_scores: Any = None
    chosen: int | None = None
    score_name: str = "score"
    counted: str = "weights"
    remark: str | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        over: str | None = None,
        kind: str = "error",
        ax: Any = None,
    ) -> SparsityCurveDisplay:
        """Plot a cross-validation over targets.

        That of a `SparseNetRegressorCV` or `-ClassifierCV`, or of a search such as
        `GridSearchCV` over `target_sparsity`, `target_inputs` or `target_units`, of the
        estimator or of a step of a pipeline. If it is over other parameters as well,
        each target has the best of them, by the mean of the folds; of successive
        halving the last iteration with several targets is shown. The legend says so.

        Parameters
        ----------
        estimator : estimator
            Fitted: a search over a target, or one that chose it, in a pipeline too.
        over : {"weights", "inputs", "units"}, default=None
            What the curve is drawn over: weights kept, or inputs in use, means of the
            folds; of a search, those that were asked for. None: weights, or the target
            that was searched over.
        kind : {"error", "score"}, default="error"
            Which of the two is drawn.
        ax : Axes, default=None
            Axes to draw into. None makes a figure.

        Returns
        -------
        SparsityCurveDisplay

        Raises
        ------
        NotFittedError
        TypeError
            For an estimator of a single target.
        ValueError
            If `over` is neither, inputs were not counted, or a search has targets that
            are no numbers, or fractions of sizes that cannot be told.
        """
        searched = SearchedTargets.of(estimator, over)
        if searched is not None:
            return cls(**searched.data()).plot(ax, kind=kind)
        data = _cross_validated(estimator, over or "weights")
        return cls(**data).plot(ax, kind=kind)

    @classmethod
    def from_path(
        cls,
        path: SparseNetPath,
        *,
        over: str = "weights",
        kind: str = "error",
        ax: Any = None,
    ) -> SparsityCurveDisplay:
        """Plot a path of networks.

        Parameters
        ----------
        path : SparseNetPath
            What `sparsenet_path` returns.
        over : {"weights", "inputs"}, default="weights"
            What the curve is drawn over: weights kept, or inputs in use.
        kind : {"error", "score"}, default="error"
            Which of the two is drawn.
        ax : Axes, default=None
            Axes to draw into. None makes a figure.

        Returns
        -------
        SparsityCurveDisplay

        Raises
        ------
        ValueError
            If `over` is neither, inputs were not counted, or there are no scores.
        """
        is_classifier = hasattr(path.estimators[0], "classes_")
        display = cls(
            n_nonzeros=_counts(path, over, "{}"),
            test_scores=path.test_scores,
            train_scores=path.train_scores,
            counted=over,
            score_name="accuracy" if is_classifier else "R²",  # what `score` returns
        )
        return display.plot(ax, kind=kind)

    @property
    def best_index(self) -> int | None:
        """The network with the best mean test score; None without test scores."""
        return None if self.test_scores is None else self._select(best)

    @property
    def one_se_index(self) -> int | None:
        """The 1-SE choice; None without folds."""
        if self.test_scores is None or _by_fold(self.test_scores).shape[1] < 2:
            return None
        return self._select(within_one_standard_error)

    def _select(self, rule: Callable[[Array], int]) -> int | None:
        """Apply a rule of `SparseNetRegressorCV`; they want the densest first."""
        scores = _by_fold(self.test_scores)
        if np.isnan(scores).any(axis=1).all():  # R² of a single row, say
            return None
        order = np.argsort(-np.asarray(self.n_nonzeros), kind="stable")
        return int(order[rule(scores[order])])

    def plot(self, ax: Any = None, *, kind: str = "error") -> SparsityCurveDisplay:
        """Plot.

        Parameters
        ----------
        ax : Axes, default=None
            None: in a new figure.
        kind : {"error", "score"}, default="error"
            Which of the two is drawn.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Without any scores, or for another kind.
        ImportError
            Without matplotlib.
        """
        if kind not in ("error", "score"):
            raise ValueError(f"kind must be 'error' or 'score', got {kind!r}.")
        if self.test_scores is None and self.train_scores is None:
            raise ValueError("There are neither test scores nor train scores to plot.")
        self.ax_ = style.one_axes(ax)
        self.figure_ = self.ax_.figure
        counts = np.asarray(self.n_nonzeros)
        self._draw_test(counts, kind)
        self.train_line_ = None
        if self.train_scores is not None:
            mean = _values(self.train_scores, kind, self.score_name).mean(axis=1)
            (self.train_line_,) = self.ax_.plot(
                counts, mean, ".--", color=style.GREY, label="train", zorder=2
            )
        self.ax_.set(xscale="log", xlabel=self.counted)
        label = style.as_text(_label(kind, self.score_name))
        self.ax_.set_ylabel(label, **style.LITERAL)
        style.count_axis(self.ax_.xaxis, counts.min(), counts.max())
        self._draw_marks(counts, kind)
        style.legend_above(self.ax_)
        return self

    def _draw_test(self, counts: Array, kind: str) -> None:
        self.mean_line_ = self.band_ = None
        self.fold_lines_: list[Any] = []
        if self.test_scores is None:
            return
        values = _values(self.test_scores, kind, self.score_name)
        mean, several = values.mean(axis=1), values.shape[1] > 1
        if several:
            look = {"color": style.BLUE, "alpha": 0.4, "linewidth": 0.8}
            self.fold_lines_ = self.ax_.plot(counts, values, **look)
            self.fold_lines_[0].set_label("folds")
            self._draw_band(counts, values)
        label = "mean of folds" if several else "test"
        if self.remark is not None:
            label = f"{label}, {style.as_text(self.remark)}"
        look = {"color": style.BLUE, "label": label}
        (self.mean_line_,) = self.ax_.plot(counts, mean, ".-", **look)

    def _draw_band(self, counts: Array, values: Array) -> None:
        top = self.best_index
        if top is None:
            return
        mean, error = values.mean(axis=1), paired_errors(values, top)
        look = {"color": style.BLUE, "alpha": 0.25, "linewidth": 0}
        look["label"] = "± 1 standard error of the difference to the best"
        self.band_ = self.ax_.fill_between(counts, mean - error, mean + error, **look)

    def _draw_marks(self, counts: Array, kind: str) -> None:
        filled = style.ORANGE
        self.best_ = self._mark(counts, kind, self.best_index, "best", "o", 8, filled)
        se_index = self.one_se_index
        self.one_se_ = self._mark(counts, kind, se_index, "1-SE", "s", 8, filled)
        self.chosen_ = self._mark(counts, kind, self.chosen, "chosen", "o", 14, "none")

    def _mark(self, counts: Array, kind: str, index: int | None, *look: Any) -> Any:
        if index is None:
            return None
        scores = self.train_scores if self.test_scores is None else self.test_scores
        value = _values(scores, kind, self.score_name).mean(axis=1)[index]
        return _draw_mark(self.ax_, counts[index], value, *look)


def _cross_validated(estimator: Any, over: str) -> dict[str, Any]:
    """Return what the display of an estimator that chose its target is made of."""
    net, _ = open_up(estimator)
    if not hasattr(net, "test_scores_"):
        raise TypeError(
            "estimator must be a SparseNetRegressorCV or SparseNetClassifierCV; "
            f"{type(net).__name__} has a single target. Look at sparsenet_path, or "
            "search over target_sparsity, target_inputs or target_units."
        )
    name = default_score_name(net) if net.scoring is None else net.scoring
    return dict(
        n_nonzeros=_counts(net, over, "{}_"),
        test_scores=net.test_scores_,
        counted=over,
        chosen=net.best_index_,
        score_name=name if isinstance(name, str) else "score",
    )


def _counts(source: Any, over: str, form: str) -> Array:
    """Return the counts of a path, or of an estimator, whose names have that form."""
    if over not in _COUNTS:
        raise ValueError(f"over must be 'weights' or 'inputs', got {over!r}.")
    counts = getattr(source, form.format(_COUNTS[over]))
    if counts.min() < 0:
        raise ValueError("over='inputs': how many inputs are in use is not known.")
    return counts


def _draw_mark(
    ax: Any, count: float, value: float, what: str, sign: str, size: int, fill: str
) -> Any:
    (mark,) = ax.plot(
        count,
        value,
        sign,
        color=style.ORANGE,
        markersize=size,
        markerfacecolor=fill,
        markeredgewidth=1.5,
        linestyle="none",
        label=f"{what}: {count:,.0f}",
        zorder=4,
    )
    return mark


def _values(scores: Any, kind: str, name: str) -> Array:
    by_fold = _by_fold(scores)
    if kind == "score":
        return by_fold
    return -by_fold if name.startswith("neg_") else 1 - by_fold


def _label(kind: str, name: str) -> str:
    if kind == "score":
        return name
    if name.startswith("neg_"):
        return name.removeprefix("neg_").replace("_", " ")
    return f"1 - {name}"


def _by_fold(scores: Any) -> Array:
    values = np.asarray(scores, dtype=float)
    return values.reshape(len(values), -1)
