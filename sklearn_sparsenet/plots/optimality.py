"""Gradients, λ, and the interval of λ that belongs to the number of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_sparsenet.estimators.penalized import penalized_problem
from sklearn_sparsenet.networks.network import find_nonsmooth
from sklearn_sparsenet.optimality import alpha_interval, certify
from sklearn_sparsenet.plots import style
from sklearn_sparsenet.plots.fitted import open_up
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["OptimalityDisplay"]

Array = np.ndarray
_DEPTH = 1e-3  # of λ: how far down the axis goes
_COLUMNS = 3
_OF_GROUPS = "dual norm of ∂L/∂w, by group"


@dataclass(kw_only=True, eq=False, repr=False)
class OptimalityDisplay:
    r"""Sorted :math:`a_i = |\partial L/\partial w_i|` of the penalised solution.

    At a minimiser the :math:`a_i` of nonzero weights are λ, those of zeros at most λ
    (26), (27), so that λ lies between the l-th and the (l + 1)-th largest, l being the
    number of nonzero weights: Theorem 5, (35). Drawn are the l nonzero weights and
    then the zeros, each from the largest :math:`a_i` on, and a line through all in
    their order. At a minimiser the points lie on the line, the nonzero ones at λ. Ranks
    count from the largest: the paper's :math:`a_{(N - r + 1)}` has rank r.

    With a penalty of groups of weights, `GroupL2` say, each point is such a group, and
    :math:`a_g` the dual norm of its gradient, of which the same is true.

    Parameters
    ----------
    magnitudes : list of ndarray of shape (n_points,)
        The :math:`a_i` of the weights, or groups of a penalty, that share a λ.
    supports : list of ndarray of bool, shape (n_points,)
        Whether those weights, or groups, are nonzero.
    alphas : sequence of float
        λ of each group.
    intervals : sequence of (float, float)
        Of (35), for each group.
    names : sequence of str, optional
        Of the layers, where each has its λ.
    quantity : str, default="|∂L/∂w|"
        What the magnitudes are, for the label.
    summary : str, optional
        What it shows, in words; above the axes, or above a new figure if there are
        several.

    Attributes
    ----------
    support_points_, zero_points_ : list of Line2D
    sorted_lines_ : list of Line2D
        All :math:`a_i`.
    alpha_lines_ : list of Line2D
    bands_ : list of Patch
        The intervals.
    axes_ : ndarray of Axes, shape (n_groups,)
    ax_ : Axes
        The first of them.
    figure_ : Figure

    Notes
    -----
    The theorem is about ℓ1 and norms of groups; with other penalties the interval says
    nothing.

    References
    ----------
    Shen, Wang, Xu, Yan, "Sparse Deep Learning Models with the l1 Regularization",
    arXiv 2408.02801, Theorems 4, 5 and 9.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_sparsenet import SparseNetRegressor
    >>> from sklearn_sparsenet.plots import OptimalityDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X /= X.std(axis=0)
    >>> net = SparseNetRegressor((), target_sparsity=4, solver="lbfgs").fit(X, y)
    >>> display = OptimalityDisplay.from_estimator(net, X, y)
    >>> int(display.supports[0].sum())
    4
    """

    magnitudes: list[Array]
    supports: list[Array]
    alphas: Sequence[float]
    intervals: Sequence[tuple[float, float]]
    names: Sequence[str] | None = None
    quantity: str = "|∂L/∂w|"
    summary: str | None = None

    @classmethod
    @single_threaded()
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        ax: Any = None,
    ) -> OptimalityDisplay:
        """Plot the optimality of the penalised solution of a fitted estimator.

        In the units of its `alpha_`: the training loss, of the standardised target
        where the estimator standardises it.

        Parameters
        ----------
        estimator : estimator
            A fitted `SparseNetRegressor` or `SparseNetClassifier`, alone, at the end
            of a Pipeline, or the best one of a `GridSearchCV`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows it was fitted to.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their target.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights in the fit.
        ax : Axes, or one for each group, default=None
            Where to draw. One for several groups is divided. None makes a figure.

        Returns
        -------
        OptimalityDisplay

        Raises
        ------
        NotFittedError
        ValueError
            If the data have other features or classes than those of the fit.

        Warns
        -----
        UserWarning
            If the loss is not that of the fit, so that λ does not belong to the data.
        """
        net, before = open_up(estimator)
        X = X if before is None else before.transform(X)
        network = (problem := penalized_problem(net, X, y, sample_weight)).network
        _, gradient = problem.evaluate()
        per_layer = np.ndim(net.alpha_) > 0
        sizes = _dual_norms(problem, gradient)
        # A norm is zero where all weights of its group are, and so is its dual.
        support = [
            norms != 0 for norms in _dual_norms(problem, network.weights.detach())
        ]
        if not per_layer:
            sizes, support = [torch.cat(sizes)], [torch.cat(support)]
        display = cls(
            magnitudes=[a.numpy() for a in sizes],
            supports=[some.numpy() for some in support],
            alphas=np.atleast_1d(net.alpha_).tolist(),
            intervals=[
                alpha_interval(a, int(some.sum()))
                for a, some in zip(sizes, support, strict=True)
            ],
            names=[layer.name for layer in network.layers] if per_layer else None,
            quantity="|∂L/∂w|" if problem.penalty.separable else _OF_GROUPS,
            summary=_in_words(problem, gradient, np.atleast_1d(net.alpha_).tolist()),
        )
        return display.plot(ax)

    def plot(self, ax: Any = None) -> OptimalityDisplay:
        """Plot.

        Parameters
        ----------
        ax : Axes, or one for each group, default=None
            One for several groups is divided. None: in a new figure.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        n_groups = len(self.alphas)
        columns = min(n_groups, _COLUMNS)
        shape = (-(-n_groups // columns), columns)
        size = (max(6.4, 3.8 * columns), 1.0 + 3.6 * shape[0])
        if ax is not None:
            shape = (n_groups, 1) if np.size(ax) == n_groups else (1, n_groups)
        every = style.grid_of_axes(ax, shape, size).ravel()
        self.axes_ = every[:n_groups]
        for unused in every[n_groups:]:
            unused.set_axis_off()
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure
        self.sorted_lines_: list[Any] = []
        self.support_points_: list[Any] = []
        self.zero_points_: list[Any] = []
        self.alpha_lines_: list[Any] = []
        self.bands_: list[Any] = []
        for number, axis in enumerate(self.axes_):
            self._draw(axis, number)
        if self.summary is not None and n_groups == 1:
            self.ax_.set_title(self.summary, fontsize="small", loc="left")
        elif self.summary is not None and ax is None:
            self.figure_.suptitle(self.summary, fontsize="small")
        return self

    def _draw(self, axis: Any, number: int) -> None:
        a, support = self.magnitudes[number], self.supports[number]
        alpha, count = self.alphas[number], int(support.sum())
        several = self.names is not None
        ranks = np.arange(1, len(a) + 1)
        (line,) = axis.plot(
            ranks, np.sort(a)[::-1], color=style.GREY, linewidth=1, label="all, sorted"
        )
        points = {"linestyle": "none", "marker": "o", "rasterized": len(a) > 5000}
        for some, where, kept, tint, size, what in (
            (support, ranks[:count], self.support_points_, style.ORANGE, 4, "nonzero"),
            (~support, ranks[count:], self.zero_points_, style.BLUE, 2.5, "zeros"),
        ):
            kept += axis.plot(
                where,
                np.sort(a[some])[::-1],
                color=tint,
                markersize=size,
                label=what if several else f"{what}: {len(where):,}",
                **points,
            )
        label = "λ" if several else f"λ = {alpha:.3g}"
        level = axis.axhline(
            alpha, color=style.GREY, linestyle="--", linewidth=1, label=label
        )
        limits = self._limits(a, alpha)
        band = axis.axhspan(
            *np.clip(self.intervals[number], *limits),
            color=style.GREEN,
            alpha=0.6,
            linewidth=1,
            zorder=0,
            label="λ by Theorem 5",
        )
        self.sorted_lines_.append(line)
        self.alpha_lines_.append(level)
        self.bands_.append(band)
        self._finish(axis, number, limits)

    def _finish(self, axis: Any, number: int, limits: tuple[float, float]) -> None:
        axis.set(xscale="log", yscale="log", ylim=limits, xlabel="rank")
        style.count_axis(axis.xaxis, 1, len(self.magnitudes[number]))
        if number == 0:
            axis.set_ylabel(self.quantity)
        if self.names is not None:
            support, name = self.supports[number], style.as_text(self.names[number])
            title = f"{name}\n{int(support.sum()):,} of {len(support):,}"
            title = f"{title}\nλ = {self.alphas[number]:.3g}"
            axis.set_title(title, fontsize="small", **style.LITERAL)
        if number == 0:  # what is sorted falls to the right
            axis.legend(loc="lower left", fontsize="small")

    def _limits(self, a: Array, alpha: float) -> tuple[float, float]:
        """Return the ends of the vertical axis; without λ there is no scale but a."""
        largest = max(alpha, float(a.max(initial=0.0))) or 1.0
        unit = alpha if alpha > 0 else largest
        smallest = float(a[a > 0].min(initial=unit))
        return max(0.5 * smallest, _DEPTH * unit), 3 * largest


def _in_words(problem: Problem, gradient: Tensor, alpha: Sequence[float]) -> str:
    """Say how many weights meet the conditions, and why others may not."""
    network = problem.network
    per_layer = network.per_layer(alpha)
    found = certify(network, problem.penalty, gradient, per_layer)
    n_met = round((1 - found.violations) * network.n_weights)
    unit = " λ" if max(per_layer) > 0 else ""
    text = (
        f"{n_met:,} of {network.n_weights:,} weights meet the conditions to 1 %;\n"
        f"the largest residual is {found.largest:.2g}{unit}."
    )
    kinks = ", ".join(find_nonsmooth(network.module))
    if not kinks:
        return text
    return f"{text} {kinks}: minimisers sit\non kinks, where these need not hold."


def _dual_norms(problem: Problem, flat: Tensor) -> list[Tensor]:
    """Return those of the groups of the penalty in each layer of a flat vector.

    Of single weights where the penalty is no sum of norms.
    """
    found = []
    for part in problem.network.split(flat):
        norms = problem.penalty.dual_norms(part)
        found.append(part.abs().reshape(-1) if norms is None else norms)
    return found
