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
    """Bars of the weights of each layer: all, nonzero, and live.

    Live weights lie on a path of nonzero weights from an input to an output.

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
    weight_bars_, nonzero_bars_ : BarContainer
    live_bars_ : BarContainer or None
    labels_ : list of Text
    ax_ : Axes
    figure_ : Figure

    Examples
    --------
    >>> from sklearn_sparsenet.plots import LayersDisplay
    >>> display = LayersDisplay(names=["0.weight", "2.weight"], n_weights=[6400, 1000],
    ...                         n_nonzero=[370, 130], n_live=[368, 130]).plot()
    >>> display.labels_[0].get_text()
    '370 (5.78 %), 368 live'
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
        width = 4.0 + style.text_width(self.names) + style.text_width(labels)
        self.ax_ = style.one_axes(ax, (width, 1.5 + 0.5 * len(rows)))
        self.figure_ = self.ax_.figure
        weights = np.asarray(self.n_weights)
        draw = self.ax_.barh
        self.weight_bars_ = draw(
            rows, weights, 0.8, color=style.GREY, alpha=0.3, label="weights"
        )
        self.nonzero_bars_ = draw(
            rows, self.n_nonzero, 0.8, color=style.BLUE, label="nonzero"
        )
        self.live_bars_ = None
        if self.n_live is not None:
            self.live_bars_ = draw(
                rows, self.n_live, 0.3, color=style.ORANGE, label="live"
            )
        self.labels_ = [
            self.ax_.text(
                1.02,
                row,
                label,
                transform=self.ax_.get_yaxis_transform(),
                va="center",
                **style.LITERAL,
            )
            for row, label in enumerate(labels)
        ]
        self.ax_.set_yticks(
            rows, [style.as_text(name) for name in self.names], **style.LITERAL
        )
        self.ax_.set(xscale="log", xlabel="weights", xlim=(0.7, 1.2 * weights.max()))
        self.ax_.invert_yaxis()
        style.count_axis(self.ax_.xaxis, 1, weights.max())
        style.legend_above(self.ax_)
        return self

    def _labels(self) -> list[str]:
        kept = np.asarray(self.n_nonzero)
        shares = 100 * kept / np.asarray(self.n_weights)
        texts = [f"{n:,} ({p:.3g} %)" for n, p in zip(kept, shares, strict=True)]
        if self.n_live is None:
            return texts
        return [f"{t}, {n:,} live" for t, n in zip(texts, self.n_live, strict=True)]
