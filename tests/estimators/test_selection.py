"""Selecting inputs: SelectFromModel keeps exactly what a network uses."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification, make_regression
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_sparsenet import L0, L1, MCP, SparseNetClassifier, SparseNetRegressor

N_FEATURES = 12


@pytest.fixture(scope="module")
def classes():
    return make_classification(
        200, N_FEATURES, n_informative=3, n_redundant=0, shuffle=False, random_state=0
    )


def classifier(**settings):
    settings = {"target_sparsity": 12, "max_iter": 60, "random_state": 0, **settings}
    return SparseNetClassifier((8,), **settings)


def selector_of(net, **settings):
    """The selector of the guide."""
    return SelectFromModel(net, importance_getter="support_", **settings)


def assert_keeps_the_support(selector, X):
    """The columns of `support_`, neither all nor none of them."""
    support = selector.estimator_.support_
    assert 0 < support.sum() < N_FEATURES
    np.testing.assert_array_equal(selector.get_support(), support)
    kept = selector.transform(X)
    wanted = X[:, support]
    if sparse.issparse(X):
        kept, wanted = kept.toarray(), wanted.toarray()
    np.testing.assert_array_equal(kept, wanted)


@pytest.mark.parametrize("prefit", [False, True])
@pytest.mark.parametrize(
    "penalty", ["l1", "mcp", "l0", L1(), MCP(gamma=5.0), L0()], ids=str
)
def test_every_penalty(classes, penalty, prefit):
    X, y = classes
    net = classifier(penalty=penalty)
    if prefit:
        net.fit(X, y)
    selector = selector_of(net, prefit=prefit).fit(X, y)
    assert_keeps_the_support(selector, X)
    names = [f"x{i}" for i in np.flatnonzero(selector.estimator_.support_)]
    assert selector.get_feature_names_out().tolist() == names


def test_a_fitted_network_needs_no_fit(classes):
    X, y = classes
    net = classifier().fit(X, y)
    kept = selector_of(net, prefit=True).transform(X)
    np.testing.assert_array_equal(kept, X[:, net.support_])


def test_defaults_of_scikit_learn(classes):
    """Without our getter, all of the support for "l1", the larger ones for others."""
    X, y = classes
    net = classifier(penalty="l1").fit(X, y)
    assert_keeps_the_support(SelectFromModel(net, prefit=True).fit(X, y), X)
    net = classifier(penalty="mcp", target_sparsity=30).fit(X, y)
    found = net.feature_importances_
    selector = SelectFromModel(net, prefit=True).fit(X, y)
    np.testing.assert_array_equal(selector.get_support(), found >= found.mean())
    assert selector.get_support().sum() < net.support_.sum()


def test_weak_inputs_are_kept():
    """One weight is a millionth of the other: below scikit-learn's 1e-5."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = X @ [1.0, 1e-6, 0.0]
    net = SparseNetRegressor(
        (), solver="lbfgs", alpha=1e-7, debias=True, random_state=0
    )
    selector = selector_of(net).fit(X, y)
    assert selector.get_support().tolist() == [True, True, False]
    assert not SelectFromModel(net).fit(X, y).get_support()[1]


def test_no_input_left(classes):
    """With a threshold no input is none, whatever the penalty."""
    X, y = classes
    net = classifier(penalty="mcp", alpha=1e3)
    selector = selector_of(net, threshold=0.5).fit(X, y)
    assert not selector.get_support().any()


def test_sparse_rows(classes):
    X, y = sparse.csr_matrix(classes[0] * (np.abs(classes[0]) > 0.3)), classes[1]
    assert_keeps_the_support(selector_of(classifier(penalty="mcp")).fit(X, y), X)


@pytest.mark.parametrize(("library", "name"), [(pd, "pandas"), (pl, "polars")])
@pytest.mark.parametrize("prefit", [False, True])
def test_frames(classes, library, name, prefit):
    X, y = classes
    columns = [f"col {i}" for i in range(N_FEATURES)]
    frame = library.DataFrame(dict(zip(columns, X.T, strict=True)))
    net = classifier(penalty="l0")
    if prefit:
        net.fit(frame, y)
    selector = selector_of(net, prefit=prefit).set_output(transform=name)
    kept = selector.fit(frame, y).transform(frame)
    wanted = [columns[i] for i in np.flatnonzero(selector.estimator_.support_)]
    assert isinstance(kept, library.DataFrame)
    assert list(kept.columns) == wanted
    assert selector.get_feature_names_out().tolist() == wanted
    assert 0 < len(wanted) < N_FEATURES


@pytest.mark.parametrize("penalty", ["l1", "mcp"])
def test_several_outputs(penalty):
    X, Y = make_regression(
        200, N_FEATURES, n_informative=3, n_targets=2, random_state=0
    )
    net = SparseNetRegressor(
        (8,), penalty=penalty, target_sparsity=12, max_iter=60, random_state=0
    )
    assert_keeps_the_support(selector_of(net).fit(X, Y), X)
    labels = SparseNetClassifier(
        (8,), penalty=penalty, target_sparsity=12, max_iter=60, random_state=0
    )
    assert_keeps_the_support(selector_of(labels).fit(X, Y > 0), X)


def build(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 8), nn.Tanh(), nn.Linear(8, n_outputs))


def test_a_users_module(classes):
    X, y = classes
    assert_keeps_the_support(selector_of(classifier(module=build)).fit(X, y), X)


def test_compact_networks_select_the_same(classes):
    X, y = classes
    net = classifier().fit(X, y)
    before = net.support_
    selector = selector_of(net.compact(), prefit=True).fit(X, y)
    np.testing.assert_array_equal(selector.get_support(), before)


def test_inside_other_estimators(classes):
    """A path to `support_` reaches into a pipeline and a transformed target."""
    X, y = classes
    pipeline = make_pipeline(StandardScaler(), classifier(penalty="mcp"))
    getter = "named_steps.sparsenetclassifier.support_"
    selector = SelectFromModel(pipeline, importance_getter=getter).fit(X, y)
    wanted = selector.estimator_[-1].support_
    np.testing.assert_array_equal(selector.get_support(), wanted)
    net = SparseNetRegressor((8,), target_sparsity=12, max_iter=60, random_state=0)
    target = TransformedTargetRegressor(net, transformer=StandardScaler())
    selector = SelectFromModel(target, importance_getter="regressor_.support_")
    selector.fit(X, X[:, 0] + X[:, 1] ** 2)
    wanted = selector.estimator_.regressor_.support_
    np.testing.assert_array_equal(selector.get_support(), wanted)


def test_a_model_on_the_selected_inputs(classes):
    X, y = classes
    model = make_pipeline(selector_of(classifier(penalty="mcp")), LogisticRegression())
    model.fit(X, y)
    assert model[-1].n_features_in_ == model[0].get_support().sum() < N_FEATURES


def test_importances_rank_for_other_selectors(classes):
    """As many inputs as asked for, by importance."""
    X, y = classes
    net = classifier().fit(X, y)
    selector = SelectFromModel(net, prefit=True, max_features=2, threshold=-np.inf)
    largest = np.sort(np.argsort(-net.feature_importances_)[:2])
    assert selector.fit(X, y).get_support(indices=True).tolist() == largest.tolist()
    ranked = RFE(classifier(), n_features_to_select=3, step=5).fit(X, y)
    assert ranked.support_.sum() == 3


def test_images_keep_their_shape():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1, 3, 4))
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).double()
    net = SparseNetRegressor(module=module, target_sparsity=3, random_state=0)
    net.fit(X, X[:, 0, 1, 2] * 3)
    assert net.support_.shape == net.feature_importances_.shape == (1, 3, 4)
    assert net.support_[0, 1, 2]
    assert net.support_.sum() == 3


def test_a_network_that_cannot_be_followed_has_no_support():
    class Squared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1).double()

        def forward(self, inputs):
            if inputs.min() == inputs.max():
                raise ValueError("constant inputs")  # what paths are followed with
            return self.layer(inputs)

    X = np.random.default_rng(0).normal(size=(30, 4))
    net = SparseNetRegressor(module=Squared(), alpha=1e-3, max_iter=2, random_state=0)
    net.fit(X, X[:, 0])
    assert net.support_ is None
    assert net.feature_importances_ is None
    with pytest.raises(ValueError, match="paths cannot be followed through Squared"):
        net.input_report()
    assert "not known" in net.summary()
