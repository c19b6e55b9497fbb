"""The layers: what is drawn is what is left."""

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


def test_layers_without_known_paths_have_no_live_bars():
    display = LayersDisplay(names=["a"], n_weights=[1000], n_nonzero=[20]).plot()
    assert display.live_bars_ is None
    assert display.labels_[0].get_text() == "20 (2 %)"
