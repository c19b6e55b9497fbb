"""Functions of fitted models: of estimators, and of Pipelines that end with one."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import torch

from sklearn_sparsenet.deploy.skl2onnx_converter import by_skl2onnx
from sklearn_sparsenet.estimators.classifier import SparseNetClassifier
from sklearn_sparsenet.estimators.cv import SparseNetClassifierCV, SparseNetRegressorCV
from sklearn_sparsenet.estimators.regressor import SparseNetRegressor
from sklearn_sparsenet.utils.atomic_files import put

__all__ = ["compact", "input_report", "save", "to_c", "to_onnx"]

_KINDS = (
    SparseNetClassifier,
    SparseNetRegressor,
    SparseNetClassifierCV,
    SparseNetRegressorCV,
)


def compact(model: Any) -> Any:
    """Return one small estimator that predicts what a fitted model does, from raw rows.

    Scalers, imputers and choices of columns that stand before the network are folded
    into its first layer, at the cost of no weight. Then the units that do nothing are
    removed, and the inputs that nothing reads.

    Parameters
    ----------
    model : estimator, Pipeline, search or TransformedTargetRegressor
        Fitted; an estimator of this library, or one that ends with it. It stays as it
        is.

    Returns
    -------
    SparseNetClassifier or SparseNetRegressor
        It takes the raw rows of the model, with the columns of the fit in their order,
        has its `n_features_in_` and `feature_names_in_`, and predicts the same up to
        rounding. `coefs_` and
        `support_` belong to raw columns; what tells of the fit, such as `alpha_`,
        `penalized_coefs_` and `feature_importances_`, to the columns that were fitted.
        Columns that are not in `support_` may hold anything, in frames also texts.

    Raises
    ------
    TypeError
        If a step cannot be folded, which is named, or the network not be compacted.

    Warns
    -----
    DataScaleWarning
        If a column is so far from zero that folding its scaler costs digits.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_sparsenet import SparseNetClassifier, compact
    >>> X, y = load_wine(return_X_y=True)
    >>> net = SparseNetClassifier((10,), target_sparsity=30, random_state=0)
    >>> model = make_pipeline(StandardScaler(), net).fit(X, y)
    >>> small = compact(model)
    >>> bool((small.predict(X) == model.predict(X)).all())
    True
    """
    return copy.deepcopy(_folded(model)).compact()


def save(model: Any, path: Any, *, compress: bool = False) -> None:
    """Write a fitted model to one file, without pickle, for `load`.

    Parameters
    ----------
    model : estimator, Pipeline, search or TransformedTargetRegressor
        As in `compact`. What `load` returns takes raw rows, too.
    path : str, path-like or binary file object
        The file to write. One that is there already is replaced in one step.
    compress : bool, default=False
        Whether the file is compressed with zlib, which makes it a third smaller.

    Raises
    ------
    TypeError
        If a step cannot be folded into the network, or the estimator not be stored.

    See Also
    --------
    SparseNetClassifier.save : What the file has, and what is left out of it.
    """
    _folded(model).save(path, compress=compress)


def to_c(model: Any, name: str = "predict", **options: Any) -> str:
    """Return C source that predicts one raw sample.

    Parameters
    ----------
    model : estimator, Pipeline, search or TransformedTargetRegressor
        As in `compact`.
    name : str, default="predict"
        Of the function: ``void name(const float *x, float *out)``. Missing values are
        NaN, which a compiler may not notice with ``-ffast-math``.
    **options
        `dtype` and `calibration`, as of the method `to_c` of the estimators; the rows
        of `calibration` are raw ones, too. Integers have no NaN: the comments of the
        source tell what to give in place of a missing value.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If a step cannot be folded, or the network is no multilayer perceptron.
    ValueError
        As the method.
    """
    return _folded(model, torch.float32).to_c(name, **options)


def to_onnx(
    model: Any, path: Any = None, *, X: Any = None, sparse_initializers: bool = False
) -> Any:
    """Return a fitted model as an ONNX model that takes raw rows.

    Parameters
    ----------
    model : estimator, Pipeline, search or TransformedTargetRegressor
        As in `compact`.
    path : str, path-like or binary file object, default=None
        A file to write as well: whole, or not at all.
    X : array-like, default=None
        Some rows, for models that cannot be folded, with encoders of categories for
        example. They are converted by skl2onnx, which makes an input of each column of
        a frame.
    sparse_initializers : bool, default=False
        As in the method `to_onnx` of the estimators; only for what can be folded.

    Returns
    -------
    onnx.ModelProto
        Outputs "predictions", or "probabilities" and, with one label per sample,
        "label". What can be folded has one input, "X".

    Raises
    ------
    TypeError
        If a step cannot be folded and X is not given; the step is named.
    ValueError
        If X is given for such a model, and sparse initialisers are asked for, a column
        has no value that shows its type, or an imputer is given double precision, which
        onnxruntime does not have.
    ImportError
        If X is given for such a model, and skl2onnx is not installed.
    """
    from sklearn_sparsenet.estimators._folding import NotFoldedError

    try:
        net = _folded(model)
    except NotFoldedError:
        if X is None:
            raise
        if sparse_initializers:
            raise ValueError(
                "sparse_initializers=True is for models that can be folded; this one "
                "is converted by skl2onnx."
            ) from None
        converted = by_skl2onnx(model, X, _KINDS)
        if path is not None:
            put(converted.SerializeToString(deterministic=True), path)
        return converted
    return net.to_onnx(path, sparse_initializers=sparse_initializers)


def input_report(model, feature_names=None):
    """Return the inputs that a fitted model still uses, the most important first.

    Parameters
    ----------
    model : estimator, Pipeline, search or TransformedTargetRegressor
        Fitted; an estimator of this library, or one that ends with it. In a Pipeline
        the inputs are the columns that the steps before the network make, under the
        names that these steps give them (x0, x1, ... if one gives none, as a
        FunctionTransformer by default); those of ``compact(model)`` are raw ones.
    feature_names : array-like of str, default=None
        Other names of these columns.

    Returns
    -------
    DataFrame, or dict of lists without pandas
        As the method `input_report` of the estimators returns it.

    Raises
    ------
    TypeError
        If the model is none of these.
    ValueError
        As the method.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_sparsenet import SparseNetClassifier, input_report
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> net = SparseNetClassifier((10,), target_inputs=2, random_state=0)
    >>> model = make_pipeline(StandardScaler(), net).fit(X, y)
    >>> len(input_report(model)["feature"])
    2
    """
    from sklearn.pipeline import Pipeline  # slow to import

    from sklearn_sparsenet.estimators._models import parts_of

    parts = parts_of(model)
    if feature_names is None and parts.steps:
        with suppress(AttributeError):  # of steps that give no names
            feature_names = Pipeline(list(parts.steps)).get_feature_names_out()
    return parts.net.input_report(feature_names)


def _folded(model: Any, dtype: torch.dtype | None = None) -> Any:
    from sklearn_sparsenet.estimators._models import folded  # slow to import

    return folded(model, dtype)
