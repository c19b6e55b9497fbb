"""A fitted network for others: PyTorch, ONNX runtimes, C compilers."""

from sklearn_sparsenet.export.c_source import to_c
from sklearn_sparsenet.export.function import Function, Predictions
from sklearn_sparsenet.export.onnx_graph import to_onnx

__all__ = ["Function", "Predictions", "to_c", "to_onnx"]
