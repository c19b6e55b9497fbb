"""Exported networks predict what the estimator predicts, in other runtimes."""

import re
import subprocess
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from torch import nn

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    losses,
)
from sklearn_sparsenet.deploy import onnx_by_torch
from sklearn_sparsenet.deploy.c_parts import check_name
from sklearn_sparsenet.deploy.sparse_storage import Packed
from sklearn_sparsenet.networks.activations import ACTIVATIONS
from sklearn_sparsenet.optimality import Certificate
from tests.comparisons import pickled
from tests.estimators import tables
from tests.estimators.tables import fit_case
from tests.runtimes import HAS_COMPILER, by_c, by_onnxruntime, compiled

regression = partial(tables.regression, dtype=np.float32)
classification = partial(tables.classification, dtype=np.float32)
labels = partial(tables.labels, dtype=np.float32)


def counts():
    X, y = regression()
    return X, np.random.default_rng(0).poisson(np.exp(y / np.abs(y).max()))


DATES = np.array(["2024-02-29", "2025-01-01"], dtype="datetime64[D]")
FLIPS = {"loss": losses.OneBit(0.2)}
LINEAR = {"hidden_layer_sizes": ()}
CASES = {
    "regression": (SparseNetRegressor, {}, regression),
    "double": (SparseNetRegressor, {}, tables.regression),
    "outputs": (SparseNetRegressor, {}, lambda: regression(3)),
    "counts": (SparseNetRegressor, {"loss": "poisson"}, counts),
    "two classes": (SparseNetClassifier, {}, lambda: classification(2)),
    "numbers": (SparseNetClassifier, {}, lambda: classification(2, names=int)),
    "classes": (SparseNetClassifier, {}, lambda: classification(4)),
    "labels": (SparseNetClassifier, {}, labels),
    "linear": (SparseNetClassifier, LINEAR, lambda: classification(3)),
    "chosen": (
        SparseNetClassifierCV,
        {"target_sparsities": [60, 40], "cv": 2},
        lambda: classification(3),
    ),
    "flips": (SparseNetClassifier, FLIPS, lambda: classification(2)),
    "emission": (
        SparseNetRegressor,
        {"loss": losses.PoissonEmission((3.0, 0.0))},
        lambda: (counts()[0], np.stack([counts()[1]] * 2, axis=1)),
    ),
    "dates": (
        SparseNetClassifier,
        {},
        lambda: (classification(2)[0], DATES[classification(2, names=int)[1]]),
    ),
    **{
        f"{activation} {precision}": (
            SparseNetRegressor,
            {"activation": activation},
            make,
        )
        for activation in ACTIVATIONS
        for precision, make in (("", regression), ("in double", tables.regression))
    },
}


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    return fit_case(CASES[request.param], (25, 20), target_sparsity=40, max_iter=10)


def predictions(net, X):
    if isinstance(net, SparseNetRegressor):
        values = net.predict(X)
        return values[:, None] if values.ndim == 1 else values
    return net.predict_proba(X)


def tolerance(expected):
    return {"rtol": 1e-4, "atol": 1e-5 * np.abs(expected).max()}


def test_a_module_for_pytorch(fitted):
    net, X = fitted
    module = net.to_module()
    expected = predictions(net, X)
    with torch.no_grad():
        assert_allclose(module(torch.tensor(X)), expected, **tolerance(expected))
    program = torch.export.export(
        module, (torch.tensor(X[:7]),), dynamic_shapes=({0: torch.export.Dim("n")},)
    )
    exported = program.module()(torch.tensor(X)).detach()
    assert_allclose(exported, expected, **tolerance(expected))
    before = net.coefs_[0].copy()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert_array_equal(net.coefs_[0], before)


@pytest.mark.parametrize("sparse_initializers", [False, True])
def test_onnx(fitted, sparse_initializers, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    net, X = fitted
    path = tmp_path / "net.onnx"
    model = net.to_onnx(path, sparse_initializers=sparse_initializers)
    assert path.read_bytes() == model.SerializeToString()
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for rows in (X, X[:1]):
        results = dict(zip(names, session.run(None, {"X": rows}), strict=True))
        expected = predictions(net, rows)
        kind = "predictions" if isinstance(net, SparseNetRegressor) else "probabilities"
        assert results[kind].dtype == expected.dtype
        assert_allclose(results[kind], expected, **tolerance(expected))
        if "label" in results:
            label = net.predict(rows)
            is_date = label.dtype.kind == "M"
            assert_array_equal(
                results["label"], label.astype(str) if is_date else label
            )
    is_single = isinstance(net, SparseNetClassifier) and net.classes_.ndim == 1
    assert ("label" in names) == (is_single and not net._multilabel)


@pytest.mark.skipif(not HAS_COMPILER, reason="there is no C compiler")
def test_c_source(fitted, tmp_path):
    net, X = fitted
    forecast = compiled(net.to_c("forecast"), tmp_path, "forecast")
    expected = predictions(net, X)
    assert_allclose(by_c(forecast, X, expected.shape), expected, **tolerance(expected))


def build(n_channels, n_outputs):
    return nn.Sequential(
        nn.Conv2d(n_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(32, 30), nn.Softplus(2.0),
        nn.Linear(30, n_outputs),
    )  # fmt: skip


def fit_to_images(module, **settings):
    X, y = load_digits(return_X_y=True)
    X = (X[:200].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    net = SparseNetClassifier(module=module, random_state=0, **settings)
    return net.fit(X, y[:200]), X


@pytest.fixture(scope="module")
def images():
    return fit_to_images(build, target_sparsity=400, max_iter=10)


@pytest.mark.parametrize("sparse_initializers", [False, True])
def test_convolutional_networks(images, sparse_initializers):
    net, X = images
    probabilities, label = by_onnxruntime(
        net, X, sparse_initializers=sparse_initializers
    )
    expected = net.predict_proba(X)
    assert_allclose(probabilities, expected, **tolerance(expected))
    assert_array_equal(label, net.predict(X))
    with torch.no_grad():
        assert_allclose(
            net.to_module()(torch.tensor(X)), expected, **tolerance(expected)
        )
    with pytest.raises(TypeError, match="multilayer perceptrons"):
        net.to_c()


def test_convolutional_networks_in_double(images):
    """Which onnxruntime has not: the layers are in single precision there."""
    X = images[1].astype(np.float64)
    y = np.arange(200) % 10
    net = SparseNetClassifier(
        module=build, target_sparsity=400, max_iter=2, random_state=0
    ).fit(X, y)
    probabilities, label = by_onnxruntime(net, X)
    expected = net.predict_proba(X)
    assert probabilities.dtype == expected.dtype == np.float64
    assert_allclose(probabilities, expected, **tolerance(expected))
    assert_array_equal(label, net.predict(X))


def conv(*layers, size):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Tanh(), *layers, nn.Flatten(), nn.Linear(size, 10)
    )


@pytest.mark.parametrize(
    "module",
    [
        conv(nn.MaxPool2d(3, padding=1, ceil_mode=True), size=36),
        conv(nn.MaxPool2d(2, stride=1, dilation=2), size=64),
        conv(nn.AvgPool2d(3, padding=1, count_include_pad=False), size=16),
        conv(nn.Conv2d(4, 4, (1, 3), padding="same", dilation=(1, 2)), size=144),
        conv(nn.Conv2d(4, 4, 3, padding="valid", bias=False), size=64),
        conv(nn.BatchNorm2d(4, affine=False), size=144),
        conv(nn.AdaptiveAvgPool2d(1), size=4),
        conv(nn.AdaptiveMaxPool2d((1, 1)), size=4),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Softplus(2.0, 0.5),
                      nn.Linear(8, 10)),
    ],
)  # fmt: skip
def test_options_of_layers_are_exported(module):
    """Also to files, and through pickles."""
    net, X = fit_to_images(module, target_sparsity=0.0, max_iter=1)
    expected = net.predict_proba(X)
    probabilities, _ = by_onnxruntime(net, X)
    assert_allclose(probabilities, expected, **tolerance(expected))
    assert_array_equal(pickled(net).predict_proba(X), expected)


@pytest.mark.parametrize(
    "module",
    [
        conv(nn.AvgPool2d(2, divisor_override=3), size=36),
        conv(nn.AvgPool2d(4, ceil_mode=True), size=16),
        conv(nn.AdaptiveAvgPool2d(2), size=16),
        conv(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), size=144),
        conv(nn.Flatten(2), size=144),
    ],
)
def test_options_that_onnx_has_not_are_refused(module, monkeypatch):
    """Where PyTorch's exporter is not installed, which may know them."""
    pytest.importorskip("onnx")
    monkeypatch.setattr(onnx_by_torch, "find_spec", lambda name: None)
    net, _ = fit_to_images(module, target_sparsity=0.0, max_iter=1)
    with pytest.raises(TypeError, match="to_module"):
        net.to_onnx()


@pytest.mark.skipif(not HAS_COMPILER, reason="there is no C compiler")
def test_perceptrons_as_modules_in_c(tmp_path):
    X, y = classification(3)
    layers = [nn.Linear(20, 8), nn.GELU("tanh"), nn.Linear(8, 3)]
    settings = {"target_sparsity": 0.0, "max_iter": 5, "random_state": 0}
    net = SparseNetClassifier(module=nn.Sequential(*layers), **settings).fit(20 * X, y)
    expected = net.predict_proba(20 * X)
    found = by_c(compiled(net.to_c(), tmp_path), 20 * X, expected.shape)
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    layers.insert(1, nn.Tanh())
    net = SparseNetClassifier(module=nn.Sequential(*layers), **settings).fit(X, y)
    with pytest.raises(TypeError, match="GELU is not part of one at this place"):
        net.to_c()


@pytest.mark.skipif(not HAS_COMPILER, reason="there is no C compiler")
@pytest.mark.parametrize("header", ["math.h", "stdint.h"])
def test_no_function_has_a_name_that_its_headers_take(header):
    """It would not compile, or be called instead."""

    def preprocessed(source, *options):
        command = ["cc", "-E", "-x", "c", *options, "-"]
        done = subprocess.run(
            command, input=source, check=True, capture_output=True, text=True
        )
        return done.stdout

    source, macro = f"#include <{header}>\n", re.compile(r"#define (\w+)")
    taken = set(macro.findall(preprocessed(source, "-dM")))
    taken -= set(macro.findall(preprocessed("", "-dM")))  # of the compiler
    taken |= set(re.findall(r"\b(\w+) \(", preprocessed(source)))
    taken = [name for name in taken if not name.startswith("_")]
    assert len(taken) > 50
    for name in taken:
        with pytest.raises(ValueError, match="no name of a C function"):
            check_name(name)


def test_what_cannot_be_exported_is_refused_with_advice():
    X, y = classification(2)
    own = torch.nn.SoftMarginLoss(reduction="none")
    net = SparseNetClassifier((5,), loss=own, max_iter=2, random_state=0).fit(X, y)
    expected = net.predict_proba(X)
    with torch.no_grad():
        assert_allclose(
            net.to_module()(torch.tensor(X)), expected, **tolerance(expected)
        )
    for export in (net.to_c, net.to_onnx):
        with pytest.raises(TypeError, match="to_module"):
            export()
    for name in ("a b", "größe", "double", "expf", "tanh", "log2f", "main"):
        with pytest.raises(ValueError, match="no name of a C function"):
            SparseNetRegressor((5,), max_iter=2).fit(X, X[:, 0]).to_c(name)
    net = SparseNetRegressor((5,), max_iter=2).fit(X, 1e42 * X[:, 0].astype(float))
    with pytest.raises(ValueError, match="single precision"):
        net.to_c()
    for method in ("to_c", "to_onnx", "to_module"):
        with pytest.raises(ValueError, match="not fitted"):
            getattr(SparseNetClassifier(), method)()


def test_skops(fitted, tmp_path):
    """What skops has to be told to trust is what the documentation says."""
    skops = pytest.importorskip("skops.io")
    net, X = fitted
    path = tmp_path / "net.skops"
    skops.dump(net, path)
    unknown = skops.get_untrusted_types(file=path)
    kinds = (type(net), type(net._loss_), Certificate, Packed)
    assert set(unknown) == {f"{kind.__module__}.{kind.__name__}" for kind in kinds}
    again = skops.load(path, trusted=unknown)
    assert_array_equal(predictions(again, X), predictions(net, X))


@pytest.mark.parametrize("change", ["sparsify", "compact"])
def test_skops_trusts_no_more_for_small_networks(change, tmp_path):
    skops = pytest.importorskip("skops.io")
    X, y = regression()
    net = SparseNetRegressor((25, 20), target_sparsity=40, max_iter=5, random_state=0)
    data = skops.dumps(getattr(net.fit(X, y), change)())
    kinds = (type(net), type(net._loss_), Certificate, Packed)
    trusted = [f"{kind.__module__}.{kind.__name__}" for kind in kinds]
    assert_array_equal(skops.loads(data, trusted=trusted).predict(X), net.predict(X))


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": torch.float32, "device": torch.device("cpu")},
        {"dtype": np.float32},
        {"hidden_layer_sizes": np.array([5, 4]), "kkt_tol": np.float64(0.5)},
    ],
)
def test_skops_loads_the_parameters_that_it_dumps(settings):
    skops = pytest.importorskip("skops.io")
    X, y = regression()
    settings = {"hidden_layer_sizes": (5,), "random_state": 0, **settings}
    net = SparseNetRegressor(activation="tanh", max_iter=10, **settings).fit(X, y)
    data = skops.dumps(net)
    unknown = skops.get_untrusted_types(data=data)
    assert all(name.startswith("sklearn_sparsenet.") for name in unknown)
    again = skops.loads(data, trusted=unknown)
    assert repr(again) == repr(net)
    assert_array_equal(again.fit(X, y).predict(X), net.predict(X))


LABELS = {
    "int8": np.array([-3, 7], np.int8),
    "negative": np.array([-(2**60), -1]),
    "unsigned": np.array([2**63 + 5, 2**63 + 9], np.uint64),
    "booleans": np.array([False, True]),
    "single": np.array([1, 3], np.float32),
    "half": np.array([1, 3], np.float16),
    "texts": np.array(["", "größe 雪 🐈"]),
    "objects": np.array([np.str_("a"), "b\0c"], dtype=object),
    "durations": np.array([3, 5], "m8[D]"),
    "halves of characters": np.array(["\ud800", "b"]),
    "long double": np.array([1, 2], np.longdouble),
}
REFUSED = {"durations", "halves of characters", "long double"}


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_those_of_predict_or_refused(name):
    X, y = classification(2, names=int)
    net = SparseNetClassifier((5,), max_iter=2, random_state=0).fit(X, LABELS[name][y])
    if name in REFUSED:
        with pytest.raises(TypeError, match="classes_ of type"):
            net.to_onnx()
        return
    _, label = by_onnxruntime(net, X)
    expected = net.predict(X)
    assert label.dtype == (object if expected.dtype.kind == "U" else expected.dtype)
    assert_array_equal(label, expected)


def test_joblib(fitted, tmp_path):
    import joblib

    net, X = fitted
    joblib.dump(net, tmp_path / "net")
    assert_array_equal(joblib.load(tmp_path / "net").predict(X), net.predict(X))
    assert_array_equal(pickled(net).predict(X), net.predict(X))
