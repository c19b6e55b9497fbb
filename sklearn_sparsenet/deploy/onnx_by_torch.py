"""Networks of any kind in an ONNX graph, written by PyTorch's exporter."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.network import outputs_of

__all__ = ["add_network"]

_SAMPLES = 3  # that the network is exported with
_PREFIX = "network/"  # of names that are not ours


class _Outputs(nn.Module):
    """The outputs of a network, shape (n_samples, n_outputs)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        return outputs_of(self.network, inputs)


def add_network(
    graph: Any, network: nn.Module, sample_shape: tuple[int, ...], reason: str
) -> None:
    """Add what a network does to the last values of a graph, as PyTorch exports it.

    Parameters
    ----------
    graph : object
        As in `sklearn_sparsenet.deploy.onnx`.
    network : nn.Module
        In eval mode, on the CPU.
    sample_shape : tuple of int
        Shape of one sample.
    reason : str
        Why the layers cannot be written one by one.

    Raises
    ------
    TypeError
        If PyTorch cannot export the network, or its exporter is not installed.
    """
    if find_spec("onnxscript") is None:
        raise TypeError(
            f"{reason}. PyTorch may export the network: pip install "
            "sklearn-sparsenet[onnx], which has onnxscript. to_module() takes any."
        )
    dtype = next(network.parameters()).dtype
    inputs = torch.zeros(_SAMPLES, *sample_shape, dtype=dtype)
    try:
        program = torch.onnx.export(
            _Outputs(network).eval(),
            (inputs,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n_samples")},),
            input_names=["inputs"],
            output_names=["outputs"],
            opset_version=graph.opset,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        raise TypeError(
            f"{reason}, and PyTorch cannot export {type(network).__name__}, as the "
            "error before this one says."
        ) from error
    assert program is not None
    model = graph.onnx.compose.add_prefix(program.model_proto, _PREFIX)
    graph.node("Identity", [graph.last], f"{_PREFIX}inputs")
    graph.nodes.extend(model.graph.node)
    graph.dense.extend(model.graph.initializer)
    graph.last = f"{_PREFIX}outputs"
