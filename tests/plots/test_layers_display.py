"""The layers: what is drawn is what is left."""

from itertools import pairwise

import matplotlib.pyplot as plt
import pytest

from sklearn_sparsenet.plots import LayersDisplay


def test_bars_begin_at_0_and_add_up_to_what_is_left(classifier):
    display = LayersDisplay.from_estimator(classifier)
    report = classifier.sparsity_report()
    live, rest = display.live_bars_, display.rest_bars_
    assert [bar.get_width() for bar in live] == list(report["n_live"])
    assert [bar.get_x() for bar in live] == [0] * len(live)
    assert [bar.get_x() for bar in rest] == [bar.get_width() for bar in live]
    ends = [bar.get_x() + bar.get_width() for bar in rest]
    assert ends == list(report["n_nonzero"])
    assert display.ax_.get_xscale() == "linear"
    assert display.ax_.get_xlim()[0] == 0
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == classifier.layer_names_
    assert "60 of 768 (7.81 %), " in display.labels_[0].get_text()


def test_bars_of_weights_that_lead_nowhere():
    display = LayersDisplay(names=["a", "b"], n_weights=[9, 9], n_nonzero=[5, 0],
                            n_live=[2, 0]).plot()  # fmt: skip
    assert [(bar.get_x(), bar.get_width()) for bar in display.rest_bars_] == [
        (2, 3), (0, 0),
    ]  # fmt: skip
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["live", "not live"]


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
    assert display.labels_[0].get_text() == "20 of 1,000 (2 %)"
    assert [bar.get_width() for bar in display.rest_bars_] == [20]
    assert display.ax_.get_legend().get_texts()[0].get_text() == "nonzero"
