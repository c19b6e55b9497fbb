"""The picture of the README: a dense network, and the sparse one that is asked for.

    python examples/network_picture.py docs/network.svg

Wine data, 13 columns, 12 hidden units, 3 classes. Text is in a grey that can be read on
a light and on a dark page, and the background is transparent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.plots import NetworkDisplay

matplotlib.use("Agg")
import matplotlib.pyplot as plt

N_WEIGHTS = 30
# Of equal contrast to white and to GitHub's dark background.
GREY = "#7d8590"
STYLE = {
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "savefig.transparent": True,
    # Text stays text; the same file every time.
    "svg.fonttype": "none",
    "svg.hashsalt": "network",
}


def main() -> None:
    """Fit both networks and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    path = parser.parse_args().path
    wine = load_wine(as_frame=True)
    short = {"od280/od315_of_diluted_wines": "od280/od315"}
    X = wine.data.rename(columns=lambda name: short.get(name, name).replace("_", " "))
    y = "wine " + wine.target.astype(str)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
        for ax, options in zip(
            axes, [{"alpha": 0.0}, {"target_sparsity": N_WEIGHTS}], strict=True
        ):
            net = SparseNetClassifier((12,), random_state=0, **options)
            model = make_pipeline(StandardScaler(), net).fit(X_train, y_train)
            NetworkDisplay.from_estimator(model, ax=ax)
            right = round(model.score(X_test, y_test) * len(y_test))
            found = f"{right} of {len(y_test)} test wines right"
            title = f"{net.n_nonzero_} weights: {found}"
            ax.get_legend().set_title(title, {"size": "large"})
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
