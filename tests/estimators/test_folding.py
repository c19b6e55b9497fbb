"""What is folded into a network, what is refused, and what the estimator is then."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    StandardScaler,
)
from sklearn.svm import SVC
from torch import nn

from sklearn_sparsenet import (
    DataScaleWarning,
    SparseNetRegressor,
    compact,
    input_report,
    save,
    to_c,
    to_onnx,
)
from sklearn_sparsenet.networks.column_maps import ColumnMap, fold_columns
from tests.runtimes import by_onnxruntime

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)) * [1, 5, 0.2, 2] + [0, 30, 1, 4]
Y = X[:, 0] + X[:, 1] / 5
FRAME = pd.DataFrame(X, columns=list("abcd")).assign(
    colour=np.array(["red", "blue"])[np.arange(60) % 2]
)
GAPS = np.where(RNG.random(X.shape) < 0.2, np.nan, X)


def net(*layers, **settings):
    if layers:
        settings["module"] = nn.Sequential(*layers)
    quick = {"alpha": 1e-3, "max_iter": 10, "random_state": 0}
    return SparseNetRegressor((5,), **{**quick, **settings})


@pytest.fixture(scope="module")
def model():
    return make_pipeline(StandardScaler(), net()).fit(X, Y)


class Squared(StandardScaler):
    """A scaler that does something else."""

    def transform(self, X):
        return super().transform(X) ** 2


def hooked():
    layer = nn.Linear(4, 1)
    layer.register_forward_hook(lambda module, given, output: 2 * output)
    return layer


def shared():
    layer = nn.Linear(4, 4)
    return layer, nn.ReLU(), layer, nn.Linear(4, 1)


TWO_FILLS = ColumnTransformer(
    [("mean", SimpleImputer(), [0]), ("zero", SimpleImputer(strategy="constant"), [0])]
)
IN_COLUMNS = ColumnTransformer([("colours", OneHotEncoder(), ["colour"])])
IMAGES = nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(6, 1)
LOGARITHM = {"func": np.log, "inverse_func": np.exp}
REFUSED = {
    r"'pca' \(PCA\)": (make_pipeline(StandardScaler(), PCA(2), net()), X),
    r"'columns: colours' \(OneHotEncoder\)": (
        Pipeline([("columns", IN_COLUMNS), ("net", net())]), FRAME,
    ),
    r"PowerTransformer": (make_pipeline(PowerTransformer(), net()), X),
    r"MinMaxScaler\).*clip": (make_pipeline(MinMaxScaler(clip=True), net()), X),
    r"MaxAbsScaler\).*clip": (make_pipeline(MaxAbsScaler(clip=True), net()), X),
    r"SimpleImputer\).*add_indicator": (
        make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), net()), GAPS,
    ),
    r"SimpleImputer\).*missing_values=-1": (
        make_pipeline(SimpleImputer(missing_values=-1), net()), X,
    ),
    r"SimpleImputer\).*texts": (
        make_pipeline(
            SimpleImputer(strategy="most_frequent"), OneHotEncoder(), net()
        ), FRAME[["colour"]],
    ),
    r"FunctionTransformer\).*func=": (
        make_pipeline(FunctionTransformer(np.arctan), net()), X,
    ),
    r"Squared": (make_pipeline(Squared(), net()), X),
    r"column 0 are filled by .* and by": (make_pipeline(TWO_FILLS, net()), GAPS),
    r"begins with Unflatten": (make_pipeline(StandardScaler(), net(*IMAGES)), X),
    r"begins with BatchNorm1d": (
        make_pipeline(StandardScaler(), net(nn.BatchNorm1d(4), nn.Linear(4, 1))), X,
    ),
    r"hooks": (make_pipeline(StandardScaler(), net(hooked())), X),
    r"share their weights": (make_pipeline(StandardScaler(), net(*shared())), X),
    r"'transformer' \(FunctionTransformer\)": (
        TransformedTargetRegressor(net(), **LOGARITHM), X / 10,
    ),
    r"ends with one, not SVC": (make_pipeline(StandardScaler(), SVC()), X),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_folded_is_named(reason, tmp_path):
    refused, rows = REFUSED[reason]
    refused.fit(rows, np.abs(Y).round() + 1)
    for call in (compact, to_c, to_onnx, lambda m: save(m, tmp_path / "file")):
        with pytest.raises(TypeError, match=reason):
            call(refused)


def test_models_have_to_be_fitted():
    for unfitted in (
        net(),
        make_pipeline(StandardScaler(), net()),
        TransformedTargetRegressor(net()),
    ):
        with pytest.raises(NotFittedError):
            compact(unfitted)


def test_the_model_stays_as_it_is(model):
    before = pickle.dumps(model)
    compact(model)
    to_c(model)
    assert pickle.dumps(model) == before
    own = model[-1]
    assert compact(own) is not own
    assert own.coefs_[0].shape == (4, 5)


def test_weights_are_as_many_and_belong_to_raw_columns(model):
    small, own = compact(model), model[-1]
    assert small.n_nonzero_ == small.n_live_ == own.n_live_
    assert_array_equal(small.feature_importances_, own.feature_importances_)
    assert_array_equal(small.support_, own.support_)
    kept = own.coefs_[1].any(axis=1) & own.coefs_[0].any(axis=0)
    scaled = own.coefs_[0][small.support_] / model[0].scale_[small.support_, None]
    assert_allclose(small.coefs_[0], scaled[:, kept], rtol=1e-12)
    assert small.alpha_ == own.alpha_
    pd.testing.assert_frame_equal(small.input_report(), own.input_report())


def test_nothing_is_filled_without_an_imputer(model):
    """Not even asked for."""
    assert "fill" not in to_c(model)
    pytest.importorskip("onnx")
    assert "IsNaN" not in {node.op_type for node in to_onnx(model).graph.node}


def test_a_compact_network_is_folded_as_well():
    model = make_pipeline(StandardScaler(), net(target_sparsity=4, alpha=None))
    model.set_params(sparsenetregressor__max_iter=120).fit(X, Y)
    expected = compact(model).predict(X)
    model[-1].compact()
    assert model[-1].coefs_[0].shape[0] < 4
    small = compact(model)
    assert_allclose(small.predict(X), expected, rtol=1e-10)
    assert 0 < small.support_.sum() < 4
    some = np.where(small.support_, X, np.nan)  # nobody has to measure the others
    assert_array_equal(small.predict(some), small.predict(X))


def test_missing_values_are_refused_where_the_model_refuses_them():
    """But in columns that the network does not use, which may hold anything."""
    columns = ColumnTransformer(
        [("filled", SimpleImputer(), ["a"]), ("whole", "passthrough", ["c"])]
    )
    rows = FRAME.assign(a=GAPS[:, 0])
    model = make_pipeline(columns, net()).fit(rows, Y)
    small = compact(model)
    assert_array_equal(small.support_, [True, False, True, False, False])
    other = rows.assign(b=np.nan, d="?")
    assert_allclose(small.predict(other), model.predict(rows))
    for value in (np.nan, np.inf, -np.inf):
        wrong = other.assign(c=[value, *rows["c"][1:]])
        with pytest.raises(ValueError, match=r"X contains (NaN|infinity)"):
            small.predict(wrong)
    with pytest.raises(ValueError, match="feature names should match"):
        small.predict(rows[["c", "a", "b", "d", "colour"]])
    with pytest.raises(ValueError, match="feature names"):
        small.predict(rows[["a", "b", "c", "d"]])


def read_nothing(X):
    """Return a model with an imputer whose network is a constant."""
    return make_pipeline(SimpleImputer(), StandardScaler(), net(alpha=0.9)).fit(X, Y)


def test_a_constant_network_takes_missing_values_everywhere():
    model = read_nothing(GAPS)
    assert not compact(model).support_.any()
    (values,) = by_onnxruntime(model, GAPS)
    assert_allclose(values[:, 0], model.predict(GAPS), rtol=1e-6)


def test_a_constant_network_takes_frames():
    rows = pd.DataFrame(GAPS, columns=list("abcd"))
    model = read_nothing(rows)
    assert_allclose(compact(model).predict(rows), model.predict(rows))


def test_another_fit_knows_nothing_of_the_steps(model):
    filled = make_pipeline(SimpleImputer(), StandardScaler(), net()).fit(GAPS, Y)
    small = compact(filled)
    small.predict(GAPS)
    again = small.fit(X / X.std(axis=0), Y)
    with pytest.raises(ValueError, match="NaN"):
        again.predict(GAPS)
    wide = ColumnTransformer([("some", StandardScaler(), [2, 0])])
    going_on = compact(make_pipeline(wide, net(debias=True)).fit(X, Y))
    going_on.partial_fit(X, Y)
    assert np.isfinite(going_on.predict(X)).all()


FAR = X + np.array([0, 1e6, 0, 0])


def test_columns_far_from_zero_are_told(tmp_path):
    """In single precision; double precision has the digits."""
    model = make_pipeline(StandardScaler(), net()).fit(FAR, Y)
    assert_allclose(compact(model).predict(FAR), model.predict(FAR), rtol=1e-7)
    with pytest.warns(DataScaleWarning, match=r"Column 1 .*float32.*0\.03 dev"):
        to_c(model)
    single = FAR.astype(np.float32)
    model = make_pipeline(StandardScaler(), net()).fit(single, Y)
    with pytest.warns(DataScaleWarning, match="float32"):
        compact(model)


@pytest.mark.parametrize("kind", ["search", "target", "pipeline"])
def test_reports_on_inputs_have_the_names_of_the_columns(kind):
    inner = make_pipeline(StandardScaler(), net())
    models = {
        "search": GridSearchCV(inner, {"sparsenetregressor__tol": [0.1]}, cv=2),
        "target": TransformedTargetRegressor(inner, transformer=StandardScaler()),
        "pipeline": Pipeline([("outer", inner)]),
    }
    model = models[kind].fit(FRAME[list("abcd")], Y)
    assert set(input_report(model)["feature"]) <= set("abcd")
    assert set(compact(model).input_report()["feature"]) <= set("abcd")


def test_reports_on_inputs_without_names_count_the_columns():
    model = make_pipeline(FunctionTransformer(np.cbrt), net()).fit(X, Y)
    assert set(input_report(model)["feature"]) == {"x0", "x1", "x2", "x3"}


def test_layers_without_biases_get_some_for_a_shift_only():
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(2, 3, bias=False))
    columns = ColumnMap.identity(2).taken([1, 0])
    given = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    for mapped, has_bias in ((columns.scaled(2), False), (columns.scaled(2, 1), True)):
        folded = fold_columns(module, mapped)
        assert (folded[-1].bias is not None) == has_bias
        seen = 2 * given[:, [1, 0]] + has_bias
        assert torch.allclose(folded(given), module.eval()(seen), rtol=1e-5)


def test_folded_weights_are_rounded_once():
    """Of a column that is read three times, in single precision."""
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight[:] = torch.tensor([[1.0, 2.0**-24, 2.0**-24]])
    columns = ColumnMap.identity(1).taken([0, 0, 0])
    assert fold_columns(nn.Sequential(layer), columns)[0].weight.item() == 1 + 2.0**-23
    with pytest.raises(TypeError, match="too large"):
        fold_columns(nn.Sequential(layer), columns.scaled(1e300))
