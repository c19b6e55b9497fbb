"""The fitted attributes that describe a network, and how an estimator gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch import nn

from sklearn_sparsenet.deploy.predictor import Predictor
from sklearn_sparsenet.networks.paths import Paths
from sklearn_sparsenet.utils.runtime import computed_once

__all__ = [
    "CachedPredictor",
    "TrainingState",
    "network_attributes",
    "path_attributes",
    "set_fitted",
]


@dataclass(frozen=True)
class TrainingState:
    """What an estimator keeps for `partial_fit`; None: it is not known, or not needed.

    Attributes
    ----------
    input_sizes : ndarray of shape (n_features,) or None
        How large the inputs of the first layer were in the fit; None: 1.
    moments : dict of ndarray or None
        Adam's, of the parameters that move.
    units : dict of ndarray, each of shape (n_features,), or None
        A column is ``scale * x + shift``, x being what the network was fitted to, where
        a scaler was folded in afterwards.
    architecture : str or None
        Of the network that the parameters asked for.
    """

    input_sizes: np.ndarray | None = None
    moments: dict[str, np.ndarray] | None = None
    units: dict[str, np.ndarray] | None = None
    architecture: str | None = None

    @classmethod
    def of(cls, estimator: Any) -> TrainingState:
        """Return that of a fitted estimator."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: getattr(estimator, f"_{name}", None) for name in names})

    def attributes(self) -> dict[str, Any]:
        """Return it as attributes of an estimator."""
        return {f"_{field.name}": getattr(self, field.name) for field in fields(self)}


class CachedPredictor:
    """The predictor of a network, as long as nobody has changed the network.

    PyTorch counts the changes of a tensor in place, but those through ``.data`` or a
    NumPy view. Made when it is first asked for: a loaded network that is saved again
    has no use for it.
    """

    def __init__(self, module: nn.Module, n_features: int) -> None:
        self._module, self._n_features = module, n_features
        self._versions = self._count()

    @computed_once
    def _predictor(self) -> Predictor | None:
        on_cpu = all(p.device.type == "cpu" for p in self._module.parameters())
        return Predictor.of(self._module, self._n_features) if on_cpu else None

    def _count(self) -> list[tuple[int, ...]]:
        """Return what changes with the modules, hooks, the memory and the values."""
        found: list[tuple[int, ...]] = []
        for module in self._module.modules():
            hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
            found.append((id(module), hooks))
            for p in module._parameters.values():
                if p is not None:
                    found.append((id(p), p.data_ptr(), p._version))
        return found

    def predictor(self, module: nn.Module) -> Predictor | None:
        """Return it, or None if the network is to be run by PyTorch."""
        is_current = module is self._module and self._versions == self._count()
        return self._predictor if is_current else None


def network_attributes(
    module: nn.Module,
    layer_names: list[str],
    counts: Sequence[int],
    n_weights: int,
    n_features: int,
) -> dict[str, Any]:
    """Return what a network is, as attributes; counts are nonzero weights of layers."""
    n_nonzero = int(sum(counts))
    return {
        "module_": module,
        "layer_names_": layer_names,
        "n_nonzero_per_layer_": np.array(counts),
        "n_nonzero_": n_nonzero,
        "sparsity_": 1 - n_nonzero / n_weights,
        "_route_": CachedPredictor(module, n_features),
    }


def path_attributes(paths: Paths | None) -> dict[str, Any]:
    """Return what the paths of a network say, as attributes; None: nothing is known."""
    if paths is None:
        return dict.fromkeys(("n_live_", "support_", "feature_importances_"))
    return {
        "n_live_": paths.n_live,
        "support_": paths.input_support.numpy(),
        "feature_importances_": paths.input_strength.numpy(),
    }


def set_fitted(estimator: Any, attributes: dict[str, Any]) -> None:
    """Give an estimator what a fit found, in one step that nothing can interrupt."""
    others = {  # a fit sets all that one before has set, but for names that X lacks
        k: v for k, v in estimator.__dict__.items() if k != "feature_names_in_"
    }
    estimator.__dict__ = others | attributes
