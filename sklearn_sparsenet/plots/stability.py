"""How often fits to halves of the rows used each input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_sparsenet.estimators.stability import StabilityResult
from sklearn_sparsenet.plots import style

__all__ = ["StabilityDisplay"]


@dataclass(kw_only=True, eq=False, repr=False)
class StabilityDisplay:
    """Bars of the frequencies of the inputs, the largest first, and the threshold.

    Parameters
    ----------
    frequencies : array-like of shape (n_features,)
        The share of the fits that used each input.
    feature_names : sequence of shape (n_features,)
        Labels of the inputs.
    threshold : float
        From which inputs are selected.
    error_bound : float, optional
        How many unlikely inputs are selected in expectation, at most.

    Attributes
    ----------
    bars_ : BarContainer
        Of the inputs that are shown.
    shown_ : ndarray of int
        Which these are, from the top.
    threshold_line_ : Line2D
    ax_ : Axes
    figure_ : Figure

    Examples
    --------
    >>> from sklearn_sparsenet.plots import StabilityDisplay
    >>> display = StabilityDisplay(frequencies=[0.1, 0.9, 0.4], threshold=0.75,
    ...                            feature_names=["age", "sex", "bmi"]).plot()
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['sex', 'bmi', 'age']
    """

    frequencies: Any
    feature_names: Sequence[Any]
    threshold: float
    error_bound: float | None = None

    @classmethod
    def from_result(
        cls,
        result: StabilityResult,
        *,
        assumption: str = "none",
        max_features: int = 30,
        ax: Any = None,
    ) -> StabilityDisplay:
        """Plot what `stability_selection` found.

        Parameters
        ----------
        result : StabilityResult
            What `stability_selection` returns.
        assumption : {"none", "unimodal", "r_concave"}, default="none"
            Of the bound, see `StabilityResult.error_bound`. None is shown for
            thresholds of at most 1/2, for which there is none.
        max_features : int, default=30
            So many are shown, those with the largest frequencies.
        ax : Axes, default=None
            Axes to draw into. None makes a figure.

        Returns
        -------
        StabilityDisplay
        """
        bound = None
        if result.threshold > 0.5:
            bound = result.error_bound(assumption=assumption)
        display = cls(
            frequencies=result.frequencies,
            feature_names=result.feature_names.tolist(),
            threshold=result.threshold,
            error_bound=bound,
        )
        return display.plot(ax, max_features=max_features)

    def plot(self, ax: Any = None, *, max_features: int = 30) -> StabilityDisplay:
        """Plot.

        Parameters
        ----------
        ax : Axes, default=None
            None: in a new figure, as high as the number of inputs asks for.
        max_features : int, default=30
            So many are shown, those with the largest frequencies. The label tells of
            how many.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `max_features` is not positive.
        ImportError
            Without matplotlib.
        """
        if max_features < 1:
            raise ValueError(f"max_features={max_features} must be at least 1.")
        values = np.asarray(self.frequencies, dtype=float)
        self.shown_ = np.argsort(-values, kind="stable")[:max_features]
        names = [style.as_text(self.feature_names[number]) for number in self.shown_]
        rows = np.arange(len(names))
        self.ax_ = style.one_axes(
            ax, (5.0 + style.text_width(names), 1.3 + 0.2 * len(rows))
        )
        self.figure_ = self.ax_.figure
        is_selected = values >= self.threshold
        colours = [
            style.BLUE if is_selected[number] else style.GREY for number in self.shown_
        ]
        self.bars_ = self.ax_.barh(rows, values[self.shown_], 0.6, color=colours)
        self.threshold_line_ = self.ax_.axvline(
            self.threshold,
            color=style.ORANGE,
            linestyle="--",
            label=self._label(int(is_selected.sum())),
        )
        self.ax_.set_yticks(rows, names, **style.LITERAL)
        self.ax_.set(xlim=(0, 1.02), ylim=(len(rows) - 0.4, -0.6))
        self.ax_.set_xlabel("share of the fits that use the input")
        if len(rows) < len(values):
            self.ax_.set_ylabel(f"the first {len(rows)} of {len(values):,} inputs")
        style.legend_above(self.ax_, [self.threshold_line_])
        return self

    def _label(self, n_selected: int) -> str:
        text = f"threshold {self.threshold:g}: {n_selected} selected"
        if self.error_bound is None:
            return text
        return f"{text},\nat most {self.error_bound:.2g} unlikely ones expected"
