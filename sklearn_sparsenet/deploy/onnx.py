"""A network of well-known layers as an ONNX model, predictions and labels included."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from sklearn_sparsenet.deploy.module import Function
from sklearn_sparsenet.deploy.onnx_graph import Graph
from sklearn_sparsenet.deploy.onnx_layers import SINGLE_ONLY, add_layer
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["to_onnx"]


@single_threaded()
def to_onnx(function: Function, *, sparse_initializers: bool = False) -> Any:
    """Return an ``onnx.ModelProto``.

    Its input is "X", in the type of the fit. A regression has the output
    "predictions"; a classification "probabilities", and "label" if there is one label
    per sample.

    Parameters
    ----------
    function : Function
    sparse_initializers : bool
        Whether weights are stored sparse. The file shrinks; runtimes turn them into
        dense ones when they load it.

    Raises
    ------
    TypeError
        For layers and losses that are not known.
    ImportError
        Without the package onnx.
    """
    graph = Graph(function, sparse_initializers)
    layers = list(function.network.children())
    # onnxruntime has no convolutions, pools and the like in double precision.
    in_single = graph.is_double and any(type(m) in SINGLE_ONLY for m in layers)
    if in_single:
        layers = [copy.deepcopy(module).float() for module in layers]
        graph.cast(np.float32)
    for module in layers:
        add_layer(graph, module)
    if in_single:
        graph.cast(np.float64)
    graph.add_predictions()
    return graph.finish()
