"""The parameters of an estimator, as one fit reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sklearn.base import is_classifier

__all__ = ["Settings"]

# What estimators that choose their target are without.
_OF_ONE_TARGET = {
    "target_sparsity": None,
    "alpha": None,
    "warm_start": False,
    "checkpoint": None,
}


@dataclass(frozen=True)
class Settings:
    """Parameters, as attributes: a fit reads them here, and changes no estimator.

    Attributes
    ----------
    kind : type
        The class of the estimator.
    is_classification : bool
    values : dict
        By the names of the parameters.
    """

    kind: type
    is_classification: bool
    values: dict[str, Any]

    @classmethod
    def of(cls, estimator: Any, **changes: Any) -> Settings:
        """Return the parameters of an estimator, but for changes."""
        values = _OF_ONE_TARGET | estimator.get_params(deep=False) | changes
        return cls(type(estimator), is_classifier(estimator), values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(f"There is no parameter {name!r}.") from None
