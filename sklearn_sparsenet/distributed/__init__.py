"""Fits that several processes share, on one machine or many."""

from sklearn_sparsenet.distributed.data_parallel import data_parallel
from sklearn_sparsenet.distributed.on_dask import fit_on_dask

__all__ = ["data_parallel", "fit_on_dask"]
