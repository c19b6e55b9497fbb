"""Whole pipelines predict the same as one network, in files, C, ONNX and PyTorch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import is_regressor
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.feature_selection import (
    RFE,
    SelectFromModel,
    SelectKBest,
    VarianceThreshold,
    r_regression,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from torch import nn

import sklearn_sparsenet
from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    compact,
    load,
)
from tests.comparisons import pickled
from tests.runtimes import HAS_COMPILER, by_c, by_onnxruntime, compiled

N_ROWS, N_COLUMNS = 80, 8
QUICK = {"alpha": 1e-3, "max_iter": 20, "random_state": 0}
RNG = np.random.default_rng(0)
# Columns of several scales and means, one that is constant.
X = RNG.normal(size=(N_ROWS, N_COLUMNS)) * [1, 10, 0.1, 3, 1, 2, 0, 0.5]
X = (X + np.array([0, 50, 1, -20, 3, 0, 7, 0.2])).round(3)
Y = (X[:, 0] + X[:, 1] / 10) * 3 + 5
CLASSES = np.array(["low", "middle", "high"])[np.digitize(Y, [18, 22])]
LABELS = np.column_stack([Y > 20, X[:, 3] > -20, X[:, 0] > 0]).astype(int)
GAPS = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
GAPS[:, 6] = 7
NAMES = [f"column {k}" for k in range(N_COLUMNS)]
FRAME = pd.DataFrame(GAPS, columns=NAMES)
FRAME.insert(3, "colour", np.array(["red", "blue"])[np.arange(N_ROWS) % 2])


def net(**settings):
    return SparseNetRegressor((6,), **{**QUICK, **settings})


def classifier(**settings):
    return SparseNetClassifier((6,), **{**QUICK, **settings})


def one_output_less_biases(n_features, n_outputs):
    return nn.Sequential(
        nn.Linear(n_features, 5, bias=False), nn.Tanh(), nn.Linear(5, n_outputs)
    )


def of_both(columns):
    """Two ways to see the same columns, and the rest as it is."""
    return ColumnTransformer(
        [("centred", StandardScaler(), columns), ("range", MinMaxScaler(), columns)],
        remainder="passthrough", transformer_weights={"range": 2.0},
    )  # fmt: skip


def search(model, **grid):
    return GridSearchCV(model, grid, cv=2)


def of_target(model, transformer):
    return TransformedTargetRegressor(model, transformer=transformer)


@dataclass
class Case:
    """A model, and what it is fitted to."""

    model: Any
    X: Any = None
    y: Any = None

    def fit(self):
        rows = X if self.X is None else self.X
        return self.model.fit(rows, Y if self.y is None else self.y), rows


def piped(*steps, end=None, **data):
    return Case(make_pipeline(*steps, end or net()), **data)


GRID = {"sparsenetregressor__activation": ["tanh"]}
CASES = {
    "standard": piped(StandardScaler()),
    "not centred": piped(StandardScaler(with_mean=False)),
    "not scaled": piped(StandardScaler(with_std=False)),
    "range": piped(MinMaxScaler((-1, 2))),
    "largest": piped(MaxAbsScaler()),
    "sparse rows": piped(MaxAbsScaler(), X=sparse.csr_array(X * (X > 0))),
    "robust": piped(RobustScaler()),
    "robust, not centred": piped(RobustScaler(with_centering=False)),
    "two scalers": piped(MinMaxScaler(), StandardScaler()),
    "single precision": piped(StandardScaler(), X=X.astype(np.float32)),
    "imputer": piped(SimpleImputer(), StandardScaler(), X=GAPS),
    "imputer behind": piped(
        StandardScaler(), SimpleImputer(strategy="median"), MaxAbsScaler(), X=GAPS
    ),
    "constant": piped(SimpleImputer(strategy="constant", fill_value=-3.0), X=GAPS),
    "empty column": piped(SimpleImputer(), X=np.where(X == 7, np.nan, GAPS)),
    "empty column is kept": piped(
        SimpleImputer(keep_empty_features=True), X=np.where(X == 7, np.nan, GAPS)
    ),
    "two imputers": piped(
        ColumnTransformer([("two", SimpleImputer(), [2, 1])], remainder="passthrough"),
        SimpleImputer(strategy="constant", fill_value=1.5),
        X=GAPS,
    ),
    "sparse gaps": piped(SimpleImputer(), X=sparse.csr_array(GAPS)),
    "variance": piped(VarianceThreshold(), StandardScaler()),
    "best": piped(StandardScaler(), SelectKBest(r_regression, k=4)),
    "from model": piped(StandardScaler(), SelectFromModel(LinearRegression())),
    "from a network": piped(StandardScaler(), SelectFromModel(net())),
    "eliminated": piped(RFE(LinearRegression(), n_features_to_select=3)),
    "nothing": piped("passthrough", FunctionTransformer(), StandardScaler()),
    "nothing at all": piped("passthrough", None),
    "names": piped(
        ColumnTransformer(
            [
                ("gaps", make_pipeline(SimpleImputer(), StandardScaler()), NAMES[:4]),
                ("rest", MaxAbsScaler(), ["column 6"]),
            ]
        ),
        X=FRAME,
    ),
    "from name to name": piped(
        ColumnTransformer([("some", SimpleImputer(), slice(NAMES[4], NAMES[6]))]),
        X=FRAME,
    ),
    "slices and masks": piped(
        ColumnTransformer(
            [
                ("slice", StandardScaler(), slice(1, 6, 2)),
                ("mask", MinMaxScaler(), np.arange(N_COLUMNS) == 0),
                ("none", StandardScaler(), []),
                ("gone", "drop", [-2]),
            ],
            remainder=RobustScaler(),
        )
    ),
    "twice": piped(of_both([1, 3])),
    "union": piped(
        FeatureUnion([("as is", "passthrough"), ("scaled", StandardScaler())]),
        StandardScaler(),
    ),
    "nested": Case(
        make_pipeline(VarianceThreshold(), make_pipeline(StandardScaler(), net()))
    ),
    "search": Case(search(make_pipeline(StandardScaler(), net()), **GRID)),
    "search at the end": piped(StandardScaler(), end=search(net(), kkt_tol=[1e-2])),
    "target": Case(
        of_target(make_pipeline(StandardScaler(), net()), StandardScaler())
    ),
    "target, several": Case(
        of_target(make_pipeline(StandardScaler(), net()), MinMaxScaler((1, 3))),
        y=np.column_stack([Y, 1e3 * X[:, 3]]),
    ),
    "target at the end": piped(
        StandardScaler(),
        end=of_target(
            net(normalize_y=False), make_pipeline(MaxAbsScaler(), RobustScaler())
        ),
        y=Y[:, None],
    ),
    "target without steps": Case(
        of_target(net(loss="poisson"), MaxAbsScaler()), X=X / 10
    ),
    "texts": piped(StandardScaler(), end=classifier(), y=CLASSES),
    "numbers": piped(StandardScaler(), end=classifier(), y=(Y > 20) * 5 - 2),
    "labels": piped(StandardScaler(), end=classifier(), y=LABELS),
    "outputs": piped(MinMaxScaler(), y=np.column_stack([Y, X[:, 3]])),
    "chosen": piped(
        StandardScaler(),
        end=SparseNetClassifierCV(
            (6,), target_sparsities=[30, 20], cv=2, max_iter=100, random_state=0
        ),
        y=CLASSES,
    ),
    "no biases": piped(StandardScaler(), end=net(module=one_output_less_biases)),
}  # fmt: skip
pytestmark = [
    pytest.mark.filterwarnings("ignore:Skipping features:UserWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning"),
    pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning"),
]


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    return CASES[request.param].fit()


def predictions(model, rows):
    """Return predictions or probabilities, of two dimensions."""
    if not is_regressor(model):
        return model.predict_proba(rows)
    values = model.predict(rows)
    return values[:, None] if values.ndim == 1 else values


def as_array(rows):
    """Return rows as what takes no frames and no sparse matrices has them."""
    if isinstance(rows, pd.DataFrame):
        rows = rows.assign(colour=np.nan).to_numpy(dtype=float)
    return rows.toarray() if sparse.issparse(rows) else rows


def close(found, expected, rtol):
    assert found.shape == expected.shape
    assert_allclose(found, expected, rtol, atol=rtol * np.abs(expected).max())


def precision(values):
    return 1e-4 if values.dtype == np.float32 else 1e-9


def test_one_estimator(fitted):
    """A small one, that takes the rows of the pipeline."""
    model, rows = fitted
    small = compact(model)
    expected = predictions(model, rows)
    close(predictions(small, rows), expected, precision(as_array(rows)))
    assert_array_equal(small.predict(rows), small.predict(rows))
    assert small.predict(rows).shape == model.predict(rows).shape
    if not is_regressor(model):
        assert_array_equal(small.predict(rows), model.predict(rows))
    assert small.n_features_in_ == rows.shape[1] == len(small.support_)
    close(predictions(pickled(small), rows), expected, precision(as_array(rows)))


def test_files(fitted, tmp_path):
    model, rows = fitted
    sklearn_sparsenet.save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    expected = predictions(model, rows)
    close(predictions(again, rows), expected, precision(as_array(rows)))
    if isinstance(rows, pd.DataFrame):
        assert_array_equal(again.feature_names_in_, rows.columns)
    else:
        assert not hasattr(again, "feature_names_in_")


def test_onnx_and_pytorch(fitted):
    model, rows = fitted
    expected, given = predictions(model, rows), as_array(rows)
    values, *label = by_onnxruntime(model, given)
    close(values, expected, precision(given))
    for found in label:
        assert_array_equal(found, model.predict(rows))
    with torch.no_grad():
        values = compact(model).to_module()(torch.tensor(given)).numpy()
    close(values, expected, precision(given))


@pytest.mark.skipif(not HAS_COMPILER, reason="there is no C compiler")
def test_c_source(fitted, tmp_path):
    model, rows = fitted
    expected = predictions(model, rows)
    function = compiled(sklearn_sparsenet.to_c(model), tmp_path)
    close(by_c(function, as_array(rows), expected.shape), expected, 1e-4)


def test_integers_are_told_what_to_give_for_missing_values():
    X = np.random.default_rng(0).normal(size=(300, 4)) * 5 + 3
    y = X[:, 0] - X[:, 1]
    X[::7, 1] = np.nan
    net = SparseNetRegressor((), target_sparsity=2, random_state=0)
    model = make_pipeline(SimpleImputer(), StandardScaler(), net).fit(X, y)
    source = sklearn_sparsenet.to_c(model, dtype="int16", calibration=X)
    mean = model[0].statistics_[1]
    assert f"value {mean:.9g} if missing" in source
    assert "nan" not in source
    filled = np.where(np.isnan(X), model[0].statistics_, X)
    assert sklearn_sparsenet.to_c(model, dtype="int16", calibration=filled) == source
