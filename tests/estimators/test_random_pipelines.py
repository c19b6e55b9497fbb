"""Pipelines of random steps predict the same when they are one network."""

from io import BytesIO

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from sklearn_sparsenet import SparseNetRegressor, compact, load, save

pytestmark = pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
N_COLUMNS = 5


def simple(rng):
    """Return a step that keeps the number of columns."""
    yes, no = rng.random(2) < 0.5
    kinds = [
        StandardScaler(with_mean=yes, with_std=no),
        RobustScaler(with_centering=yes, unit_variance=no),
        MinMaxScaler((-1, 2.5)),
        MaxAbsScaler(),
        SimpleImputer(strategy="median", keep_empty_features=True),
        FunctionTransformer(),
    ]
    return kinds[rng.integers(len(kinds))]


def step(rng):
    few = rng.permutation(N_COLUMNS - 1)[: rng.integers(1, N_COLUMNS - 1)].tolist()
    rest = rng.choice(["drop", "passthrough"])
    parts = [("few", simple(rng), few), ("last", simple(rng), [-1])]
    kinds = [
        simple(rng),
        make_pipeline(simple(rng), simple(rng)),
        ColumnTransformer(parts, remainder=str(rest)),
        FeatureUnion([("one", simple(rng)), ("two", simple(rng))]),
        VarianceThreshold(),
    ]
    return kinds[rng.integers(len(kinds))]


@pytest.mark.parametrize("seed", range(40))
def test_random_pipelines_are_one_network(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, N_COLUMNS)) * 10.0 ** rng.integers(-2, 3, N_COLUMNS)
    X[:, 1] = rng.choice([0.0, 3.0])
    y = X[:, 0] / X[:, 0].std()
    X[3:][rng.random((37, N_COLUMNS)) < 0.1] = np.nan
    settings = {"alpha": rng.choice([1e-3, 0.5]), "max_iter": 5, "random_state": 0}
    net = SparseNetRegressor((4,), activation="tanh", **settings)
    fill = SimpleImputer(strategy=str(rng.choice(["mean", "most_frequent"])))
    first, second = step(rng), simple(rng)
    model = make_pipeline(fill, first, second, net).fit(X, y)
    expected = model.predict(X)
    assert_allclose(compact(model).predict(X), expected, rtol=1e-8, atol=1e-8)
    file = BytesIO()
    save(model, file)
    file.seek(0)
    assert_allclose(load(file).predict(X), expected, rtol=1e-8, atol=1e-8)
