"""An ONNX graph in the making: nodes, initialisers, predictions and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from sklearn_sparsenet.deploy.module import Function

__all__ = ["OPSET", "Graph"]

OPSET = 20  # the first with Gelu
_SPARSE_BELOW = 0.5  # density from which on an initialiser stays dense


class Graph:
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
            self.scale_and_shift(function.scale, function.shift)
        self.node("Identity", [self.last], end)
        self._declare(end, self.dtype, [None, None])
        if function.classes is not None:
            self._add_label(function.classes)

    def _add_label(self, classes: np.ndarray) -> None:
        labels = _labels(classes)
        place = self.node("ArgMax", [self.last], axis=1, keepdims=0)
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


def _labels(classes: np.ndarray) -> np.ndarray:
    """Return classes as ONNX has them: numbers of the same type, or texts.

    Raises
    ------
    TypeError
        For classes that runtimes cannot return.
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
