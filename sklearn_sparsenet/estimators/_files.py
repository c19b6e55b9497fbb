"""One file for a fitted estimator: a versioned document and safetensors arrays.

Nothing in it is executed when it is read. Sparse weights take eight bytes each. What a
file says is believed where it is what `save` could have written, and nowhere else: the
checksum tells of accidents, not of intentions.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from sklearn_sparsenet._version import __version__
from sklearn_sparsenet.declared import fits
from sklearn_sparsenet.documents import Reader, Writer
from sklearn_sparsenet.estimators._modules import adopt_module
from sklearn_sparsenet.estimators._stored import (
    KINDS,
    KNOWN,
    OF_THE_USER,
    check_attributes,
    check_network,
    check_params,
    declared_attributes,
)
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.losses import CustomLoss, Loss, SquaredError
from sklearn_sparsenet.packing import Packed, pack, pack_module, unpack_module
from sklearn_sparsenet.recipes import build_from, describe
from sklearn_sparsenet.runtime import forked_random_state, single_threaded
from sklearn_sparsenet.streams import opened, put
from sklearn_sparsenet.strict_json import parse
from sklearn_sparsenet.tensor_files import dump_tensors, read_tensors

__all__ = ["load", "save"]

_FORMAT, _FORMAT_VERSION = "sklearn_sparsenet", "1"
_PARTS = {
    "class": str,
    "library": str,
    "params": dict[str, Any],
    "attributes": dict[str, Any],
    "had_module": bool,
    "recipe": list[dict[str, Any]] | None,
    "weights": dict[str, Any],
}
# Sparse weights may take so many bytes, and so many times what is stored of them: a
# layer of 10000 units with a few weights takes 10000 times what its biases take.
_FREE_WEIGHTS, _MOST_EXPANSION = 2**24, 2**14


@single_threaded()
def save(estimator: Any, path: Any) -> None:
    """Write a fitted estimator to a file; see `SparseNetClassifier.save`."""
    kind = type(estimator)
    if kind not in KINDS.values():
        raise TypeError(
            f"{kind.__name__} is a class of your own, which a file without code cannot "
            "hold. Save an estimator of the library, or pickle this one (joblib.dump)."
        )
    writer = Writer(KNOWN)
    params = _stored_params(estimator, writer)
    check_params(kind, params)
    network, penalized = _packed(estimator)
    attributes = {
        name: vars(estimator)[name]
        for name in sorted(declared_attributes(kind))
        if name in vars(estimator)
    }
    attributes["penalized_coefs_"] = penalized
    attributes["_loss_"] = _for_predictions(estimator._loss_)
    document = {
        "class": kind.__name__,
        "library": __version__,
        "params": {k: writer.encode(v, k) for k, v in params.items()},
        "attributes": {k: writer.encode(v, k) for k, v in attributes.items()},
        "had_module": estimator.module is not None,
        "recipe": describe(estimator.module_),
        "weights": {name: writer.encode(part, name) for name, part in network.items()},
    }
    check_attributes(kind, attributes)
    text = json.dumps(document, sort_keys=True)
    metadata = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "document": text,
        "sha256": _digest(text, writer.arrays),
    }
    put(dump_tensors(writer.arrays, metadata), path)


def _stored_params(estimator: Any, writer: Writer) -> dict[str, Any]:
    """Return the parameters with None for what a file does not keep."""
    params = dict(sorted(estimator.get_params(deep=False).items()))
    for name in ("dtype", "device"):
        params[name] = _by_name(params[name])
    of_this_process = {"module", "checkpoint"}
    for name in ("random_state", "cv"):  # splits are about rows of its data
        if not isinstance(params.get(name), Integral):
            of_this_process.add(name)
    for name in OF_THE_USER:
        if name in params and not _is_plain(params[name]):
            of_this_process.add(name)
    if params.get("scoring") is not None and "scoring" in of_this_process:
        warn_user(
            f"scoring={params['scoring']!r} is not kept in the file: `score` of the "
            "network that is loaded is R² or the accuracy until scoring is set anew.",
            UserWarning,
        )
    return params | dict.fromkeys(of_this_process & params.keys())


def _is_plain(value: Any) -> bool:
    """Tell whether an object is known, or called by a name."""
    return isinstance(value, str) or type(value) in KNOWN.values()


def _by_name(value: Any) -> Any:
    """Return a type or device by the name that the parameter takes as well."""
    if isinstance(value, torch.dtype | torch.device):
        return str(value).removeprefix("torch.")
    if value is None or isinstance(value, str):
        return value
    return np.dtype(value).name


def _for_predictions(loss: Loss) -> Loss:
    """Return a loss of the library that predicts the same, if there is one."""
    found: Any = loss
    if isinstance(loss, CustomLoss):
        found = getattr(loss.link, "__self__", loss) if loss.link else SquaredError()
    if not _is_plain(found):
        raise TypeError(
            f"loss={loss!r} makes predictions of outputs by code of your own, which a "
            "file without code cannot hold. A function as loss can be saved; for "
            "others there is joblib.dump."
        )
    return found


def _packed(estimator: Any) -> tuple[dict[str, Packed], list[Packed]]:
    """Return the weights of the network, and those of the penalised solution."""
    for may_be_sparse in (True, False):
        network = pack_module(estimator.module_, may_be_sparse=may_be_sparse)
        penalized = [
            pack(torch.from_numpy(coef), may_be_sparse=may_be_sparse)
            for coef in estimator.penalized_coefs_
        ]
        if _is_paid([*network.values(), *penalized]):
            break
    return network, penalized


def _is_paid(parts: list[Packed]) -> bool:
    """Tell whether weights take memory in proportion to what is stored of them."""
    stored = sum(p.values.nbytes for p in parts)
    stored += sum(p.indices.nbytes for p in parts if p.indices is not None)
    return sum(p.nbytes for p in parts) <= _FREE_WEIGHTS + _MOST_EXPANSION * stored


@single_threaded()
def load(path: Any, module: Any = None) -> Any:
    """Read what `save` wrote.

    Parameters
    ----------
    path : str, path-like or binary file object
        A file object is read as far as the network goes, and stays open.
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
        If the file is damaged, of another kind or version, says anything that `save`
        would not, or needs `module`. Hostile files are no exception: they run no code,
        and take no memory beyond what they bring and what the network takes.
    TypeError
        If `path` is no path, or a file object that is open for text.

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
    with opened(path) as file, _errors_told_as_damage(path):
        kind, parts = _decode(*_read(file, ends=file is not path))
        network = _network(parts)
    if network is None:
        network = _adopted(module, parts, path)
    estimator = kind(**parts["params"] | {"module": module})
    state = {**vars(estimator), **parts["attributes"], "module_": network.eval()}
    estimator.__setstate__(state)
    if parts["had_module"] and module is None:
        estimator.module = copy.deepcopy(estimator.module_)
    return estimator


@contextmanager
def _errors_told_as_damage(path: Any) -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # of whatever kind: a file must not choose
        text = f"{path} is no file of save(), or damaged: {error}"
        raise ValueError(text) from error


def _read(file: BinaryIO, *, ends: bool) -> tuple[dict[str, Any], Reader]:
    """Return document and arrays of a file that is what it says it is."""
    metadata, arrays = read_tensors(file)
    if ends and file.read(1):
        raise ValueError("something follows its end")
    if metadata.get("format") != _FORMAT:
        raise ValueError("it was not written by save()")
    version = metadata.get("format_version")
    if version != _FORMAT_VERSION:
        raise ValueError(
            f"it has format version {version!r}, and this library ({__version__}) "
            f"reads version {_FORMAT_VERSION!r}"
        )
    text = metadata["document"]
    if metadata["sha256"] != _digest(text, arrays):
        raise ValueError("its checksum is wrong")
    document = parse(text)
    if document.keys() != _PARTS.keys() or not all(
        fits(document[part], declared) for part, declared in _PARTS.items()
    ):
        raise ValueError("its document has other parts")
    return document, Reader(KNOWN, arrays)


def _decode(document: dict[str, Any], reader: Reader) -> tuple[type, dict[str, Any]]:
    """Return the class of an estimator and the values that make it, all checked."""
    kind = KINDS.get(document["class"])
    if kind is None:
        raise ValueError(f"it holds a {document['class']}, which is not known")
    parts = dict(document)
    for part in ("params", "attributes", "weights"):
        parts[part] = {k: reader.decode(v) for k, v in document[part].items()}
    if reader.arrays:
        raise ValueError(f"it does not say what {len(reader.arrays)} arrays are")
    check_params(kind, parts["params"])
    attributes, weights = parts["attributes"], parts["weights"]
    attributes.setdefault("weight_decay_", 0.0)  # there was none in the first files
    check_attributes(kind, attributes)
    penalized = attributes["penalized_coefs_"]
    if not fits(weights, dict[str, Packed]):
        raise ValueError("its weights are none")
    if not _is_paid([*weights.values(), *penalized]):
        raise ValueError("its weights are far larger than the file")
    attributes["penalized_coefs_"] = [part.unpack().numpy() for part in penalized]
    return kind, parts


def _network(parts: dict[str, Any]) -> nn.Module | None:
    """Return the network of well-known layers, if it is one."""
    is_perceptron = not parts["had_module"]
    if is_perceptron and len(parts["attributes"]["_sample_shape"]) != 1:
        raise ValueError("a perceptron has samples of more dimensions")
    if parts["recipe"] is None:
        return None
    network = unpack_module(build_from(parts["recipe"]), parts["weights"])
    check_network(network, parts["attributes"])
    return network


def _adopted(module: Any, parts: dict[str, Any], path: Any) -> nn.Module:
    """Return the user's network with the weights of the file."""
    if module is None:
        raise ValueError(
            f"{path} holds the weights of a network that was given by module=; pass "
            "the same one: load(path, module=...)."
        )
    n_features, *_ = parts["attributes"]["_sample_shape"]
    n_outputs = parts["attributes"]["_n_outputs_asked"]
    with forked_random_state(0, torch.device("cpu")):  # what is drawn is replaced
        skeleton = adopt_module(module, n_features, n_outputs)
    try:
        return unpack_module(skeleton, parts["weights"])
    except ValueError as error:
        raise ValueError(
            f"module= is not the network in {path}: {error} If that was made compact, "
            "save it before compact(), or pass the compact module_."
        ) from None


def _digest(text: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
