"""Estimators from files: the only place that knows the classes by their names.

Nothing in a file is executed when it is read. What it says is believed where it is what
`save` could have written, and nowhere else: the checksum tells of accidents, not of
intentions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from sklearn_sparsenet._version import __version__
from sklearn_sparsenet.deploy.architecture import build_from
from sklearn_sparsenet.deploy.sparse_storage import Packed, unpack_module
from sklearn_sparsenet.estimators import _stored as stored
from sklearn_sparsenet.estimators._modules import adopt_module
from sklearn_sparsenet.estimators.classifier import SparseNetClassifier
from sklearn_sparsenet.estimators.cv import SparseNetClassifierCV, SparseNetRegressorCV
from sklearn_sparsenet.estimators.regressor import SparseNetRegressor
from sklearn_sparsenet.utils.atomic_files import opened
from sklearn_sparsenet.utils.declared import fits
from sklearn_sparsenet.utils.json_codec import Reader
from sklearn_sparsenet.utils.runtime import forked_random_state, single_threaded
from sklearn_sparsenet.utils.tensor_files import (
    COMPRESSION,
    expanded,
    parse,
    read_tensors,
)

__all__ = ["load"]

_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        SparseNetRegressor,
        SparseNetClassifier,
        SparseNetRegressorCV,
        SparseNetClassifierCV,
    )
}


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
        and take no memory beyond what they bring and what the network takes, or a few
        times what they bring if they are compressed.
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
    estimator.__setstate__({**parts["attributes"], "module_": network.eval()})
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
        raise ValueError(f"{path} is no file of save(), or damaged: {error}") from error


def _read(file: BinaryIO, *, ends: bool) -> tuple[dict[str, Any], Reader]:
    """Return document and arrays of a file that is what it says it is."""
    metadata, arrays = _read_version(file, ends=ends)
    if COMPRESSION in metadata:  # once: a file in a file in a file could be of any size
        metadata, arrays = _read_version(expanded(metadata, arrays), ends=True)
    text = metadata["document"]
    if metadata["sha256"] != stored.digest(text, arrays):
        raise ValueError("its checksum is wrong")
    document = parse(text)
    if document.keys() != stored.PARTS.keys() or not all(
        fits(document[part], declared) for part, declared in stored.PARTS.items()
    ):
        raise ValueError("its document does not have the parts that save() writes")
    return document, Reader(stored.known_classes() | stored.FORMER_NAMES, arrays)


def _read_version(
    file: BinaryIO, *, ends: bool
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return metadata and arrays of a file of a version that is read."""
    metadata, arrays = read_tensors(file)
    if ends and file.read(1):
        raise ValueError("something follows its end")
    if metadata.get("format") != stored.FORMAT:
        raise ValueError("it was not written by save()")
    version = metadata.get("format_version")
    if version not in stored.VERSIONS_READ:
        raise ValueError(
            f"it has format version {version!r}, and this library ({__version__}) "
            f"reads versions {' and '.join(stored.VERSIONS_READ)}"
        )
    return metadata, arrays


def _decode(document: dict[str, Any], reader: Reader) -> tuple[type, dict[str, Any]]:
    """Return the class of an estimator and the values that make it, all checked."""
    kind = _KINDS.get(document["class"])
    if kind is None:
        raise ValueError(f"it holds a {document['class']}, which is not known")
    parts = dict(document)
    for part in ("params", "attributes", "weights"):
        parts[part] = {k: reader.decode(v) for k, v in document[part].items()}
    if reader.arrays:
        raise ValueError(f"it does not say what {len(reader.arrays)} arrays are")
    stored.check_params(kind, parts["params"])
    attributes, weights = parts["attributes"], parts["weights"]
    stored.complete_attributes(attributes, parts["params"])
    stored.check_attributes(kind, attributes)
    penalized = attributes["penalized_coefs_"]
    if not fits(weights, dict[str, Packed]):
        raise ValueError("what should be its weights is something else")
    if not stored.is_paid([*weights.values(), *penalized]):
        raise ValueError("its weights are far larger than the file")
    attributes["penalized_coefs_"] = [
        part.unpack(weights).numpy() for part in penalized
    ]
    return kind, parts


def _network(parts: dict[str, Any]) -> nn.Module | None:
    """Return the network of well-known layers, if it is one."""
    is_perceptron = not parts["had_module"]
    if is_perceptron and len(parts["attributes"]["_sample_shape"]) != 1:
        raise ValueError("a perceptron has samples of more dimensions")
    if parts["recipe"] is None:
        return None
    network = unpack_module(build_from(parts["recipe"]), parts["weights"])
    stored.check_network(network, parts["attributes"])
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
