"""Filters: what is drawn is the first layer."""

import numpy as np
import pytest

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.plots import FiltersDisplay


def test_filters_are_the_kernels_of_live_units(convolution):
    display = FiltersDisplay.from_estimator(convolution)
    kernels = convolution.module_[0].weight.detach().numpy()
    np.testing.assert_array_equal(display.filters, kernels[display.units])
    image = display.image_.get_array()
    first = np.asarray(image[:3, :3])
    np.testing.assert_array_equal(first, display.filters[0, 0])
    shown = image[~np.ma.getmaskarray(image) & np.isfinite(image)]
    assert np.count_nonzero(shown) == np.count_nonzero(kernels[display.units])


def test_zero_is_neutral_and_small_weights_are_not(convolution):
    image = FiltersDisplay.from_estimator(convolution).image_
    low, high = image.get_clim()
    assert low == -high
    colours = image.cmap(image.norm([0.0, 0.01 * high, 0.01 * low]))[:, :3]
    assert np.ptp(colours[0]) == 0  # grey
    assert colours[1, 2] > colours[1, 0] + 0.1  # blue
    assert colours[2, 0] > colours[2, 2] + 0.1  # orange


@pytest.mark.parametrize("compact", [False, True])
def test_filters_of_a_linear_layer_have_the_shape_of_images(digits, compact):
    X, y = digits
    net = SparseNetClassifier((12,), target_sparsity=60, max_iter=20, random_state=0)
    net.fit(X, y)
    live = net.coefs_[0].any(axis=0) & net.coefs_[1].any(axis=1)
    expected = net.coefs_[0].T[live].reshape(-1, 1, 8, 8)
    if compact:
        net.compact()
    display = FiltersDisplay.from_estimator(net, image_shape=(8, 8))
    np.testing.assert_allclose(display.filters, expected)
    assert len(display.frames_) == live.sum()


def test_filters_beyond_a_limit_are_the_largest():
    filters = np.arange(1.0, 6).reshape(5, 1, 1, 1)
    display = FiltersDisplay(filters=filters, units=range(5), n_units=9)
    display.plot(max_units=2)
    assert len(display.frames_) == 2
    assert display.ax_.get_title() == "the 2 largest of 5 live units, of 9"
    assert np.nanmin(display.image_.get_array()) == 4


def test_filters_refuse_what_is_no_image(classifier):
    with pytest.raises(ValueError, match="image_shape must be"):
        FiltersDisplay.from_estimator(classifier)
    with pytest.raises(ValueError, match="image_shape must be"):
        FiltersDisplay.from_estimator(classifier, image_shape=8)
    with pytest.raises(ValueError, match="56 pixels, and a sample 64 features"):
        FiltersDisplay.from_estimator(classifier, image_shape=(7, 8))
    empty = FiltersDisplay(filters=np.zeros((0, 1, 3, 3)), units=[], n_units=4)
    with pytest.raises(ValueError, match="no live unit"):
        empty.plot()
