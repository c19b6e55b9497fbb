"""Fits that several processes share, on one machine or many."""

from sklearn_sparsenet.distributed.data_parallel import data_parallel

__all__ = ["data_parallel"]
