"""The network itself: its live units and connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_sparsenet.plots import style
from sklearn_sparsenet.plots.fitted import (
    input_names,
    open_up,
    output_names,
    selected_inputs,
)
from sklearn_sparsenet.plots.graph import Graph, chain_weights, heights, live_graph

__all__ = ["NetworkDisplay"]

Array = np.ndarray
_POINTS = 72  # an inch
_SMALLEST_FONT = 4.5  # points; smaller names are left out
_LINE_WIDTHS = (0.5, 3.0)  # points


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkDisplay:
    """A sparse perceptron, drawn: units in columns, a line for each live weight.

    Only units on a path from an input to an output are drawn, and all outputs; ordered
    so that few lines cross. The width of a line grows with the size of the weight,
    relative to the largest of its layer; the colour is its sign. Biases are not drawn.

    Parameters
    ----------
    weights : list of ndarray of shape (fan_in, fan_out)
        Of each layer.
    input_names : sequence of str
        Labels of the inputs.
    output_names : sequence of str
        Labels of the outputs.

    Attributes
    ----------
    graph_ : Graph
        Units and weights, in the order in which they are drawn.
    connections_ : list of LineCollection
        Of each layer; a segment for each live weight.
    units_ : list of PathCollection
        Of each column.
    output_labels_ : list of Text
        The names of the inputs are the labels of the vertical axis.
    ax_ : Axes
    figure_ : Figure

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_sparsenet.plots import NetworkDisplay
    >>> first = np.array([[0.5, 0.0], [0.0, -1.0], [0.0, 0.0]])
    >>> display = NetworkDisplay(weights=[first, np.array([[1.0], [0.3]])],
    ...                          input_names=["age", "bmi", "sex"],
    ...                          output_names=["output"]).plot()
    >>> display.graph_.n_connections
    4
    """

    weights: list[Array]
    input_names: Sequence[str]
    output_names: Sequence[str]

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, max_weights: int = 1000, ax: Any = None
    ) -> NetworkDisplay:
        """Draw the network of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted `SparseNetRegressor` or `SparseNetClassifier`, alone, at the end
            of a Pipeline, or the best one of a `GridSearchCV`. Its network is a
            multilayer perceptron, or an `nn.Sequential` of linear layers and
            activations.
        max_weights : int, default=1000
            Most connections to draw; a few hundred can be read.
        ax : Axes, default=None
            Axes to draw into. None makes a figure.

        Returns
        -------
        NetworkDisplay

        Raises
        ------
        NotFittedError
        TypeError
            For other networks.
        ValueError
            For more live weights than `max_weights`.
        """
        net, before = open_up(estimator)
        weights = chain_weights(net.module_)
        names = input_names(net, before)
        selected = selected_inputs(net.module_)
        if selected is not None:
            names = [names[number] for number in selected]
        elif len(names) != len(weights[0]):  # samples of more than one dimension
            names = [f"x{number}" for number in range(len(weights[0]))]
        outputs = output_names(net, weights[-1].shape[1])
        display = cls(weights=weights, input_names=names, output_names=outputs)
        return display.plot(ax, max_weights=max_weights)

    def plot(self, ax: Any = None, *, max_weights: int = 1000) -> NetworkDisplay:
        """Plot.

        Parameters
        ----------
        ax : Axes, default=None
            None: in a new figure, whose size suits the network. One of yours has
            room for long names with ``layout="constrained"``.
        max_weights : int, default=1000
            Most connections to draw; a few hundred can be read.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For more live weights than that.
        ImportError
            Without matplotlib.
        """
        self.graph_ = graph = live_graph(self.weights)
        if graph.n_connections > max_weights:
            raise ValueError(
                f"The network has {graph.n_connections} live weights; more than "
                f"max_weights={max_weights} are not drawn. Ask for a sparser network, "
                "or raise max_weights."
            )
        self.ax_ = style.one_axes(ax, _size(graph, self.input_names, self.output_names))
        self.figure_ = self.ax_.figure
        self.connections_ = [
            self._connect(column, weight) for column, weight in enumerate(graph.weights)
        ]
        font = self._font_size()
        self.units_ = [
            self._draw_units(column, len(units), font)
            for column, units in enumerate(graph.units)
        ]
        self._name_inputs(font)
        self._name_outputs(font)
        self._name_columns()
        self._draw_legend()
        return self

    def _font_size(self) -> float:
        """Return the size of names that fits the column with most units."""
        most = max(len(units) for units in self.graph_.units)
        room = 0.85 * style.length(self.ax_.yaxis) * _POINTS / max(1, most)
        return float(min(9.0, room))

    def _connect(self, column: int, weight: Array) -> Any:
        from matplotlib.collections import LineCollection

        start, end = np.nonzero(weight)
        values = weight[start, end]
        order = np.argsort(np.abs(values))  # the largest on top
        start, end, values = start[order], end[order], values[order]
        left, right = heights(weight.shape[0])[start], heights(weight.shape[1])[end]
        ones = np.ones(len(values))
        segments = np.stack(
            [
                np.stack([column * ones, left], axis=1),
                np.stack([(column + 1) * ones, right], axis=1),
            ],
            axis=1,
        )
        thin, thick = _LINE_WIDTHS
        sizes = np.abs(values) / np.abs(values).max(initial=1e-300)
        lines = LineCollection(
            list(segments),
            linewidths=thin + (thick - thin) * sizes,
            colors=np.where(values > 0, style.BLUE, style.ORANGE).tolist(),
            alpha=0.85,
            zorder=1,
            capstyle="round",
        )
        self.ax_.add_collection(lines, autolim=False)
        return lines

    def _draw_units(self, column: int, n_units: int, font: float) -> Any:
        return self.ax_.scatter(
            np.full(n_units, column),
            heights(n_units),
            s=float(np.clip(5 * font, 8, 40)),
            color=style.GREY,
            zorder=2,
            clip_on=False,
        )

    def _name_inputs(self, font: float) -> None:
        inputs = self.graph_.units[0]
        places, names = heights(len(inputs)), [self.input_names[i] for i in inputs]
        self.ax_.set_ylim(1, 0)
        if font < _SMALLEST_FONT:
            places, names = places[:0], []
        texts = [style.as_text(name) for name in names]
        self.ax_.set_yticks(places, texts, fontsize=font, **style.LITERAL)
        self.ax_.tick_params(length=0)

    def _name_outputs(self, font: float) -> None:
        outputs = self.graph_.units[-1]
        self.output_labels_ = [
            self.ax_.annotate(
                style.as_text(self.output_names[output]),
                (len(self.weights), height),
                (8, 0),
                textcoords="offset points",
                va="center",
                fontsize=font,
                annotation_clip=False,
                **style.LITERAL,
            )
            for output, height in zip(outputs, heights(len(outputs)), strict=True)
            if font >= _SMALLEST_FONT
        ]

    def _name_columns(self) -> None:
        last = len(self.weights)
        hidden = ["hidden"] if last == 2 else [f"hidden {c}" for c in range(1, last)]
        names = [
            "inputs",
            *hidden,
            "outputs" if self.graph_.sizes[-1] > 1 else "output",
        ]
        labels = [
            f"{name}\n{len(units)} of {size}"
            for name, units, size in zip(
                names, self.graph_.units, self.graph_.sizes, strict=True
            )
        ]
        labels[-1] = f"{names[-1]}\n{self.graph_.sizes[-1]}"
        self.ax_.set_xticks(range(last + 1), labels, fontsize="small")
        self.ax_.set_xlim(-0.03 * last, 1.01 * last)
        self.ax_.spines[:].set_visible(False)
        self.ax_.grid(False)

    def _draw_legend(self) -> None:
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=style.BLUE, linewidth=2, label="positive"),
            Line2D([], [], color=style.ORANGE, linewidth=2, label="negative"),
        ]
        self.ax_.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=2,
            frameon=False,
            fontsize="small",
            title=f"{self.graph_.n_connections:,} live weights",
            title_fontsize="small",
        )


def _size(
    graph: Graph, input_names: Sequence[str], output_names: Sequence[str]
) -> tuple[float, float]:
    """Return the size of a new figure in inches."""
    most = max(len(units) for units in graph.units)
    names = [input_names[unit] for unit in graph.units[0]]
    width = style.text_width(names) + style.text_width(output_names)
    width += 2.2 * len(graph.weights) + 1.0
    return float(np.clip(width, 4.5, 16)), float(np.clip(0.17 * most + 1, 3.2, 13))
