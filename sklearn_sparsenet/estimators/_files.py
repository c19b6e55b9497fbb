"""One file for a fitted estimator: a versioned document and safetensors arrays.

Nothing in it is executed when it is read. Sparse weights take eight bytes each.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_sparsenet import losses, penalties, search
from sklearn_sparsenet._version import __version__
from sklearn_sparsenet.documents import Reader, Writer
from sklearn_sparsenet.estimators._build import adopt_module
from sklearn_sparsenet.estimators._validation import CALLBACK_ATTRIBUTES
from sklearn_sparsenet.estimators.classifier import SparseNetClassifier
from sklearn_sparsenet.estimators.cv import SparseNetClassifierCV, SparseNetRegressorCV
from sklearn_sparsenet.estimators.regressor import SparseNetRegressor
from sklearn_sparsenet.optimality import Certificate
from sklearn_sparsenet.packing import Packed, pack, pack_module, unpack_module
from sklearn_sparsenet.recipes import build_from, describe
from sklearn_sparsenet.runtime import forked_random_state, single_threaded
from sklearn_sparsenet.search.narrowing import Stages

__all__ = ["load", "save"]

_FORMAT, _FORMAT_VERSION = "sklearn_sparsenet", "1"
_ESTIMATORS = {
    kind.__name__: kind
    for kind in (
        SparseNetRegressor,
        SparseNetClassifier,
        SparseNetRegressorCV,
        SparseNetClassifierCV,
    )
}
_KNOWN: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        losses.SquaredError, losses.AbsoluteError, losses.Huber, losses.Poisson,
        losses.PoissonEmission, losses.LogLoss, losses.OneBit, losses.CrossEntropy,
        penalties.L1, penalties.MCP, penalties.L0,
        search.BracketSearch, search.OnePassSearch, search.ContinuationSearch,
        Stages, Certificate, Packed,
    )
}  # fmt: skip
# What is rebuilt, or belongs to the process that the fit was made in.
_NOT_STORED = ("module_", "_route_", *CALLBACK_ATTRIBUTES)


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "save and load need safetensors: pip install sklearn-sparsenet[files]"
        ) from error
    return safetensors


def save(estimator: Any, path: str | os.PathLike) -> None:
    """Write a fitted estimator to a file; see `SparseNetClassifier.save`."""
    backend = _safetensors()
    params = estimator.get_params(deep=False)
    had_module = params["module"] is not None
    for name in ("dtype", "device"):
        params[name] = _by_name(params[name])
    writer = Writer(_KNOWN)
    of_this_process = {"module", "checkpoint"}
    if not isinstance(params["random_state"], int):
        of_this_process.add("random_state")
    if not isinstance(params.get("cv"), int):  # splits are about rows of its data
        of_this_process.add("cv")
    params.update(dict.fromkeys(of_this_process & params.keys()))
    attributes = {
        name: value
        for name, value in vars(estimator).items()
        if name not in params and name not in _NOT_STORED
    }
    attributes["penalized_coefs_"] = [
        pack(torch.from_numpy(coef)) for coef in estimator.penalized_coefs_
    ]
    document = {
        "class": type(estimator).__name__,
        "library": __version__,
        "params": {k: writer.encode(v, k) for k, v in params.items()},
        "attributes": {k: writer.encode(v, k) for k, v in attributes.items()},
        "had_module": had_module,
        "recipe": describe(estimator.module_),
        "weights": {
            name: writer.encode(packed, name)
            for name, packed in pack_module(estimator.module_).items()
        },
    }
    text = json.dumps(document)
    metadata = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "document": text,
        "sha256": _digest(text, writer.arrays),
    }
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no directory {str(folder)!r}.")
    backend.numpy.save_file(writer.arrays, os.fspath(path), metadata=metadata)


def _by_name(value: Any) -> Any:
    """Return a type or device by the name that the parameter takes as well."""
    if isinstance(value, (torch.dtype, torch.device)):
        return str(value).removeprefix("torch.")
    if value is None or isinstance(value, str):
        return value
    return np.dtype(value).name


@single_threaded()
def load(path: str | os.PathLike, module: Any = None) -> Any:
    """Read what `save` wrote.

    Parameters
    ----------
    path : str or path-like
    module : nn.Module or callable, optional
        For estimators that were fitted with `module=`, and whose network is more
        than a Sequential of well-known layers: the same network, as it was given
        to the estimator. Without it the loaded network is the `module` of the
        estimator.

    Returns
    -------
    SparseNetRegressor or SparseNetClassifier
        Fitted, on the CPU.

    Raises
    ------
    ValueError
        If the file is damaged, of another kind or version, or needs `module`.
    ImportError
        Without safetensors.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_sparsenet import SparseNetClassifier, load
    >>> X, y = load_iris(return_X_y=True)
    >>> net = SparseNetClassifier((10,), target_sparsity=20, random_state=0).fit(X, y)
    >>> with TemporaryDirectory() as directory:
    ...     net.save(f"{directory}/net.safetensors")
    ...     again = load(f"{directory}/net.safetensors")
    >>> bool((again.predict(X) == net.predict(X)).all())
    True
    """
    document, arrays = _read(path)
    reader = Reader(_KNOWN, arrays)
    kind = _ESTIMATORS.get(document["class"])
    if kind is None:
        raise ValueError(f"{path} holds a {document['class']}, which is not known.")
    decoded = {
        part: {k: reader.decode(v) for k, v in document[part].items()}
        for part in ("params", "attributes", "weights")
    }
    attributes = decoded["attributes"]
    penalized = attributes["penalized_coefs_"]
    attributes["penalized_coefs_"] = [packed.unpack().numpy() for packed in penalized]
    estimator = kind(**decoded["params"] | {"module": module})
    skeleton = _skeleton(document["recipe"], module, attributes, path)
    state = {**vars(estimator), **attributes}
    try:
        state["module_"] = unpack_module(skeleton, decoded["weights"]).eval()
    except ValueError as error:
        if module is None:
            raise
        raise ValueError(
            f"module= is not the network in {path}: {error} If that was made compact, "
            "save it before compact(), or pass the compact module_."
        ) from None
    estimator.__setstate__(state)
    if document.get("had_module") and module is None:
        estimator.module = copy.deepcopy(estimator.module_)
    return estimator


def _skeleton(
    recipe: Any, module: Any, attributes: dict[str, Any], path: Any
) -> nn.Module:
    if recipe is not None:
        return build_from(recipe)
    if module is None:
        raise ValueError(
            f"{path} holds the weights of a network that was given by module=; pass "
            "the same one: load(path, module=...)."
        )
    shape, n_outputs = attributes["_sample_shape"], attributes["_n_outputs_asked"]
    with forked_random_state(0, torch.device("cpu")):  # what is drawn is replaced
        return adopt_module(module, shape[0], n_outputs)


def _read(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return document and arrays of a file that is what it says it is.

    Raises
    ------
    ValueError
        If it is not.
    """
    backend = _safetensors()
    try:
        with backend.safe_open(os.fspath(path), "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError:
        raise
    except Exception as error:  # the library has several for damaged files
        raise ValueError(f"{path} is no file of save(), or damaged: {error}") from None
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{path} was not written by save(), or is damaged.")
    if metadata.get("format_version") != _FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {metadata.get('format_version')!r}; this "
            f"library ({__version__}) reads version {_FORMAT_VERSION!r}."
        )
    text = metadata.get("document", "")
    if metadata.get("sha256") != _digest(text, arrays):
        raise ValueError(f"{path} is damaged: its checksum is wrong.")
    return json.loads(text), arrays


def _digest(text: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
