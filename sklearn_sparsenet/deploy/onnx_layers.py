"""What each layer is in an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from sklearn_sparsenet.deploy.onnx_graph import Graph
from sklearn_sparsenet.networks.activations import activation_of
from sklearn_sparsenet.networks.compaction import SelectInputs

__all__ = ["SINGLE_ONLY", "add_layer"]


def _nothing(graph: Graph, module: Any) -> None:
    """Write nothing: the layer does nothing in predictions."""


def _select(graph: Graph, module: Any) -> None:
    graph.node("Gather", [graph.last, graph.constant(module.index, "index")], axis=1)


def _linear(graph: Graph, module: Any) -> None:
    inputs = [graph.last, graph.constant(module.weight, "weight")]
    if module.bias is not None:
        inputs.append(graph.constant(module.bias, "bias"))
    graph.node("Gemm", inputs, transB=1)


def _refuse(module: Any, what: str) -> None:
    raise TypeError(
        f"to_onnx does not know {type(module).__name__} with {what}; torch.onnx.export "
        "takes what to_module() returns."
    )


def _per_axis(module: Any, value: Any) -> list[int]:
    """Return a number for each axis of a layer that is named after their number."""
    n_axes = int(type(module).__name__[-2])
    return list(value) if isinstance(value, tuple) else [value] * n_axes


def _pads(module: Any) -> list[int]:
    """Return the padding at the beginning of each axis, then at the end of each."""
    if module.padding == "valid":
        return _per_axis(module, 0) * 2
    if module.padding == "same":
        sizes = zip(module.kernel_size, module.dilation, strict=True)
        total = [dilation * (size - 1) for size, dilation in sizes]
        return [n // 2 for n in total] + [n - n // 2 for n in total]
    return _per_axis(module, module.padding) * 2


def _convolution(graph: Graph, module: Any) -> None:
    if module.padding_mode != "zeros":
        _refuse(module, f"padding_mode={module.padding_mode!r}")
    inputs = [graph.last, graph.constant(module.weight, "weight")]
    if module.bias is not None:
        inputs.append(graph.constant(module.bias, "bias"))
    graph.node(
        "Conv",
        inputs,
        strides=_per_axis(module, module.stride),
        pads=_pads(module),
        dilations=_per_axis(module, module.dilation),
    )


def _max_pool(graph: Graph, module: Any) -> None:
    _pool(graph, module, "MaxPool", dilations=_per_axis(module, module.dilation))


def _average_pool(graph: Graph, module: Any) -> None:
    if getattr(module, "divisor_override", None) is not None:
        _refuse(module, "divisor_override")
    if module.ceil_mode:
        _refuse(module, "ceil_mode, which runtimes average in different ways")
    _pool(graph, module, "AveragePool", count_include_pad=int(module.count_include_pad))


def _pool(graph: Graph, module: Any, kind: str, **options: Any) -> None:
    graph.node(
        kind,
        [graph.last],
        kernel_shape=_per_axis(module, module.kernel_size),
        strides=_per_axis(module, module.stride),
        pads=_pads(module),
        ceil_mode=int(module.ceil_mode),
        **options,
    )


def _global_pool(kind: str) -> Callable[[Graph, Any], None]:
    def write(graph: Graph, module: Any) -> None:
        if set(_per_axis(module, module.output_size)) != {1}:
            _refuse(module, f"output_size={module.output_size!r}, only with 1")
        graph.node(kind, [graph.last])

    return write


def _flatten(graph: Graph, module: Any) -> None:
    if (module.start_dim, module.end_dim) != (1, -1):
        _refuse(module, f"start_dim={module.start_dim}, end_dim={module.end_dim}")
    graph.node("Flatten", [graph.last], axis=1)


def _batch_norm(graph: Graph, module: Any) -> None:
    if module.running_mean is None:
        _refuse(module, "track_running_stats=False")
    size = module.num_features
    values = {
        "scale": np.ones(size, graph.dtype) if module.weight is None else module.weight,
        "shift": np.zeros(size, graph.dtype) if module.bias is None else module.bias,
        "mean": module.running_mean,
        "var": module.running_var,
    }
    constants = [graph.constant(value, name) for name, value in values.items()]
    graph.node("BatchNormalization", [graph.last, *constants], epsilon=module.eps)


SINGLE_ONLY = tuple(
    getattr(nn, f"{kind}{d}d")
    for kind in (
        *("Conv", "MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool"),
        "BatchNorm",
    )
    for d in (1, 2, 3)
)

_WRITERS: dict[type[nn.Module], Callable[[Graph, Any], None]] = {
    SelectInputs: _select,
    nn.Linear: _linear,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), _max_pool),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _average_pool),
    **dict.fromkeys(
        (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
        _global_pool("GlobalAveragePool"),
    ),
    **dict.fromkeys(
        (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
        _global_pool("GlobalMaxPool"),
    ),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _batch_norm),
    nn.Flatten: _flatten,
    **dict.fromkeys(
        (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
        _nothing,
    ),
}


def add_layer(graph: Graph, module: nn.Module) -> None:
    """Add what a layer does to the last values of a graph.

    Raises
    ------
    TypeError
        For a layer that is not known.
    """
    activation = activation_of(module)
    writer = _WRITERS.get(type(module)) if activation is None else activation.onnx
    if writer is None:
        raise TypeError(
            f"to_onnx does not know {type(module).__name__}; torch.onnx.export takes "
            "what to_module() returns."
        )
    writer(graph, module)
