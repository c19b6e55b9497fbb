"""Values of y, weights of rows and classes, and losses of every kind."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_iris, make_multilabel_classification
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor, losses

QUICK = {"alpha": 1e-3, "max_iter": 40, "random_state": 0}


def regressor(**settings):
    return SparseNetRegressor((8,), **{**QUICK, **settings})


def classifier(**settings):
    return SparseNetClassifier((8,), **{**QUICK, **settings})


@pytest.mark.parametrize("wrap", [list, pd.Series, pl.Series])
def test_labels_in_any_container(xy, wrap):
    X, y = xy
    labels = np.where(y > 0, "yes", "no")
    net = classifier().fit(X, wrap(labels.tolist()))
    assert_array_equal(net.predict(X), classifier().fit(X, labels).predict(X))


@pytest.mark.parametrize(
    "classes",
    [
        [0, 1],
        [1, 2],
        [-1.0, 1.0],
        [False, True],
        ["a", "b"],
        ["a", "b", "c"],
        [7, 3, 5],
    ],
)
def test_labels_of_any_type(classes):
    X, y = load_iris(return_X_y=True)
    y = y % len(classes)
    labels = np.array(sorted(classes))[y]
    net = classifier(max_iter=200).fit(X, labels)
    assert net.classes_.tolist() == sorted(classes)
    assert net.predict(X).dtype == labels.dtype
    coded = classifier(max_iter=200).fit(X, y)
    probabilities = net.predict_proba(X)
    assert_array_equal(probabilities, coded.predict_proba(X))
    best = net.classes_[probabilities.argmax(axis=1)]
    assert_array_equal(net.predict(X), best)
    assert_allclose(probabilities.sum(axis=1), 1)
    logs = net.predict_log_proba(X)
    assert_allclose(np.exp(logs), probabilities, rtol=1e-12)


def test_several_labels_sparse_or_dense_weighted_or_repeated():
    X, Y = make_multilabel_classification(80, 5, n_classes=4, random_state=0)
    net = classifier(max_iter=300).fit(X, Y)
    assert set(np.unique(net.predict(X))) <= {0, 1}
    assert net.predict(X).shape == net.predict_proba(X).shape == (80, 4)
    assert (net.predict(X) == Y).mean() > 0.7
    again = classifier(max_iter=300).fit(X, sparse.csr_matrix(Y))
    assert_array_equal(net.predict_proba(X), again.predict_proba(X))
    weight = np.arange(80) % 3
    rows = np.repeat(np.arange(80), weight)
    weighted = classifier().fit(X, Y, weight).predict_proba(X)
    repeated = classifier().fit(X[rows], Y[rows]).predict_proba(X)
    assert_allclose(weighted, repeated, atol=1e-7)


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "poisson"]
)
def test_weights_are_repetitions_whatever_the_loss(xy, loss):
    X, y = xy
    y = np.exp(y).round()
    weight = np.arange(60) % 4
    rows = np.repeat(np.arange(60), weight)
    weighted = regressor(loss=loss).fit(X, y, weight)
    repeated = regressor(loss=loss).fit(X[rows], y[rows])
    assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-7)
    assert_allclose(weighted.y_mean_, repeated.y_mean_)
    assert_allclose(weighted.loss_, repeated.loss_)


@pytest.mark.parametrize("batch_size", [9, 60])
def test_rows_without_weight_are_absent(xy, batch_size):
    """Also from batches, standardisation and the held-out part."""
    X, y = xy
    weight = (np.arange(60) % 3 > 0) * 1.0
    kept = weight > 0
    settings = {"batch_size": batch_size, "early_stopping": True}
    wild = np.where(kept, y, 1e9)
    net = regressor(**settings).fit(X, wild, weight)
    alone = regressor(**settings).fit(X[kept], y[kept])
    assert_array_equal(net.predict(X), alone.predict(X))
    assert net.validation_scores_ == alone.validation_scores_


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
def test_only_ratios_of_weights_count(xy, factor):
    X, y = xy
    weight = 1 + np.arange(60) % 4
    first = regressor().fit(X, y, weight).predict(X)
    second = regressor().fit(X, y, weight * factor).predict(X)
    assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(
    ("class_weight", "rare", "others"),
    [("balanced", 60 / (2 * 12), 60 / (2 * 48)), ({True: 5.0}, 5.0, 1.0)],
)
def test_class_weight_is_sample_weight(xy, class_weight, rare, others):
    X, _ = xy
    y = np.arange(60) % 5 == 0
    net = classifier(class_weight=class_weight).fit(X, y)
    weighted = classifier().fit(X, y, np.where(y, rare, others))
    assert_array_equal(net.predict_proba(X), weighted.predict_proba(X))
    assert net.predict_proba(X)[:, 1].mean() > 0.4


def test_balanced_classes_are_those_of_the_weighted_rows():
    X = np.random.default_rng(0).normal(size=(100, 4))
    y = np.arange(100) % 2
    weight = np.arange(100) % 3
    rows = np.repeat(np.arange(100), weight)
    net = SparseNetClassifier(
        (), class_weight="balanced", alpha=1e-3, max_iter=40, random_state=0
    )
    first = net.fit(X, y, weight).predict_proba(X)
    second = net.fit(X[rows], y[rows]).predict_proba(X)
    np.testing.assert_allclose(first, second, atol=1e-7)


@pytest.mark.parametrize(
    ("loss", "standardised"),
    [
        ("squared_error", True),
        ("absolute_error", True),
        ("huber", True),
        ("poisson", False),
        (losses.PoissonEmission(1.0), False),
        (nn.MSELoss(reduction="none"), False),
    ],
)
@pytest.mark.parametrize("asked", ["auto", False])
def test_which_targets_are_standardised(xy, loss, standardised, asked):
    X, y = xy
    y = 5 + np.abs(y)
    weight = 1 + np.arange(60) % 4
    net = regressor(loss=loss, normalize_y=asked).fit(X, y, weight)
    if asked == "auto" and standardised:
        mean = np.average(y, weights=weight)
        deviation = np.sqrt(np.average((y - mean) ** 2, weights=weight))
        assert_allclose([net.y_mean_, net.y_scale_], [[mean], [deviation]])
    else:
        assert_array_equal([net.y_mean_, net.y_scale_], [[0], [1]])


def test_a_users_loss_gets_a_standardised_target_when_asked(xy):
    X, y = xy
    seen = []

    def loss(output, target):
        seen.append(target)
        return (output - target) ** 2

    settings = {"loss": loss, "normalize_y": True, "batch_size": 60}
    net = regressor(**settings).fit(X, 1e3 + 50 * y)
    # The first call, on a few rows, tries the loss.
    assert abs(seen[1].mean()) < 1e-9
    assert float((seen[1] ** 2).mean()) == pytest.approx(1)
    assert seen[1].shape == (60, 1)
    assert net.predict(X).mean() == pytest.approx(1e3 + 50 * y.mean(), abs=10)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_each_output_in_a_unit_of_its_own(xy, scale):
    X, y = xy
    Y = np.column_stack([y, X[:, 2]])
    unit, origin = np.array([scale, 1 / scale]), np.array([-scale, 2 / scale])
    wanted = regressor().fit(X, Y)
    net = regressor().fit(X, origin + Y * unit)
    got = (net.predict(X) - origin) / unit
    assert got.shape == (60, 2)
    assert_allclose(got, wanted.predict(X), atol=1e-6)
    for mine, other in zip(net.coefs_, wanted.coefs_, strict=True):
        assert_allclose(mine, other, atol=1e-6)  # weights: never rescaled


def test_column_vectors_are_flattened_with_a_warning(xy):
    X, y = xy
    net = regressor()
    with pytest.warns(match="column-vector"):
        net.fit(X, y[:, None])
    assert net.predict(X).shape == (60,)


@pytest.mark.parametrize(
    "loss",
    [
        "squared_error", "absolute_error", "huber", losses.Huber(0.5),
        nn.SmoothL1Loss(reduction="none"),
    ],
)  # fmt: skip
def test_regression_losses_learn(xy, loss):
    X, y = xy
    assert regressor(loss=loss, max_iter=400).fit(X, y).score(X, y) > 0.6


@pytest.mark.parametrize("loss", ["poisson", losses.PoissonEmission(0.5)])
def test_counts(loss):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (200, 3))
    y = rng.poisson(1 + 6 * X[:, 0])
    net = regressor(loss=loss, max_iter=400).fit(X, y)
    assert (net.predict(X) >= 0).all()
    assert net.predict(X).mean() == pytest.approx(y.mean(), rel=0.05)


def test_one_bit_stands_flipped_labels():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    clean = X[:, 0] > 0
    noisy = clean ^ (rng.uniform(size=300) < 0.2)
    loss = losses.OneBit(0.2)
    net = SparseNetClassifier((), loss=loss, alpha=1e-4, random_state=0).fit(X, noisy)
    assert (net.predict(X) == clean).mean() > 0.95
    assert net.predict_proba(X).min() >= 0.2 - 1e-12
    assert SparseNetClassifier((), loss="one_bit", **QUICK).fit(X, noisy).n_iter_ > 0


def test_a_users_classification_loss_gets_probabilities():
    X, y = load_iris(return_X_y=True)
    loss = torch.nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)
    net = classifier(loss=loss).fit(X, y)
    assert_allclose(net.predict_proba(X).sum(axis=1), 1)
