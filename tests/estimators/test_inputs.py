"""Kinds of input, modules, weights and losses."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from torch import nn

from sklearn_sparsenet import (
    DataScaleWarning,
    SparseNetClassifier,
    SparseNetRegressor,
    losses,
)
from sklearn_sparsenet.utils.runtime import forked_random_state

QUICK = {"alpha": 1e-3, "max_iter": 40, "random_state": 0}


@pytest.fixture(scope="module")
def xy():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    X[np.abs(X) < 0.5] = 0
    return X, X[:, 0] - X[:, 1] ** 2


def fitted(X, y, **settings):
    return SparseNetRegressor((8,), **{**QUICK, **settings}).fit(X, y)


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.csr_array,
        pd.DataFrame,
        pl.DataFrame,
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("batch_size", [60, 7])
def test_every_container_gives_the_same_bits(
    xy, convert, at_once, batch_size, convert_at_once
):
    X, y = xy
    wanted = fitted(X, y, batch_size=batch_size).predict(X)
    if not at_once:
        convert_at_once(0)
    table = convert(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # polars has no string columns
        net = fitted(table, y, batch_size=batch_size)
        np.testing.assert_array_equal(net.predict(table), wanted)


def test_memory_maps_give_the_same_bits(xy, tmp_path, convert_at_once):
    X, y = xy
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    wanted = fitted(X, y, batch_size=7).predict(X)
    convert_at_once(0)
    np.testing.assert_array_equal(
        fitted(mapped, y, batch_size=7).predict(mapped), wanted
    )


def test_names_of_columns_are_kept(xy):
    X, y = xy
    frame = pd.DataFrame(X, columns=list("abcd"))
    net = fitted(frame, y)
    assert net.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame[list("dcba")])


@pytest.mark.parametrize(
    ("X_dtype", "dtype", "wanted"),
    [
        (np.float64, "auto", np.float64),
        (np.float32, "auto", np.float32),
        (np.int64, "auto", np.float64),
        (np.float64, "float32", np.float32),
        (np.float32, torch.float64, np.float64),
    ],
)
def test_floating_types(xy, X_dtype, dtype, wanted):
    X, y = (xy[0] * 3).astype(X_dtype), xy[1]
    net = fitted(X, y, dtype=dtype)
    assert net.predict(X).dtype == wanted
    assert net.coefs_[0].dtype == wanted


def test_weights_are_repetitions_and_zero_is_absence(xy):
    X, y = xy
    weight = np.arange(60) % 4
    weighted = SparseNetRegressor((8,), **QUICK).fit(X, y, weight)
    rows = np.repeat(np.arange(60), weight)
    repeated = SparseNetRegressor((8,), **QUICK).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-7)
    y_wild = np.where(weight == 0, 1e6, y)
    again = SparseNetRegressor((8,), **QUICK).fit(X, y_wild, weight)
    np.testing.assert_array_equal(again.predict(X), weighted.predict(X))


def test_class_weight_is_sample_weight():
    X, y = load_iris(return_X_y=True)
    weight = np.where(y == 1, 5.0, 1.0)
    first = SparseNetClassifier((8,), class_weight={1: 5.0}, **QUICK).fit(X, y)
    second = SparseNetClassifier((8,), **QUICK).fit(X, y, weight)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    keep = np.arange(150) < 110
    balanced = SparseNetClassifier((), class_weight="balanced", **QUICK)
    plain = SparseNetClassifier((), **QUICK)
    share = [
        n.fit(X[keep], y[keep]).predict_proba(X)[:, 2].mean() for n in (balanced, plain)
    ]
    assert share[0] > share[1]


def test_outputs_of_every_kind(xy):
    X, y = xy
    both = fitted(X, np.column_stack([y, -y, X[:, 3]]))
    assert both.predict(X).shape == (60, 3)
    labels = np.where(y > 0, "spam", "ham")
    net = SparseNetClassifier((8,), **QUICK).fit(X, labels)
    assert net.classes_.tolist() == ["ham", "spam"]
    assert set(net.predict(X)) <= {"ham", "spam"}
    assert net.predict_proba(X).shape == (60, 2)
    np.testing.assert_allclose(
        np.exp(net.predict_log_proba(X)), net.predict_proba(X), rtol=1e-12
    )
    X, Y = make_multilabel_classification(80, 5, n_classes=4, random_state=0)
    several = SparseNetClassifier((8,), alpha=1e-3, random_state=0).fit(X, Y)
    assert several.predict(X).shape == several.predict_proba(X).shape == (80, 4)
    assert (several.predict(X) == Y).mean() > 0.7


def test_column_vectors_are_flattened_with_a_warning(xy):
    X, y = xy
    net = SparseNetRegressor((8,), **QUICK)
    with pytest.warns(match="column-vector"):
        net.fit(X, y[:, None])
    assert net.predict(X).shape == (60,)


@pytest.mark.parametrize(
    "loss",
    [
        "squared_error",
        "absolute_error",
        "huber",
        losses.Huber(0.5),
        torch.nn.SmoothL1Loss(reduction="none"),
    ],
)
def test_regression_losses_learn(xy, loss):
    X, y = xy
    net = fitted(X, y, loss=loss, max_iter=400)
    assert net.score(X, y) > 0.6


@pytest.mark.parametrize("loss", ["poisson", losses.PoissonEmission(0.5)])
def test_counts(loss):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (200, 3))
    y = rng.poisson(1 + 6 * X[:, 0])
    net = fitted(X, y, loss=loss, max_iter=400)
    assert (net.predict(X) >= 0).all()
    assert net.predict(X).mean() == pytest.approx(y.mean(), rel=0.05)
    assert (net.y_mean_, net.y_scale_) == (0, 1)


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
    net = SparseNetClassifier((8,), loss=loss, **QUICK).fit(X, y)
    np.testing.assert_allclose(net.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8])
def test_y_in_any_unit(xy, scale):
    X, y = xy
    wanted = fitted(X, y).predict(X)
    got = fitted(X, 3 * scale + y * scale).predict(X)
    np.testing.assert_allclose((got - 3 * scale) / scale, wanted, atol=1e-6)


def test_columns_of_different_scale_are_told(xy):
    X, y = xy
    with pytest.warns(DataScaleWarning, match="StandardScaler"):
        fitted(X * [1, 1, 1, 1e5], y)
    with pytest.warns(DataScaleWarning, match="StandardScaler"):
        fitted(sparse.csr_matrix(X * [1, 1, 1, 1e5]), y)


class Net(nn.Module):
    """A convolutional network with dropout and batch normalisation."""

    def __init__(self, n_channels=1, n_outputs=10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(n_channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(36, n_outputs)

    def forward(self, x):
        return self.head(self.drop(self.features(x).flatten(1)))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("as_instance", [True, False])
def test_images(dtype, as_instance, convert_at_once):
    X, y = load_digits(return_X_y=True)
    images = X[:400].reshape(-1, 1, 8, 8).astype(dtype)
    module = Net
    if as_instance:
        with forked_random_state(0, torch.device("cpu")):
            module = Net()
        before = {k: v.clone() for k, v in module.state_dict().items()}
    convert_at_once(0)
    net = SparseNetClassifier(
        module=module,
        target_sparsity={"features*": 20, "*": 150},
        tol=0.1,
        max_iter=12,
        dtype="float32",
        random_state=0,
    ).fit(images, y[:400])
    assert net.layer_names_ == ["features.0.weight", "head.weight"]
    assert net.converged_
    assert net.score(images, y[:400]) > 0.5
    assert net.support_.shape == (1, 8, 8)
    assert 0 < net.n_live_ <= net.n_nonzero_
    with pytest.raises(AttributeError, match="module_"):
        _ = net.coefs_
    if as_instance:
        assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_two_classes_take_one_output_or_two(xy, n_outputs):
    X, y = xy
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, n_outputs))
    net = SparseNetClassifier(module=module, **QUICK).fit(X, y > 0)
    assert net.predict_proba(X).shape == (60, 2)
    assert net.score(X, y > 0) > 0.5


def test_a_modules_weights_are_the_starting_point(xy):
    X, y = xy
    module = nn.Linear(4, 1).double()
    net = SparseNetRegressor(
        module=module, alpha=0.0, max_iter=1, learning_rate_init=1e-12, random_state=0
    ).fit(X, y)
    torch.testing.assert_close(net.module_.weight, module.weight)
    assert net.module_ is not module


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (lambda X: X + 100, "means of up to"),
        (lambda X: X * 1e4, "standard deviations from"),
        (lambda X: X * 1e-4, "standard deviations from"),
    ],
)
def test_columns_far_from_zero_or_from_unit_scale_are_told(move, said):
    X = np.random.default_rng(0).normal(size=(60, 3))
    net = SparseNetRegressor(
        (3,), target_sparsity=6, max_iter=2, weight_decay=0.0, random_state=0
    )
    with pytest.warns(DataScaleWarning, match=said):
        net.fit(move(X), X[:, 0])


def test_a_column_that_rarely_changes_is_not_told_of():
    X = np.random.default_rng(0).normal(size=(60, 3))
    X[:, 2] = -0.1
    X[0, 2] = -0.11
    net = SparseNetRegressor((3,), target_sparsity=6, max_iter=2, random_state=0)
    net.fit(X, X[:, 0])
