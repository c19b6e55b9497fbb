"""C in integers computes what its reference in NumPy does, near what floats give."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.deploy.integer_activations import LARGEST, Scaling, Table
from sklearn_sparsenet.deploy.integer_network import (
    IntegerNetwork,
    Width,
    exact_outputs,
)
from tests.estimators.tables import classification, fit_case, labels, regression
from tests.runtimes import COMPILERS, by_integers, compiled_bare


def wide():
    """Return more inputs, and more of them for a unit, than a byte can count."""
    X = np.random.default_rng(0).normal(size=(400, 300))
    return X, X.sum(axis=1)


CASES = {
    "regression": (SparseNetRegressor, {}, regression),
    "outputs": (SparseNetRegressor, {"activation": "tanh"}, lambda: regression(3)),
    "two classes": (
        SparseNetClassifier,
        {"activation": "leaky_relu"},
        lambda: classification(2),
    ),
    "classes": (SparseNetClassifier, {"activation": "silu"}, lambda: classification(4)),
    "labels": (SparseNetClassifier, {"activation": "logistic"}, labels),
    "identity": (SparseNetRegressor, {"activation": "identity"}, regression),
    "wide": (
        SparseNetRegressor,
        {"hidden_layer_sizes": (), "target_sparsity": 0.0},
        wide,
    ),
}
WIDTHS = {f"int{bits}": Width(bits) for bits in (8, 16)}


# Networks that have hardly learned, on few rows.
pytestmark = pytest.mark.filterwarnings("ignore:On .* calibration rows:UserWarning")


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    return fit_case(CASES[request.param], (30, 20), target_sparsity=120, max_iter=30)


def in_integers(net, X, dtype):
    return IntegerNetwork.of(net._compact_function("to_c"), WIDTHS[dtype], X)


def any_integers(network, n_inputs):
    """Return rows of all integers that there are, and the worst ones for each sum."""
    info = np.iinfo(network.width.c_type.removesuffix("_t"))
    rng = np.random.default_rng(0)
    rows = rng.integers(info.min, info.max, (200, n_inputs), info.dtype, endpoint=True)
    worst = np.zeros((len(network.layers[0].weight), n_inputs), info.dtype)
    worst[:, network.inputs.columns] = np.where(
        network.layers[0].weight > 0, info.max, info.min
    )
    return np.concatenate([rows, worst, np.full_like(rows[:2], info.min)])


@pytest.mark.skipif(not COMPILERS, reason="there is neither gcc nor clang")
@pytest.mark.parametrize("dtype", WIDTHS)
def test_c_computes_the_integers_of_the_reference(fitted, dtype, tmp_path):
    net, X = fitted
    network = in_integers(net, X, dtype)
    rows = any_integers(network, X.shape[1])
    expected = network.scores(rows)
    if isinstance(net, SparseNetClassifier) and expected.shape[1] == 1:
        expected = np.column_stack([np.zeros(len(rows), int), expected])
    source = net.to_c("recognise", dtype=dtype, calibration=X)
    for compiler in COMPILERS:
        function = compiled_bare(source, tmp_path, compiler, "recognise")
        scores, returned = by_integers(function, rows, expected.shape[1])
        assert_array_equal(scores, expected)
        if source.count("int recognise("):
            assert_array_equal(returned, expected.argmax(axis=1))


@pytest.mark.parametrize(("dtype", "tolerance"), [("int8", 0.05), ("int16", 2e-3)])
def test_outputs_are_near_those_of_floats(fitted, dtype, tolerance):
    net, X = fitted
    exact = exact_outputs(net._compact_function("to_c"), X)
    found = in_integers(net, X, dtype).outputs(X)
    assert_allclose(found, exact, atol=tolerance * np.ptp(exact))


@pytest.mark.parametrize("dtype", WIDTHS)
def test_no_sum_leaves_32_bits(fitted, dtype):
    net, X = fitted
    width = WIDTHS[dtype]
    largest = width.top + 1
    for layer in in_integers(net, 1e3 * X, dtype).layers:
        sums = np.abs(layer.weight).sum(axis=1) * largest + np.abs(layer.bias)
        assert sums.max() < LARGEST
        assert np.abs(layer.weight).max() <= width.top
        largest = width.top


def test_no_real_number_is_in_the_source(fitted):
    net, X = fitted
    source = net.to_c(dtype="int8", calibration=X)
    code = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    assert not re.search(r"float|double|\d\.|\.\d|[0-9]e[0-9-]", code)
    assert re.findall("#include.*", code) == ["#include <stdint.h>"]
    assert source == net.to_c(dtype="int8", calibration=X)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    settings = {"target_sparsity": 300, "random_state": 0, "max_iter": 100}
    return SparseNetClassifier((100,), **settings).fit(X[:900] / 16, y[:900]), X / 16, y


def test_digits_keep_their_accuracy(digits):
    net, X, y = digits
    network = in_integers(net, X[:900], "int8")
    found = network.scores(network.inputs(X[900:])).argmax(axis=1)
    assert np.mean(found == y[900:]) > net.score(X[900:], y[900:]) - 0.01
    assert network.inputs.is_common
    source = net.to_c(dtype="int8", calibration=X[:900])
    assert "value * 127, rounded" in source
    kept = sum(np.count_nonzero(layer.weight) for layer in network.layers)
    assert kept + network.n_dropped == 300
    assert f"Weights: {kept}; {network.n_dropped} more were rounded to zero" in source
    sizes = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4}
    n_bytes = sum(
        sizes[kind] * (values.count(",") + 1)
        for kind, values in re.findall(r"const (\w+)_t \w+\[\] = {([^}]*)}", source)
    )
    assert f"Flash: {n_bytes} bytes of constants" in source


def test_inputs_of_different_units_have_units_of_their_own():
    X, y = regression()
    scale, shift = np.geomspace(1e-4, 1e6, 20), np.linspace(-9, 9, 20)
    settings = {"target_sparsity": 60, "random_state": 0, "max_iter": 30}
    net = SparseNetRegressor((10,), **settings).fit(X, y)
    function = net._compact_function("to_c")
    first = next(m for m in function.network if isinstance(m, nn.Linear))
    used = function.network[0].index.numpy() if len(first.weight.T) < 20 else slice(20)
    with_units = first.weight.detach().numpy() / scale[used]
    bias = first.bias.detach().numpy() - with_units @ (scale * shift)[used]
    exact = exact_outputs(function, X)
    first.weight.data[:], first.bias.data[:] = map(first.weight.new, (with_units, bias))
    X = (X + shift) * scale
    network = IntegerNetwork.of(function, Width(8), X)
    assert not network.inputs.is_common
    assert_allclose(network.outputs(X), exact, atol=0.05 * np.ptp(exact))


def test_what_exceeds_the_range_is_clipped():
    X, y = regression()
    net = SparseNetRegressor((10,), target_sparsity=60, max_iter=30).fit(X, y)
    network = in_integers(net, X, "int8")
    assert np.abs(network.inputs(X)).max() == 127
    read = network.inputs(1e9 * X)[:, network.inputs.columns]
    assert set(np.abs(read).flat) == {127}


def test_integers_need_rows_to_go_by():
    X, y = classification(2)
    net = SparseNetClassifier((5,), target_sparsity=20, max_iter=5).fit(X, y)
    with pytest.raises(ValueError, match=r'dtype="int8" needs calibration=X'):
        net.to_c(dtype="int8")
    with pytest.raises(ValueError, match=r"'float', 'int8', 'int16'.*'int4'"):
        net.to_c(dtype="int4", calibration=X)
    with pytest.raises(ValueError, match="features"):
        net.to_c(dtype="int8", calibration=X[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        net.to_c(dtype="int8", calibration=np.where(X > 1, np.nan, X))
    with pytest.raises(ValueError, match="C's own library"):
        net.to_c("uint8_t")
    source = net.to_c(dtype="int16", calibration=X)
    assert net.to_c(dtype="int16", calibration=sparse.csr_array(X)) == source


def test_a_warning_tells_of_much_that_is_lost(digits):
    net, X, _ = digits
    of_two_sizes = np.concatenate([X, 1000 * X])
    with pytest.warns(UserWarning, match=r"classes change\. That is much") as caught:
        net.to_c(dtype="int8", calibration=of_two_sizes)
    assert caught[0].filename == __file__


def test_a_value_far_from_all_others_is_clipped(digits):
    net, X, _ = digits
    outlier = np.concatenate([X, 1000 * X[:1]])
    found = in_integers(net, outlier, "int8").outputs(X)
    exact = exact_outputs(net._compact_function("to_c"), X)
    assert_allclose(found, exact, atol=0.05 * np.ptp(exact))


@pytest.mark.skipif(not COMPILERS, reason="there is neither gcc nor clang")
def test_names_cannot_leave_their_comment(tmp_path):
    X, y = classification(2)
    names = ["*/ int a;", "/*", "??/", "größe\n*/", "back\\", '"', *map(str, range(14))]
    classes = np.array(["*/ #error", "no\r\n*\\\n/"])[(y == y[0]).astype(int)]
    table = pd.DataFrame(X, columns=names)
    net = SparseNetClassifier((5,), target_sparsity=0.0, max_iter=5)
    source = net.fit(table, classes).to_c(dtype="int8", calibration=table)
    for compiler in COMPILERS:
        compiled_bare(source, tmp_path, compiler)
    assert source.count("/*") == source.count("*/")
    assert r"'gr\xf6\xdfe\n\x2a/'" in source
    assert r"0: '\x2a/ #error'" in source


@pytest.mark.skipif(not COMPILERS, reason="there is neither gcc nor clang")
def test_a_constant_network_has_a_source(tmp_path):
    X, y = regression()
    net = SparseNetRegressor((5,), target_sparsity=30, max_iter=5).fit(X, y)
    for layer in net.module_.parameters():
        layer.data *= layer.ndim == 1
    source = net.to_c(dtype="int8", calibration=X)
    (compiler, *_) = COMPILERS
    function = compiled_bare(source, tmp_path, compiler)
    scores, _ = by_integers(function, np.zeros((1, 20), np.int8), 1)
    unit, shift = re.search(r"out\[0\] \* (\S+) \+ (\S+)", source).groups()
    assert_allclose(scores[0] * float(unit) + float(shift), net.predict(X[:1]))


@pytest.mark.skipif(not COMPILERS, reason="there is neither gcc nor clang")
def test_of_two_equal_scores_the_first_class_is_returned(tmp_path):
    X, y = classification(2)
    net = SparseNetClassifier((5,), target_sparsity=30, max_iter=5).fit(X, y)
    for layer in net.module_.parameters():
        layer.data *= 0
    source = net.to_c(dtype="int8", calibration=X)
    (compiler, *_) = COMPILERS
    function = compiled_bare(source, tmp_path, compiler)
    scores, returned = by_integers(function, np.zeros((1, 20), np.int8), 2)
    assert not scores.any()
    assert net.classes_[returned] == net.predict(X[:1])


@pytest.mark.parametrize("factor", [9.0, 0.3, 1e-3, 7e-8, 0.0])
@pytest.mark.parametrize("bound", [1000, 2**23, LARGEST])
def test_scaling_rounds_products(factor, bound):
    scaling = Scaling.of(factor, bound, 2**15 - 1)
    assert scaling.factor <= factor
    can_be = min(factor, 0.9) if bound > 2**23 else factor
    assert can_be - scaling.factor <= max(can_be * 2e-3, 2.0**-31)
    values = np.random.default_rng(0).integers(-bound, bound, 1000)
    found = scaling(values)
    exact = np.clip(values * scaling.factor, -(2**15) + 1, 2**15 - 1)
    # Half a unit, and what half of one before the product becomes.
    assert np.abs(found - exact).max() <= 0.5 + 0.5 * scaling.factor * 2**scaling.before
    assert_array_equal(scaling(-values), -found)
    assert (bound + 1) * scaling.multiplier >> scaling.before < 2**31


@pytest.mark.parametrize("top", [127, 2**15 - 1])
@pytest.mark.parametrize("function", [np.tanh, lambda v: v * (v > -1), np.zeros_like])
def test_a_table_tells_its_error(function, top):
    before = np.linspace(-5, 3, 100)
    table = Table.of(function, 1e-5, 2**20, before, top)
    assert len(table.values) <= 257
    assert np.abs(table(np.arange(-(2**20), 2**20, 99))).max() <= top
    values = np.arange(-500_000, 300_001, 7)
    exact = function(values * 1e-5) / table.unit
    error = np.abs(table(values) - exact).max()
    # It is read at the nearest of 2^16 places.
    steepest = np.abs(np.diff(function(before)) / np.diff(before)).max() / table.unit
    assert error <= table.error + 1 + steepest * 1e-5 / table.scaling.factor
    if function is np.tanh:
        assert table.error <= (2 if top == 127 else 20)
        assert f"wrong by {table.error} of {top}" in "".join(table.remarks())
