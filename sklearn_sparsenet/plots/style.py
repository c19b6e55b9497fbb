"""What the plots have in common: axes, colours, ticks, legends.

Colours are told apart by colour-blind readers and stand out from white and from black;
text and frames keep those of the user's style. Names that a user gave go through
`as_text`, and the texts that show them are made with `LITERAL`, so that a name is drawn
as it is written: matplotlib takes dollars for formulas, and labels that begin with an
underscore for hidden ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "LITERAL",
    "ORANGE",
    "as_text",
    "colour",
    "count_axis",
    "dashes",
    "diverging_map",
    "grid_of_axes",
    "legend_above",
    "legend_beside",
    "length",
    "linear_count_axis",
    "one_axes",
    "text_width",
]

BLUE, ORANGE, GREEN, GREY = "#3182bd", "#e6701a", "#1b9e77", "0.5"
_NEUTRAL = "#f7f7f7"
_OTHERS = ("#cc79a7", "#b8a000", "#56b4e9", "#8c6bb1", "#7f7f7f")
_COLOURS = (BLUE, ORANGE, GREEN, *_OTHERS)
# Properties of a text that is neither a formula nor TeX.
LITERAL = {"parse_math": False, "usetex": False}
_LONGEST_LABEL = 48
_CHARACTER = 0.075  # inches, in a legend


def _import_pyplot() -> Any:
    """Return `matplotlib.pyplot`, or say in an ImportError what to install."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib: pip install 'sklearn-sparsenet[plots]'."
        ) from error
    return plt


def colour(number: int) -> str:
    """Return the colour of a line among several."""
    return _COLOURS[number % len(_COLOURS)]


def dashes(number: int) -> str:
    """Return the style of a line among more than there are colours."""
    return "-" if number < len(_COLOURS) else "-."


def text_width(texts: Iterable[Any]) -> float:
    """Return about how many inches the longest text takes."""
    return _CHARACTER * max((len(as_text(text)) for text in texts), default=0)


def diverging_map() -> Any:
    """Return a map from orange over the neutral colour, exactly at 0, to blue."""
    from matplotlib.colors import LinearSegmentedColormap

    places = (0, 0.25, 127 / 256, 0.5, 129 / 256, 0.75, 1)
    # The step beside the neutral colour shows small weights that are not zero.
    colours = ("#8a3b04", ORANGE, "#fcd9be", _NEUTRAL, "#c9def0", BLUE, "#0b3a66")
    pairs = list(zip(places, colours, strict=True))
    return LinearSegmentedColormap.from_list("orange_blue", pairs, N=257)


def one_axes(ax: Any, figsize: tuple[float, float] | None = None) -> Any:
    """Return the user's axes, if they are some, or those of a new figure.

    New figures have the constrained layout, which finds room for long names.
    """
    plt = _import_pyplot()
    if ax is not None:
        return _checked(ax)
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def grid_of_axes(
    ax: Any, shape: tuple[int, int], figsize: tuple[float, float], **options: Any
) -> np.ndarray:
    """Return an array of axes.

    Parameters
    ----------
    ax : None, Axes or array-like of Axes
        None: in a new figure. One for several: they take its place. As many as are
        needed: these.
    shape : (int, int)
        Rows and columns.
    figsize : (float, float)
        Inches, of a new figure.
    options : of `Figure.subplots`

    Raises
    ------
    TypeError, ValueError
        For what are no axes; for another number of axes, or one that is in no grid
        and cannot be divided.
    """
    plt = _import_pyplot()
    if ax is None:
        figure = plt.figure(figsize=figsize, layout="constrained")
        return np.asarray(figure.subplots(*shape, squeeze=False, **options))
    given = np.asarray(ax, dtype=object)
    for one in given.flat:
        _checked(one)
    if given.size == shape[0] * shape[1]:
        return given.reshape(shape)
    place = given.item().get_subplotspec() if given.size == 1 else None
    if place is None:
        raise ValueError(
            f"ax must be {shape[0] * shape[1]} axes, or one made by plt.subplots, "
            f"which is divided; got {given.size}."
        )
    given.item().set_axis_off()
    inner = place.subgridspec(*shape)
    return np.asarray(inner.subplots(squeeze=False, **options))


def _checked(ax: Any) -> Any:
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes) or ax.name in ("polar", "3d"):
        kind = getattr(ax, "name", None) or type(ax).__name__
        raise TypeError(
            "ax must be axes with a horizontal and a vertical axis, such as "
            f"figure.subplots() and subfigure.subplots() return; got {kind}."
        )
    return ax


def count_axis(axis: Any, low: float, high: float) -> None:
    """Give a logarithmic axis of counts from low to high ticks that one can read."""
    from matplotlib import ticker

    decades = np.log10(max(high, 1) / max(low, 1))
    # Inches that a number takes, and numbers that find room beside each other.
    inches = 0.5 if axis.axis_name == "x" else 0.3
    room = length(axis) / inches
    if decades < 0.5:
        axis.set_major_locator(ticker.MaxNLocator(max(2, min(5, int(room)))))
    else:
        # 1 and 2, and 5 and 10, are nearest to each other.
        subs = (1, 2, 5) if np.log10(2) * length(axis) / decades >= inches else (1,)
        powers = np.floor(np.log10(high)) - np.ceil(np.log10(max(low, 1))) + 1
        if len(subs) * powers < 2:  # one number would not tell the scale
            axis.set_major_locator(ticker.FixedLocator([low, high]))
        else:
            n_ticks = max(2, int(room))
            axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=n_ticks))
    axis.set_major_formatter(ticker.FuncFormatter(_short_number))
    axis.set_minor_formatter(ticker.NullFormatter())


def linear_count_axis(axis: Any) -> None:
    """Give a linear axis of counts ticks at whole numbers that find room."""
    from matplotlib import ticker

    n_ticks = int(np.clip(length(axis) / 0.6, 2, 6))
    axis.set_major_locator(ticker.MaxNLocator(n_ticks, integer=True))
    axis.set_major_formatter(ticker.FuncFormatter(_short_number))


def _short_number(value: float, _: int) -> str:
    """Return a count in few characters: 5,000 and 20k and 3M."""
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e4 else f"{value:,.0f}"


def length(axis: Any) -> float:
    """Return how long an axis is, in inches."""
    box = axis.axes.bbox
    pixels = box.width if axis.axis_name == "x" else box.height
    return float(pixels / axis.axes.figure.dpi)


def legend_above(ax: Any, handles: Sequence[Any] | None = None) -> None:
    """Put a legend above the axes, where there are no data."""
    if handles is None:
        handles = ax.get_legend_handles_labels()[0]
    widest = max(len(str(handle.get_label())) for handle in handles)
    room = 0.7 * length(ax.xaxis) / _CHARACTER  # what layouts leave
    columns = int(np.clip(room // (widest + 5), 1, 4))
    _legend(
        ax,
        handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=min(columns, len(handles)),
    )


def legend_beside(ax: Any, handles: Sequence[Any]) -> None:
    """Put a legend with many entries to the right of the axes."""
    _legend(ax, handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _legend(ax: Any, handles: Sequence[Any], **options: Any) -> None:
    """Make a legend with an entry for each handle, whatever it is called."""
    # Given as labels, names that begin with an underscore would be left out.
    unnamed = [""] * len(handles)
    legend = ax.legend(handles, unnamed, frameon=False, fontsize="small", **options)
    for text, handle in zip(legend.get_texts(), handles, strict=True):
        text.set(text=handle.get_label(), **LITERAL)


def as_text(name: Any) -> str:
    """Return a name as it is to be drawn.

    Its middle is left out if it is very long. Characters that no font shows, tabs and
    zeros and the like, are written as Python writes them.
    """
    text = "".join(map(_visible, str(name)))
    if len(text) <= _LONGEST_LABEL:
        return text
    half = (_LONGEST_LABEL - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _visible(character: str) -> str:
    if character.isprintable() or character in "\n\N{NO-BREAK SPACE}":
        return character
    return ascii(character)[1:-1]
