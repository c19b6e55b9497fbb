"""Weights left of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_sparsenet.plots import style
from sklearn_sparsenet.plots.fitted import open_up

__all__ = ["LayersDisplay"]


@dataclass(kw_only=True, eq=False, repr=False)
class LayersDisplay:
    """Bars of the nonzero weights of each layer: those that are live, and the rest.

    Live weights lie on a path of nonzero weights from an input to an output. Bars begin
    at 0, and their lengths add up to the nonzero weights; beside them is written what
    share of all weights these are.

    Parameters
    ----------
    names : sequence of str
        Of the layers.
    n_weights : array-like of shape (n_layers,)
        Weights of each layer, zeros included.
    n_nonzero : array-like of shape (n_layers,)
        Those that are not zero.
    n_live : array-like of shape (n_layers,), optional
        Those on a path from an input to an output.

    Attributes
    ----------
    live_bars_ : BarContainer or None
        None where it is not known which weights are live.
    rest_bars_ : BarContainer
        The other nonzero weights, from the ends of these on.
    labels_ : list of Text
    ax_ : Axes
    figure_ : Figure

    Examples
    --------
    >>> from sklearn_sparsenet.plots import LayersDisplay
    >>> display = LayersDisplay(names=["0.weight", "2.weight"], n_weights=[6400, 1000],
    ...                         n_nonzero=[370, 130], n_live=[368, 130]).plot()
    >>> display.labels_[0].get_text()
    '370 of 6,400 (5.78 %), 368 live'
    """

    names: Sequence[str]
    n_weights: Any
    n_nonzero: Any
    n_live: Any = None

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> LayersDisplay:
        """Plot the layers of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted `SparseNetRegressor` or `SparseNetClassifier`, alone, at the end
            of a Pipeline, or the best one of a `GridSearchCV`.
        ax : Axes, default=None
            Axes to draw into. None makes a figure.

        Returns
        -------
        LayersDisplay

        Raises
        ------
        NotFittedError
        """
        net, _ = open_up(estimator)
        report = net.sparsity_report()
        n_live = list(report["n_live"])
        display = cls(
            names=list(report["layer"]),
            n_weights=np.array(report["n_weights"]),
            n_nonzero=np.array(report["n_nonzero"]),
            n_live=None if None in n_live else np.array(n_live),
        )
        return display.plot(ax)

    def plot(self, ax: Any = None) -> LayersDisplay:
        """Plot.

        Parameters
        ----------
        ax : Axes, default=None
            None: in a new figure, as high as the number of layers asks for.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        rows = np.arange(len(self.names))
        labels = self._labels()
        width = 3.4 + style.text_width(self.names) + style.text_width(labels)
        self.ax_ = style.one_axes(ax, (width, 1.5 + 0.5 * len(rows)))
        self.figure_ = self.ax_.figure
        kept = np.asarray(self.n_nonzero)
        live = np.zeros_like(kept) if self.n_live is None else np.asarray(self.n_live)
        self.live_bars_ = None
        if self.n_live is not None:
            self.live_bars_ = self.ax_.barh(
                rows, live, 0.7, color=style.BLUE, label="live"
            )
        name = "nonzero" if self.n_live is None else "not live"
        self.rest_bars_ = self.ax_.barh(
            rows, kept - live, 0.7, left=live, color=style.ORANGE, label=name
        )
        self.labels_ = [
            self.ax_.text(
                1.02,
                row,
                label,
                transform=self.ax_.get_yaxis_transform(),
                va="center",
                fontsize="small",
                **style.LITERAL,
            )
            for row, label in enumerate(labels)
        ]
        self.ax_.set_yticks(
            rows, [style.as_text(name) for name in self.names], **style.LITERAL
        )
        most = max(1, kept.max(initial=0))
        self.ax_.set(xlabel="nonzero weights", xlim=(0, 1.05 * most))
        self.ax_.invert_yaxis()
        style.linear_count_axis(self.ax_.xaxis)
        style.legend_above(self.ax_)
        return self

    def _labels(self) -> list[str]:
        kept, sizes = np.asarray(self.n_nonzero), np.asarray(self.n_weights)
        texts = [
            f"{n:,} of {size:,} ({100 * n / size:.3g} %)"
            for n, size in zip(kept, sizes, strict=True)
        ]
        if self.n_live is None:
            return texts
        return [f"{t}, {n:,} live" for t, n in zip(texts, self.n_live, strict=True)]
