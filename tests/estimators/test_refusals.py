"""More of what is refused: which error, what it names, and what it leaves alone."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from torch import nn

from sklearn_sparsenet import (
    BracketSearch,
    SparseNetClassifier,
    SparseNetRegressor,
    losses,
)

X = np.random.default_rng(0).normal(size=(30, 4))
Y = X[:, 0]
LABELS = np.arange(30) % 2


@pytest.fixture(autouse=True)
def _no_training(monkeypatch):
    def train(*args, **kwargs):
        raise AssertionError("training began")

    monkeypatch.setattr("sklearn_sparsenet.search.path.train", train)


# What is given, what must be in the message beside the name: a piece of what is
# accepted, and the value.
@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("hidden_layer_sizes", None, "array-like"),
        ("hidden_layer_sizes", 0, "int in the range"),
        ("hidden_layer_sizes", "100", "array-like"),
        ("activation", None, "'relu'"),
        ("module", 3, "callable"),
        ("tol", np.nan, "float in the range"),
        ("tol", "0.1", "float in the range"),
        ("max_outer_iter", 2.5, "int in the range"),
        ("min_layers_on_target", 0, "int in the range"),
        ("search", None, "'bracket'"),
        ("alpha", np.inf, "float in the range"),
        ("alpha", "strong", "array-like"),
        ("alpha_bounds", 1e-3, "array-like"),
        ("penalty", None, "'l1'"),
        ("penalize_bias", "no", "bool"),
        ("debias", "always", "'auto'"),
        ("solver", "lion", "'adam'"),
        ("learning_rate_init", -1.0, "float in the range"),
        ("learning_rate", "fast", "'cosine'"),
        ("batch_size", 2.5, "int in the range"),
        ("max_iter", "many", "'auto'"),
        ("kkt_tol", -1e-3, "float in the range"),
        ("shuffle", None, "bool"),
        ("early_stopping", 1.0, "bool"),
        ("validation_fraction", 0.0, "float in the range"),
        ("n_iter_no_change", 0, "int in the range"),
        ("normalize_y", None, "'auto'"),
        ("warm_start", "yes", "bool"),
        ("device", 0, "str"),
        ("random_state", 1.5, "RandomState"),
        ("verbose", -1, "int in the range"),
        ("loss", "mse", "'squared_error'"),
    ],
)
def test_values_of_the_wrong_kind(name, value, accepted):
    with pytest.raises(ValueError, match=f"'{name}' parameter") as refused:
        SparseNetRegressor(**{name: value}).fit(X, Y)
    assert accepted in str(refused.value)
    assert f"Got {value!r} instead" in str(refused.value)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (1, None, None),
        (1.0, ValueError, "target_sparsity=1.0"),
        (1.5, ValueError, "target_sparsity=1.5"),
        (5.0, ValueError, "target_sparsity=5.0"),
        (-0.5, ValueError, "target_sparsity=-0.5"),
        (np.True_, ValueError, "target_sparsity=np.True_"),
        (np.inf, ValueError, "target_sparsity=inf"),
        ({1, 2}, TypeError, "is not a target"),
        ([[1], [2]], TypeError, "layer '0.weight', which has 20 weights"),
        ([21, 3], ValueError, "layer '0.weight', which has 20 weights"),
        ([3, True], ValueError, "layer '2.weight', which has 5 weights"),
        ([3, None], TypeError, "layer '2.weight', which has 5 weights"),
        ([0.5, 1.0], ValueError, "layer '2.weight'.*int from 1 to 5"),
        ([0.5, 0.5, 0.5], ValueError, "has 3 entries.*'0.weight': 20, '2.weight': 5"),
        ({}, ValueError, "names no layer"),
        ({0: 3}, TypeError, "the key 0; keys are layer names"),
        ({"0.bias": 3}, ValueError, "'0.bias', which matches no layer"),
        ({"*": 21}, ValueError, "which has 20 weights"),
    ],
)
def test_impossible_targets_tell_how_many_weights_there_are(target, error, message):
    net = SparseNetRegressor((5,), target_sparsity=target)
    if error is None:  # the table's check of itself: this one does get to training
        error, message = AssertionError, "training began"
    with pytest.raises(error, match=message):
        net.fit(X, Y)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"alpha": {}}, ValueError, r"alpha=\{\}"),
        ({"alpha": {0: 1e-3}}, TypeError, "alpha has the key 0"),
        ({"alpha": {"9*": 1e-3}}, ValueError, "alpha has the key '9\\*'.*0.weight"),
        ({"alpha": [1e-3, np.inf]}, ValueError, "alpha=.*finite and not negative"),
        ({"alpha": {"*": -1e-3}}, ValueError, "alpha=.*finite and not negative"),
        ({"alpha_bounds": (0, 1e-2)}, ValueError, "alpha_bounds=.*low < high"),
        ({"alpha_bounds": (1e-7, np.inf)}, ValueError, "alpha_bounds=.*low < high"),
        ({"alpha_bounds": (np.nan, 1)}, ValueError, "alpha_bounds=.*low < high"),
        ({"alpha_bounds": ("low", "high")}, ValueError, "alpha_bounds=.*low < high"),
        ({"alpha_bounds": (1e-3, 1e-3)}, ValueError, "alpha_bounds=.*low < high"),
        (
            {"target_sparsity": [3, 3], "min_layers_on_target": 3},
            ValueError,
            "min_layers_on_target=3 exceeds the 2 layers",
        ),
        ({"dtype": "float16"}, ValueError, "dtype='float16'.*'auto', 'float32'"),
        ({"dtype": np.int32}, ValueError, "dtype=.*'auto', 'float32'"),
        ({"device": "gpu"}, ValueError, "device='gpu' is not available.*'auto'"),
        ({"hidden_layer_sizes": (True,)}, ValueError, "hidden_layer_sizes.*True"),
        ({"hidden_layer_sizes": [[3, 4]]}, ValueError, "hidden_layer_sizes"),
        (
            {"module": lambda p, k: nn.Sequential(nn.Flatten(), nn.ReLU())},
            ValueError,
            "module= has 4 outputs, y has 1 columns",
        ),
        (
            {"module": nn.Sequential(nn.Linear(4, 1).requires_grad_(False))},
            ValueError,
            "module= has no trainable parameter of two or more dimensions",
        ),
        (
            {"module": nn.Sequential(nn.Linear(4, 4), nn.Flatten(0))},
            ValueError,
            "module= must return outputs of shape",
        ),
        ({"module": nn.LSTM(4, 1)}, ValueError, "must return outputs of shape.*tuple"),
    ],
)
def test_values_that_do_not_fit(settings, error, message):
    with pytest.raises(error, match=message):
        SparseNetRegressor(**{"hidden_layer_sizes": (5,), **settings}).fit(X, Y)


@pytest.mark.parametrize("one", [SparseNetClassifier, SparseNetRegressor])
@pytest.mark.parametrize(
    ("X", "weight", "message"),
    [
        (sparse.csr_matrix(np.where(X > 2, np.nan, X)), None, "NaN"),
        (sparse.csc_matrix(np.where(X > 2, np.inf, X)), None, "infinity"),
        (np.where(X > 2, np.inf, X).astype(np.float32), None, "infinity"),
        (X + 0j, None, "Complex data"),
        (X[:-1], None, "inconsistent numbers of samples"),
        (np.array([["a", "b"]] * 30), None, "could not convert|numeric"),
        (X, np.ones((30, 2)), "Sample weights must be 1D|sample_weight"),
        (X, np.full(30, np.inf), "infinity"),
        (X, np.r_[-1e-9, np.ones(29)], "Negative"),
        (X, np.zeros(30), "weights? .*zero"),
    ],
)
def test_data_that_cannot_be(one, X, weight, message):
    with pytest.raises(ValueError, match=message):
        one().fit(X, LABELS, weight)


@pytest.mark.parametrize("loss", ["poisson", losses.PoissonEmission(1.0)])
def test_counts_are_not_negative(loss):
    with pytest.raises(ValueError, match="y >= 0"):
        SparseNetRegressor(loss=loss).fit(X, Y)
    with pytest.raises(AssertionError, match="training began"):
        SparseNetRegressor(loss=loss).fit(X, np.abs(Y))


def test_losses_of_the_other_estimator_are_unknown_names():
    with pytest.raises(ValueError, match=r"'loss' parameter.*'log_loss'"):
        SparseNetClassifier(loss="squared_error").fit(X, LABELS)
    with pytest.raises(ValueError, match="'loss' parameter"):
        SparseNetRegressor(loss="log_loss").fit(X, Y)


@pytest.mark.parametrize(
    ("y", "settings", "message"),
    [
        (np.where(LABELS, np.nan, 1.0), {}, "NaN"),
        (Y, {}, "Unknown label type"),
        (LABELS, {"module": nn.Linear(4, 3)}, "has 3 outputs; 2 classes need 1 or 2"),
        (LABELS, {"class_weight": {0: 0.0}}, "1 class"),
        (np.eye(3)[np.arange(30) % 3], {"module": nn.Linear(4, 2)}, "need 3"),
    ],
)
def test_labels_that_cannot_be(y, settings, message):
    with pytest.raises(ValueError, match=message):
        SparseNetClassifier(**settings).fit(X, y)


def test_more_dimensions_need_a_module():
    with pytest.raises(ValueError, match="dim 4"):
        SparseNetRegressor().fit(X.reshape(30, 1, 2, 2), Y)
    net = SparseNetRegressor(module=nn.Sequential(nn.Flatten(), nn.Linear(4, 1)))
    with pytest.raises(AssertionError, match="training began"):
        net.fit(X.reshape(30, 1, 2, 2), Y)


@pytest.mark.parametrize(
    ("option", "value"),
    [("rule", "mean"), ("stop", "never"), ("restart", "hot"), ("midpoint", "best")],
)
def test_options_of_the_search(option, value):
    with pytest.raises(ValueError, match=f"{option}='{value}'; accepted"):
        BracketSearch(**{option: value})


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
