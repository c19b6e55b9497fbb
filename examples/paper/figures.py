"""The figures of the page; needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from cached_runs import Record
from matplotlib.figure import Figure

__all__ = ["draw_all"]

OURS, PAPER = "C0", "C1"


def draw_all(mg: list[Record], mnist: list[Record], directory: Path) -> list[Path]:
    """Draw what there are records for; return the files.

    Parameters
    ----------
    mg, mnist : list of record
    directory : Path
        Gets ``paper_<name>.svg`` for each figure.
    """
    drawers: dict[str, Callable[[], Figure | None]] = {
        "search": lambda: search(mg),
        "intervals": lambda: intervals(mg),
        "filters": lambda: filters(mnist),
        "count": lambda: error_against_count(mg),
    }
    written = []
    for name, draw in drawers.items():
        figure = draw()
        if figure is None:
            continue
        path = directory / f"paper_{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
        written.append(path)
    return written


def longest(records: list[Record], **wanted) -> Record | None:
    """Return the record of seed 0 with the most epochs that matches."""
    found = [
        record
        for record in records
        if record["seed"] == 0 and all(record[k] == v for k, v in wanted.items())
    ]
    return max(found, key=lambda record: record["epochs"], default=None)


def search(records: list[Record]) -> Figure | None:
    """Draw λ and count over the outer iterations of Algorithm 1 and of Algorithm 2."""
    single = longest(records, method="in_flight, cold", target=2000)
    layers = longest(records, method="in_flight, cold", target=[650, 1200, 1000, 45])
    found = [record for record in (single, layers) if record is not None]
    if not found:
        return None
    figure, axes = plt.subplots(2, len(found), figsize=(4.5 * len(found), 5))
    for column, record in zip(axes.T if len(found) > 1 else [axes], found, strict=True):
        alphas = np.array(record["history"]["alpha"])
        counts = np.array(
            record["history"]["n_nonzero"]
            if alphas.ndim == 1
            else record["history"]["n_nonzero_per_layer"]
        )
        solves = np.arange(1, len(alphas) + 1)
        targets = np.atleast_1d(record["target"])
        labels = [f"layer {j + 1}" for j in range(len(targets))]
        for axis, values in zip(column, (alphas, counts), strict=True):
            lines = axis.plot(solves, values, ".-", label=labels)
            axis.set(yscale="log", xlabel="solve")
        for target, line in zip(targets, lines, strict=True):
            column[1].axhline(target, ls=":", color=line.get_color())
        column[0].set(ylabel="λ", title=f"Algorithm {1 if alphas.ndim == 1 else 2}")
        column[1].set(ylabel="weights (dotted: target)")
        if len(targets) > 1:
            column[0].legend(fontsize="small")
    figure.tight_layout()
    return figure


def intervals(records: list[Record]) -> Figure | None:
    """Draw sorted a_i with λ and the number of weights left, for both searches."""
    names = {"in_flight, cold": "Algorithm 1, in flight", "one_pass": "one pass"}
    found = {
        title: record
        for method, title in names.items()
        if (record := longest(records, method=method, target=2000)) is not None
    }
    if not found:
        return None
    figure, axes = plt.subplots(1, len(found), figsize=(9, 3.5), squeeze=False)
    for axis, (title, record) in zip(axes[0], found.items(), strict=True):
        a = np.array(record["gradients"])
        index = np.linspace(1, record["n_weights"], len(a))
        axis.plot(index, np.maximum(a, 1e-12), color="C0", label="sorted $a_i$")
        axis.axhline(record["alpha"], ls="--", color="C3", label="λ")
        edge = record["n_weights"] - record["n_nonzero"]
        axis.axvspan(edge, record["n_weights"], alpha=0.2, color="C2")
        axis.set(yscale="log", xlabel="i (shaded: the last l, where (35) has λ)")
        axis.set(ylim=(1e-8, None), title=title)
        axis.legend()
    figure.tight_layout()
    return figure


def filters(records: list[Record]) -> Figure | None:
    """Draw the first layer of sparse convolutional networks."""
    targets = {
        "50000 weights": 50000,
        "first layer 250": [250, 8000, 13000, 20000, 4200],
        "5000 weights": 5000,
    }
    found = {
        title: record
        for title, target in targets.items()
        if (record := longest(records, method="one_pass", target=target)) is not None
    }
    if not found:
        return None
    figure, axes = plt.subplots(len(found), 1, figsize=(9, 1.9 * len(found)))
    for axis, (title, record) in zip(np.atleast_1d(axes), found.items(), strict=True):
        weights = np.array(record["filters"]).reshape(-1, 3, 3)
        image = np.full((2 * 4 - 1, 16 * 4 - 1), np.nan)
        for number, kernel in enumerate(weights):
            row, column = divmod(number, 16)
            image[4 * row : 4 * row + 3, 4 * column : 4 * column + 3] = kernel
        image[image == 0] = np.nan
        limit = np.nanmax(np.abs(image))
        axis.imshow(image, cmap="RdBu", vmin=-limit, vmax=limit)
        for number in range(len(weights)):
            row, column = divmod(number, 16)
            corner = (4 * column - 0.5, 4 * row - 0.5)
            axis.add_patch(plt.Rectangle(corner, 3, 3, fill=False, color="0.7", lw=0.6))
        left = record["n_nonzero_per_layer"][0]
        axis.set_title(f"{title}: {left} of 288 in the first layer", fontsize="medium")
        axis.axis("off")
    figure.tight_layout()
    return figure


def error_against_count(records: list[Record]) -> Figure | None:
    """Draw test error against the number of weights, for both searches."""
    figure, axis = plt.subplots(figsize=(6, 3.8))
    drawn = False
    for method, label, colour in (
        ("one_pass", "one pass, 63 epochs", OURS),
        ("in_flight, cold", "Algorithm 1, 5000 epochs a solve", PAPER),
    ):
        errors: dict[int, list[float]] = {}
        for record in records:
            shown = record["method"] == method and not isinstance(
                record["target"], list
            )
            if shown and record["epochs"] <= 5000:
                errors.setdefault(record["target"], []).append(record["test"])
        counts = sorted(errors)
        if not counts:
            continue
        drawn = True
        middle = [np.median(errors[count]) for count in counts]
        axis.plot(counts, middle, "o-", color=colour, label=label)
        for count in counts:
            axis.plot([count] * len(errors[count]), errors[count], ".", color=colour)
    axis.set(xscale="log", yscale="log", xlabel="weights left", ylabel="test MSE")
    axis.legend()
    figure.tight_layout()
    return figure if drawn else None
