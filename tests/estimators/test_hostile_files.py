"""Files that were made to do harm are refused, with a checksum that is right.

A checksum tells of accidents; who forges a file computes it anew.
"""

import gc
import io
import json
import os
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from sklearn_sparsenet import MCP, SparseNetClassifier, SparseNetRegressor, load
from sklearn_sparsenet.estimators._stored import digest
from sklearn_sparsenet.utils.tensor_files import dump_tensors, read_tensors
from tests.comparisons import saved

X = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
IMAGES = np.random.default_rng(0).standard_normal((20, 1, 6, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def perceptron():
    y = np.array(["a", "b", "c"])[(X[:, 0] > 0) * 1 + (X[:, 1] > 0)]
    settings = {"target_sparsity": 12, "penalty": MCP(3.0), "max_iter": 3}
    return saved(SparseNetClassifier((6,), random_state=0, **settings).fit(X, y))


@pytest.fixture(scope="module")
def convolution():
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 1)
    )
    settings = {"target_sparsity": 9, "max_iter": 2, "random_state": 0}
    net = SparseNetRegressor(module=module, **settings)
    return saved(net.fit(IMAGES, IMAGES[:, 0, 0, 0]))


def forged(content, change=lambda document: None, change_arrays=lambda arrays: None):
    """Return the file with another document, or other arrays, and a right checksum."""
    metadata, arrays = read_tensors(io.BytesIO(content))
    document = json.loads(metadata["document"])
    change(document)
    change_arrays(arrays)
    text = json.dumps(document)
    metadata |= {"document": text, "sha256": digest(text, arrays)}
    return dump_tensors(arrays, metadata)


def put(path, value):
    """Return what sets an entry of a document."""

    def change(document):
        *above, last = path.split("/")
        for name in above:
            document = document[int(name) if isinstance(document, list) else name]
        document[int(last) if isinstance(document, list) else last] = value

    return change


def tagged(kind, *of):
    return {"!": kind, "of": list(of)}


def shape(*sizes):
    return tagged("tuple", *sizes)


def deep(n):
    nested = []
    for _ in range(n):
        nested = [nested]
    return nested


def huge_layer(document):
    """Consistent throughout, but for what it would cost an honest file."""
    document["recipe"][0]["out_features"] = 10**9
    document["recipe"][2]["in_features"] = 10**9
    document["weights"]["0.weight"]["of"]["shape"] = shape(10**9, 5)
    document["weights"]["0.bias"]["of"]["shape"] = shape(10**9)
    document["weights"]["2.weight"]["of"]["shape"] = shape(3, 10**9)


COEF = "attributes/penalized_coefs_/of/0/of/"
LAYER = "weights/0.weight/of/"
TEXTS = {"!": "strings", "dtype": "<U250000000", "of": ["a", "b", "c"]}
OF_PERCEPTRONS = {
    "shape": put(COEF + "shape", shape(0, 10**9)),
    "large shape": put(COEF + "shape", shape(10**5, 10**5)),
    "shape that overflows": put(COEF + "shape", shape(2**32, 2**32)),
    "negative shape": put(COEF + "shape", shape(-5, -6)),
    "shape of floats": put(COEF + "shape", shape(5.0, 6)),
    "gaps": put(LAYER + "gaps", {"!": "array", "key": "1"}),
    "places of itself": put(LAYER + "places_of", "0.weight"),
    "places of another shape": put(LAYER + "places_of", "2.weight"),
    "places of nothing": put(COEF + "places_of", "1.weight"),
    "array used twice": put(COEF + "values", {"!": "array", "key": "1"}),
    "huge layer": huge_layer,
    "huge recipe": put("recipe/0/in_features", 10**9),
    "many layers": put("recipe", [{"name": "ReLU"}] * 5000),
    "selection": put("recipe/1", {"name": "SelectInputs", "n_kept": 10**10}),
    "other layer": put("recipe/1", {"name": "Softmax"}),
    "argument": put("recipe/1/device", "cuda"),
    "recipe of names": put("recipe", "Linear"),
    "wide texts": put("attributes/classes_", TEXTS),
    "type of an array": put(COEF + "values/dtype", "<U100000000"),
    "nesting": put("params/target_sparsity", deep(900)),
    "integer": put("attributes/n_iter_", "1" * 10),
    "nothing": put("attributes/classes_", None),
    "classes": put("attributes/classes_/of", ["a", "b"]),
    "names of features": put("attributes/n_features_in_", 4),
    "sample": put("attributes/_sample_shape", shape(6)),
    "outputs": put("attributes/_n_outputs_asked", 2),
    "layer names": put("attributes/layer_names_/of/0", "1.weight"),
    "method": put("attributes/predict", 1),
    "class": put("attributes/__class__", "x"),
    "route": put("attributes/_route_", None),
    "callbacks": put("attributes/_skl_callbacks", tagged("list")),
    "module": put("attributes/module_", None),
    "estimator": put("class", "Pipeline"),
    "estimator of another kind": put("class", "SparseNetRegressor"),
    "checkpoint": put("params/checkpoint", "/tmp/x"),
    "module parameter": put("params/module", "x"),
    "unknown parameter": put("params/no_parameter", 1),
    "impossible parameter": put("params/tol", -1),
    "bounds": put("params/alpha_bounds", shape(1, 0)),
    "hidden layers": put("params/hidden_layer_sizes", shape(2.5)),
    "precision": put("params/dtype", "float16"),
    "device": put("params/device", "no device"),
    "field": put("params/penalty/of/gamma", "x"),
    "field that is not finite": put("params/penalty/of/gamma", float("nan")),
    "unknown field": put("params/penalty/of/separable", True),
    "object with more": put("params/penalty/gamma", 3.0),
    "loss": put("attributes/_loss_", {"!": "object", "class": "L1", "of": {}}),
    "background": put(
        "attributes/_loss_",
        {"!": "object", "class": "PoissonEmission", "of": {"background": shape(1, 2)}},
    ),
    "unknown part": put("more", 1),
    "parts": put("weights", []),
}
OF_CONVOLUTIONS = {
    "padding": put("recipe/0/padding", [10**6, 10**6]),
    "negative padding": put("recipe/0/padding", [-1, -1]),
    "padding of pools": put("recipe/2/padding", 2),
    "stride": put("recipe/2/stride", 10**9),
    "no stride": put("recipe/2/stride", 0),
    "text for a number": put("recipe/2/kernel_size", "2"),
    "mode": put("recipe/0/padding_mode", "x"),
    "pool": put(
        "recipe/2", {"name": "AdaptiveAvgPool2d", "output_size": [10**6, 10**6]}
    ),
    "flatten": put("recipe/3/start_dim", 2),
    "sample": put("attributes/_sample_shape", shape(1, 5, 6)),
    "no module": put("had_module", False),
    "scale": put("attributes/y_scale_", {"!": "strings", "dtype": "O", "of": ["x"]}),
}


def refuse(content, times=2):
    """Load what is refused, in so many times its memory (and what objects take)."""
    state = torch.get_rng_state()
    gc.collect()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="no file of save") as refusal:
            load(io.BytesIO(content))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < times * len(content) + 2**21
    assert torch.equal(state, torch.get_rng_state())
    return str(refusal.value)


@pytest.mark.parametrize("change", OF_PERCEPTRONS.values(), ids=OF_PERCEPTRONS)
def test_forged_perceptrons_are_refused(perceptron, change):
    refuse(forged(perceptron, change))


@pytest.mark.parametrize("change", OF_CONVOLUTIONS.values(), ids=OF_CONVOLUTIONS)
def test_forged_networks_are_refused(convolution, change):
    refuse(forged(convolution, change))


def test_what_was_not_forged_is_not_refused(perceptron, convolution):
    """The forger does no more than it is told."""
    for content, rows in ((perceptron, X), (convolution, IMAGES)):
        found = load(io.BytesIO(forged(content))).predict(rows)
        assert_array_equal(found, load(io.BytesIO(content)).predict(rows))


def test_arrays_that_nothing_refers_to_are_refused(perceptron):
    def add(arrays):
        arrays["more"] = np.zeros(3)

    assert "does not say what" in refuse(forged(perceptron, change_arrays=add))


def test_sparse_weights_must_be_paid_for(convolution):
    """Layers without biases could be as large as anybody likes."""
    keys = []

    def change(document):
        wide = 3 * 10**7
        document["recipe"] = [
            {"name": "Flatten", "start_dim": 1, "end_dim": -1},
            {"name": "Linear", "in_features": 36, "out_features": wide, "bias": False},
            {"name": "Linear", "in_features": wide, "out_features": 1, "bias": False},
        ]
        first_bias, first, last_bias, last = document["weights"].values()
        keys.extend(part["of"]["values"]["key"] for part in (first_bias, last_bias))
        first["of"]["shape"], last["of"]["shape"] = shape(wide, 36), shape(1, wide)
        document["weights"] = {"1.weight": first, "2.weight": last}

    def remove(arrays):
        for key in keys:
            del arrays[key]

    assert "far larger than the file" in refuse(forged(convolution, change, remove))


def packed(content, length=None, method="zlib", more=b""):
    """Return a file that holds another one, compressed."""
    stored = np.frombuffer((zlib.compress(content, 9) + more)[:length], np.uint8)
    version = {"format": "sklearn_sparsenet", "format_version": "2"}
    return dump_tensors({"file": stored}, version | {"compression": method})


COMPRESSED = {
    "bomb": lambda content: packed(bytes(10**8)),
    "bomb that begins well": lambda content: packed(content + bytes(10**8)),
    "bomb in a file": lambda content: packed(packed(content + bytes(10**7))),
    "twice": lambda content: packed(packed(content)),
    "cut": lambda content: packed(content, length=-5),
    "more": lambda content: packed(content, more=b"x"),
    "more inside": lambda content: packed(content + b"x"),
    "other method": lambda content: packed(content, method="lzma"),
    "nothing": lambda content: packed(b"", length=0),
    "other file": lambda content: packed(b"no file of ours at all, but text"),
}


@pytest.mark.parametrize("forge", COMPRESSED.values(), ids=COMPRESSED)
def test_forged_compression_is_refused(perceptron, forge):
    assert load(io.BytesIO(packed(perceptron))).n_nonzero_ == 12
    refuse(forge(perceptron), times=20)


def header(text, data=b""):
    return len(text).to_bytes(8, "little") + text + data


ENTRY = b'{"0":{"dtype":"F32","shape":[%s],"data_offsets":[0,%s]}}'
HEADERS = {
    "empty": b"",
    "long": (2**62).to_bytes(8, "little") + b"{}",
    "longer than the file": (10**8).to_bytes(8, "little") + b"{}",
    "nested": header(b"[" * 10**5),
    "many objects": header(b"[" + b"{}," * 10**6 + b"{}]"),
    "many digits": header(b"1" * 10**5),
    "large": header(ENTRY % (b"1000000000", b"4000000000"), bytes(8)),
    "negative": header(ENTRY % (b"-1,-2", b"8"), bytes(8)),
    "beyond": header(ENTRY % (b"1", b"8"), bytes(8)),
    "of floats": header(ENTRY % (b"2.0", b"8"), bytes(8)),
    "twice": header(b'{"__metadata__":{},"__metadata__":{}}'),
    "other type": header(ENTRY.replace(b"F32", b"C64") % (b"1", b"8"), bytes(8)),
    "no texts": header(b'{"__metadata__":{"format":1}}'),
    "no text": header(b"\xff\xfe"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_forged_headers_are_refused(name):
    refuse(HEADERS[name])


def test_what_is_no_file_is_not_read(tmp_path, perceptron):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe"):
        with pytest.raises(ValueError, match="device or a pipe"):
            load(path)
    with pytest.raises(IsADirectoryError, match="is a directory"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")
    for other in (3, None, io.StringIO("x")):
        with pytest.raises(TypeError, match=r"path or an object|binary mode"):
            load(other)
    (tmp_path / "more").write_bytes(perceptron + b"x")
    with pytest.raises(ValueError, match="follows its end"):
        load(tmp_path / "more")


def test_files_of_the_first_format_are_read():
    path = Path(__file__).parent.parent / "data" / "classifier_of_format_1.safetensors"
    net = load(path)
    assert list(net.classes_) == ["maybe", "no", "é"]
    pandas = pytest.importorskip("pandas")
    found = net.predict_proba(pandas.DataFrame(X[:1], columns=list("abcde")))
    assert_allclose(found, [[0.19666006, 0.38217428, 0.42116567]], rtol=1e-6)
