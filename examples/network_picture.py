"""The picture of the README: a dense network, and the sparse one that is asked for.

    python examples/network_picture.py docs/network.svg

Wine data, 13 columns, 12 hidden units, 3 classes. Lines are weights: their width is
their size, their colour the sign. Written as SVG by hand: a few kilobytes, and colours
that can be read on a light and on a dark page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier

N_WEIGHTS = 30
WIDTH, HEIGHT = 880, 380
TOP, BOTTOM = 62, 360
# Grey of equal contrast to white and to GitHub's dark background.
TEXT, UNIT, POSITIVE, NEGATIVE = "#7d8590", "#7d8590", "#2f81f7", "#e0702e"
FONT = "font-family='-apple-system, Segoe UI, Helvetica, Arial, sans-serif'"


def heights(count: int) -> np.ndarray:
    """Return where the units of a layer stand, in the middle of their share."""
    return TOP + (np.arange(count) + 0.5) * (BOTTOM - TOP) / count


def text(x: float, y: float, words: str, size: float, anchor: str, extra="") -> str:
    """Return a line of text."""
    return (
        f"<text x='{x:g}' y='{y:g}' font-size='{size:g}' fill='{TEXT}' "
        f"text-anchor='{anchor}' {extra}>{words}</text>"
    )


def links(coefs: list[np.ndarray], columns: list[float]) -> list[str]:
    """Return the lines of all weights that are not zero."""
    lines = []
    for coef, left, right in zip(coefs, columns[:-1], columns[1:], strict=True):
        largest = np.abs(coef).max()
        starts, ends = heights(coef.shape[0]), heights(coef.shape[1])
        for i, j in zip(*np.nonzero(coef), strict=True):
            size = abs(coef[i, j]) / largest
            color = POSITIVE if coef[i, j] > 0 else NEGATIVE
            lines.append(
                f"<path d='M{left:g} {starts[i]:.1f}L{right:g} {ends[j]:.1f}' "
                f"stroke='{color}' stroke-width='{0.6 + 2.2 * size:.2f}' "
                f"stroke-opacity='{0.4 + 0.55 * size:.2f}'/>"
            )
    return lines


def units(coefs: list[np.ndarray], columns: list[float]) -> list[str]:
    """Return a disc for each unit; hollow where no weight is left."""
    used = [np.abs(coefs[0]).sum(1) > 0]
    used += [np.abs(coef).sum(0) > 0 for coef in coefs]
    return [
        f"<circle cx='{x:g}' cy='{y:.1f}' r='4' stroke='{UNIT}' "
        f"fill='{UNIT if alive else 'none'}'/>"
        for x, layer in zip(columns, used, strict=True)
        for y, alive in zip(heights(len(layer)), layer, strict=True)
    ]


def panel(net, left: float, title: str, names: tuple[list[str], list[str]]) -> str:
    """Return the drawing of a fitted network."""
    columns = [left + 150, left + 265, left + 365]
    inputs, outputs = names
    labels = [text((left + 45 + columns[2]) / 2, 26, title, 17, "middle")]
    for name, y in zip(inputs, heights(len(inputs)), strict=True):
        labels.append(text(columns[0] - 11, y + 4, name, 12.5, "end"))
    for name, y in zip(outputs, heights(len(outputs)), strict=True):
        labels.append(text(columns[2] + 10, y + 4, name, 12.5, "start"))
    parts = links(net.coefs_, columns) + units(net.coefs_, columns) + labels
    return "\n".join(parts)


def main() -> None:
    """Fit both networks and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    data = load_wine()
    X_train, X_test, y_train, y_test = train_test_split(
        data.data, data.target, random_state=0
    )
    short = {"od280/od315_of_diluted_wines": "od280/od315"}
    inputs = [short.get(n, n).replace("_", " ") for n in data.feature_names]
    names = (inputs, [str(n).replace("class_", "wine ") for n in data.target_names])
    panels = []
    for left, options in [(0, {"alpha": 0.0}), (440, {"target_sparsity": N_WEIGHTS})]:
        net = SparseNetClassifier((12,), random_state=0, **options)
        model = make_pipeline(StandardScaler(), net).fit(X_train, y_train)
        accuracy = model.score(X_test, y_test)
        what = f"target_sparsity={N_WEIGHTS}" if left else "dense"
        title = f"{what}: {net.n_nonzero_} weights, test accuracy {accuracy:.2f}"
        panels.append(panel(net, left, title, names))
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' "
        f"{FONT} role='img'>\n" + "\n".join(panels) + "\n</svg>\n"
    )
    parser.parse_args().path.write_text(svg)


if __name__ == "__main__":
    main()
