"""Error against the number of weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_sparsenet.plots.fitted import open_up
from sklearn_sparsenet.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    count_axis,
    legend_above,
    one_axes,
)

__all__ = ["SparsityCurveDisplay"]

Array = np.ndarray


class SparsityCurveDisplay:
    """Error, or score, against the number of weights.

    With several test scores for each network, of folds: their mean, a band of one
    standard error about it, and each fold. Marked are the best mean and the 1-SE
    choice, the sparsest network whose mean is within one standard error of it.

    Parameters
    ----------
    n_nonzeros : array-like of shape (n_networks,)
        Weights kept.
    test_scores : array-like of shape (n_networks,) or (n_networks, n_folds), optional
        Larger is better.
    train_scores : array-like of the same shape, optional
    chosen : int, optional
        Which network was chosen.
    score_name : str, default="score"
        For the label. Of names that begin with ``"neg_"`` the error is minus the
        score, else one minus the score.

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
    >>> scores = [[0.93, 0.95], [0.94, 0.96], [0.93, 0.96], [0.80, 0.83]]
    >>> display = SparsityCurveDisplay(n_nonzeros=[400, 200, 100, 50],
    ...                                test_scores=scores)
    >>> display.best_index, display.one_se_index
    (1, 2)
    >>> display.plot().ax_.get_xscale()
    'log'
    """

    def __init__(
        self,
        *,
        n_nonzeros: Any,
        test_scores: Any = None,
        train_scores: Any = None,
        chosen: int | None = None,
        score_name: str = "score",
    ) -> None:
        self.n_nonzeros = n_nonzeros
        self.test_scores = test_scores
        self.train_scores = train_scores
        self.chosen = chosen
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, kind: str = "error", ax: Any = None
    ) -> SparsityCurveDisplay:
        """Plot the cross-validation of a `SparseNetRegressorCV` or `-ClassifierCV`.

        Parameters
        ----------
        estimator : estimator
            Fitted, alone, at the end of a Pipeline, or the best one of a
            `GridSearchCV`.
        kind, ax
            See `plot`.

        Returns
        -------
        SparsityCurveDisplay

        Raises
        ------
        NotFittedError
        TypeError
            For an estimator of a single target.
        """
        net = estimator
        if not hasattr(net, "test_scores_"):
            net, _ = open_up(estimator)
        if not hasattr(net, "test_scores_"):
            raise TypeError(
                "estimator must be a SparseNetRegressorCV or SparseNetClassifierCV, "
                f"which have scores for many targets; got {type(net).__name__}."
            )
        name = getattr(net, "scoring", None)
        if name is None:
            name = "accuracy" if hasattr(net, "classes_") else "R²"
        display = cls(
            n_nonzeros=net.n_nonzeros_,
            test_scores=net.test_scores_,
            chosen=int(net.best_index_),
            score_name=name if isinstance(name, str) else "score",
        )
        return display.plot(ax, kind=kind)

    @classmethod
    def from_path(
        cls,
        path: Any,
        *,
        score_name: str = "score",
        kind: str = "error",
        ax: Any = None,
    ) -> SparsityCurveDisplay:
        """Plot a path of networks.

        Parameters
        ----------
        path : object
            With `n_nonzeros`, `train_scores` and `test_scores`; scores may be None.
        score_name : str
        kind, ax
            See `plot`.

        Returns
        -------
        SparsityCurveDisplay
        """
        display = cls(
            n_nonzeros=path.n_nonzeros,
            test_scores=path.test_scores,
            train_scores=path.train_scores,
            score_name=score_name,
        )
        return display.plot(ax, kind=kind)

    @property
    def best_index(self) -> int | None:
        """The network with the best mean test score, of equals the sparsest.

        None without test scores.
        """
        if self.test_scores is None:
            return None
        mean = _means(self.test_scores)
        return self._sparsest(mean == mean.max())

    @property
    def one_se_index(self) -> int | None:
        """The 1-SE choice; None without folds."""
        best = self.best_index
        if best is None or _by_fold(self.test_scores).shape[1] < 2:
            return None
        scores = _by_fold(self.test_scores)
        mean = _means(scores)
        return self._sparsest(mean >= mean[best] - _standard_error(scores)[best])

    def _sparsest(self, good: Array) -> int:
        """Return the last of the smallest networks in a mask: so does `selection`."""
        counts = np.where(good, np.asarray(self.n_nonzeros), np.inf)
        return int(np.flatnonzero(counts == counts.min())[-1])

    def plot(self, ax: Any = None, *, kind: str = "error") -> SparsityCurveDisplay:
        """Plot.

        Parameters
        ----------
        ax : Axes, default=None
            None: in a new figure.
        kind : {"error", "score"}, default="error"

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
        self.ax_ = one_axes(ax)
        self.figure_ = self.ax_.figure
        counts = np.asarray(self.n_nonzeros)
        self._draw_test(counts, kind)
        self.train_line_ = None
        if self.train_scores is not None:
            mean = self._values(self.train_scores, kind).mean(axis=1)
            (self.train_line_,) = self.ax_.plot(
                counts, mean, ".--", color=GREY, label="train", zorder=2
            )
        self.ax_.set(xscale="log", xlabel="weights", ylabel=self._label(kind))
        count_axis(self.ax_.xaxis, counts.min(), counts.max())
        self._draw_marks(counts, kind)
        legend_above(self.ax_)
        return self

    def _draw_test(self, counts: Array, kind: str) -> None:
        self.mean_line_ = self.band_ = None
        self.fold_lines_: list[Any] = []
        if self.test_scores is None:
            return
        values = self._values(self.test_scores, kind)
        mean, several = values.mean(axis=1), values.shape[1] > 1
        if several:
            self.fold_lines_ = self.ax_.plot(counts, values, color=BLUE, alpha=0.4)
            for line in self.fold_lines_:
                line.set(linewidth=0.8)
            self.fold_lines_[0].set_label("folds")
            error = _standard_error(values)
            self.band_ = self.ax_.fill_between(
                counts,
                mean - error,
                mean + error,
                color=BLUE,
                alpha=0.25,
                linewidth=0,
                label="± 1 standard error",
            )
        (self.mean_line_,) = self.ax_.plot(
            counts, mean, ".-", color=BLUE, label="mean of folds" if several else "test"
        )

    def _draw_marks(self, counts: Array, kind: str) -> None:
        self.best_ = self._mark(counts, kind, self.best_index, "best", "o", 8)
        self.one_se_ = self._mark(counts, kind, self.one_se_index, "1-SE", "s", 8)
        self.chosen_ = self._mark(counts, kind, self.chosen, "chosen", "o", 14)
        for mark in (self.best_, self.one_se_):
            if mark is not None:
                mark.set(markerfacecolor=ORANGE)

    def _mark(
        self,
        counts: Array,
        kind: str,
        index: int | None,
        what: str,
        sign: str,
        size: int,
    ) -> Any:
        if index is None:
            return None
        scores = self.train_scores if self.test_scores is None else self.test_scores
        value = self._values(scores, kind).mean(axis=1)[index]
        (mark,) = self.ax_.plot(
            counts[index],
            value,
            sign,
            color=ORANGE,
            markersize=size,
            markerfacecolor="none",
            markeredgewidth=1.5,
            linestyle="none",
            label=f"{what}: {counts[index]:,}",
            zorder=4,
        )
        return mark

    def _values(self, scores: Any, kind: str) -> Array:
        by_fold = _by_fold(scores)
        if kind == "score":
            return by_fold
        return -by_fold if self._is_negated else 1 - by_fold

    @property
    def _is_negated(self) -> bool:
        return self.score_name.startswith("neg_")

    def _label(self, kind: str) -> str:
        if kind == "score":
            return self.score_name
        if self._is_negated:
            return self.score_name.removeprefix("neg_").replace("_", " ")
        return f"1 - {self.score_name}"


def _by_fold(scores: Any) -> Array:
    values = np.asarray(scores, dtype=float)
    return values.reshape(len(values), -1)


def _means(scores: Any) -> Array:
    """Return the mean of each network; NaN is worse than anything."""
    means = _by_fold(scores).mean(axis=1)
    return np.where(np.isnan(means), -np.inf, means)


def _standard_error(values: Array) -> Array:
    error: Array = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    return error
