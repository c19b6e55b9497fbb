"""What a fitted network tells of itself: layers, inputs, the search, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_sparsenet.estimators._shipping import weighted_names
from sklearn_sparsenet.networks.network import find_layers
from sklearn_sparsenet.networks.paths import count_per_input, find_paths
from sklearn_sparsenet.networks.sparsity import count_nonzero
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["ReportsMixin"]

_NAMED = 5  # inputs that a summary names


class ReportsMixin:
    """Reports on fitted estimators."""

    module_: nn.Module
    layer_names_: list[str]
    support_: np.ndarray | None
    feature_importances_: np.ndarray | None

    @property
    def sample_shape_(self) -> tuple[int, ...]:
        """The shape of a row of X."""
        check_is_fitted(self)
        return self._sample_shape

    @single_threaded()
    def sparsity_report(self):
        """Return what is left of each layer.

        Returns
        -------
        DataFrame, or dict of lists without pandas
            A row for each penalised layer: its name, weights, nonzero and live ones,
            density, units, and units that are left in the compact network (None where
            there is none).
        """
        check_is_fitted(self)
        paths = find_paths(self.module_, self.layer_names_, self._sample_shape)
        layers = self._layers()
        counts = [count_nonzero(w) for w in layers]
        return _as_frame(
            {
                "layer": self.layer_names_,
                "n_weights": [w.numel() for w in layers],
                "n_nonzero": counts,
                "n_live": _or_nones(paths and paths.n_live_per_layer, len(layers)),
                "density": [k / w.numel() for k, w in zip(counts, layers, strict=True)],
                "n_units": [len(w) for w in layers],
                "n_live_units": self._live_units(),
            }
        )

    @single_threaded()
    def input_report(self, feature_names=None):
        """Return the inputs that the network still uses, the most important first.

        Parameters
        ----------
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the columns of X, in place of those that X had in `fit`, as for
            the sparse matrices that a ColumnTransformer makes.

        Returns
        -------
        DataFrame, or dict of lists without pandas
            A row for each input in `support_`: its name (x0, x1, ... if X had none),
            its index among the inputs (in one flat row, for X of more than two
            dimensions), its importance as in `feature_importances_`, and the number
            of live weights that read it (None unless a linear layer comes first).

        Raises
        ------
        ValueError
            If paths cannot be followed through the `module=`, or there are not as many
            names as inputs.
        """
        check_is_fitted(self)
        importances = self._importances()
        order = np.argsort(-importances, kind="stable")
        order = order[self.support_.ravel()[order]]
        counts = count_per_input(self.module_, self._sample_shape)
        if counts is not None:
            counts = counts.numpy().ravel()[order].tolist()
        names = self._input_names() if feature_names is None else list(feature_names)
        if len(names) != len(importances):
            raise ValueError(
                f"feature_names has {len(names)} entries for {len(importances)} inputs."
            )
        return _as_frame(
            {
                "feature": [names[i] for i in order],
                "index": order.tolist(),
                "importance": importances[order].tolist(),
                "n_live": _or_nones(counts, len(order)),
            }
        )

    def search_report(self):
        """Return `search_history_` as a table.

        Returns
        -------
        DataFrame, or dict of lists without pandas
            A row for each solve. What is per layer has a column for each, with the
            layer's name in brackets, as in ``n_nonzero[0.weight]``.
        """
        check_is_fitted(self)
        columns: dict[str, Any] = {}
        for name, values in self.search_history_.items():
            if values.ndim == 1:
                columns[name] = values.tolist()
                continue
            name = name.removesuffix("_per_layer")
            for layer, part in zip(self.layer_names_, values.T, strict=True):
                columns[f"{name}[{layer}]"] = part.tolist()
        return _as_frame(columns)

    def summary(self):
        """Say in a few lines what was asked for and what was found.

        Returns
        -------
        str
        """
        check_is_fitted(self)
        layers = zip(self.layer_names_, self.n_nonzero_per_layer_, strict=True)
        alpha = ", ".join(f"{value:.3g}" for value in np.atleast_1d(self.alpha_))
        return "\n".join(
            [
                f"{type(self).__name__}, fitted",
                f"  weights: {self._describe_weights()}",
                f"  layers:  {', '.join(f'{name} {kept}' for name, kept in layers)}",
                f"  inputs:  {self._describe_inputs()}",
                f"  λ:       {alpha}; optimality to {self.kkt_residual_:.2g} λ",
                f"  cost:    {self.n_outer_iter_} solve(s), {self.n_iter_} epochs",
            ]
        )

    def _describe_weights(self) -> str:
        counted = self.layer_names_
        n_weights = sum(w.numel() for w in self._layers())
        share = self.n_nonzero_ / n_weights
        text = f"{self.n_nonzero_} of {n_weights} ({share:.2%})"
        if self.n_live_ is not None:
            text += f", {self.n_live_} on paths from inputs to outputs"
        if self.target_n_nonzero_ is None:
            return text
        met = "met" if self.converged_ else "not met"
        text += f"; asked for {np.array(self.target_n_nonzero_).tolist()}: {met}"
        others = [name for name in find_layers(self.module_) if name not in counted]
        return f"{text}; not counted: {', '.join(others)}" if others else text

    def _describe_inputs(self) -> str:
        if self.support_ is None:
            return "not known, as paths cannot be followed"
        order = np.argsort(-self._importances(), kind="stable")
        n_used = int(self.support_.sum())
        text = f"{n_used} of {self.support_.size} in use"
        if n_used == 0:
            return text
        names = self._input_names()
        first = [str(names[i]) for i in order[: min(n_used, _NAMED)]]
        more = ", ..." if n_used > _NAMED else ""
        return f"{text}: {', '.join(first)}{more}"

    def _importances(self) -> np.ndarray:
        if self.feature_importances_ is None:
            raise ValueError(
                f"Which inputs are used is not known: paths cannot be followed through "
                f"{type(self.module_).__name__}."
            )
        return self.feature_importances_.ravel()

    def _input_names(self) -> list[str]:
        """Return the names of all inputs, in one flat row."""
        names = getattr(self, "feature_names_in_", None)
        if names is not None:
            return names.tolist()
        if len(self._sample_shape) == 1:
            return [f"x{i}" for i in range(self._sample_shape[0])]
        return [f"x{list(index)}" for index in np.ndindex(*self._sample_shape)]

    def _live_units(self) -> list[int | None]:
        try:
            compact = self._compacted()
        except TypeError:
            return [None] * len(self.layer_names_)
        sizes = dict(compact.named_parameters())
        left = [len(sizes[name]) for name in weighted_names(compact)]
        by_name = dict(zip(weighted_names(self.module_), left, strict=True))
        return [by_name[name] for name in self.layer_names_]


def _or_nones(values, length: int) -> list:
    return [None] * length if values is None else list(values)


def _as_frame(columns: dict[str, Any]):
    """Return columns as a DataFrame, or as lists where pandas is not installed."""
    try:
        import pandas as pd
    except ImportError:
        return {name: list(column) for name, column in columns.items()}
    return pd.DataFrame(columns)
