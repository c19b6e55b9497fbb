"""What a file of an estimator consists of, and all that it may set."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_sparsenet import penalties, search
from sklearn_sparsenet.deploy.sparse_storage import Packed
from sklearn_sparsenet.estimators._validation import check_parameters, resolve_dtype
from sklearn_sparsenet.losses import Loss, known_losses
from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.networks.shapes import output_shape
from sklearn_sparsenet.optimality import Certificate
from sklearn_sparsenet.search.pruning_schedule import PruningSchedule
from sklearn_sparsenet.utils.declared import declared_types, fits

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "FORMER_NAMES",
    "OF_THE_USER",
    "PARTS",
    "VERSIONS_READ",
    "check_attributes",
    "check_network",
    "check_params",
    "complete_attributes",
    "declared_attributes",
    "digest",
    "is_paid",
    "is_stored",
    "known_classes",
]

FORMAT, FORMAT_VERSION = "sklearn_sparsenet", "2"
VERSIONS_READ = ("1", "2")
PARTS = {
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
_KNOWN: dict[str, type] = {  # beside losses
    kind.__name__: kind
    for kind in (
        penalties.L1, penalties.MCP, penalties.L0,
        penalties.GroupL2, penalties.SparseGroupL2,
        search.BracketSearch, search.OnePassSearch, search.ContinuationSearch,
        PruningSchedule, Certificate, Packed,
    )
}  # fmt: skip
FORMER_NAMES: dict[str, type] = {"Stages": PruningSchedule}
# Parameters whose objects and functions are of no use for predictions. None in their
# place is refused by `fit`, which names the parameter; `score` takes no scoring for R²
# or the accuracy.
OF_THE_USER = ("loss", "penalty", "search", "selection", "scoring")
_OF_THE_PROCESS = ("module", "checkpoint")
# What the first files and pickles do not have.
_DEFAULTS = {
    "weight_decay_": 0.0,
    "_input_sizes": None,
    "_moments": None,
    "_units": None,
    "_architecture": None,
    "_fill": None,
}
Numbers = dict[str, np.ndarray]


class _Fitted:
    n_features_in_: int
    feature_names_in_: np.ndarray
    _n_outputs_asked: int
    _sample_shape: tuple[int, ...]
    _is_sparse: bool
    _loss_: Loss
    certificate_: Certificate
    penalized_coefs_: list[Packed]
    penalized_intercepts_: list[np.ndarray]
    layer_names_: list[str]
    n_nonzero_per_layer_: np.ndarray
    n_nonzero_: int
    sparsity_: float
    target_n_nonzero_: int | np.ndarray | None
    alpha_: float | np.ndarray
    weight_decay_: float
    kkt_residual_: float
    loss_: float
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    search_history_: Numbers
    narrowing_history_: Numbers | None
    n_outer_iter_: int
    n_iter_: int
    converged_: bool
    n_live_: int | None
    support_: np.ndarray | None
    feature_importances_: np.ndarray | None
    _input_sizes: np.ndarray | None
    _moments: Numbers | None
    _units: Numbers | None
    _architecture: str | None
    _fill: np.ndarray | None


class _Regressor(_Fitted):
    """What a fitted regressor has."""

    _flat_target: bool
    y_mean_: np.ndarray
    y_scale_: np.ndarray


class _Classifier(_Fitted):
    """What a fitted classifier has."""

    _multilabel: bool
    classes_: np.ndarray


class _Chosen:
    """What cross-validation adds."""

    target_sparsities_: list[Any]
    target_inputs_grid_: list[Any]
    test_scores_: np.ndarray
    train_scores_: np.ndarray
    n_nonzeros_: np.ndarray
    n_inputs_: np.ndarray
    alphas_: np.ndarray
    cv_results_: dict[str, Any]
    best_index_: int
    best_score_: float
    target_sparsity_: Any
    target_inputs_: Any


_STATES: dict[str, tuple[type, ...]] = {
    "SparseNetRegressor": (_Regressor,),
    "SparseNetClassifier": (_Classifier,),
    "SparseNetRegressorCV": (_Regressor, _Chosen),
    "SparseNetClassifierCV": (_Classifier, _Chosen),
}


def is_paid(parts: list[Packed]) -> bool:
    """Tell whether weights take memory in proportion to what is stored of them."""
    stored = sum(p.n_stored_bytes for p in parts)
    return sum(p.nbytes for p in parts) <= _FREE_WEIGHTS + _MOST_EXPANSION * stored


def digest(text: str, arrays: dict[str, np.ndarray]) -> str:
    """Return the checksum of the document and its arrays."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def known_classes() -> dict[str, type]:
    """Return the classes of what a file may hold, by their names."""
    return {**known_losses(), **_KNOWN}


def is_stored(kind: type) -> bool:
    """Tell whether a class is one of ours, of which it is known what a file keeps."""
    return kind.__module__.startswith("sklearn_sparsenet.") and kind.__name__ in _STATES


def declared_attributes(kind: type) -> dict[str, Any]:
    """Return the types of the attributes of a fitted estimator, by their names."""
    parts = _STATES[kind.__name__]
    return {k: v for part in parts for k, v in declared_types(part).items()}


def complete_attributes(attributes: dict[str, Any], params: dict[str, Any]) -> None:
    """Add the attributes that files and pickles of earlier versions are without."""
    for name, value in _DEFAULTS.items():
        attributes.setdefault(name, value)
    if "target_sparsities_" in attributes:  # inputs could not be chosen
        asked, n_targets = (
            params.get("target_inputs"),
            len(attributes["target_sparsities_"]),
        )
        attributes.setdefault("target_inputs_", asked)
        attributes.setdefault("target_inputs_grid_", [asked] * n_targets)
        attributes.setdefault("n_inputs_", np.full(n_targets, -1.0))


def check_params(kind: type, params: dict[str, Any]) -> None:
    """Refuse parameters that `fit` would refuse, and those that no file may set."""
    set_by_file = [k for k in _OF_THE_PROCESS if params.get(k) is not None]
    if set_by_file:
        raise ValueError(f"it sets {set_by_file}, which no file may do")
    left_out = [k for k in OF_THE_USER if k in params and params[k] is None]
    kept = {k: v for k, v in params.items() if k not in left_out}
    values = kind(**kept).get_params(deep=False)
    check_parameters(kind, values)
    resolve_dtype(
        values["dtype"], np.dtype(float), torch.device("cpu"), values["solver"]
    )
    torch.device("cpu" if values["device"] == "auto" else values["device"])


def check_attributes(kind: type, attributes: dict[str, Any]) -> None:
    """Refuse attributes that no fit sets, or that do not fit together, by name."""
    declared = declared_attributes(kind)
    odd = (declared.keys() ^ attributes.keys()) - {"feature_names_in_"}
    if odd:
        raise ValueError(f"it has too few or too many attributes: {sorted(odd)}")
    wrong = [k for k, value in attributes.items() if not fits(value, declared[k])]
    shape = tuple(attributes["_sample_shape"])
    if wrong or not shape or min(shape) < 1 or shape[0] != attributes["n_features_in_"]:
        wrong = wrong or ["_sample_shape"]
        raise ValueError(f"its attributes {wrong} have values that no fit gives them")
    if type(attributes["_loss_"]) not in known_losses().values():
        raise ValueError("its _loss_ is none of this library")
    n_outputs = attributes["_n_outputs_asked"]
    arrays = {
        "support_": ("b", shape),
        "feature_importances_": ("f", shape),
        "feature_names_in_": ("O", shape[:1]),
        "_input_sizes": ("f", shape[:1]),
        "_fill": ("f", shape[:1]),
        "n_nonzero_per_layer_": ("iu", (len(attributes["layer_names_"]),)),
        "y_mean_": ("f", (n_outputs,)),
        "y_scale_": ("f", (n_outputs,)),
        "classes_": ("biufmMUO", (_n_classes(attributes),)),
    }
    for name, (kinds, expected) in arrays.items():
        array = attributes.get(name)
        if array is None:
            continue
        if array.dtype.kind not in kinds or array.shape != expected:
            raise ValueError(f"its {name} is {array.dtype} of shape {array.shape}")
    if n_outputs not in _possible_outputs(attributes):
        raise ValueError(f"{n_outputs} outputs do not serve for its target")
    _check_records(attributes)


def _n_classes(attributes: dict[str, Any]) -> int:
    return attributes["classes_"].size if "classes_" in attributes else 0


def _possible_outputs(attributes: dict[str, Any]) -> tuple[int, ...]:
    """Return how many outputs a network for these classes or targets may have."""
    if "classes_" not in attributes:
        return (attributes["y_mean_"].size,)
    n_classes = _n_classes(attributes)
    if attributes["_multilabel"] or n_classes > 2:
        return (n_classes,)
    return (1, 2) if n_classes == 2 else ()


def _check_records(attributes: dict[str, Any]) -> None:
    """Refuse records of the search and of folds that do not fit together."""
    n_layers = len(attributes["layer_names_"])
    for name in ("search_history_", "narrowing_history_"):
        columns = list((attributes[name] or {}).values())
        shapes = {column.shape[1:] for column in columns}
        lengths = {column.shape[:1] for column in columns}
        if () in lengths or len(lengths) > 1 or not shapes <= {(), (1,), (n_layers,)}:
            raise ValueError(f"its {name} has columns of several lengths")
    _check_moments(attributes["_moments"])
    _check_units(attributes["_units"], attributes["n_features_in_"])
    alpha = np.asarray(attributes["alpha_"])
    if alpha.dtype.kind not in "iuf" or alpha.shape not in ((), (1,), (n_layers,)):
        raise ValueError(f"its alpha_ is {alpha.dtype} of shape {alpha.shape}")
    if "best_index_" in attributes:
        n_targets, scores = len(attributes["target_sparsities_"]), ("test", "train")
        kept = [attributes[f"{kind}_scores_"] for kind in scores]
        if (
            any(each.ndim != 2 or len(each) != n_targets for each in kept)
            or len(attributes["target_inputs_grid_"]) != n_targets
            or attributes["n_inputs_"].shape != (n_targets,)
            or not 0 <= attributes["best_index_"] < n_targets
        ):
            raise ValueError("its scores are not those of its targets")


def _check_moments(moments: Numbers | None) -> None:
    if moments is None:
        return
    is_known = moments.keys() == {"n_steps", "mean", "square"}
    if not is_known or moments["n_steps"].shape or not moments["n_steps"] >= 0:
        raise ValueError("its _moments are none of Adam's")
    if moments["mean"].ndim != 1 or moments["mean"].shape != moments["square"].shape:
        raise ValueError("its _moments have several lengths")


def _check_units(units: Numbers | None, n_features: int) -> None:
    if units is None:
        return
    shapes = {values.shape for values in units.values()}
    if units.keys() != {"scale", "shift"} or shapes != {(n_features,)}:
        raise ValueError("its _units are not those of its columns")
    if (
        not np.isfinite([units["scale"], units["shift"]]).all()
        or not units["scale"].all()
    ):
        raise ValueError("its _units have values that no scaler has")


def check_network(network: nn.Module, attributes: dict[str, Any]) -> None:
    """Refuse a network whose predictions would fail, without running it.

    It comes from `deploy.architecture.build_from`, with its weights; the attributes are
    checked.
    """
    weights = dict(network.named_parameters())
    for name in attributes["layer_names_"]:
        if name not in weights or weights[name].ndim < 2:
            raise ValueError(f"the network has no layer {name!r}")
    shape = tuple(attributes["_sample_shape"])
    (*more, n_outputs) = output_shape(network.children(), shape)
    if more or n_outputs not in _possible_outputs(attributes):
        raise ValueError(f"the network has {(*more, n_outputs)} outputs")
    attributes["_loss_"].check_outputs(n_outputs)
    dtypes = {t.dtype for t in network.state_dict().values() if t.is_floating_point()}
    if dtypes not in ({torch.float32}, {torch.float64}):
        raise ValueError(f"the network computes in {dtypes}")
    for child in network.children():
        if isinstance(child, SelectInputs):
            index = child.index
            if not bool(((index >= 0) & (index < shape[0])).all()):
                raise ValueError("the network selects inputs that there are not")
