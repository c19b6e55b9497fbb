"""The display of stability selection."""

import matplotlib.colors
import numpy as np
import pytest

from sklearn_sparsenet import StabilityResult
from sklearn_sparsenet.plots import StabilityDisplay
from sklearn_sparsenet.plots.style import BLUE, GREY


def names_of(display):
    return [label.get_text() for label in display.ax_.get_yticklabels()]


def colours_of(display):
    return [matplotlib.colors.to_hex(bar.get_facecolor()) for bar in display.bars_]


def test_the_most_frequent_come_first_and_the_selected_in_blue(stability):
    display = StabilityDisplay.from_result(stability)
    order = np.argsort(-stability.frequencies, kind="stable")
    assert display.shown_.tolist() == order.tolist()
    assert names_of(display) == stability.feature_names[order].tolist()
    widths = [bar.get_width() for bar in display.bars_]
    assert widths == stability.frequencies[order].tolist()
    assert display.ax_.yaxis_inverted()
    n_selected = int(stability.selected.sum())
    assert 0 < n_selected < 10
    blue, grey = (matplotlib.colors.to_hex(colour) for colour in (BLUE, GREY))
    assert colours_of(display) == [blue] * n_selected + [grey] * (10 - n_selected)
    assert display.ax_.get_ylabel() == ""


def test_the_legend_tells_the_threshold_and_the_bound(stability):
    display = StabilityDisplay.from_result(stability, assumption="unimodal")
    assert display.threshold_line_.get_xdata()[0] == 0.75
    (text,) = display.ax_.get_legend().get_texts()
    n_selected = int(stability.selected.sum())
    assert text.get_text().startswith(f"threshold 0.75: {n_selected} selected")
    bound = stability.error_bound(assumption="unimodal")
    assert f"{bound:.2g}" in text.get_text()
    assert display.error_bound == bound


def test_without_a_bound_none_is_told():
    result = StabilityResult(np.array([0.6, 0.1]), 0.5, 5, np.array(["a", "b"]))
    display = StabilityDisplay.from_result(result)
    assert display.error_bound is None
    (text,) = display.ax_.get_legend().get_texts()
    assert text.get_text() == "threshold 0.5: 1 selected"


def test_of_many_inputs_the_first_are_shown(stability):
    display = StabilityDisplay.from_result(stability, max_features=3)
    assert len(display.bars_) == len(names_of(display)) == 3
    assert display.ax_.get_ylabel() == "the first 3 of 10 inputs"
    n_selected = int(stability.selected.sum())
    assert f": {n_selected} selected" in display.threshold_line_.get_label()
    with pytest.raises(ValueError, match="max_features=0 must be at least 1"):
        display.plot(max_features=0)
