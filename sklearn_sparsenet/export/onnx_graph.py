"""A network of well-known layers as an ONNX graph, predictions and labels included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from sklearn_sparsenet.compaction import SelectInputs
from sklearn_sparsenet.export.function import Function

__all__ = ["OPSET", "to_onnx"]

OPSET = 20  # the first with Gelu
_SPARSE_BELOW = 0.5  # density from which on an initialiser stays dense


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
    graph = _Graph(function, sparse_initializers)
    for module in function.network.children():
        graph.add_layer(module)
    graph.add_predictions()
    return graph.finish()


class _Graph:
    """A chain of nodes in the making."""

    def __init__(self, function: Function, is_sparse: bool) -> None:
        try:
            import onnx
        except ImportError as error:
            raise ImportError(
                "to_onnx needs onnx: pip install sklearn-sparsenet[onnx]"
            ) from error
        self.onnx: Any = onnx
        self.function = function
        self.is_sparse = is_sparse
        self.nodes: list[Any] = []
        self.dense: list[Any] = []
        self.sparse: list[Any] = []
        self.outputs: list[Any] = []
        self.dtype = np.dtype(str(function.dtype).removeprefix("torch."))
        self.last = "X"

    def node(
        self, kind: str, inputs: list[str], name: str | None = None, **options: Any
    ) -> str:
        """Add a node; return the name of its output, from now on the last one."""
        name = name or f"{kind}_{len(self.nodes)}"
        node = self.onnx.helper.make_node(kind, inputs, [name], **options)
        self.nodes.append(node)
        self.last = name
        return name

    def constant(self, values: Any, name: str) -> str:
        """Add an initialiser; return its name."""
        array = values.detach().numpy() if isinstance(values, Tensor) else values
        name = f"{name}_{len(self.dense) + len(self.sparse)}"
        density = np.count_nonzero(array) / max(1, array.size)
        if self.is_sparse and array.ndim >= 2 and density < _SPARSE_BELOW:
            self.sparse.append(self._sparse(array, name))
        else:
            self.dense.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def _sparse(self, array: np.ndarray, name: str) -> Any:
        flat = array.reshape(-1)
        places = np.flatnonzero(flat)
        from_array = self.onnx.numpy_helper.from_array
        return self.onnx.helper.make_sparse_tensor(
            from_array(flat[places], name),
            from_array(places, f"{name}_at"),
            array.shape,
        )

    def add_layer(self, module: Any) -> None:
        """Add what a layer does to the last values."""
        writer = _WRITERS.get(type(module))
        if writer is None:
            raise TypeError(
                f"to_onnx does not know {type(module).__name__}; torch.onnx.export "
                "takes what to_module() returns."
            )
        writer(self, module)

    def number(self, value: float) -> str:
        """Add a number as an initialiser."""
        return self.constant(np.array(value, self.dtype), "number")

    def add_predictions(self) -> None:
        """Add what turns outputs into predictions, probabilities and labels."""
        function = self.function
        is_class = function.link in ("sigmoid", "softmax")
        end = "probabilities" if is_class else "predictions"
        links = {"exp": "Exp", "sigmoid": "Sigmoid", "softmax": "Softmax"}
        if function.link in links:
            options: dict[str, Any] = {"axis": 1} if function.link == "softmax" else {}
            self.node(links[function.link], [self.last], **options)
        if function.is_binary:
            other = self.node("Sub", [self.number(1.0), positive := self.last])
            self.node("Concat", [other, positive], axis=1)
        if function.scale is not None and function.shift is not None:
            scale, shift = (
                self.constant(values.astype(self.dtype), name)
                for values, name in (
                    (function.scale, "scale"),
                    (function.shift, "shift"),
                )
            )
            self.node("Add", [self.node("Mul", [self.last, scale]), shift])
        self.node("Identity", [self.last], end)
        self._declare(end, self.dtype, [None, None])
        if function.classes is not None:
            self._add_label(function.classes)

    def _add_label(self, classes: np.ndarray) -> None:
        place = self.node("ArgMax", [self.last], axis=1, keepdims=0)
        if classes.dtype.kind in "USO":
            labels = np.array([str(label) for label in classes], dtype=object)
        else:
            labels = classes.astype(np.int64 if classes.dtype.kind in "iub" else float)
        self.node("Gather", [self.constant(labels, "classes"), place], "label")
        self._declare("label", labels.dtype, [None])

    def _declare(self, name: str, dtype: np.dtype, shape: list[Any]) -> None:
        self.outputs.append(self._info(name, dtype, shape))

    def _info(self, name: str, dtype: np.dtype, shape: list[Any]) -> Any:
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)

    def finish(self) -> Any:
        """Return the model, checked."""
        helper = self.onnx.helper
        inputs = [self._info("X", self.dtype, [None, *self.function.sample_shape])]
        graph = helper.make_graph(
            self.nodes,
            "sklearn_sparsenet",
            inputs,
            self.outputs,
            self.dense,
            sparse_initializer=self.sparse,
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
        self.onnx.checker.check_model(model)
        return model


def _simple(kind: str, **named: str) -> Callable[[_Graph, Any], None]:
    """Return a writer of a node whose options are attributes of the module."""

    def write(graph: _Graph, module: Any) -> None:
        options = {ours: getattr(module, theirs) for ours, theirs in named.items()}
        graph.node(kind, [graph.last], **options)

    return write


def _nothing(graph: _Graph, module: Any) -> None:
    """Write nothing: the layer does nothing in predictions."""


def _select(graph: _Graph, module: Any) -> None:
    graph.node("Gather", [graph.last, graph.constant(module.index, "index")], axis=1)


def _linear(graph: _Graph, module: Any) -> None:
    inputs = [graph.last, graph.constant(module.weight, "weight")]
    if module.bias is not None:
        inputs.append(graph.constant(module.bias, "bias"))
    graph.node("Gemm", inputs, transB=1)


def _silu(graph: _Graph, module: Any) -> None:
    values = graph.last
    graph.node("Mul", [values, graph.node("Sigmoid", [values])])


def _softplus(graph: _Graph, module: Any) -> None:
    beta = graph.number(module.beta)
    scaled = graph.node("Mul", [graph.last, beta])
    graph.node("Div", [graph.node("Softplus", [scaled]), beta])


def _pair(value: Any, dimensions: int = 2) -> list[int]:
    return list(value) if isinstance(value, tuple) else [value] * dimensions


def _convolution(graph: _Graph, module: Any) -> None:
    inputs = [graph.last, graph.constant(module.weight, "weight")]
    if module.bias is not None:
        inputs.append(graph.constant(module.bias, "bias"))
    graph.node(
        "Conv",
        inputs,
        strides=_pair(module.stride),
        pads=_pair(module.padding) * 2,
        dilations=_pair(module.dilation),
    )


def _pool(kind: str) -> Callable[[_Graph, Any], None]:
    def write(graph: _Graph, module: Any) -> None:
        options: dict[str, Any] = {}
        if kind == "AveragePool":
            options["count_include_pad"] = 1
        graph.node(
            kind,
            [graph.last],
            kernel_shape=_pair(module.kernel_size),
            strides=_pair(module.stride),
            pads=_pair(module.padding) * 2,
            ceil_mode=int(module.ceil_mode),
            **options,
        )

    return write


def _batch_norm(graph: _Graph, module: Any) -> None:
    names = ("weight", "bias", "running_mean", "running_var")
    constants = [graph.constant(getattr(module, name), name) for name in names]
    graph.node("BatchNormalization", [graph.last, *constants], epsilon=module.eps)


_WRITERS: dict[type[nn.Module], Callable[[_Graph, Any], None]] = {
    SelectInputs: _select,
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.MaxPool2d: _pool("MaxPool"),
    nn.AvgPool2d: _pool("AveragePool"),
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.Flatten: _simple("Flatten", axis="start_dim"),
    nn.Identity: _nothing,
    nn.Dropout: _nothing,
    nn.Dropout2d: _nothing,
    nn.ReLU: _simple("Relu"),
    nn.Tanh: _simple("Tanh"),
    nn.Sigmoid: _simple("Sigmoid"),
    nn.LeakyReLU: _simple("LeakyRelu", alpha="negative_slope"),
    nn.ELU: _simple("Elu", alpha="alpha"),
    nn.GELU: _simple("Gelu", approximate="approximate"),
    nn.SiLU: _silu,
    nn.Softplus: _softplus,
}
