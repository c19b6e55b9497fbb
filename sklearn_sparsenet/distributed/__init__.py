"""Fits that several processes share, on one machine or many."""

from sklearn_sparsenet.distributed.data_parallel import data_parallel
from sklearn_sparsenet.distributed.on_dask import fit_on_dask
from sklearn_sparsenet.utils.exceptions import ProcessLostError

__all__ = ["ProcessLostError", "data_parallel", "fit_on_dask"]
