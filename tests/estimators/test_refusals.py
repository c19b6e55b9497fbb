"""What cannot be is refused before any training, by an error that names it."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError
from torch import nn

from sklearn_sparsenet import (
    MCP,
    OnePassSearch,
    SparseNetClassifier,
    SparseNetRegressor,
    losses,
)

X = np.random.default_rng(0).normal(size=(30, 4))
Y = X[:, 0]
LABELS = np.arange(30) % 2
SOFTMAX = nn.CrossEntropyLoss(reduction="none")
THREE = np.arange(30) % 3
pytestmark = pytest.mark.usefixtures("no_training")
BEGAN = pytest.raises(AssertionError, match="training began")


FLOAT, INT = "float in the range", "int in the range"


# A piece of what is accepted, and values that are not.
@pytest.mark.parametrize(
    ("name", "accepted", "values"),
    [
        ("hidden_layer_sizes", "array-like", [None, "100"]),
        ("hidden_layer_sizes", INT, [0]),
        ("activation", "'relu'", [None, "step"]),
        ("module", "callable", [3]),
        ("tol", FLOAT, [np.nan, "0.1", -0.1]),
        ("max_outer_iter", INT, [2.5, 0]),
        ("min_layers_on_target", INT, [0]),
        ("search", "'bracket'", [None, "two_pass"]),
        ("alpha", FLOAT, [np.inf, -1.0]),
        ("alpha", "array-like", ["strong"]),
        ("alpha_bounds", "array-like", [1e-3]),
        ("penalty", "'l1'", [None, "l3"]),
        ("penalize_bias", "bool", ["no"]),
        ("debias", "'auto'", ["always"]),
        ("solver", "'adam'", ["lion"]),
        ("learning_rate_init", FLOAT, [-1.0, 0.0]),
        ("learning_rate", "'cosine'", ["fast"]),
        ("batch_size", INT, [2.5, 0]),
        ("max_iter", "'auto'", ["many", 0]),
        ("kkt_tol", FLOAT, [-1e-3]),
        ("shuffle", "bool", [None]),
        ("early_stopping", "bool", [1.0]),
        ("validation_fraction", FLOAT, [0.0, 1.0]),
        ("n_iter_no_change", INT, [0]),
        ("normalize_y", "'auto'", [None]),
        ("warm_start", "bool", ["yes"]),
        ("device", "str", [0]),
        ("random_state", "RandomState", [1.5, "x"]),
        ("verbose", INT, [-1]),
        ("loss", "'squared_error'", ["mse"]),
    ],
)
def test_values_of_the_wrong_kind(name, accepted, values):
    for value in values:
        with pytest.raises(ValueError, match=f"'{name}' parameter") as refused:
            SparseNetRegressor(**{name: value}).fit(X, Y)
        assert accepted in str(refused.value)
        assert f"Got {value!r} instead" in str(refused.value)


@pytest.mark.parametrize(
    "target", [True, np.True_, 0, -2, 26, -0.5, 1.0, 1.5, 5.0, float("nan"), np.inf]
)
def test_impossible_targets_tell_how_many_weights_there_are(target):
    with pytest.raises(ValueError, match=r"int from 1 to 25") as refused:
        SparseNetRegressor((5,), target_sparsity=target).fit(X, Y)
    assert f"target_sparsity={target!r}" in str(refused.value)
    assert "which has 25 weights" in str(refused.value)


@pytest.mark.parametrize("target", [1, 25, 0.0])
def test_possible_targets_get_to_training(target):
    with BEGAN:
        SparseNetRegressor((5,), target_sparsity=target).fit(X, Y)


FIRST, SECOND = "layer '0.weight', which has 20", "layer '2.weight', which has 5"


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("half", TypeError, "target_sparsity='half'"),
        (None, ValueError, "target_units are None: give one"),
        ({1, 2}, TypeError, "is not a target"),
        ([[1], [2]], TypeError, FIRST),
        ([21, 3], ValueError, FIRST),
        ([3, True], ValueError, SECOND),
        ([3, None], TypeError, SECOND),
        ([0.5, 1.0], ValueError, "layer '2.weight'.*int from 1 to 5"),
        ([0.5], ValueError, "has 1 entries.* 2 layers"),
        ([0.5, 0.5, 0.5], ValueError, "has 3 entries.*'0.weight': 20, '2.weight': 5"),
        ({}, ValueError, "names no layer"),
        ({0: 3}, TypeError, "the key 0; keys are layer names"),
        ({"0.bias": 3}, ValueError, "'0.bias', which matches no layer.*0.weight"),
        ({"*": 21}, ValueError, "which has 20 weights"),
    ],
)
def test_targets_that_do_not_fit_the_layers(target, error, message):
    with pytest.raises(error, match=message):
        SparseNetRegressor((5,), target_sparsity=target).fit(X, Y)


BOUNDS = "alpha_bounds=.*low < high"
STRENGTHS = "alpha=.*finite and not negative"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"alpha": [1e-3]}, ValueError, "alpha has 1 entries"),
        ({"alpha": {}}, ValueError, r"alpha=\{\}"),
        ({"alpha": {0: 1e-3}}, TypeError, "alpha has the key 0"),
        ({"alpha": {"9*": 1e-3}}, ValueError, "alpha has the key '9\\*'.*0.weight"),
        ({"alpha": [1e-3, -1]}, ValueError, STRENGTHS),
        ({"alpha": [1e-3, np.nan]}, ValueError, STRENGTHS),
        ({"alpha": [1e-3, np.inf]}, ValueError, STRENGTHS),
        ({"alpha": {"*": -1e-3}}, ValueError, STRENGTHS),
        ({"alpha_bounds": (0, 1e-2)}, ValueError, BOUNDS),
        ({"alpha_bounds": (1e-2, 1e-7)}, ValueError, BOUNDS),
        ({"alpha_bounds": (1e-7, np.inf)}, ValueError, BOUNDS),
        ({"alpha_bounds": (np.nan, 1)}, ValueError, BOUNDS),
        ({"alpha_bounds": ("low", "high")}, ValueError, BOUNDS),
        ({"alpha_bounds": (1e-3, 1e-3)}, ValueError, BOUNDS),
        ({"alpha_bounds": (1, 2, 3)}, ValueError, "alpha_bounds="),
        ({"min_layers_on_target": 1}, ValueError, "one target per layer"),
        (
            {"target_sparsity": [3, 3], "min_layers_on_target": 3},
            ValueError,
            "min_layers_on_target=3 exceeds the 2 layers",
        ),
        ({"dtype": "int8"}, ValueError, "dtype='int8'.*'auto', 'float32'"),
        ({"dtype": "wide"}, ValueError, "dtype='wide'"),
        ({"dtype": "float16"}, ValueError, "dtype='float16'.*'auto', 'float32'"),
        *(
            ({"dtype": dtype}, ValueError, "dtype=.*'auto', 'float32' or 'float64'")
            for dtype in (np.int32, "longdouble", "object", "str", [], None)
        ),
        ({"device": "cuda:77"}, ValueError, "device='cuda:77' is not available"),
        ({"device": "gpu"}, ValueError, "device='gpu' is not available.*'auto'"),
        ({"hidden_layer_sizes": (3, 0)}, ValueError, "hidden_layer_sizes must be > 0"),
        ({"hidden_layer_sizes": (3, 2.5)}, ValueError, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (True,)}, ValueError, "hidden_layer_sizes.*True"),
        ({"hidden_layer_sizes": [[3, 4]]}, ValueError, "hidden_layer_sizes"),
        ({"module": lambda p, k: "net"}, TypeError, "must return an nn.Module"),
        ({"loss": lambda output, target: 3}, ValueError, "return a Tensor; got 3"),
        ({"penalty": MCP}, TypeError, "is a class; make an object of it"),
        ({"search": OnePassSearch}, TypeError, "is a class; make an object of it"),
        ({"loss": losses.Poisson}, TypeError, "is a class; make an object of it"),
    ],
)
def test_values_that_do_not_fit(settings, error, message):
    with pytest.raises(error, match=message):
        SparseNetRegressor(**{"hidden_layer_sizes": (5,), **settings}).fit(X, Y)


FROZEN = nn.Linear(4, 1).requires_grad_(False)
SHAPE = "module= must return outputs of shape"


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(9, 1), "module= cannot take samples"),
        (nn.Linear(4, 3), "module= has 3 outputs"),
        (nn.Identity(), "module= has 4 outputs, y has 1 columns"),
        (nn.Sequential(FROZEN), "no weights to count"),
        (nn.Unflatten(1, (2, 2)), SHAPE),
        (nn.Sequential(nn.Linear(4, 4), nn.Flatten(0)), SHAPE),
        (nn.LSTM(4, 1), f"{SHAPE}.*tuple"),
    ],
)
@pytest.mark.parametrize("as_callable", [False, True])
def test_modules_that_do_not_fit(module, as_callable, message):
    net = SparseNetRegressor(module=(lambda p, k: module) if as_callable else module)
    with pytest.raises(ValueError, match=message):
        net.fit(X, Y)


def test_more_dimensions_need_a_module():
    net = SparseNetRegressor(module=nn.Sequential(nn.Flatten(), nn.Linear(4, 1)))
    for shape in ((30, 2, 2), (30, 1, 2, 2)):
        with pytest.raises(ValueError, match=f"dim {len(shape)}"):
            SparseNetRegressor().fit(X.reshape(shape), Y)
        with BEGAN:
            net.fit(X.reshape(shape), Y)


@pytest.mark.parametrize("one", [SparseNetClassifier, SparseNetRegressor])
@pytest.mark.parametrize(
    ("X", "weight", "message"),
    [
        (np.where(np.arange(4) == 2, np.nan, X), None, "NaN"),
        (sparse.csr_matrix(np.where(X > 2, np.nan, X)), None, "NaN"),
        (sparse.csc_matrix(np.where(X > 2, np.inf, X)), None, "infinity"),
        (np.where(X > 2, np.inf, X).astype(np.float32), None, "infinity"),
        (X + 0j, None, "Complex data"),
        (torch.ones(30, 2, requires_grad=True), None, "X: .*requires grad"),
        (X[:, 0], None, "2D array"),
        (X[:, :0], None, "0 feature"),
        (X[:0], None, "0 sample"),
        (X[:-1], None, "inconsistent numbers of samples"),
        (np.array([["a", "b"]] * 30), None, "could not convert|numeric"),
        (X, np.ones(3), "sample_weight.shape"),
        (X, np.ones((30, 2)), "Sample weights must be 1D|sample_weight"),
        (X, np.full(30, np.inf), "infinity"),
        (X, np.full(30, np.nan), "NaN"),
        (X, np.r_[-1e-9, np.ones(29)], "Negative"),
        (X, np.zeros(30), "weights? .*zero"),
    ],
)
def test_data_that_cannot_be(one, X, weight, message):
    with pytest.raises(ValueError, match=message):
        one().fit(X, LABELS, weight)


def test_targets_that_are_no_numbers_cannot_be():
    with pytest.raises(ValueError, match="NaN"):
        SparseNetRegressor().fit(X, np.where(Y > 0, np.nan, Y))


@pytest.mark.parametrize("loss", ["poisson", losses.PoissonEmission(1.0)])
def test_counts_are_not_negative(loss):
    with pytest.raises(ValueError, match="y >= 0"):
        SparseNetRegressor(loss=loss).fit(X, Y)
    with BEGAN:
        SparseNetRegressor(loss=loss).fit(X, np.abs(Y))


def test_losses_of_the_other_estimator_are_unknown_names():
    with pytest.raises(ValueError, match=r"'loss' parameter.*'log_loss'"):
        SparseNetClassifier(loss="squared_error").fit(X, LABELS)
    with pytest.raises(ValueError, match="'loss' parameter"):
        SparseNetRegressor(loss="log_loss").fit(X, Y)


@pytest.mark.parametrize(
    ("y", "weight", "settings", "message"),
    [
        (np.zeros(30), None, {}, "1 class"),
        (LABELS, LABELS, {}, "1 class"),
        (LABELS, None, {"class_weight": {0: 0.0}}, "1 class"),
        (np.where(LABELS, np.nan, 1.0), None, {}, "NaN"),
        (Y, None, {}, "Unknown label type"),
        (THREE, None, {"loss": "one_bit"}, "one_bit.*two classes"),
        (LABELS, None, {"module": nn.Linear(4, 3)}, "3 outputs; 2 classes need 1 or 2"),
        (THREE, None, {"module": nn.Linear(4, 2)}, "3 classes need 3"),
        (np.eye(3)[THREE], None, {"module": nn.Linear(4, 2)}, "need 3"),
        (np.column_stack([THREE, np.arange(30) % 4]), None, {}, "several outputs"),
        (LABELS, None, {"class_weight": "heavy"}, "'class_weight'"),
        (np.eye(2, 2)[LABELS], None, {"class_weight": {0: 1, 1: 2}}, "several labels"),
        # A softmax of one output is always 1.
        (LABELS, None, {"loss": SOFTMAX}, "does not depend on the outputs"),
        (LABELS, None, {"loss": losses.CrossEntropy()}, "not depend on the outputs"),
        (THREE, None, {"loss": losses.SquaredError()}, r"\(8, 3\) and targets \(8,\)"),
    ],
)
def test_labels_that_cannot_be(y, weight, settings, message):
    with pytest.raises(ValueError, match=message):
        SparseNetClassifier(**settings).fit(X, y, weight)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
def test_nothing_is_predicted_before_fit(method):
    net = SparseNetClassifier()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(net, method)(*(X, LABELS)[: 1 + (method == "score")])


def test_the_constructor_does_not_judge():
    """As all of scikit-learn: parameters are looked at by fit, and stay as given."""
    net = SparseNetRegressor(target_sparsity="nonsense", tol=-1, device="moon")
    assert net.get_params()["target_sparsity"] == "nonsense"
    assert net.set_params(tol=0.1).tol == 0.1


def test_labels_of_groups_that_have_no_order_are_refused():
    labels = np.array(["a", None] * 2, dtype=object)
    with pytest.raises(TypeError, match="input_groups must have labels of one kind"):
        SparseNetRegressor((3,), target_inputs=1, input_groups=labels).fit(X, Y)
