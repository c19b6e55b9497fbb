"""What can be done with a fitted network: make it small, export it, pickle it."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_sparsenet.deploy import Function, Predictions, to_onnx
from sklearn_sparsenet.deploy.skl2onnx_converter import (
    add_to_graph,
    declare_outputs,
    set_types,
)
from sklearn_sparsenet.estimators._fitted import network_attributes, path_attributes
from sklearn_sparsenet.estimators._saving import save
from sklearn_sparsenet.estimators._validation import check_new_data
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.networks.compaction import compact_module
from sklearn_sparsenet.networks.network import NORMALIZATIONS
from sklearn_sparsenet.networks.paths import find_paths
from sklearn_sparsenet.networks.sparsity import count_nonzero
from sklearn_sparsenet.networks.tracing import trace
from sklearn_sparsenet.solvers.dataset import make_dataset
from sklearn_sparsenet.utils.atomic_files import put
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["DeployMixin", "attributes_with", "renamed_weights"]


def _is_fitted(estimator: Any) -> bool:
    if hasattr(estimator, "module_"):
        return True
    raise AttributeError(f"{type(estimator).__name__} is not fitted yet.")


def _warn(message: str) -> None:
    warn_user(message, UserWarning)


def _checked_rows(estimator: Any, X: Any, fill: np.ndarray | None) -> np.ndarray | None:
    if X is None:
        return None
    table = check_new_data(estimator, X, fill)
    rows = make_dataset(table, torch.float64, torch.device("cpu"))
    return rows.slice(0, rows.n_samples).numpy()


class _KnownToSkl2onnx:
    """What skl2onnx asks of the objects that it converts."""

    def onnx_parser(self):
        """Return what declares the outputs for skl2onnx, which calls this."""
        return partial(declare_outputs, self._compact_function("skl2onnx"), type(self))

    def onnx_shape_calculator(self):
        """Return what finds the types of the outputs for skl2onnx, which calls this."""
        return partial(set_types, self._compact_function("skl2onnx"))

    def onnx_converter(self):
        """Return what adds the network to a graph of skl2onnx, which calls this."""
        return partial(add_to_graph, self._compact_function("skl2onnx"))


class DeployMixin(_KnownToSkl2onnx):
    """Methods of fitted estimators beside prediction."""

    module_: nn.Module
    layer_names_: list[str]

    @available_if(_is_fitted)
    def sparsify(self):
        """Turn `coefs_` into sparse matrices, and store only nonzero weights.

        Predictions do not change: they use sparse products where those are faster,
        before and after. Pickles shrink.

        Returns
        -------
        self
        """
        self._is_sparse = True
        return self

    @available_if(_is_fitted)
    def densify(self):
        """Turn `coefs_` into arrays again.

        Returns
        -------
        self
        """
        self._is_sparse = False
        return self

    @single_threaded()
    def compact(self):
        """Remove the units that do nothing, and the inputs that nothing reads.

        `module_` becomes a smaller network with the same outputs up to rounding: an
        `nn.Sequential` where it is a chain, whatever its class was. Weights out of
        constant units are folded into biases, so that `n_nonzero_` may fall;
        `sparsity_` is that of the smaller network. X keeps all its columns;
        `support_` tells which are used.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If there is something in the network, between its layers, that is not
            known; the message names it.
        """
        check_is_fitted(self)
        device = next(self.module_.parameters()).device
        module = self._compacted().to(device)
        found = attributes_with(self, module, self._sample_shape)
        if np.array_equal(found["support_"], self.support_):
            # Sizes of weights say it no more where scales were folded into them.
            found["feature_importances_"] = self.feature_importances_
        self.__dict__ |= found
        return self

    def prediction_plan(self, n_rows):
        """Tell how predictions for so many rows are computed.

        Parameters
        ----------
        n_rows : int
            How many rows are predicted at once.

        Returns
        -------
        list of {"dense", "sparse"}, or None
            The product that each layer takes, without idle units; None: the network
            is run by PyTorch.
        """
        check_is_fitted(self)
        predictor = self._route_.predictor(self.module_)
        return None if predictor is None else predictor.plan(n_rows)

    def save(self, path, *, compress=False):
        """Write the fitted estimator to one file, without pickle.

        The arrays are safetensors, sparse ones where most weights are zero: a weight
        takes five or six bytes in single precision, and its value in the penalised
        solution four more. The file has a version and a checksum, and the same
        estimator makes the same bytes.
        `sklearn_sparsenet.load` reads it, on a machine without an accelerator as well.
        A file that is there already is replaced in one step: whatever happens, one of
        the two can be read.

        What predictions do not need and cannot be stored without code is None in the
        file: `module` and `checkpoint`; `random_state` and `cv` if they are no
        numbers; `loss`, `penalty`, `search`, `selection` and `scoring` if they are
        functions or objects of your own. To fit the loaded estimator anew, set them
        again; `fit` refuses None for `loss`, `penalty`, `search` and `selection`.

        Parameters
        ----------
        path : str, path-like or binary file object
            The file to write.
        compress : bool, default=False
            Whether the file is compressed with zlib, which makes it a third smaller.
            Other readers of safetensors then find one array of bytes.

        Raises
        ------
        TypeError
            If predictions need code of your own (an object as `loss`, a subclass), or
            another parameter holds some.
        ValueError
            If a parameter was set to what `fit` would refuse.

        Warns
        -----
        UserWarning
            If `scoring` is not kept, by which `score` would go.
        """
        check_is_fitted(self)
        save(self, path, compress=compress)

    @single_threaded()
    def to_module(self):
        """Return what the network predicts as an `nn.Module` of its own.

        Returns
        -------
        nn.Module
            On the CPU, in eval mode, smaller where the network can be compacted. It
            takes a tensor in the type of the fit and returns predictions, or the
            probabilities of the classes, shape (n_samples, n_outputs); as `predict`,
            in double precision where the target would lose its digits.
        """
        check_is_fitted(self)
        return Predictions(self._smallest_function()).eval()

    def to_onnx(self, path=None, *, sparse_initializers=False):
        """Return the network as an ONNX model, opset 20, without idle units.

        Where something in a network of your own is not known, PyTorch exports the
        network, if onnxscript is installed.

        Parameters
        ----------
        path : str, path-like or binary file object, default=None
            A file to write as well: whole, or not at all.
        sparse_initializers : bool, default=False
            Whether weights are stored sparse: a smaller file, which runtimes make
            dense when they load it. It is not faster.

        Returns
        -------
        onnx.ModelProto
            Input "X", in the type of the fit; outputs "predictions", of the type that
            `predict` returns, or "probabilities" and, with one label per sample,
            "label". Of a fit in double precision, convolutions, pools and GELU are in
            single precision: onnxruntime has no others.

        Raises
        ------
        TypeError
            For networks that PyTorch cannot export, and losses of your own.
        """
        check_is_fitted(self)
        function = self._smallest_function()
        model = to_onnx(function, sparse_initializers=sparse_initializers)
        if path is not None:
            put(model.SerializeToString(deterministic=True), path)
        return model

    def to_c(self, name="predict", dtype="float", calibration=None):
        """Return C source that predicts one sample, for very small networks.

        Parameters
        ----------
        name : str, default="predict"
            Of the function: ``void name(const float *x, float *out)``. `out` gets the
            predictions, or the probability of each class.
        dtype : {"float", "int8", "int16"}, default="float"
            Integers are for processors without a floating point unit: inputs, weights
            and units have 8 or 16 bits, sums have 32 and cannot overflow. The function
            is ``int name(const int8_t *x, int32_t *out)`` then, and returns the number
            of the class in `classes_`; for regressions and several labels it is
            ``void``. The comments of the source say how inputs are made from real
            values, what `out` stands for, how much memory is needed, and how many
            predictions for `calibration` change.
        calibration : {array-like, sparse matrix} of shape (n_samples, n_features), \
                default=None
            Rows that show the range of each layer; needed for integers, those of the
            training do. What exceeds the range is clipped, and so are a few values far
            from all others.

        Returns
        -------
        str
            C99, with no dependency but, for floats, the mathematics library.

        Raises
        ------
        TypeError
            For networks that are no multilayer perceptrons, and losses of your own.
        ValueError
            If `name` is none in C, a number has none in single precision, or integers
            are asked for without `calibration`.

        Warns
        -----
        UserWarning
            If integers change more than 1 % of the labels for `calibration`, or
            predictions by more than 5 % of their standard deviation; or if predictions
            in single precision lose the digits of the target.
        """
        from sklearn_sparsenet.deploy.c_source import to_c  # slow to import

        check_is_fitted(self)
        rows = _checked_rows(self, calibration, self._fill)
        return to_c(self._compact_function("to_c"), name, dtype, rows, _warn)

    def _compacted(self) -> nn.Module:
        return compact_module(self.module_, self._sample_shape)

    def _compact_function(self, asked_by: str) -> Function:
        try:
            network = self._compacted()
        except TypeError as error:
            raise TypeError(
                f"{asked_by} needs a network that compact() can do with: {error} "
                "to_module() takes any, for torch.export or torch.onnx.export."
            ) from error
        function = self._function(network)
        used = self.support_ if np.any(self.support_) else ...  # one is read, or more
        if self._fill is None or np.isfinite(self._fill[used]).any():
            return function
        return replace(function, fill=None)  # the compact network reads no others

    def _smallest_function(self) -> Function:
        """Return what is computed, of the compact network where there is one."""
        try:
            return self._compact_function("to_module")
        except TypeError:
            return self._function(copy.deepcopy(self.module_).cpu().eval())

    def _function(self, network: nn.Module) -> Function:
        parts = self._prediction_parts()
        names = getattr(self, "feature_names_in_", None)
        parts |= {"input_names": names, "fill": self._fill}
        return Function(network, self._sample_shape, self._loss_, **parts)

    def _layers(self) -> list[torch.Tensor]:
        parameters = dict(self.module_.named_parameters())
        return [parameters[name].detach() for name in self.layer_names_]


def attributes_with(
    estimator: Any, module: nn.Module, sample_shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return the attributes of an estimator with an equivalent network.

    Its layers are in the same order. Inputs may be others, of another shape.
    """
    renamed = renamed_weights(estimator, module)
    names = [renamed[name] for name in estimator.layer_names_]
    weights = dict(module.named_parameters())
    counts = [count_nonzero(weights[name].detach()) for name in names]
    n_weights = sum(weights[name].numel() for name in names)
    paths = path_attributes(find_paths(module, names, sample_shape))
    n_features = sample_shape[0]
    return network_attributes(module, names, counts, n_weights, n_features) | paths


def renamed_weights(estimator: Any, module: nn.Module) -> dict[str, str]:
    """Return the names that weights have in an equivalent network."""
    traced = trace(estimator.module_, estimator.sample_shape_)
    names = [traced.names[name] for name in weighted_names(traced.network)]
    return dict(zip(names, weighted_names(module), strict=True))


def weighted_names(module: nn.Module) -> list[str]:
    """Return the names of the weights of all layers but normalisations."""
    return [
        f"{prefix}.{name}" if prefix else name
        for prefix, child in module.named_modules()
        if not isinstance(child, NORMALIZATIONS)
        for name, parameter in child.named_parameters(recurse=False)
        if parameter.ndim >= 2
    ]
