"""One file for a fitted estimator: a versioned document and safetensors arrays.

Of sparse weights their values are stored, and one or two bytes to tell where they are,
for the network and its penalised solution together.
"""

from __future__ import annotations

import json
from numbers import Integral
from typing import Any

import numpy as np
import torch

from sklearn_sparsenet._version import __version__
from sklearn_sparsenet.deploy.architecture import describe
from sklearn_sparsenet.deploy.sparse_storage import Packed, pack_solutions
from sklearn_sparsenet.estimators import _stored as stored
from sklearn_sparsenet.estimators._modules import penalized_weights
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.utils.atomic_files import put
from sklearn_sparsenet.utils.json_codec import Writer
from sklearn_sparsenet.utils.runtime import single_threaded
from sklearn_sparsenet.utils.tensor_files import compressed, dump_tensors

__all__ = ["save"]


@single_threaded()
def save(estimator: Any, path: Any, *, compress: bool = False) -> None:
    """Write a fitted estimator to a file; see `SparseNetClassifier.save`."""
    kind = type(estimator)
    if not stored.is_stored(kind):
        raise TypeError(
            f"{kind.__name__} is a class of your own, which a file without code cannot "
            "hold. Save an estimator of the library, or pickle this one (joblib.dump)."
        )
    writer = Writer(stored.known_classes())
    params = _stored_params(estimator, writer)
    stored.check_params(kind, params)
    network, penalized = _packed(estimator)
    attributes = {
        name: getattr(estimator, name)
        for name in sorted(stored.declared_attributes(kind))
        if hasattr(estimator, name)
    }
    stored.complete_attributes(attributes, params)
    attributes["penalized_coefs_"] = penalized
    attributes["_loss_"] = _for_predictions(attributes["_loss_"])
    document = {
        "class": kind.__name__,
        "library": __version__,
        "params": {k: writer.encode(v, k) for k, v in params.items()},
        "attributes": {k: writer.encode(v, k) for k, v in attributes.items()},
        "had_module": estimator.module is not None,
        "recipe": describe(estimator.module_),
        "weights": {name: writer.encode(part, name) for name, part in network.items()},
    }
    stored.check_attributes(kind, attributes)
    text = json.dumps(document, sort_keys=True)
    version = {"format": stored.FORMAT, "format_version": stored.FORMAT_VERSION}
    checked = {"document": text, "sha256": stored.digest(text, writer.arrays)}
    content = dump_tensors(writer.arrays, version | checked)
    put(compressed(content, version) if compress else content, path)


def _stored_params(estimator: Any, writer: Writer) -> dict[str, Any]:
    """Return the parameters with None for what a file does not keep."""
    params = dict(sorted(estimator.get_params(deep=False).items()))
    for name in ("dtype", "device"):
        params[name] = _by_name(params[name])
    of_this_process = {"module", "checkpoint"}
    for name in ("random_state", "cv"):  # splits are about rows of its data
        if not isinstance(params.get(name), Integral):
            of_this_process.add(name)
    for name in stored.OF_THE_USER:
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
    return isinstance(value, str) or type(value) in stored.known_classes().values()


def _by_name(value: Any) -> Any:
    """Return a type or device by the name that the parameter takes as well."""
    if isinstance(value, torch.dtype | torch.device):
        return str(value).removeprefix("torch.")
    if value is None or isinstance(value, str):
        return value
    return np.dtype(value).name


def _for_predictions(loss: Loss) -> Loss:
    """Return a loss of the library that predicts the same, if there is one."""
    found = loss.as_stored()
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
        network, penalized = pack_solutions(
            estimator.module_, penalized_weights(estimator), may_be_sparse=may_be_sparse
        )
        if stored.is_paid([*network.values(), *penalized]):
            break
    return network, penalized
