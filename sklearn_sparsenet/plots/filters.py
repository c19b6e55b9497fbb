"""The weights of the first layer as images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from sklearn_sparsenet.networks.paths import live_weights
from sklearn_sparsenet.plots.fitted import open_up, selected_inputs
from sklearn_sparsenet.plots.style import GREY, diverging_map, one_axes

__all__ = ["FiltersDisplay"]

Array = np.ndarray
_FIRST = (nn.Linear, nn.Conv1d, nn.Conv2d)


@dataclass(kw_only=True, eq=False, repr=False)
class FiltersDisplay:
    """First-layer weights of the live units, as images.

    One image for each unit on a path from an input to an output; with several channels
    one for each, side by side. Zero is the neutral colour of the map, whose limits are
    symmetric.

    Parameters
    ----------
    filters : ndarray of shape (n_live_units, n_channels, height, width)
        Weights of the units on a path from an input to an output.
    units : array-like of int, shape (n_live_units,)
        Their numbers in the layer.
    n_units : int
        Units of the layer.

    Attributes
    ----------
    image_ : AxesImage
        All filters in one image, not a number in between.
    frames_ : list of Rectangle
        One around each channel of each unit.
    colorbar_ : Colorbar
    ax_ : Axes
    figure_ : Figure

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_sparsenet.plots import FiltersDisplay
    >>> filters = np.eye(9).reshape(9, 1, 3, 3)
    >>> display = FiltersDisplay(filters=filters, units=range(9), n_units=16).plot()
    >>> len(display.frames_)
    9
    """

    filters: Array
    units: Any
    n_units: int

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        image_shape: Sequence[int] | None = None,
        max_units: int = 100,
        ax: Any = None,
    ) -> FiltersDisplay:
        """Plot the first layer of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted `SparseNetRegressor` or `SparseNetClassifier`, alone, at the end
            of a Pipeline, or the best one of a `GridSearchCV`.
        image_shape : (height, width) or (channels, height, width), default=None
            How a row of X is an image, for a linear first layer. None: the shape of
            a sample, if that has two or three dimensions.
        max_units : int, default=100
            Most units to draw: those with the largest weights, in their order.
        ax : Axes, default=None
            Axes to draw into. None makes a figure.

        Returns
        -------
        FiltersDisplay

        Raises
        ------
        NotFittedError
        TypeError
            If the first layer is neither linear nor a convolution over one or two
            dimensions.
        ValueError
            If `image_shape` is missing, or not that of the inputs.
        """
        net, _ = open_up(estimator)
        name, layer = _first_layer(net.module_)
        weight = layer.weight.detach().cpu().numpy()
        if isinstance(layer, nn.Linear):
            shape = _image_shape(image_shape, net.sample_shape_)
            weight = _all_inputs(weight, net).reshape(len(weight), *shape)
        elif weight.ndim == 3:
            weight = weight[:, :, None]
        masks = live_weights(net.module_, net.sample_shape_)
        live = weight if masks is None else masks[name].numpy()
        units = np.flatnonzero(live.reshape(len(weight), -1).any(axis=1))
        display = cls(filters=weight[units], units=units, n_units=len(weight))
        return display.plot(ax, max_units=max_units)

    def plot(self, ax: Any = None, *, max_units: int = 100) -> FiltersDisplay:
        """Plot.

        Parameters
        ----------
        ax : Axes, default=None
            None: in a new figure.
        max_units : int, default=100
            Most units to draw: those with the largest weights, in their order.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no live unit.
        ImportError
            Without matplotlib.
        """
        if not len(self.filters):
            raise ValueError("The first layer has no live unit: nothing to draw.")
        shown = self._largest(max_units)
        columns, rows = _grid(shown.shape)
        self.ax_ = one_axes(ax, _size(columns, rows, shown.shape))
        self.figure_ = self.ax_.figure
        limit = float(np.abs(shown).max()) or 1.0
        self.image_ = self.ax_.imshow(
            _mosaic(shown, columns, rows),
            cmap=diverging_map(),
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
        )
        self._draw_frames(shown.shape, columns)
        self.ax_.set_axis_off()
        self.ax_.set_title(self._title(len(shown)), fontsize="medium")
        self.colorbar_ = self.figure_.colorbar(
            self.image_, ax=self.ax_, label="weight", shrink=0.8, aspect=25
        )
        return self

    def _title(self, n_shown: int) -> str:
        n_live = len(self.filters)
        which = "" if n_shown == n_live else f"the {n_shown} largest of "
        return f"{which}{n_live} live units, of {self.n_units}"

    def _largest(self, max_units: int) -> Array:
        filters = np.asarray(self.filters)
        sizes = np.abs(filters).reshape(len(filters), -1).sum(axis=1)
        kept = np.sort(np.argsort(-sizes, kind="stable")[:max_units])
        return filters[kept]

    def _draw_frames(self, shape: tuple[int, ...], columns: int) -> None:
        from matplotlib.patches import Rectangle

        n_units, channels, height, width = shape
        self.frames_ = []
        for number in range(n_units * channels):
            unit, channel = divmod(number, channels)
            row, column = divmod(unit, columns)
            left = column * (channels * width + 1) + channel * width
            corner = (left - 0.5, row * (height + 1) - 0.5)
            frame = Rectangle(
                corner, width, height, fill=False, edgecolor=GREY, linewidth=0.6
            )
            self.ax_.add_patch(frame)
            self.frames_.append(frame)
        # The outermost frames would be cut in half.
        self.ax_.margins(0)
        left, right = self.ax_.get_xlim()
        bottom, top = self.ax_.get_ylim()
        self.ax_.set(xlim=(left - 0.3, right + 0.3), ylim=(bottom + 0.3, top - 0.3))


def _first_layer(module: nn.Module) -> tuple[str, Any]:
    for name, child in module.named_modules():
        if any(p.ndim >= 2 for p in child.parameters(recurse=False)):
            if isinstance(child, _FIRST):
                return f"{name}.weight" if name else "weight", child
            raise TypeError(
                "the first layer must be nn.Linear, nn.Conv1d or nn.Conv2d; got "
                f"{type(child).__name__}."
            )
    raise TypeError("the network has no layer with weights.")


def _image_shape(
    image_shape: Sequence[int] | None, sample_shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return (channels, height, width)."""
    shape = tuple(np.atleast_1d(sample_shape if image_shape is None else image_shape))
    if len(shape) not in (2, 3):
        raise ValueError(
            "image_shape must be (height, width) or (channels, height, width): a "
            f"sample has {int(np.prod(sample_shape))} features; got {image_shape!r}."
        )
    if np.prod(shape) != np.prod(sample_shape):
        raise ValueError(
            f"image_shape={shape} has {int(np.prod(shape))} pixels, and a sample "
            f"{int(np.prod(sample_shape))} features."
        )
    return shape if len(shape) == 3 else (1, *shape)


def _all_inputs(weight: Array, net: Any) -> Array:
    """Return the weights with columns of zeros for inputs that `compact` removed."""
    selected = selected_inputs(net.module_)
    if selected is None:
        return weight
    whole = np.zeros((len(weight), int(np.prod(net.sample_shape_))), weight.dtype)
    whole[:, selected] = weight
    return whole


def _tile_width(shape: tuple[int, ...]) -> int:
    return shape[1] * shape[3]


def _grid(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return columns and rows that make a picture half as high as it is wide."""
    n_units, _, height, _ = shape
    columns = int(np.ceil(np.sqrt(2 * n_units * height / _tile_width(shape))))
    columns = min(max(1, columns), n_units)
    return columns, -(-n_units // columns)


def _size(columns: int, rows: int, shape: tuple[int, ...]) -> tuple[float, float]:
    across, down = columns * (_tile_width(shape) + 1), rows * (shape[2] + 1)
    width = float(np.clip(0.12 * across + 2, 4.5, 9))
    return width, float(np.clip((width - 1.5) * down / across + 0.6, 2, 11))


def _mosaic(filters: Array, columns: int, rows: int) -> Array:
    _, channels, height, width = filters.shape
    across = channels * width
    whole = np.full((rows * (height + 1) - 1, columns * (across + 1) - 1), np.nan)
    for number, channels_of_one in enumerate(filters):
        row, column = divmod(number, columns)
        top, left = row * (height + 1), column * (across + 1)
        tile = channels_of_one.transpose(1, 0, 2).reshape(height, across)
        whole[top : top + height, left : left + across] = tile
    return whole
