"""A network of well-known layers as an ONNX model, predictions and labels included."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn

from sklearn_sparsenet.deploy.module import Function
from sklearn_sparsenet.deploy.onnx_by_torch import add_network
from sklearn_sparsenet.deploy.onnx_steps import STEP_WRITERS, refuse
from sklearn_sparsenet.networks.activations import activation_of
from sklearn_sparsenet.networks.steps import steps_of
from sklearn_sparsenet.networks.tracing import trace
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["OPSET", "to_onnx"]

OPSET = 20  # the first with Gelu
_SPARSE_BELOW = 0.5  # density from which on an initialiser stays dense


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
        self.opset = OPSET
        self.function = function
        self.is_sparse = is_sparse
        self.nodes: list[Any] = []
        self.dense: list[Any] = []
        self.sparse: list[Any] = []
        self.outputs: list[Any] = []
        self.dtype = np.dtype(str(function.dtype).removeprefix("torch."))
        self.input_dtype = self.dtype
        self.last = "X"
        self.others: list[str] = []  # that a layer reads beside the last values
        if function.fill is not None:
            is_missing = self.node("IsNaN", ["X"])
            self.node("Where", [is_missing, self.number(function.fill), "X"])

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

    def cast(self, dtype: Any) -> str:
        """Go on with the last values in another type."""
        self.dtype = np.dtype(dtype)
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        return self.node("Cast", [self.last], to=kind)

    @property
    def is_double(self) -> bool:
        """Whether values are in double precision just now."""
        return self.dtype == np.float64

    def number(self, value: Any) -> str:
        """Add a number, or one for each column, as an initialiser."""
        return self.constant(np.asarray(value).astype(self.dtype), "number")

    def scale_and_shift(self, scale: Any, shift: Any) -> None:
        """Multiply the last values, and add to them."""
        self.node("Mul", [self.last, self.number(scale)])
        self.node("Add", [self.last, self.number(shift)])

    def add_predictions(self) -> None:
        """Add what turns outputs into predictions, probabilities and labels."""
        function = self.function
        is_class = function.response.are_probabilities
        end = "probabilities" if is_class else "predictions"
        function.response.onnx(self)
        if function.is_binary:
            other = self.node("Sub", [self.number(1.0), positive := self.last])
            self.node("Concat", [other, positive], axis=1)
        if function.scale is not None and function.shift is not None:
            if function.needs_double and not self.is_double:
                self.cast(np.float64)
            self.scale_and_shift(function.scale, function.shift)
        self.node("Identity", [self.last], end)
        self.outputs.append(self._info(end, self.dtype, [None, None]))
        if function.classes is not None:
            self._add_label(function.classes)

    def _add_label(self, classes: np.ndarray) -> None:
        labels = _labels(classes)
        place = self.node("ArgMax", [self.last], axis=1, keepdims=0)
        self.node("Gather", [self.constant(labels, "classes"), place], "label")
        self.outputs.append(self._info("label", labels.dtype, [None]))

    def _info(self, name: str, dtype: np.dtype, shape: list[Any]) -> Any:
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)

    def finish(self) -> Any:
        """Return the model, checked."""
        helper = self.onnx.helper
        inputs = [
            self._info("X", self.input_dtype, [None, *self.function.sample_shape])
        ]
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


def _labels(classes: np.ndarray) -> np.ndarray:
    """Return classes as ONNX has them: numbers of the same type, or texts.

    Classes that runtimes cannot return are refused.
    """
    if classes.dtype.kind in "biuf" and classes.dtype.itemsize <= 8:
        return classes
    texts = classes.astype(str) if classes.dtype.kind == "M" else classes
    if not all(isinstance(label, str) and _is_utf8(label) for label in texts):
        raise TypeError(
            f"classes_ of type {classes.dtype} are not those of ONNX, which has "
            "integers, floats of up to 8 bytes, booleans and texts in Unicode; dates "
            "become texts. Fit with such labels, or export to_module()."
        )
    return np.array([str(label) for label in texts], dtype=object)


def _is_utf8(text: str) -> bool:
    """Tell whether a text can be written down: Python has halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _nothing(graph: _Graph, module: Any) -> None:
    """Write nothing: the layer does nothing in predictions."""


def _linear(graph: _Graph, module: Any) -> None:
    graph.node("Gemm", _with_parameters(graph, module), transB=1)


def _with_parameters(graph: _Graph, module: Any) -> list[str]:
    """Return the last values, weight and bias of a layer."""
    inputs = [graph.last, graph.constant(module.weight, "weight")]
    if module.bias is not None:
        inputs.append(graph.constant(module.bias, "bias"))
    return inputs


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


def _convolution(graph: _Graph, module: Any) -> None:
    if module.padding_mode != "zeros":
        refuse(module, f"padding_mode={module.padding_mode!r}")
    graph.node(
        "Conv",
        _with_parameters(graph, module),
        strides=_per_axis(module, module.stride),
        pads=_pads(module),
        dilations=_per_axis(module, module.dilation),
        group=module.groups,
    )


def _max_pool(graph: _Graph, module: Any) -> None:
    _pool(graph, module, "MaxPool", dilations=_per_axis(module, module.dilation))


def _average_pool(graph: _Graph, module: Any) -> None:
    if getattr(module, "divisor_override", None) is not None:
        refuse(module, "divisor_override")
    if module.ceil_mode:
        refuse(module, "ceil_mode, which runtimes average in different ways")
    _pool(graph, module, "AveragePool", count_include_pad=int(module.count_include_pad))


def _pool(graph: _Graph, module: Any, kind: str, **options: Any) -> None:
    graph.node(
        kind,
        [graph.last],
        kernel_shape=_per_axis(module, module.kernel_size),
        strides=_per_axis(module, module.stride),
        pads=_pads(module),
        ceil_mode=int(module.ceil_mode),
        **options,
    )


def _global_pool(kind: str) -> Callable[[_Graph, Any], None]:
    def write(graph: _Graph, module: Any) -> None:
        if set(_per_axis(module, module.output_size)) != {1}:
            refuse(module, f"output_size={module.output_size!r}, only with 1")
        graph.node(kind, [graph.last])

    return write


def _flatten(graph: _Graph, module: Any) -> None:
    if (module.start_dim, module.end_dim) != (1, -1):
        refuse(module, f"start_dim={module.start_dim}, end_dim={module.end_dim}")
    graph.node("Flatten", [graph.last], axis=1)


def _batch_norm(graph: _Graph, module: Any) -> None:
    if module.running_mean is None:
        refuse(module, "track_running_stats=False")
    size = module.num_features
    values = {
        "scale": np.ones(size, graph.dtype) if module.weight is None else module.weight,
        "shift": np.zeros(size, graph.dtype) if module.bias is None else module.bias,
        "mean": module.running_mean,
        "var": module.running_var,
    }
    constants = [graph.constant(value, name) for name, value in values.items()]
    graph.node("BatchNormalization", [graph.last, *constants], epsilon=module.eps)


_SINGLE_ONLY = tuple(
    getattr(nn, f"{kind}{d}d")
    for kind in (
        *("Conv", "MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool"),
        "BatchNorm",
    )
    for d in (1, 2, 3)
)

_WRITERS: dict[type[nn.Module], Callable[[_Graph, Any], None]] = {
    **STEP_WRITERS,
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


def _add_steps(graph: _Graph, function: Function) -> None:
    """Add what a network does, step by step; TypeError if not all are known."""
    traced = trace(function.network, function.sample_shape)
    steps = steps_of(traced.network)
    for module, _ in steps:
        if activation_of(module) is None and type(module) not in _WRITERS:
            raise TypeError(f"to_onnx does not know {traced.told(module)}")
    with _precision_for(graph, [module for module, _ in steps]) as convert:
        values = [graph.last]
        for module, numbers in steps:
            graph.last, *graph.others = [values[number] for number in numbers]
            activation = activation_of(module)
            write = _WRITERS[type(module)] if activation is None else activation.onnx
            write(graph, convert(module))
            values.append(graph.last)


@contextmanager
def _precision_for(
    graph: _Graph, modules: Iterable[nn.Module]
) -> Iterator[Callable[[nn.Module], nn.Module]]:
    """Let values be as onnxruntime takes them; yield what converts modules likewise.

    It has no convolutions, pools and the like in double precision.
    """
    if not graph.is_double or all(type(m) not in _SINGLE_ONLY for m in modules):
        yield lambda module: module
        return
    graph.cast(np.float32)
    yield lambda module: copy.deepcopy(module).float()
    graph.cast(np.float64)


@single_threaded()
def to_onnx(function: Function, *, sparse_initializers: bool = False) -> Any:
    """Return an ``onnx.ModelProto``.

    Its input is "X", in the type of the fit. A regression has the output "predictions";
    a classification "probabilities", and "label" if there is one label per sample.
    Losses that are not known are refused; networks with layers that are not known are
    exported by PyTorch, and refused where that cannot be done. Weights that are stored
    sparse shrink the file; runtimes turn them into dense ones when they load it.
    """
    graph = _Graph(function, sparse_initializers)
    try:
        _add_steps(graph, function)
    except TypeError as error:
        graph = _Graph(function, sparse_initializers)
        network = function.network
        with _precision_for(graph, network.modules()) as convert:
            add_network(graph, convert(network), function.sample_shape, str(error))
    graph.add_predictions()
    return graph.finish()
