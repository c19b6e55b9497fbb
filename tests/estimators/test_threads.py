"""All that computes does it on one thread, and every thread keeps what it had."""

import inspect
import pickle

import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import sklearn_sparsenet
from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
    compact,
    deploy,
    input_report,
    load,
    optimality,
    plots,
    save,
    sparsenet_path,
    stability_selection,
)
from sklearn_sparsenet.deploy import architecture, c_source, sparse_storage
from sklearn_sparsenet.estimators.penalized import penalized_problem
from sklearn_sparsenet.losses import SquaredError
from sklearn_sparsenet.networks import (
    compaction,
    paths,
    sparsity,
    stages,
    tracing,
)

pytest.importorskip("matplotlib").use("Agg")
X, LABELS = load_iris(return_X_y=True)
X, Y = X[:, :3] / X[:, :3].std(axis=0), X[:, 3]
QUICK = {"target_sparsity": 20, "tol": 0.2, "max_iter": 5, "random_state": 0}
SHAPE, NAMES = (3,), ["0.weight", "2.weight"]
GRADIENT = torch.linspace(-1, 1, 12)
LAYERS = [nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)) for _ in "ab"]


class Skipping(nn.Module):
    """No chain of layers: PyTorch computes its predictions."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.below = nn.Linear(n_features, 8)
        self.above = nn.Linear(8, n_outputs)
        self.beside = nn.Linear(n_features, n_outputs)

    def forward(self, inputs):
        return self.above(self.below(inputs).tanh()) + self.beside(inputs)


def absolute(output, target):
    return (output - target).abs().sum(1)


FOLDS = {"target_sparsities": [30, 20], "cv": 2}
KINDS = {
    "regressor": lambda: SparseNetRegressor((8,), **QUICK),
    "module": lambda: SparseNetRegressor(module=Skipping, **QUICK),
    "loss": lambda: SparseNetRegressor((8,), loss=absolute, **QUICK),
    "lbfgs": lambda: SparseNetRegressor((), solver="lbfgs", alpha=0.1, random_state=0),
    "classifier": lambda: SparseNetClassifier((8,), early_stopping=True, **QUICK),
    "regressor cv": lambda: SparseNetRegressorCV((8,), **FOLDS, max_iter=5),
    "classifier cv": lambda: SparseNetClassifierCV((8,), **FOLDS, max_iter=5),
}


@pytest.fixture(scope="module")
def nets():
    """Fitted estimators."""
    return {kind: make().fit(X, LABELS) for kind, make in KINDS.items()}


class Watch(TorchDispatchMode):
    """Notes what PyTorch computes on more than one thread."""

    def __init__(self):
        super().__init__()
        self.found, self.n_seen = set(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.n_seen += 1
        computes = not func.is_view and not str(func).startswith("aten.empty")
        if computes and torch.get_num_threads() != 1:
            self.found.add(str(func))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def watch():
    """Three threads outside; what is computed is watched."""
    torch.set_num_threads(3)
    with Watch() as watch:
        yield watch
    assert torch.get_num_threads() == 3


def test_the_watch_sees_what_is_computed_outside(watch):
    torch.zeros(3) + 1
    assert "aten.add.Tensor" in watch.found


# What each public name is called with.
METHODS = {
    "compact": (),
    "densify": (),
    "fit": (X, LABELS),
    "input_report": (),
    "onnx_converter": (),
    "onnx_parser": (),
    "onnx_shape_calculator": (),
    "partial_fit": (X, LABELS),
    "predict": (X,),
    "predict_log_proba": (X,),
    "predict_proba": (X,),
    "prediction_plan": (5,),
    "save": "file",
    "score": (X, LABELS),
    "search_report": (),
    "sparsify": (),
    "sparsity_report": (),
    "summary": (),
    "to_c": (),
    "to_module": (),
    "to_onnx": (),
}
OTHERS = ("set_callbacks", "set_fit_request", "set_partial_fit_request",
          "set_score_request")  # fmt: skip  # of scikit-learn


def public(kind):
    names = {name for name in dir(kind) if not name.startswith("_")}
    return sorted(names - {*dir(BaseEstimator), *OTHERS})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_methods_compute_on_one_thread(kind, nets, watch, tmp_path):
    for name in public(type(nets[kind])):
        net = pickle.loads(pickle.dumps(nets[kind]))
        given = (tmp_path / "net",) if name == "save" else METHODS.get(name)
        if given is None:
            assert isinstance(getattr(type(net), name), property), f"{name}: METHODS?"
        if name == "partial_fit":
            net.set_params(early_stopping=False)
        try:
            value = getattr(net, name)
            _ = value if given is None else value(*given)
        except (AttributeError, TypeError):
            # Not all modules can be exported, and some estimators need all rows.
            assert kind in ("module", "loss") or name == "partial_fit"
        assert not watch.found, name
    assert watch.n_seen


def calls(nets, path):
    """Return a call of each function that computes, or may come to."""
    net, module = nets["regressor"], nets["regressor"].module_
    packed = sparse_storage.pack_module(module)
    function = deploy.Function(module, SHAPE, SquaredError())
    return {
        "load": lambda: load(path),
        "sparsenet_path": lambda: sparsenet_path(
            clone(net), X, LABELS, target_sparsities=[30, 20]
        ),
        "input_report": lambda: input_report(net),
        "compact": lambda: compact(make_pipeline(StandardScaler().fit(X), net)),
        "save": lambda: save(net, path),
        "stability_selection": lambda: stability_selection(
            clone(net), X, LABELS, n_pairs=1
        ),
        "compact_module": lambda: compaction.compact_module(module, SHAPE),
        "has_hooks": lambda: stages.has_hooks(module),
        "leaves": lambda: list(stages.leaves(module)),
        "trace": lambda: tracing.trace(module, SHAPE),
        "pack": lambda: sparse_storage.pack(GRADIENT),
        "pack_module": lambda: sparse_storage.pack_module(module),
        "pack_solutions": lambda: sparse_storage.pack_solutions(
            module, {NAMES[0]: net.penalized_coefs_[0]}
        ),
        "strip_module": lambda: sparse_storage.strip_module(LAYERS[0]),
        "unpack_module": lambda: sparse_storage.unpack_module(LAYERS[1], packed),
        "build_from": lambda: architecture.build_from(architecture.describe(module)),
        "describe": lambda: architecture.describe(module),
        "count_per_input": lambda: paths.count_per_input(module, SHAPE),
        "fan_in": lambda: paths.fan_in(GRADIENT),
        "find_paths": lambda: paths.find_paths(module, NAMES, SHAPE),
        "live_weights": lambda: paths.live_weights(module, SHAPE),
        "weights_of": lambda: paths.weights_of(module),
        "count_nonzero": lambda: sparsity.count_nonzero(GRADIENT),
        "count_per_layer": lambda: sparsity.count_per_layer([GRADIENT]),
        "to_c": lambda: c_source.to_c(function),
        "to_onnx": lambda: deploy.to_onnx(function),
        "alpha_max": lambda: optimality.alpha_max(GRADIENT),
        "alpha_interval": lambda: optimality.alpha_interval(GRADIENT, 3),
        "certify": lambda: penalized_problem(net, X, LABELS).evaluate(),
        "gradient_magnitudes": lambda: optimality.gradient_magnitudes(GRADIENT),
        "is_sufficient": lambda: optimality.is_sufficient(GRADIENT, 1, 2, rtol=0.1),
        "sparsity_bound": lambda: optimality.sparsity_bound(GRADIENT, 0.5),
        "stationarity_residual": lambda: optimality.stationarity_residual(
            GRADIENT, GRADIENT, 0.5
        ),
        "FiltersDisplay": lambda: plots.FiltersDisplay.from_estimator(
            net, image_shape=(1, 3)
        ),
        "LayersDisplay": lambda: plots.LayersDisplay.from_estimator(net),
        "NetworkDisplay": lambda: plots.NetworkDisplay.from_estimator(net),
        "OptimalityDisplay": lambda: plots.OptimalityDisplay.from_estimator(
            net, X, LABELS
        ),
        "SearchDisplay": lambda: plots.SearchDisplay.from_estimator(net),
        "StabilityDisplay": lambda: plots.StabilityDisplay.from_result(
            stability_selection(clone(net), X, LABELS, n_pairs=1)
        ),
        "SparsityCurveDisplay": lambda: plots.SparsityCurveDisplay.from_estimator(
            nets["regressor cv"]
        ),
    }


ROOMS = (
    architecture,
    c_source,
    compaction,
    deploy,
    optimality,
    paths,
    plots,
    sparse_storage,
)
ROOMS += (sparsity,)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_functions_compute_on_one_thread(nets, watch, tmp_path):
    nets["regressor"].save(tmp_path / "net")
    known = calls(nets, tmp_path / "net")
    names = {
        name
        for room in (sklearn_sparsenet, *ROOMS)
        for name in room.__all__
        if room is plots or inspect.isfunction(getattr(room, name))
    }
    assert names <= known.keys()
    for name, call in known.items():
        call()
        assert not watch.found, name
