"""Predictions of a multilayer perceptron with NumPy and SciPy, layer by layer.

A network that was made sparse is first a smaller network, without its idle units
(`compaction`), and then one whose layers are each best multiplied either densely or
sparsely. Which is faster is a matter of size, density and the number of rows, and
estimated from them, not measured: the same rows give the same bits every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from numbers import Integral
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn

from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks.activations import Kernel, activation_of
from sklearn_sparsenet.networks.compaction import SelectInputs, compact_module
from sklearn_sparsenet.networks.stages import Stage, take_apart
from sklearn_sparsenet.utils.runtime import single_threaded
from sklearn_sparsenet.utils.workers import run_tasks

__all__ = ["Predictor", "log_link", "predict_from"]

Array = np.ndarray
# Rows that are passed through the network at once: what a layer gives stays in cache.
# Fewer where they have more inputs than this in all: bounds the peak memory.
_BLOCK = 256
_BLOCK_INPUTS = 2**23
# Multiplications and additions a second, and seconds of a call: measured on one thread,
# with float32; only their ratios matter (docs/design_notes.md).
_DENSE_RATE, _DENSE_CALL = 40e9, 1.5e-6
_DENSE_VECTOR_RATE = 20e9
_SPARSE_RATE, _SPARSE_CALL = 8.5e9, 5e-6
_SPARSE_VECTOR_RATE = 2.5e9
_WORTH_A_TASK = 2e-3  # seconds: what is shorter is not divided among threads
_SPARSE_HALF = 8  # columns at which a sparse product reaches half of its rate


def predict_from(outputs: Array, loss: Loss) -> Array:
    """Return what `loss.predict` does of outputs, by NumPy where the loss says how."""
    if loss.response is not None:
        return loss.response.numpy(outputs)
    with single_threaded():
        return loss.predict(torch.from_numpy(outputs)).numpy()


def log_link(loss: Loss) -> Callable[[Array], Array] | None:
    """Return what makes logarithms of probabilities of outputs, if that is known.

    They are finite where the probability itself is too small for a number. Of a single
    output, the negative one gives the other class.
    """
    response = loss.response
    if response is None or not response.are_probabilities:
        return None
    return response.log


@dataclass
class _Layer:
    """A layer of the smaller network; its inputs are columns."""

    dense: Array  # of shape (n_units, n_inputs)
    sparse: sparse.csr_array  # of that shape
    bias: Array  # of shape (n_units, 1)
    activate: Kernel | None = None  # works in place

    def dense_seconds(self, n_columns: int) -> float:
        """Return how long a dense product will probably take."""
        rate = _DENSE_VECTOR_RATE if n_columns == 1 else _DENSE_RATE
        return _DENSE_CALL + self.dense.size * n_columns / rate

    def sparse_seconds(self, n_columns: int) -> float:
        """Return how long a sparse product will probably take."""
        rate = _SPARSE_VECTOR_RATE
        if n_columns > 1:
            rate = _SPARSE_RATE * n_columns / (n_columns + _SPARSE_HALF)
        return _SPARSE_CALL + self.sparse.nnz * n_columns / rate

    def is_sparse(self, n_columns: int) -> bool:
        """Tell which product is to be taken."""
        return self.sparse_seconds(n_columns) < self.dense_seconds(n_columns)

    def seconds(self, n_columns: int, as_sparse: bool) -> float:
        """Return how long the product that is taken will probably take."""
        known = self.sparse_seconds if as_sparse else self.dense_seconds
        return known(n_columns)

    def apply(self, columns: Array, as_sparse: bool) -> Array:
        """Return the outputs, shape (n_units, n_columns)."""
        weight = self.sparse if as_sparse else self.dense
        values: Array = weight @ columns
        values += self.bias
        if self.activate is not None:
            self.activate(values)
        return values


class Predictor:
    """Computes the outputs of a perceptron as fast as it can.

    Columns are the inputs that the first layer reads, None for all `n_features` of
    them.
    """

    def __init__(
        self, layers: list[_Layer], columns: Array | None, n_features: int
    ) -> None:
        self._layers = layers
        self._columns = columns
        # Where an input stands among those that are read; -1: it is not.
        self._places = np.arange(n_features)
        if columns is not None:
            self._places = np.full(n_features, -1)
            self._places[columns] = np.arange(len(columns))
        self._plans: dict[int, list[bool]] = {}

    @classmethod
    @single_threaded()
    def of(cls, module: nn.Module, n_features: int) -> Predictor | None:
        """Return the predictor of a module, or None where there is none for it."""
        if _has_other_layers(module):
            return None
        try:
            children = list(compact_module(module, (n_features,)))
        except (TypeError, RuntimeError):
            return None
        columns = None
        if isinstance(select := children[0], SelectInputs):
            columns = select.index.numpy()
            del children[0]
        first, stages, stranger = take_apart(children)
        layers = [_read(stage) for stage in stages]
        known = [layer for layer in layers if layer is not None]
        if first or stranger is not None or len(known) < len(layers):
            return None
        return cls(known, columns, n_features)

    @property
    def dtype(self) -> np.dtype:
        """Type of the inputs and outputs."""
        return self._layers[0].dense.dtype

    def plan(self, n_rows: int) -> list[str]:
        """Return which product each layer takes, ``"dense"`` or ``"sparse"``.

        A ValueError tells of `n_rows` that are no number of rows.
        """
        if not isinstance(n_rows, Integral) or n_rows < 0:
            raise ValueError(f"n_rows must be a number of rows; got {n_rows!r}.")
        return ["sparse" if s else "dense" for s in self._plan(n_rows)]

    def with_plan(self, is_sparse: list[bool]) -> Predictor:
        """Return a predictor that takes the given products, whatever the rows."""
        fixed = Predictor(self._layers, self._columns, len(self._places))
        fixed._plans = dict.fromkeys(range(_BLOCK + 1), is_sparse)
        return fixed

    def _plan(self, n_rows: int) -> list[bool]:
        n_columns = min(n_rows, _BLOCK)
        if n_columns not in self._plans:
            self._plans[n_columns] = [x.is_sparse(n_columns) for x in self._layers]
        return self._plans[n_columns]

    def __call__(self, X: Any) -> Array:
        """Return the outputs, shape (n_samples, n_outputs).

        X is an array or a CSR matrix of shape (n_samples, n_features).
        """
        read = self._read_dense
        if sparse.issparse(X):
            X, read = X.tocsr(), self._read_sparse
        n_rows, n_inputs = X.shape[0], self._layers[0].dense.shape[1]
        plan = self._plan(n_rows)
        outputs = np.empty((n_rows, len(self._layers[-1].bias)), self.dtype)
        block = max(1, min(_BLOCK, _BLOCK_INPUTS // n_inputs))

        def compute(starts: range) -> None:
            for start in starts:
                rows = slice(start, min(start + block, n_rows))
                columns = read(X, rows)
                for layer, as_sparse in zip(self._layers, plan, strict=True):
                    columns = layer.apply(columns, as_sparse)
                outputs[rows] = columns.T

        starts = range(0, n_rows, block)
        seconds = sum(
            layer.seconds(block, as_sparse)
            for layer, as_sparse in zip(self._layers, plan, strict=True)
        )
        n_together = ceil(_WORTH_A_TASK / seconds)
        groups = range(0, len(starts), n_together)
        run_tasks([partial(compute, starts[i : i + n_together]) for i in groups])
        return outputs

    def _read_dense(self, X: Array, rows: slice) -> Array:
        """Return the transposed inputs, without those that nothing reads."""
        columns = X[rows].T
        if self._columns is not None:
            columns = columns[self._columns]
        return np.ascontiguousarray(columns, self.dtype)

    def _read_sparse(self, X: Any, rows: slice) -> Array:
        """Do the same, and densify nothing else."""
        ends = X.indptr[rows.start : rows.stop + 1]
        stored = slice(ends[0], ends[-1])
        lengths = np.diff(ends)
        place = self._places[X.indices[stored]]
        row = np.repeat(np.arange(len(lengths)), lengths)
        used = place >= 0
        columns = np.zeros((self._layers[0].dense.shape[1], len(lengths)), self.dtype)
        # Entries that are stored in parts are summed.
        np.add.at(columns, (place[used], row[used]), X.data[stored][used])
        return columns


def _has_other_layers(module: nn.Module) -> bool:
    """Tell whether it is plain that a module is no perceptron, before it is read."""
    return any(
        type(part) is not nn.Linear and activation_of(part) is None
        for part in module.modules()
        if next(part.parameters(recurse=False), None) is not None
    )


def _read(stage: Stage) -> _Layer | None:
    """Return the layer of a stage, or None if NumPy has not its activations."""
    known = stage.activation
    activate = None if known is None else known.numpy(stage.after[0])
    if stage.after and activate is None:
        return None
    dense = torch.clone(stage.linear.weight.detach()).numpy()
    bias = stage.linear.bias.detach().numpy()[:, None].copy()
    return _Layer(dense, sparse.csr_array(dense), bias, activate)
