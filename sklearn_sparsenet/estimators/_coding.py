"""How a fit codes its target: as classes, or as numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from torch import Tensor

from sklearn_sparsenet.estimators._scales import (
    Standardization,
    check_target_range,
    row_blocks,
    warn_about_target_scale,
)
from sklearn_sparsenet.estimators._settings import Settings
from sklearn_sparsenet.estimators._validation import check_class_weight, naming
from sklearn_sparsenet.losses import LOSSES, Loss, as_loss

__all__ = ["ClassCoding", "Coding", "RealCoding", "weigh"]


@dataclass(frozen=True)
class Coding(ABC):
    """The target of some rows, coded, and what follows for networks and losses."""

    values: np.ndarray  # of shape (n_samples,) or (n_samples, n_outputs)
    loss: str | Callable | Loss  # the parameter

    @staticmethod
    def of(
        settings: Settings,
        y: np.ndarray,
        weight: np.ndarray,
        known: np.ndarray | None = None,
        previous: Any = None,
    ) -> Coding:
        """Return the coding of a target that is fitted.

        Parameters
        ----------
        settings : Settings
        y : ndarray
            Of rows of positive weight.
        weight : ndarray of shape (n_samples,)
        known : ndarray of shape (n_classes,), optional
            Classes there are, whether or not y has them.
        previous : SparseNet, optional
            The fit that this one goes on from; other classes than its are refused.
        """
        if settings.is_classification:
            before = None if previous is None else previous.classes_
            return _code_classes(settings, y, known, before)
        return _code_numbers(settings, y, weight)

    @staticmethod
    def as_before(settings: Settings, fitted: Any, y: np.ndarray) -> Coding:
        """Return the target of further rows, coded as that of a fit before.

        Refused are other classes, and targets of another shape or kind.
        """
        coding: Coding
        if settings.is_classification:
            coding = _code_classes(settings, y, fitted.classes_, None)
        else:
            coding = _code_numbers_as(fitted, settings, y)
        for name, value in coding.attributes.items():
            if not np.array_equal(getattr(fitted, name), value):
                raise ValueError(
                    f"y, of shape {y.shape}, is of another kind than that of the fit "
                    "before: one label or several, one dimension or two."
                )
        return coding

    @property
    @abstractmethod
    def attributes(self) -> dict[str, Any]:
        """What predictions need to know of it, as fitted attributes."""

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """How many outputs a network for this target has."""

    @property
    def labels(self) -> np.ndarray | None:
        """The classes, one of which every row has; None for other targets."""
        return None

    @property
    def strata(self) -> np.ndarray:
        """The class of each row, all zeros where there are none."""
        has_classes = self.labels is not None
        return self.values if has_classes else np.zeros(len(self.values), dtype=int)

    @abstractmethod
    def make_loss(self, n_outputs: int) -> Loss:
        """Return the loss, or refuse a network with so many outputs."""

    @abstractmethod
    def tensor(self, n_outputs: int, dtype: torch.dtype) -> Tensor:
        """Return the target as the loss takes it."""

    @abstractmethod
    def score(self, output: Tensor, rows: np.ndarray, weight: np.ndarray) -> float:
        """Return the validation score of outputs for these rows; larger is better."""


@dataclass(frozen=True)
class ClassCoding(Coding):
    """Classes as their numbers, or several labels as indicators."""

    classes: np.ndarray  # of shape (n_classes,); for several labels: their numbers
    is_multilabel: bool

    @property
    def attributes(self) -> dict[str, Any]:
        return {"classes_": self.classes, "_multilabel": self.is_multilabel}

    @property
    def n_outputs(self) -> int:
        n_classes = len(self.classes)
        return 1 if n_classes == 2 and not self.is_multilabel else n_classes

    @property
    def labels(self) -> np.ndarray | None:
        return None if self.is_multilabel else self.classes

    def make_loss(self, n_outputs: int) -> Loss:
        n_classes = len(self.classes)
        expected = {self.n_outputs, n_classes}
        if n_outputs not in expected:
            raise ValueError(
                f"module= has {n_outputs} outputs; {n_classes} classes need "
                f"{' or '.join(map(str, sorted(expected)))}."
            )
        elementwise = self.is_multilabel or n_outputs == 1
        known = LOSSES["indicators" if elementwise else "classes"]
        made_with = () if elementwise else (n_classes,)
        if not isinstance(self.loss, str):
            return as_loss(self.loss, known["log_loss"](*made_with).predict)
        if self.loss not in known:
            raise ValueError(
                f"loss={self.loss!r} is for two classes (one output) or several "
                f"labels; got {n_classes} classes."
            )
        return known[self.loss](*made_with)

    def tensor(self, n_outputs: int, dtype: torch.dtype) -> Tensor:
        if not self.is_multilabel and n_outputs > 1:
            return torch.as_tensor(self.values, dtype=torch.int64)
        numbers = torch.as_tensor(self.values, dtype=dtype)
        return numbers.reshape(len(self.values), -1)

    def score(self, output: Tensor, rows: np.ndarray, weight: np.ndarray) -> float:
        """Return the accuracy."""
        from sklearn.metrics import accuracy_score  # slow to import

        if self.is_multilabel or output.shape[1] == 1:
            predicted = (output > 0).cpu().numpy().astype(int)
            predicted = predicted if self.is_multilabel else predicted[:, 0]
        else:
            predicted = output.argmax(1).cpu().numpy()
        wanted = self.values[rows]
        return float(accuracy_score(wanted, predicted, sample_weight=weight))


@dataclass(frozen=True)
class RealCoding(Coding):
    """Columns of numbers as they were given, standardised where they are needed.

    Or with mean 0 and scale 1, which changes nothing.
    """

    standardization: Standardization
    is_flat: bool  # whether the target has one dimension

    @property
    def attributes(self) -> dict[str, Any]:
        used = self.standardization
        return {
            "y_mean_": used.mean,
            "y_scale_": used.scale,
            "_flat_target": self.is_flat,
        }

    @property
    def n_outputs(self) -> int:
        return self.values.shape[1]

    def make_loss(self, n_outputs: int) -> Loss:
        if n_outputs != self.n_outputs:
            raise ValueError(
                f"module= has {n_outputs} outputs, y has {self.n_outputs} columns."
            )
        return _loss_of_numbers(self.loss)

    def tensor(self, n_outputs: int, dtype: torch.dtype) -> Tensor:
        target = torch.empty(self.values.shape, dtype=dtype)
        for rows in row_blocks(self.values):
            coded = self.standardization(self.values[rows])
            check_target_range(coded, dtype)
            target[rows] = torch.from_numpy(coded)
        return target

    def score(self, output: Tensor, rows: np.ndarray, weight: np.ndarray) -> float:
        """Return R²."""
        from sklearn.metrics import r2_score  # slow to import

        predicted = _loss_of_numbers(self.loss).predict(output).cpu().numpy()
        if not np.isfinite(predicted).all():
            return -np.inf
        wanted = self.standardization(self.values[rows])
        return float(r2_score(wanted, predicted, sample_weight=weight))


def _loss_of_numbers(loss: str | Callable | Loss) -> Loss:
    if isinstance(loss, str):
        return LOSSES["real"][loss]()
    return as_loss(loss)


def _code_classes(settings, y, known, before) -> ClassCoding:
    with naming("y"):
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
    if kind == "multiclass-multioutput":
        raise ValueError(
            "y has several outputs with several classes each; only indicators of "
            "several labels are supported. Use MultiOutputClassifier."
        )
    if kind == "multilabel-indicator":
        labels = np.arange(y.shape[1])
        if known is not None and not np.array_equal(known, labels):
            raise ValueError(
                f"y has {len(labels)} labels, so that the classes are their numbers "
                f"from 0 to {len(labels) - 1}, and not {known}."
            )
        return ClassCoding(y.astype(np.int64), settings.loss, labels, True)
    with naming("y"):
        classes = np.unique(np.concatenate([np.unique(y[i]) for i in row_blocks(y)]))
    if before is not None and not np.array_equal(before, classes):
        raise ValueError(
            "warm_start=True needs the same classes as the fit before; got "
            f"{classes}, had {before}."
        )
    if known is not None:
        if not np.isin(classes, known).all():
            raise ValueError(
                f"y has the classes {classes}, and only {known} are known. Pass all "
                "classes at the first call of partial_fit."
            )
        classes = known
    if len(classes) < 2:
        raise ValueError(
            "y needs a number of classes greater than one; it has 1 class, "
            f"{classes[0]!r} (in rows of positive weight)."
        )
    return ClassCoding(np.searchsorted(classes, y), settings.loss, classes, False)


def _code_numbers(settings, y, weight) -> RealCoding:
    is_flat, loss = y.ndim == 1, settings.loss
    values = y.reshape(len(y), -1)
    check_target_range(values, torch.float64)
    standardizes = settings.normalize_y
    if is_auto := standardizes == "auto":
        standardizes = _loss_of_numbers(loss).standardizes_target
    if standardizes:
        return RealCoding(values, loss, Standardization.of(values, weight), is_flat)
    if is_auto and callable(loss) and not isinstance(loss, Loss):
        warn_about_target_scale(values)
    n_columns = values.shape[1]
    none = Standardization.known(np.zeros(n_columns), np.ones(n_columns))
    return RealCoding(values, loss, none, is_flat)


def _code_numbers_as(fitted, settings, y) -> RealCoding:
    before = Standardization.known(fitted.y_mean_, fitted.y_scale_)
    values = y.reshape(len(y), -1)
    if values.shape[1] != len(before.mean):
        raise ValueError(
            f"y: it has {values.shape[1]} columns, and that of the fit before "
            f"{len(before.mean)}."
        )
    return RealCoding(values, settings.loss, before, y.ndim == 1)


def weigh(
    settings: Settings,
    y: np.ndarray,
    weight: np.ndarray,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Return the weights of rows in a fit: times those of their classes, if any.

    `known` are the classes there are, whether or not y has them; without it all classes
    that have a weight are to be in y. Weights of classes that cannot be, do not suit y,
    or leave nothing, are refused.
    """
    class_weight = settings.class_weight if settings.is_classification else None
    check_class_weight(class_weight)
    if class_weight is None:
        return weight
    if class_weight == "balanced" and y.ndim == 1:
        kept = weight > 0
        classes, index = np.unique(y[kept], return_inverse=True)
        total = np.bincount(index, weights=weight[kept])
        factor = weight[kept].sum() / (len(classes) * total)
        adjusted = np.zeros_like(weight)
        adjusted[kept] = weight[kept] * factor[index]
        return adjusted
    if y.ndim > 1 and isinstance(class_weight, dict):
        raise ValueError(
            "class_weight as a dict is for one label with several classes; for "
            "several labels there are 'balanced' and sample_weight."
        )
    wanted = class_weight
    if known is not None and not isinstance(wanted, str):
        present = set(y.tolist())
        wanted = {k: v for k, v in wanted.items() if k in present}
    with naming("class_weight"):
        adjusted = weight * compute_sample_weight(wanted, y)
    if not adjusted.any():
        raise ValueError(
            f"class_weight={class_weight!r} leaves all samples without weight."
        )
    return adjusted
