"""Fitted networks are made small without a change of what they predict."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from tests.comparisons import assert_same_arrays, pickled
from tests.estimators.tables import classification, fit_case, labels, regression

CASES = {
    "regression": (SparseNetRegressor, {}, regression),
    "outputs": (SparseNetRegressor, {"activation": "tanh"}, lambda: regression(3)),
    "two classes": (SparseNetClassifier, {}, lambda: classification(2)),
    "classes": (SparseNetClassifier, {"activation": "silu"}, lambda: classification(4)),
    "labels": (SparseNetClassifier, {}, labels),
    "single": (SparseNetRegressor, {}, lambda: regression(dtype=np.float32)),
    "per layer": (
        SparseNetClassifier,
        {"target_sparsity": [60, 30, 12]},
        lambda: classification(3),
    ),
}


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    return fit_case(CASES[request.param], (40, 30), target_sparsity=80, max_iter=20)


def outputs(net, X):
    return net.predict_proba(X) if hasattr(net, "predict_proba") else net.predict(X)


def assert_same_predictions(net, other, X, exact=True):
    wanted = outputs(other, X)
    rtol, atol = (1e-5, 1e-6) if X.dtype == np.float64 else (1e-4, 1e-4)
    rtol, atol = (0, 0) if exact else (rtol, atol * np.abs(wanted).max())
    assert_allclose(outputs(net, X), wanted, rtol=rtol, atol=atol)
    if hasattr(net, "classes_"):
        assert_array_equal(net.predict(X), other.predict(X))


def by_pytorch(net, X):
    """Let PyTorch run the network: the time of one that was touched is not known."""
    other = pickled(net)
    with torch.no_grad():
        next(other.module_.parameters()).add_(0.0)
    assert other.prediction_plan(1) is None
    return other


def test_both_routes_predict_the_same(fitted):
    net, X = fitted
    assert set(net.prediction_plan(len(X))) <= {"dense", "sparse"}
    assert_same_predictions(net, by_pytorch(net, X), X, exact=False)
    assert outputs(net, X).dtype == outputs(by_pytorch(net, X), X).dtype


class WithoutTorch(torch.overrides.TorchFunctionMode):
    """Lets nobody use a tensor, but look whether it was changed."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        looks = (torch.Tensor._version.__get__, torch.Tensor.device.__get__,
                 torch.Tensor.data_ptr)  # fmt: skip
        if function not in looks:
            raise AssertionError(f"{function} is PyTorch's")
        return function(*args)


@pytest.mark.parametrize("sparsify", [False, True])
def test_predictions_of_perceptrons_are_computed_without_pytorch(
    fitted, sparsify, monkeypatch
):
    net, X = fitted
    y, expected = net.predict(X), outputs(net, X)
    copy = pickled(net)
    if sparsify:
        copy.sparsify()
    copy.prediction_plan(1)  # the weights are read once
    with WithoutTorch():
        assert copy.score(X, y) == 1.0
        found = outputs(copy, X)
    assert_array_equal(found, expected)


def test_sparse_coefficients_and_pickles(fitted):
    net, X = fitted
    copy = pickled(net)
    dense = copy.coefs_
    assert copy.sparsify() is copy
    assert all(sparse.issparse(coef) for coef in copy.coefs_)
    for ours, theirs in zip(copy.coefs_, dense, strict=True):
        assert_array_equal(ours.toarray(), theirs)
    assert_same_predictions(copy, net, X)
    back = pickled(copy)
    assert_same_predictions(back, net, X)
    for name, value in net.module_.state_dict().items():
        assert torch.equal(back.module_.state_dict()[name], value)
    assert_same_arrays(back.penalized_coefs_, net.penalized_coefs_)
    assert isinstance(copy.densify().coefs_[0], np.ndarray)
    assert "_packed_" not in vars(copy)


def test_pickles_of_large_sparse_networks_shrink():
    X, y = load_digits(return_X_y=True)
    net = SparseNetClassifier((300, 300), target_sparsity=0.99, random_state=0)
    net.fit(X[:300] / 16, y[:300])
    before = len(pickle.dumps(net))
    assert len(pickle.dumps(net.sparsify())) < before / 10


def test_compact_networks_predict_the_same(fitted):
    net, X = fitted
    copy = pickled(net)
    assert copy.compact() is copy
    assert sum(c.size for c in copy.coefs_) < sum(c.size for c in net.coefs_)
    assert_same_predictions(copy, net, X, exact=False)
    assert_same_predictions(copy, by_pytorch(copy, X), X, exact=False)
    assert copy.n_nonzero_ <= net.n_nonzero_
    assert copy.n_live_ == net.n_live_
    assert copy.n_nonzero_ == sum(np.count_nonzero(c) for c in copy.coefs_)
    n_weights = sum(c.size for c in copy.coefs_)
    assert copy.sparsity_ == 1 - copy.n_nonzero_ / n_weights
    assert_array_equal(copy.support_, net.support_)
    assert copy.n_features_in_ == net.n_features_in_
    assert_same_predictions(pickled(copy.sparsify()), copy, X)
    assert_same_predictions(copy.compact(), net, X, exact=False)


def test_the_report_tells_what_is_left(fitted):
    net, _ = fitted
    report = net.sparsity_report()
    assert list(report["layer"]) == net.layer_names_
    assert list(report["n_nonzero"]) == list(net.n_nonzero_per_layer_)
    assert sum(report["n_live"]) == net.n_live_
    assert list(report["n_units"]) == [coef.shape[1] for coef in net.coefs_]
    compact = pickled(net).compact()
    assert list(report["n_live_units"]) == [c.shape[1] for c in compact.coefs_]
    assert list(compact.sparsity_report()["n_units"]) == list(report["n_live_units"])


def test_the_report_without_pandas(fitted, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    net, _ = fitted
    report = net.sparsity_report()
    assert isinstance(report, dict)
    assert len(report["layer"]) == 3


def test_a_network_that_was_changed_by_hand_predicts_what_it_is(fitted):
    net, X = fitted
    copy = pickled(net)
    with torch.no_grad():
        for parameter in copy.module_.parameters():
            parameter.zero_()
    assert len(np.unique(outputs(copy, X), axis=0)) == 1
    copy.module_ = net.module_
    assert_same_predictions(copy, net, X, exact=False)


@pytest.mark.parametrize("change", ["weights", "memory", "activation"])
def test_parts_that_were_replaced_are_used(change):
    X, y = regression()
    net = SparseNetRegressor((9,), max_iter=3, random_state=0).fit(X, y)
    net.predict(X)
    layer = net.module_[0]
    if change == "weights":
        layer.weight = nn.Parameter(2 * layer.weight.detach())
    elif change == "memory":
        layer.weight.data = 2 * layer.weight.data
    else:
        net.module_[1] = nn.Tanh()
    with torch.no_grad():
        outputs = net.module_(torch.tensor(X)).numpy()[:, 0]
    assert_allclose(net.predict(X), outputs * net.y_scale_ + net.y_mean_)


def test_sparse_inputs(fitted):
    net, X = fitted
    table = X * (X > 0.5)
    for convert in (sparse.csr_matrix, sparse.csc_array):
        assert_allclose(outputs(net, convert(table)), outputs(net, table))


def test_only_fitted_networks_can_be_made_small():
    net = SparseNetRegressor()
    for name in ("sparsify", "densify"):
        assert not hasattr(net, name)
    with pytest.raises(ValueError, match="not fitted"):
        net.compact()
    fitted = SparseNetRegressor((5,), max_iter=2, random_state=0).fit(*regression())
    assert hasattr(fitted, "sparsify")
    assert not hasattr(clone(fitted.sparsify()), "sparsify")
    assert isinstance(fitted.fit(*regression()).coefs_[0], np.ndarray)


def build(n_channels, n_outputs):
    return nn.Sequential(
        nn.Conv2d(n_channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(32, 30), nn.ReLU(), nn.Linear(30, n_outputs),
    )  # fmt: skip


def test_convolutional_networks_lose_channels():
    X, y = load_digits(return_X_y=True)
    X = (X[:300].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    net = SparseNetClassifier(
        module=build, target_sparsity=150, max_iter=15, random_state=0
    ).fit(X, y[:300])
    report = net.sparsity_report()
    before = net.predict_proba(X)
    n_weights = sum(p.numel() for p in net.module_.parameters())
    assert net.prediction_plan(10) is None
    net.compact()
    assert sum(p.numel() for p in net.module_.parameters()) < n_weights / 2
    assert_allclose(net.predict_proba(X), before, rtol=1e-4, atol=1e-5)
    units = [len(p) for p in net.module_.parameters() if p.ndim > 1]
    assert units == list(report["n_live_units"])
    assert_allclose(pickled(net.sparsify()).predict_proba(X), before,
                    rtol=1e-4, atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("n_rows", ["a", -1, 1.5])
def test_a_plan_is_for_a_number_of_rows(n_rows):
    net = SparseNetRegressor((3,), max_iter=2, random_state=0).fit(*regression())
    with pytest.raises(ValueError, match="n_rows must be"):
        net.prediction_plan(n_rows)


def test_a_network_that_cannot_be_compacted_says_so():
    def skip(n_features, n_outputs):
        return nn.Sequential(
            nn.Linear(n_features, 5), nn.Hardtanh(), nn.Linear(5, n_outputs)
        )

    net = SparseNetRegressor(module=skip, max_iter=2, random_state=0)
    net.fit(*regression())
    assert net.prediction_plan(3) is None
    assert net.sparsity_report()["n_live_units"].isna().all()
    with pytest.raises(TypeError, match="Hardtanh"):
        net.compact()
