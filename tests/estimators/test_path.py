"""`sparsenet_path`: exact counts in one run, and a path of one is a fit."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import Lasso
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_sparsenet import (
    BracketSearch,
    SparseNetClassifier,
    SparseNetRegressor,
    SparseNetRegressorCV,
    sparsenet_path,
)
from sklearn_sparsenet.solvers.run import Run
from tests.comparisons import assert_same_arrays
from tests.faults import interrupted


@pytest.fixture
def net():
    return SparseNetRegressor((20,), tol=0, max_iter=100, random_state=0)


def test_counts_are_exact_and_from_dense_to_sparse(net, diabetes):
    path = sparsenet_path(net, *diabetes, target_sparsities=[20, 0.5, 40])
    assert path.targets == [110, 40, 20]
    assert path.n_nonzeros.tolist() == [110, 40, 20]
    assert [point.n_live_ for point in path.estimators] == [110, 40, 20]
    assert [point.target_sparsity for point in path.estimators] == [0.5, 40, 20]


def test_the_estimator_is_not_changed(net, diabetes):
    before = clone(net).get_params()
    sparsenet_path(net, *diabetes, target_sparsities=[40, 20])
    assert net.get_params() == before
    with pytest.raises(NotFittedError):
        check_is_fitted(net)


def test_a_path_of_one_is_a_fit(net, diabetes):
    path = sparsenet_path(net, *diabetes, target_sparsities=[30])
    fitted = net.set_params(target_sparsity=30).fit(*diabetes)
    (point,) = path.estimators
    assert_same_arrays(point.coefs_, fitted.coefs_)
    assert path.alphas.tolist() == [fitted.alpha_]
    assert path.kkt_residuals.tolist() == [fitted.kkt_residual_]
    assert path.n_iters.tolist() == [fitted.n_iter_]


def test_points_do_not_share_memory(net, diabetes):
    path = sparsenet_path(net, *diabetes, target_sparsities=[40, 20])
    dense, sparse = path.estimators
    kept = sparse.predict(diabetes[0])
    for parameter in dense.module_.parameters():
        parameter.data.zero_()
    np.testing.assert_array_equal(sparse.predict(diabetes[0]), kept)


def test_later_points_are_cheap(net, diabetes):
    path = sparsenet_path(net, *diabetes, target_sparsities=12)
    assert len(path.n_iters) == 12
    assert path.n_iters[1:].sum() <= 3 * path.n_iters[0]


def test_scores_are_those_of_the_points(diabetes):
    X, y = load_digits(return_X_y=True)
    X, weight = X / 16, np.where(y > 4, 2.0, 1.0)
    net = SparseNetClassifier((20,), tol=0, max_iter=10, random_state=0)
    held_out = {"X_test": X[500:], "y_test": y[500:], "sample_weight": weight[:500]}
    path = sparsenet_path(
        net, X[:500], y[:500], target_sparsities=[200, 100], **held_out
    )
    points = path.estimators
    assert path.train_scores.tolist() == [
        point.score(X[:500], y[:500], weight[:500]) for point in points
    ]
    assert path.test_scores.tolist() == [p.score(X[500:], y[500:]) for p in points]
    assert [coefs[0].shape for coefs in path.coefs] == [(64, 20)] * 2


def test_a_grid_of_alphas(net, diabetes):
    path = sparsenet_path(net, *diabetes, alphas=[0.3, 0.003, 0.03])
    assert path.targets is None
    assert path.alphas.tolist() == [0.003, 0.03, 0.3]
    assert (np.diff(path.n_nonzeros) < 0).all()
    assert [point.alpha for point in path.estimators] == [0.003, 0.03, 0.3]


def test_targets_per_layer(net, diabetes):
    path = sparsenet_path(net, *diabetes, target_sparsities=[(30, 5), (60, 10)])
    assert path.targets == [(60, 10), (30, 5)]
    counts = [point.n_nonzero_per_layer_.tolist() for point in path.estimators]
    assert counts == [[60, 10], [30, 5]]
    assert path.alphas.shape == (2, 2)


def test_any_search(diabetes):
    net = SparseNetRegressor(
        (10,), tol=0.2, max_iter=100, search=BracketSearch(), random_state=0
    )
    path = sparsenet_path(net, *diabetes, target_sparsities=[60, 30])
    assert (abs(path.n_nonzeros - [60, 30]) <= [12, 6]).all()


@pytest.mark.slow
def test_certified_solutions(diabetes):
    net = SparseNetRegressor(
        (5,), "tanh", solver="lbfgs", tol=0.2, random_state=0, target_sparsity=15
    )
    path = sparsenet_path(net, *diabetes, target_sparsities=[15, 10])
    assert (path.kkt_residuals <= net.kkt_tol).all()
    single = net.fit(*diabetes)
    assert path.estimators[0].n_nonzero_ == single.n_nonzero_


def test_a_checkpoint_is_gone_on_with(net, diabetes, tmp_path):
    path = sparsenet_path(
        net.set_params(checkpoint=tmp_path), *diabetes, target_sparsities=[40, 20]
    )
    assert path.n_nonzeros.tolist() == [40, 20]
    assert not list(tmp_path.iterdir())


def test_an_interruption_ends_a_path(net, diabetes, monkeypatch):
    monkeypatch.setattr(Run, "_epoch", interrupted(Run._epoch, 105))
    with pytest.raises(KeyboardInterrupt, match="path was interrupted"):
        sparsenet_path(net, *diabetes, target_sparsities=[60, 40, 30, 20])


def test_a_checkpoint_of_other_targets_is_not_gone_on_with(
    net, diabetes, tmp_path, monkeypatch
):
    net.set_params(checkpoint=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_epoch", interrupted(Run._epoch, 135))
        with pytest.raises(KeyboardInterrupt):
            sparsenet_path(net, *diabetes, target_sparsities=[60, 40, 30])
    assert list(tmp_path.iterdir())
    path = sparsenet_path(net, *diabetes, target_sparsities=[60, 20, 10])
    assert path.n_nonzeros.tolist() == [60, 20, 10]


def test_a_target_that_cannot_be_met_warns(diabetes):
    net = SparseNetRegressor((5,), tol=0, max_iter=20, random_state=0)
    with pytest.warns(ConvergenceWarning, match="No weight lies on a path"):
        sparsenet_path(net, *diabetes, target_sparsities=[20, 1])


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([], "empty"),
        (0, "at least one"),
        ([30, 10_000], "out of range"),
        ([20, True], "is not a target"),
        ([{"0.weight": 10}, {"*": 10}], "different layers"),
    ],
)
def test_impossible_grids_are_refused(net, diabetes, grid, message):
    with pytest.raises(ValueError, match=message):
        sparsenet_path(net, *diabetes, target_sparsities=grid)


@pytest.mark.parametrize("grid", [0.9, None, "auto", {"0.weight": 30}])
def test_what_is_no_grid_is_refused(net, diabetes, grid):
    with pytest.raises(TypeError, match="must be a number of targets"):
        sparsenet_path(net, *diabetes, target_sparsities=grid)


@pytest.mark.parametrize(
    "alphas", [[], [0.1, np.nan], [0.1, np.inf], [-1, 0.1], [[0.1, 0.2], [0.3, 0.4]]]
)
def test_impossible_alphas_are_refused(net, diabetes, alphas):
    with pytest.raises(ValueError, match="finite and not negative"):
        sparsenet_path(net, *diabetes, alphas=alphas)


@pytest.mark.parametrize(
    "estimator", [Lasso(), SparseNetRegressorCV(), make_pipeline(SparseNetRegressor())]
)
def test_other_estimators_are_refused(diabetes, estimator):
    with pytest.raises(TypeError, match="estimator must be a SparseNetRegressor or"):
        sparsenet_path(estimator, *diabetes, target_sparsities=[20])


def test_test_data_come_with_their_target(net, diabetes):
    with pytest.raises(ValueError, match="only one of them"):
        sparsenet_path(net, *diabetes, target_sparsities=[20], X_test=diabetes[0])


@pytest.mark.parametrize("own", [None, {"0.weight": 20}])
def test_the_target_of_the_estimator_does_not_matter(net, diabetes, own):
    net.set_params(target_sparsity=own, alpha=0.1, max_iter=5)
    path = sparsenet_path(net, *diabetes, target_sparsities=2)
    assert path.n_nonzeros.tolist() == [110, 4]


def test_grids_of_our_own_reach_down_to_a_few_weights_a_layer(net, diabetes):
    path = sparsenet_path(net.set_params(max_iter=5), *diabetes, target_sparsities=4)
    assert path.n_nonzeros[0] == 110
    assert path.n_nonzeros[-1] == 4


def test_a_path_is_of_one_kind_of_targets():
    X = np.random.default_rng(0).normal(size=(40, 3))
    net = SparseNetRegressor((4,), max_iter=2, random_state=0)
    for mixed in ([[8, 3], 6], [{"*": 0.5}, 6]):
        with pytest.raises(ValueError, match="target_sparsities mix"):
            sparsenet_path(net, X, X[:, 0], target_sparsities=mixed)
