"""What the plots read from fitted estimators."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_sparsenet.networks.compaction import SelectInputs

__all__ = ["input_names", "open_up", "output_names", "selected_inputs"]


def open_up(estimator: Any) -> tuple[Any, Pipeline | None]:
    """Return the fitted network in an estimator, and what comes before it.

    An estimator of ours, alone, at the end of a Pipeline, or the best one of a search
    such as `GridSearchCV`; others are refused.
    """
    before = None
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            if len(estimator) > 1:
                before = estimator[:-1]
            estimator = estimator[-1]
        else:
            break
    check_is_fitted(estimator)
    if not hasattr(estimator, "module_"):
        raise TypeError(
            "estimator must be a SparseNetClassifier or SparseNetRegressor, alone, at "
            f"the end of a Pipeline or in a search; got {type(estimator).__name__}."
        )
    return estimator, before


def input_names(net: Any, before: Pipeline | None) -> list[str]:
    """Return the names of the inputs, ``x0``, ``x1`` and so on where there are none."""
    if hasattr(net, "feature_names_in_"):
        return [str(name) for name in net.feature_names_in_]
    if before is not None:
        try:
            names = [str(name) for name in before.get_feature_names_out()]
        except (AttributeError, ValueError):
            names = []
        if len(names) == net.n_features_in_:
            return names
    return [f"x{number}" for number in range(net.n_features_in_)]


def output_names(net: Any, n_outputs: int) -> list[str]:
    """Return the classes of the outputs, or numbers."""
    classes = getattr(net, "classes_", None)
    if classes is not None and len(classes) == n_outputs:
        return [str(name) for name in classes]
    if classes is not None and len(classes) == 2 and n_outputs == 1:
        return [str(classes[1])]
    if n_outputs == 1:
        return ["output"]
    return [f"output {number}" for number in range(n_outputs)]


def selected_inputs(module: nn.Module) -> Any:
    """Return the inputs that a compact network reads, or None: all."""
    for child in module.modules():
        if isinstance(child, SelectInputs):
            return child.index.cpu().numpy()
    return None
