"""λ and the number of weights over the course of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_sparsenet.plots import style
from sklearn_sparsenet.plots.fitted import open_up

__all__ = ["SearchDisplay"]

Array = np.ndarray
_MANY = 6  # names that fit above the axes
_DEPTH = 1e-4  # of the largest λ of a one-pass search: how far down the axis goes


@dataclass(kw_only=True, eq=False, repr=False)
class SearchDisplay:
    """λ, and the weights left, over the solves of a search.

    λ is in the units of `alpha_`: at the solve that was kept it is `alpha_`. The
    one-pass search has a single run, whose count falls to the target. Drawn over its
    epochs are the thresholds up to which it cuts weights: their sizes in the metric of
    the steps, which depend on the step size and are no λ. The λ of the solution that it
    ends with is in the legend.

    Parameters
    ----------
    steps : array-like of shape (n_steps,)
        Numbers of solves, or epochs.
    alphas : array-like of shape (n_steps,) or (n_steps, n_groups)
        λ, or thresholds, of each group of weights that shares one.
    counts : array-like of shape (n_steps,) or (n_steps, n_groups)
        Weights left of each group.
    targets : int or array-like of shape (n_groups,), optional
        The weights asked for, of each group.
    names : sequence of str, optional
        Of the groups, where there are several.
    chosen : int, optional
        Which step was kept.
    step_name : str, default="solve"
        What a step is, for the label.
    quantity : str, default="λ"
        What `alphas` are, for the label.
    solution_alpha : float, optional
        λ of the solution, for the legend.

    Attributes
    ----------
    alpha_lines_, count_lines_, target_lines_ : list of Line2D
    axes_ : ndarray of Axes, shape (2,)
        λ, or thresholds, above, weights below.
    ax_ : Axes
        The first of them.
    figure_ : Figure

    Examples
    --------
    >>> from sklearn_sparsenet.plots import SearchDisplay
    >>> display = SearchDisplay(steps=[1, 2, 3], alphas=[1e-3, 1e-2, 4e-3],
    ...                         counts=[740, 160, 310], targets=300)
    >>> display.plot().axes_[1].get_xlabel()
    'solve'
    """

    steps: Any
    alphas: Any
    counts: Any
    targets: Any = None
    names: Sequence[str] | None = None
    chosen: int | None = None
    step_name: str = "solve"
    quantity: str = "λ"
    solution_alpha: float | None = None

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> SearchDisplay:
        """Plot the search of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted `SparseNetRegressor` or `SparseNetClassifier`, alone, at the end
            of a Pipeline, or the best one of a `GridSearchCV`.
        ax : Axes or two of them, default=None
            Where to draw. One is divided into two. None makes a figure.

        Returns
        -------
        SearchDisplay

        Raises
        ------
        NotFittedError
        """
        net, _ = open_up(estimator)
        history = getattr(net, "narrowing_history_", None)
        if history is not None:
            data: dict[str, Any] = {
                "steps": np.asarray(history["epoch"]),
                "alphas": _columns(history["alpha"]),
                "counts": _columns(history["n_nonzero"]),
                "step_name": "epoch",
                "quantity": "cut threshold",
                "solution_alpha": net.alpha_ if np.ndim(net.alpha_) == 0 else None,
            }
        else:
            data = _solves(net)
        several = data["alphas"].shape[1] > 1
        names = list(net.layer_names_) if several else None
        return cls(**data, targets=net.target_n_nonzero_, names=names).plot(ax)

    def plot(self, ax: Any = None) -> SearchDisplay:
        """Plot.

        Parameters
        ----------
        ax : Axes or two of them, default=None
            One is divided into two. None: in a new figure.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        width = 6.4
        if self._has_many_names:
            width += 0.6 + style.text_width(() if self.names is None else self.names)
        self.axes_ = style.grid_of_axes(ax, (2, 1), (width, 5.6), sharex=True)[:, 0]
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure
        top, bottom = self.axes_
        alphas, counts = _columns(self.alphas), _columns(self.counts)
        self.alpha_lines_ = self._draw(top, alphas)
        self.count_lines_ = self._draw(bottom, counts)
        self.target_lines_ = self._draw_targets(bottom)
        marks = self._draw_chosen(alphas, counts)
        top.set(yscale="log" if (alphas > 0).any() else "linear", ylabel=self.quantity)
        bottom.set_ylabel("weights left")
        bottom.set_xlabel(style.as_text(self.step_name), **style.LITERAL)
        top.tick_params(labelbottom=False)
        self._scale_counts(counts)
        largest = float(np.nanmax(alphas, initial=0.0))
        smallest = float(np.nanmin(alphas, initial=largest))
        if self.step_name == "epoch" and smallest < _DEPTH * largest:
            # The first cuts take what is nearly zero, many decades below the others.
            top.set_ylim(_DEPTH * largest, 3 * largest)
        bottom.xaxis.get_major_locator().set_params(integer=True)
        if self.step_name == "solve" and len(alphas) == 1:
            bottom.set_xlim(0, 2)
        self._draw_legend(marks)
        return self

    @property
    def _has_many_names(self) -> bool:
        return self.names is not None and len(self.names) > _MANY

    def _scale_counts(self, counts: Array) -> None:
        axis = self.axes_[1]
        targets = [] if self.targets is None else np.ravel(self.targets).tolist()
        seen = [*counts.ravel().tolist(), *targets]
        if 0 in seen:  # networks that collapsed on the way
            axis.set_yscale("symlog", linthresh=1)
            axis.yaxis.set_major_formatter("{x:,.0f}")
            axis.set_ylim(-0.3, 2 * max(seen) + 1)
        else:
            axis.set_yscale("log")
            if min(seen) == max(seen):  # nothing to take the limits from
                axis.set_ylim(seen[0] / 2, seen[0] * 2)
            style.count_axis(axis.yaxis, min(seen), max(seen))

    def _draw(self, axis: Any, values: Array) -> list[Any]:
        steps = np.asarray(self.steps)
        marker = "." if len(steps) <= 60 else None
        lines = [
            axis.plot(
                steps,
                column,
                marker=marker,
                linestyle=style.dashes(number),
                color=style.BLUE if self.names is None else style.colour(number),
            )[0]
            for number, column in enumerate(values.T)
        ]
        if self.names is not None:
            for line, name in zip(lines, self.names, strict=True):
                line.set_label(style.as_text(name))  # `plot` takes none that are empty
        return lines

    def _draw_targets(self, axis: Any) -> list[Any]:
        if self.targets is None:
            return []
        targets = np.ravel(self.targets)
        lines = [
            axis.axhline(
                target,
                linestyle="--",
                linewidth=1,
                color=style.colour(number) if len(targets) > 1 else style.GREY,
                zorder=1,
            )
            for number, target in enumerate(targets)
        ]
        if len(targets) == 1:
            lines[0].set_label(f"target: {targets[0]:,}")
        return lines

    def _draw_chosen(self, alphas: Array, counts: Array) -> list[Any]:
        """Mark the step that was kept; return the mark for the legend, if any."""
        if self.chosen is None or len(alphas) < 2:
            return []
        marks = [
            axis.plot(
                np.asarray(self.steps)[self.chosen],
                value,
                "o",
                color=style.BLUE if self.names is None else style.colour(number),
                markerfacecolor="none",
                markersize=10,
                label="kept" if number == 0 else None,
            )[0]
            for axis, values in zip(self.axes_, (alphas, counts), strict=True)
            for number, value in enumerate(values[self.chosen])
        ]
        return marks[:1]

    def _draw_legend(self, marks: list[Any]) -> None:
        from matplotlib.lines import Line2D

        handles = [] if self.names is None else list(self.count_lines_)
        if len(self.target_lines_) == 1:
            handles += self.target_lines_
        handles += marks
        if len(self.target_lines_) > 1:
            line = Line2D([], [], color=style.GREY, linestyle="--", linewidth=1)
            line.set_label("target")
            handles.append(line)
        if self.solution_alpha is not None:
            label = f"λ of the solution: {self.solution_alpha:.3g}"
            handles.append(Line2D([], [], linestyle="none", label=label))
        if self._has_many_names:
            style.legend_beside(self.axes_[0], handles)
        elif handles:
            style.legend_above(self.axes_[0], handles)


def _columns(values: Any) -> Array:
    array = np.asarray(values)
    return array.reshape(len(array), -1)


def _solves(net: Any) -> dict[str, Any]:
    history = net.search_history_
    alphas = _columns(history["alpha"])
    if np.ndim(net.alpha_) == 0:  # one λ, which a given `alpha` repeats for each layer
        alphas, counts = alphas[:, :1], _columns(history["n_nonzero"])
    else:
        counts = history["n_nonzero_per_layer"]
    kept = np.flatnonzero((alphas == net.alpha_).all(axis=1))
    return {
        "steps": np.arange(1, len(alphas) + 1),
        "alphas": alphas,
        "counts": counts,
        "chosen": int(kept[-1]) if len(kept) else None,
    }
