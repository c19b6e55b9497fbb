"""The layers: what is drawn is what is left."""

from itertools import pairwise

import matplotlib.pyplot as plt
import pytest

from sklearn_sparsenet.plots import LayersDisplay


def test_layers_have_bars_of_all_nonzero_and_live_weights(classifier):
    display = LayersDisplay.from_estimator(classifier)
    report = classifier.sparsity_report()
    for bars, name in (
        (display.weight_bars_, "n_weights"),
        (display.nonzero_bars_, "n_nonzero"),
        (display.live_bars_, "n_live"),
    ):
        assert [bar.get_width() for bar in bars] == list(report[name])
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == classifier.layer_names_
    assert display.ax_.get_xscale() == "log"


@pytest.mark.parametrize("width", [4, 5, 6, 7, 8, 9])
def test_ticks_do_not_overlap(width):
    figure, ax = plt.subplots(figsize=(width, 3), layout="constrained")
    names, sizes, kept = ["0.weight", "2.weight"], [1920, 900], [302, 174]
    LayersDisplay(names=names, n_weights=sizes, n_nonzero=kept, n_live=kept).plot(ax)
    figure.canvas.draw()
    labels = [label for label in ax.get_xticklabels() if label.get_text()]
    left, right = ax.bbox.x0, ax.bbox.x1
    boxes = sorted((b.x0, b.x1) for b in (t.get_window_extent() for t in labels))
    boxes = [box for box in boxes if left <= sum(box) / 2 <= right]
    assert len(boxes) >= 2
    assert all(a[1] < b[0] for a, b in pairwise(boxes))


def test_layers_without_known_paths_have_no_live_bars():
    display = LayersDisplay(names=["a"], n_weights=[1000], n_nonzero=[20]).plot()
    assert display.live_bars_ is None
    assert display.labels_[0].get_text() == "20 (2 %)"
