"""What skl2onnx is told of a fitted network, so that it converts whole pipelines.

skl2onnx asks an estimator for its hooks (`onnx_parser` and so on), which are made here:
nothing has to be registered, and nothing imports skl2onnx before it is in use.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sklearn_sparsenet.deploy.module import Function
from sklearn_sparsenet.deploy.onnx import OPSET, to_onnx
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["add_to_graph", "by_skl2onnx", "declare_outputs", "set_types"]


def by_skl2onnx(model: Any, X: Any, kinds: Iterable[type]) -> Any:
    """Return the ``onnx.ModelProto`` that skl2onnx makes of a fitted model.

    Parameters
    ----------
    model : estimator
    X : array-like
        Some rows, of which the types matter.
    kinds : iterable of type
        The estimators of this library.

    Raises
    ------
    ValueError
        If the type of a column cannot be known, or an imputer is in double precision.
    """
    try:
        import skl2onnx
    except ImportError as error:
        raise ImportError(
            "to_onnx needs skl2onnx for this model: pip install sklearn-sparsenet[onnx]"
        ) from error
    _register(kinds)
    # Or ensembles of classifiers would return a list of dicts, not a tensor.
    options = {"zipmap": False} if hasattr(model, "predict_proba") else None
    types = _types_of_columns(X) if hasattr(X, "columns") else None
    converted = skl2onnx.to_onnx(model, X, initial_types=types, options=options)
    _check_imputers(converted)
    return converted


def _types_of_columns(X: Any) -> list:
    """Return (name, type) of each column, by its first value that is not missing."""
    from skl2onnx.algebra.type_helper import guess_initial_types

    types = []
    for name in X.columns:
        column = X[[name]].dropna()
        try:
            types += guess_initial_types(column if len(column) else X[[name]])
        except NotImplementedError as error:
            raise ValueError(
                f"skl2onnx does not know the type of the column {name!r} of X. If all "
                "its values are missing, give X more rows."
            ) from error
    return types


def _check_imputers(converted: Any) -> None:
    """Raise ValueError for what onnxruntime could load, but not run."""
    from onnx import TensorProto

    double = [
        given.name
        for given in converted.graph.input
        if given.type.tensor_type.elem_type == TensorProto.DOUBLE
    ]
    if double and any(node.op_type == "Imputer" for node in converted.graph.node):
        raise ValueError(
            "onnxruntime imputes in single precision only, and these inputs are in "
            f'double precision: {double}. Convert them in X by astype("float32"), and '
            "give such rows to onnxruntime as well."
        )


def _register(kinds: Iterable[type]) -> None:
    """Give estimators a name in skl2onnx, under which ensembles and options have them.

    It is their hooks that are asked, before what is registered.
    """
    from skl2onnx import update_registered_converter

    for kind in kinds:
        update_registered_converter(
            kind,
            f"SklearnSparsenet{kind.__name__}",
            lambda operator: operator.raw_operator.onnx_shape_calculator()(operator),
            lambda scope, operator, container: operator.raw_operator.onnx_converter()(
                scope, operator, container
            ),
            parser=_parse,
            # A Pipeline sets it; probabilities are a tensor in any case.
            options={"zipmap": [True, False]},
        )


def _parse(scope: Any, model: Any, inputs: list, custom_parsers: Any = None) -> list:
    """Declare an estimator, once it is registered, as skl2onnx does before."""
    alias = f"SklearnSparsenet{type(model).__name__}"
    operator = scope.declare_local_operator(alias, model)
    operator.inputs = inputs
    for variable in model.onnx_parser()(scope=scope, inputs=inputs):
        operator.outputs.append(variable)
    outputs: list = operator.outputs
    return outputs


def declare_outputs(function: Function, kind: type, scope: Any, inputs: list) -> list:
    """Return a variable for each output: labels first, as skl2onnx has them."""
    _register([kind])  # or a Pipeline could not set the option that it always sets
    return [
        scope.declare_local_variable(output.name, _type_of(output))
        for output in _outputs(_model(function, inputs))
    ]


def set_types(function: Function, operator: Any) -> None:
    """Give the outputs of an operator their types and shapes."""
    outputs = _outputs(_model(function, operator.inputs))
    for variable, output in zip(operator.outputs, outputs, strict=True):
        variable.type = _type_of(output)


def add_to_graph(function: Function, scope: Any, operator: Any, container: Any) -> None:
    """Add the network, predictions and labels to the graph of skl2onnx."""
    from onnx.helper import get_attribute_value

    model = _model(function, operator.inputs)
    names = {"X": _joined_inputs(model.graph.input[0], scope, operator, container)}
    for variable, output in zip(operator.outputs, _outputs(model), strict=True):
        names[output.name] = variable.full_name
    for tensor in model.graph.initializer:
        names[tensor.name] = scope.get_unique_variable_name(tensor.name)
        tensor.name = names[tensor.name]
        container.initializers.append(tensor)
    for node in model.graph.node:
        for name in node.output:
            names.setdefault(name, scope.get_unique_variable_name(name))
        container.add_node(
            node.op_type,
            [names[name] for name in node.input],
            [names[name] for name in node.output],
            op_version=OPSET,
            name=scope.get_unique_operator_name(node.op_type),
            **{part.name: get_attribute_value(part) for part in node.attribute},
        )


def _joined_inputs(declared: Any, scope: Any, operator: Any, container: Any) -> str:
    """Return the name of all inputs side by side, in the type of the network."""
    kind = declared.type.tensor_type.elem_type
    cast = [scope.get_unique_variable_name("cast") for _ in operator.inputs]
    for variable, name in zip(operator.inputs, cast, strict=True):
        container.add_node("Cast", variable.full_name, name, op_version=OPSET, to=kind)
    if len(cast) == 1:
        return cast[0]
    joined: str = scope.get_unique_variable_name("joined")
    container.add_node("Concat", cast, joined, op_version=OPSET, axis=1)
    return joined


@single_threaded()
def _model(function: Function, inputs: list) -> Any:
    """Return the network as a model of its own, in types that skl2onnx is used to.

    The precision is that of the inputs, and labels that are no texts are int64.
    """
    from skl2onnx.common.data_types import DoubleTensorType

    is_double = any(isinstance(each.type, DoubleTensorType) for each in inputs)
    network = copy.deepcopy(function.network)
    network.to(torch.float64 if is_double else torch.float32)
    classes = function.classes
    if classes is not None and classes.dtype.kind in "bi":
        classes = classes.astype(np.int64)
    function = replace(function, network=network, classes=classes)
    return to_onnx(replace(function, in_one_type=True))


def _outputs(model: Any) -> list:
    return sorted(model.graph.output, key=lambda output: output.name != "label")


def _type_of(output: Any) -> Any:
    from skl2onnx.common._topology import Variable

    return Variable.from_pb(output).type
