"""A fitted network for others: PyTorch, ONNX runtimes, C compilers (`c_source`)."""

from sklearn_sparsenet.deploy.module import Function, Predictions
from sklearn_sparsenet.deploy.onnx import to_onnx

__all__ = ["Function", "Predictions", "to_onnx"]
