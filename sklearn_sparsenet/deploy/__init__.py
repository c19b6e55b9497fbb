"""A fitted network for others: PyTorch, ONNX runtimes, C compilers."""

from sklearn_sparsenet.deploy.c_source import to_c
from sklearn_sparsenet.deploy.module import Function, Predictions
from sklearn_sparsenet.deploy.onnx import to_onnx

__all__ = ["Function", "Predictions", "to_c", "to_onnx"]
