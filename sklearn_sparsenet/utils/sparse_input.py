"""Sparse matrices whose index arrays can be trusted.

SciPy checks them when a matrix is made, not when its arrays are changed, read from a
file or mapped into memory, and its compiled routines believe them: an index out of
range reads, or writes, beyond the buffer. Hence they are checked before anything but
NumPy sees them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["check_sparse"]

Fault = str | None


def check_sparse(matrix: Any, name: str) -> Any:
    """Return a sparse matrix as CSR or CSC with sound indices; others as they are.

    Parameters
    ----------
    matrix : object
    name : str
        What it is called in messages.

    Raises
    ------
    ValueError
        If its parts contradict each other or its shape, or if it has no two dimensions.
    """
    if not sparse.issparse(matrix):
        return matrix
    fault = _fault_of(matrix)
    if fault is None and matrix.format not in ("csr", "csc"):
        kind = type(matrix).__name__
        try:
            matrix = matrix.tocsr()
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise ValueError(
                f"{name} is a {kind} that cannot be made a CSR matrix: {error}"
            ) from error
        fault = _fault_of(matrix)
    if fault is not None:
        raise ValueError(
            f"{name} is a {type(matrix).__name__} of shape {matrix.shape} that is "
            f"malformed: {fault}. Pass a CSR or CSC matrix that is made from "
            "(data, (row, column)), or an array."
        )
    return matrix


def _fault_of(matrix: Any) -> Fault:
    """Say what is wrong with a matrix, as far as SciPy's conversions rely on it."""
    if matrix.ndim != 2:
        return f"it has {matrix.ndim} dimensions, not two"
    find = _FAULTS.get(matrix.format)
    try:
        return None if find is None else find(matrix)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        return f"its parts are not those of this format ({error})"


def _of_compressed(matrix: Any) -> Fault:
    n_major, n_minor = matrix.shape
    if matrix.format == "csc":
        n_major, n_minor = n_minor, n_major
    if matrix.data.ndim != 1:
        return f"data has {matrix.data.ndim} dimensions, not one"
    return _of_pointers(matrix, n_major, n_minor)


def _of_blocks(matrix: Any) -> Fault:
    if matrix.data.ndim != 3:
        return f"data has {matrix.data.ndim} dimensions, not three"
    height, width = matrix.data.shape[1:]
    n_rows, n_columns = matrix.shape
    if not height or not width or n_rows % height or n_columns % width:
        return f"blocks of shape {height, width} do not make up a matrix of its shape"
    return _of_pointers(matrix, n_rows // height, n_columns // width)


def _of_pointers(matrix: Any, n_major: int, n_minor: int) -> Fault:
    """Check what CSR, CSC and BSR have in common."""
    pointers, indices, n_stored = matrix.indptr, matrix.indices, len(matrix.data)
    for name, array in (("indptr", pointers), ("indices", indices)):
        if array.ndim != 1 or array.dtype.kind != "i":
            return f"{name} must be a one-dimensional array of signed integers"
    if len(pointers) != n_major + 1:
        return f"indptr has {len(pointers)} entries instead of {n_major + 1}"
    if len(indices) != n_stored:
        return f"there are {len(indices)} indices for {n_stored} entries of data"
    if pointers[0] != 0 or (pointers[1:] < pointers[:-1]).any():
        return "indptr must begin with 0 and never fall"
    if pointers[-1] > n_stored:
        return f"indptr ends with {pointers[-1]}, beyond the {n_stored} entries of data"
    return _of_range("indices", indices[: pointers[-1]], n_minor)


def _of_coordinates(matrix: Any) -> Fault:
    parts = zip(("row", "col"), (matrix.row, matrix.col), matrix.shape, strict=True)
    for name, index, size in parts:
        if index.shape != matrix.data.shape or matrix.data.ndim != 1:
            return f"{name} has shape {index.shape}, data {matrix.data.shape}"
        fault = _of_range(name, index, size)
        if fault is not None:
            return fault
    return None


def _of_diagonals(matrix: Any) -> Fault:
    if matrix.offsets.ndim != 1 or matrix.data.ndim != 2:
        return "offsets must have one dimension, data two"
    if len(matrix.offsets) != len(matrix.data):
        return f"{len(matrix.offsets)} offsets for {len(matrix.data)} diagonals"
    return None


def _of_lists(matrix: Any) -> Fault:
    n_rows = matrix.shape[0]
    if matrix.rows.shape != (n_rows,) or matrix.data.shape != (n_rows,):
        return f"rows and data must have {n_rows} lists each"
    pairs = zip(matrix.rows, matrix.data, strict=True)
    if any(len(index) != len(values) for index, values in pairs):
        return "a list of rows has another length than that of data"
    return None


def _of_range(name: str, index: np.ndarray, size: int) -> Fault:
    if index.dtype.kind != "i":
        return f"{name} must be an array of signed integers"
    if index.size and not 0 <= index.min() <= index.max() < size:
        return f"{name} must lie from 0 to {size - 1}; got {index.min()}, {index.max()}"
    return None


_FAULTS = {
    "csr": _of_compressed,
    "csc": _of_compressed,
    "bsr": _of_blocks,
    "coo": _of_coordinates,
    "dia": _of_diagonals,
    "lil": _of_lists,
}
