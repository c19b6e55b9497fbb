"""skl2onnx converts what contains our estimators, and what cannot be folded."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier, VotingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)

from sklearn_sparsenet import to_c, to_onnx
from tests.estimators.test_pipelines import (
    CASES,
    CLASSES,
    FRAME,
    LABELS,
    NAMES,
    Case,
    X,
    Y,
    classifier,
    close,
    net,
    piped,
    predictions,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
skl2onnx = pytest.importorskip("skl2onnx")
runtime = pytest.importorskip("onnxruntime")

# What skl2onnx 1.20 has not: words for steps, names and masks for columns, transformed
# targets, columns that an imputer drops.
HAS_NOT = {
    "nothing", "nothing at all", "names", "from name to name", "slices and masks",
    "empty column", *(name for name in CASES if name.startswith("target")),
}  # fmt: skip
# Columns of a frame are inputs, whose names have no spaces. A text is an object.
MIXED = FRAME.rename(columns=lambda name: name.replace(" ", "_"))
NUMBERS = [name.replace(" ", "_") for name in NAMES]
MIXED = MIXED.astype({name: np.float32 for name in NUMBERS} | {"colour": object})
ROWS = X.astype(np.float32)


def mixed(encoder):
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        (encoder, ["colour"]),
    )


NOT_FOLDED = {
    "one-hot": piped(mixed(OneHotEncoder()), X=MIXED),
    "one-hot, texts": piped(
        mixed(OneHotEncoder(sparse_output=False)),
        end=classifier(), X=MIXED, y=CLASSES,
    ),
    "ordinal": piped(mixed(OrdinalEncoder()), end=classifier(), X=MIXED, y=LABELS),
    "components": piped(StandardScaler(), PCA(3), X=ROWS),
    "products": piped(PolynomialFeatures(2), MinMaxScaler(clip=True), X=ROWS),
    "mean of models": Case(
        VotingRegressor([("net", net()), ("line", LinearRegression())]), X=ROWS
    ),
    "stacked": Case(
        StackingClassifier(
            [
                ("net", make_pipeline(StandardScaler(), classifier())),
                ("line", make_pipeline(StandardScaler(), LogisticRegression())),
            ],
            cv=2,
        ),
        X=ROWS, y=Y > 20,
    ),
}  # fmt: skip


def run(model, rows):
    """Return values, and labels or None, by onnxruntime."""
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    given = {"X": rows}
    if hasattr(rows, "columns"):
        given = {name: rows[[name]].to_numpy() for name in rows}
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, given), strict=True))
    label = found.pop("label", None)
    (values,) = found.values()
    return values, label


@pytest.mark.parametrize("name", sorted(CASES.keys() - HAS_NOT))
def test_pipelines_that_can_be_folded(name):
    """The other way than `test_pipelines`; in double precision if there is no NaN."""
    model, rows = CASES[name].fit()
    rows = rows.toarray() if sparse.issparse(rows) else rows
    if np.isnan(rows).any():  # which onnxruntime imputes in single precision only
        rows = rows.astype(np.float32)
    values, label = run(skl2onnx.to_onnx(model, rows[:1]), rows)
    expected = predictions(model, rows)
    close(values, expected, 1e-4 if rows.dtype == np.float32 else 1e-9)
    assert values.dtype == rows.dtype
    if label is not None:
        assert_array_equal(label, model.predict(rows))
    assert (label is not None) == (is_classifier(model) and name != "labels")


@pytest.mark.parametrize("name", NOT_FOLDED)
def test_models_that_cannot_be_folded(name, tmp_path):
    model, rows = NOT_FOLDED[name].fit()
    path = tmp_path / "model.onnx"
    converted = to_onnx(model, path, X=rows[:1])
    assert path.read_bytes() == converted.SerializeToString(deterministic=True)
    values, label = run(converted, rows)
    close(values, predictions(model, rows), 1e-4)
    if label is not None:
        assert_array_equal(label, model.predict(rows))
    for export in (to_c, to_onnx):
        with pytest.raises(TypeError, match=r"skl2onnx|SparseNet estimator"):
            export(model)
    with pytest.raises(ValueError, match="sparse_initializers"):
        to_onnx(model, X=rows[:1], sparse_initializers=True)


def test_columns_of_which_the_first_value_is_missing():
    """The type of a column is that of its first value; pandas' own texts are texts."""
    texts = MIXED.astype({"colour": "str"})
    model, rows = piped(mixed(OneHotEncoder()), X=texts).fit()
    shown = rows.copy()
    shown.loc[shown.index[0], "colour"] = None
    values, _ = run(to_onnx(model, X=shown), rows.astype({"colour": object}))
    close(values, predictions(model, rows), 1e-4)
    with pytest.raises(ValueError, match=r"'colour'.* more rows"):
        to_onnx(model, X=shown[:1])


def test_an_imputer_in_double_precision_is_refused():
    """It would be loaded by onnxruntime, and then not run."""
    model, rows = piped(mixed(OneHotEncoder()), X=MIXED).fit()
    rows = rows.astype({NUMBERS[0]: np.float64})
    with pytest.raises(ValueError, match=rf"{NUMBERS[0]}'\]\. Convert .*float32"):
        to_onnx(model, X=rows)


def test_types_of_rows_and_labels():
    """Whole numbers are rows, too, and labels are what skl2onnx makes of any."""
    rows = (10 * X).astype(np.int64)
    model, _ = piped(StandardScaler(), end=classifier(), X=rows, y=Y > 20).fit()
    for name in (False, "columns"):
        options = {"zipmap": name}
        if name:
            with pytest.raises(ValueError, match="zipmap"):
                skl2onnx.to_onnx(model, rows[:1], options=options)
            continue
        values, label = run(skl2onnx.to_onnx(model, rows[:1], options=options), rows)
        close(values, model.predict_proba(rows), 1e-4)
        assert label.dtype == np.int64
        assert_array_equal(label, model.predict(rows))


UNREGISTERED = """
import sys
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_sparsenet import SparseNetClassifier

assert "skl2onnx" not in sys.modules and "sklearn.compose" not in sys.modules
X = np.random.default_rng(0).normal(size=(50, 3))
net = SparseNetClassifier((4,), alpha=1e-3, max_iter=5, random_state=0)
model = make_pipeline(StandardScaler(), net).fit(X, X[:, 0] > 0)
import skl2onnx
first, second = (skl2onnx.to_onnx(model, X[:1], name="model") for _ in "ab")
assert first == second
"""


def test_means_of_models_of_a_target_far_from_zero_have_one_type():
    """What a network of its own computes in double precision would not load."""
    rows = ROWS.astype(np.float32)
    far = 1.7e9 + Y
    model = VotingRegressor([("net", net()), ("line", LinearRegression())])
    values, _ = run(to_onnx(model.fit(rows, far), X=rows), rows)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values.ravel(), model.predict(rows), rtol=1e-6)


def test_nothing_is_to_be_registered():
    """The first conversion of a process is like any other, and imports are late."""
    subprocess.run([sys.executable, "-c", UNREGISTERED], check=True)
