"""The same seed gives the same bits; a fit leaves the process as it was."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.datasets import load_iris
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.utils.exceptions import NonFiniteLossError
from tests.comparisons import assert_same_arrays
from tests.processes import run_script

X, LABELS = load_iris(return_X_y=True)
X, LABELS = np.tile(X, (3, 1)), np.tile(LABELS, 3)  # so many that there are batches
X, Y = X[:, :3], X[:, 3]
QUICK = {"target_sparsity": 0.5, "tol": 0.2, "max_iter": 20, "batch_size": 64}


def dropout(n_features, n_outputs):
    return nn.Sequential(
        nn.Linear(n_features, 12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, n_outputs)
    )


def linear():
    """A layer with weights of its own, not drawn from anywhere."""
    layer = nn.Linear(3, 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, -0.3, 0.1]]))
        layer.bias.zero_()
    return layer


def predictions(seed, **settings):
    net = SparseNetRegressor((12,), **{**QUICK, "random_state": seed, **settings})
    return net.fit(X, Y).predict(X)


# So many rows that sums over them would be shared among threads and rounded otherwise.
SCRIPT = """
import numpy as np
from sklearn_sparsenet import SparseNetRegressor
X = np.random.default_rng(0).normal(size=(100_000, 3))
net = SparseNetRegressor(
    (3,), alpha=1e-3, max_iter=5, batch_size=len(X), random_state=0
)
bits = net.fit(X, X[:, 0]).predict(X[:50]).tobytes().hex()
"""


@pytest.mark.slow
def test_a_first_fit_loads_no_compiler_and_no_computer_algebra():
    """They would take longer than it; every worker of joblib has a first fit."""
    script = SCRIPT + "import sys; print({'sympy', 'torch._dynamo'} & {*sys.modules})"
    assert run_script(script).strip() == "set()"


@pytest.mark.slow
def test_any_setting_of_openmp():
    once, twice = (
        run_script(SCRIPT + "print(bits)", OMP_NUM_THREADS=n, MKL_NUM_THREADS=n)
        for n in "12"
    )
    assert once == twice != ""


def bits(seed, **settings):
    net = SparseNetClassifier((20,), **{**QUICK, "random_state": seed, **settings})
    net.fit(X, LABELS)
    layers = [p.detach().numpy() for p in net.module_.parameters()]
    return [net.predict_proba(X), *layers, net.alpha_, net.loss_curve_]


def assert_same(first, second):
    assert_same_arrays(first, second)


@pytest.mark.parametrize("module", [None, dropout])
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_any_number_of_jobs(backend, module):
    wanted = [bits(seed, module=module) for seed in (0, 1, 2)]
    with parallel_config(backend=backend, n_jobs=2):
        got = Parallel()(delayed(bits)(seed, module=module) for seed in (0, 1, 2))
    for a, b in zip(wanted, got, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads(threads):
    wanted = bits(0)
    torch.set_num_threads(threads)
    assert_same(bits(0), wanted)
    assert torch.get_num_threads() == threads


def test_the_global_generator_of_torch_has_no_part_in_it():
    kept = torch.get_rng_state()
    try:
        torch.manual_seed(1)
        first = predictions(0, module=dropout)
        torch.manual_seed(2)
        np.testing.assert_array_equal(predictions(0, module=dropout), first)
    finally:
        torch.set_rng_state(kept)


def test_a_default_dtype_of_torch_has_no_part_in_it():
    wanted = predictions(0)
    torch.set_default_dtype(torch.float64)
    try:
        np.testing.assert_array_equal(predictions(0), wanted)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_random_state_instance_moves_on():
    """As in all of scikit-learn: two fits with one instance differ."""
    state = np.random.RandomState(3)
    first = predictions(state)
    second = predictions(state)
    assert not np.array_equal(first, second)
    fresh = np.random.RandomState(3)
    np.testing.assert_array_equal(predictions(fresh), first)
    assert fresh.randint(10**9) != np.random.RandomState(3).randint(10**9)


@pytest.mark.parametrize("module", [None, nn.Linear(3, 3), dropout(3, 3)])
@pytest.mark.parametrize("fails", [False, True])
def test_global_state_is_left_alone(module, fails):
    def state():
        return (
            torch.get_rng_state().tolist(),
            np.random.get_state()[1].tolist(),  # noqa: NPY002
            np.random.get_state()[2],  # noqa: NPY002
            random.getstate(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
        )

    before = state()
    if fails:
        with pytest.raises(NonFiniteLossError):
            bits(0, module=module, loss=lambda output, target: output.sum(1) * np.nan)
    else:
        bits(0, module=module)
    assert state() == before


def test_no_seed_draws_from_numpys_global_state():
    drawn = []
    for seed in (7, 7, None):
        if seed:
            np.random.seed(seed)  # noqa: NPY002
        drawn.append(predictions(None))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2])  # the state has moved on


def test_shuffling_is_seeded_and_can_be_switched_off():
    def fit(seed, shuffle):
        return predictions(seed, shuffle=shuffle, module=linear(), alpha=1e-3)

    np.testing.assert_array_equal(fit(0, shuffle=True), fit(0, shuffle=True))
    np.testing.assert_array_equal(fit(0, shuffle=False), fit(1, shuffle=False))
    assert not np.array_equal(fit(0, shuffle=True), fit(1, shuffle=True))
    assert not np.array_equal(fit(0, shuffle=True), fit(0, shuffle=False))
    assert not np.array_equal(predictions(0), predictions(1))


def test_data_are_never_written_to():
    arrays = [X.copy(), LABELS.copy(), np.linspace(0, 2, len(X))]
    given = [array.copy() for array in arrays]
    for array in given:
        array.setflags(write=False)
    net = SparseNetClassifier((12,), class_weight="balanced", **QUICK, random_state=0)
    net.fit(*given).predict(given[0])
    assert_same_arrays(given, arrays)


def test_parameters_stay_as_they_were_given():
    module = nn.Linear(3, 3)
    given = {
        "hidden_layer_sizes": [12],
        "target_sparsity": {"weight": 0.5},
        "alpha_bounds": [1e-6, 1e-1],
        "module": module,
        "class_weight": {0: 1.0, 1: 2.0, 2: 0.5},
        "tol": 0.2,
        "max_iter": 10,
        "device": torch.device("cpu"),
        "dtype": np.float64,
        "random_state": np.random.RandomState(0),
    }
    net = SparseNetClassifier(**given)
    before = copy.deepcopy({k: v for k, v in given.items() if k != "module"})
    weights = {k: v.clone() for k, v in module.state_dict().items()}
    net.fit(X, LABELS)
    for name, value in given.items():
        assert getattr(net, name) is value
    del before["random_state"]
    assert before == {name: given[name] for name in before}
    assert all(torch.equal(weights[k], v) for k, v in module.state_dict().items())
    assert clone(net).get_params().keys() == net.get_params().keys()


def test_threads_are_as_before_also_when_fit_raises():
    torch.set_num_threads(2)
    with pytest.raises(ValueError, match="target_sparsity=1000000"):
        predictions(0, target_sparsity=10**6)
    assert torch.get_num_threads() == 2
    state, module = torch.get_rng_state(), nn.Identity()
    with pytest.raises(ValueError, match="module= has 3 outputs"):
        predictions(0, module=module)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2


class Skipping(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, inputs):
        return self.b(self.a(inputs).tanh()) + inputs[:, :1]


def skipping(n_features, n_outputs):
    return Skipping()


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def another_default_device():
    return torch.device("meta")


@pytest.mark.parametrize(
    "mode", [torch.no_grad, torch.inference_mode, autocast, another_default_device]
)
@pytest.mark.parametrize("module", [None, skipping])
def test_modes_of_the_callers_have_no_part_in_it(mode, module):
    """Nor in what is loaded: it can be trained on."""
    settings = {**QUICK, "target_sparsity": 2, "module": module, "dtype": "float32"}

    def fitted():
        return SparseNetRegressor((4,), **settings, random_state=0).fit(X, Y)

    wanted = fitted().predict(X)
    assert wanted.flags.writeable
    with mode():
        got = fitted()
        loaded = pickle.loads(pickle.dumps(got))
        np.testing.assert_array_equal(loaded.predict(X), wanted)
        if module is None:
            loaded.compact()
    loaded.module_(torch.zeros(2, 3)).sum().backward()
