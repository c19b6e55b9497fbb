"""A perceptron as C source in integers, for what has no floating point unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sklearn_sparsenet.deploy.c_parts import quoted, table
from sklearn_sparsenet.deploy.integer_network import (
    IntegerNetwork,
    Width,
    exact_outputs,
)
from sklearn_sparsenet.deploy.integer_outcomes import Outcome, outcome_of
from sklearn_sparsenet.deploy.module import Function

__all__ = ["IntegerFormat"]

_CODE_OF_LAYER = 50  # bytes on a Cortex-M0, as measured (-Os): an estimate
_SOURCE = """\
/* Made by sklearn_sparsenet.
{comments}
 */
#include <stdint.h>

#define {macro}_INPUTS {n_inputs}
#define {macro}_OUTPUTS {n_outputs}
#define {macro}_X_MAX {top}

{tables}{helpers}
{returns} {name}(const {kind} *x, int32_t *out)
{{
{buffers}    unsigned i, k, n;
{body}}}
"""
_LAYER = """\
    for (i = 0, k = 0; i < {n}; i++) {{
        int32_t v = {name}_b{j}[i];
        for (n = {name}_n{j}[i]; n; n--, k++)
            v += (int32_t){name}_w{j}[k] * {source}[{name}_c{j}[k]];
        {target}[i] = {value};
    }}
"""


class IntegerFormat:
    """Sources whose inputs, weights and hidden units are integers of some bits."""

    def __init__(self, bits: int) -> None:
        self.width = Width(bits)

    def write(
        self,
        function: Function,
        name: str,
        calibration: np.ndarray | None,
        warn: Callable[[str], object],
    ) -> str:
        """Return the source; see `to_c`."""
        rows = self._checked(function, calibration)
        network = IntegerNetwork.of(function, self.width, rows)
        outcome = outcome_of(function, len(network.layers[-1].bias))
        exact = exact_outputs(function, rows)
        difference = outcome.loss(network.outputs(rows), exact)
        if difference.is_large:
            warn(
                f"{difference.text} That is much for {self.width.bits} bits: rows of "
                "`calibration` may have a few values that are far from all others, or "
                "more bits may be needed."
            )
        return _written(function, name, network, outcome, difference.text)

    def _checked(
        self, function: Function, calibration: np.ndarray | None
    ) -> np.ndarray:
        if calibration is None:
            raise ValueError(
                f'dtype="int{self.width.bits}" needs calibration=X, rows such as the '
                "network is to see: they show the range of each layer."
            )
        rows = np.asarray(calibration, float)
        if rows.ndim != 2 or rows.shape[1:] != function.sample_shape or not len(rows):
            raise ValueError(
                f"calibration needs rows of {function.sample_shape[0]} inputs; it has "
                f"the shape {rows.shape}."
            )
        if not np.isfinite(rows).all():
            raise ValueError("calibration has values that are no finite numbers.")
        return rows


def _written(
    function: Function,
    name: str,
    network: IntegerNetwork,
    outcome: Outcome,
    difference: str,
) -> str:
    """Return the source of the network."""
    kind = network.width.c_type
    tables = dict(_tables(name, network))
    sizes = [len(layer.bias) for layer in network.layers]
    buffers = [max(sizes[first:-1:2], default=0) for first in (0, 1)]
    helpers = dict.fromkeys(
        text for layer in network.layers for text in layer.activation.helpers(kind)
    )
    n_bytes = sum(values.nbytes for values in tables.values())
    told = [
        *_of_inputs(function, network),
        *outcome.comments(network.unit),
        difference,
        *_of_size(network, n_bytes, sum(buffers) * network.width.bits // 8),
    ]
    return _SOURCE.format(
        comments="\n".join(f" * {line}" for line in told),
        macro=name.upper(),
        n_inputs=function.sample_shape[0],
        top=network.width.top,
        n_outputs=outcome.n_scores,
        tables="".join(
            table(f"{values.dtype}_t", place, map(str, values), "")
            for place, values in tables.items()
        ),
        helpers="".join(text.format(name=name, kind=kind) for text in helpers),
        returns=outcome.returns,
        name=name,
        kind=kind,
        buffers="".join(
            f"    {kind} {letter}[{size}];\n"
            for letter, size in zip("ab", buffers, strict=True)
            if size
        ),
        body="".join(_loops(name, network)) + outcome.c(),
    )


def _loops(name: str, network: IntegerNetwork) -> Iterator[str]:
    kind, source = network.width.c_type, "x"
    for j, layer in enumerate(network.layers):
        is_last = j == len(network.layers) - 1
        value = layer.activation.c(name, j)
        target = "out" if is_last else "ab"[j % 2]
        yield _LAYER.format(
            n=len(layer.bias),
            name=name,
            j=j,
            source=source,
            target=target,
            value=value if is_last else f"({kind})({value})",
        )
        source = target


def _tables(name: str, network: IntegerNetwork) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the constants in the smallest types: compressed rows, biases, activations.

    Of each row the number of its weights is kept, which is smaller than where it ends.
    """
    small = np.dtype(f"int{network.width.bits}")
    columns = network.inputs.columns
    for j, layer in enumerate(network.layers):
        rows, places = np.nonzero(layer.weight)
        counts = np.bincount(rows, minlength=len(layer.bias))
        used = columns[places] if j == 0 else places
        yield f"{name}_w{j}", layer.weight[rows, places].astype(small)
        yield f"{name}_c{j}", _smallest(used)
        yield f"{name}_n{j}", _smallest(counts)
        yield f"{name}_b{j}", _smallest_signed(layer.bias)
        for letter, values in layer.activation.nodes().items():
            yield f"{name}_{letter}{j}", values.astype(small)


def _smallest(values: np.ndarray) -> np.ndarray:
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _smallest_signed(values: np.ndarray) -> np.ndarray:
    return values.astype(np.min_scalar_type(-1 - int(np.abs(values).max(initial=0))))


def _of_inputs(function: Function, network: IntegerNetwork) -> Iterator[str]:
    inputs, names = network.inputs, function.input_names
    fill = function.fill
    if fill is None:
        fill = np.full(function.sample_shape, np.nan)
    made = "(value - shift) * scale"
    if inputs.is_common:
        made = f"value * {1 / inputs.unit.max(initial=1e-300):.9g}"
    yield f"x: {function.sample_shape[0]} inputs, each one {made}, rounded to the"
    yield f"nearest integer and clipped to -{inputs.top} ... {inputs.top}."
    if inputs.is_common and names is None and np.isnan(fill).all():
        return
    yield "These are read:"
    for column, shift, unit in zip(
        inputs.columns, inputs.shift, inputs.unit, strict=True
    ):
        name = "" if names is None else f" {quoted(names[column])}"
        range_ = "" if inputs.is_common else f" shift {shift:.9g}, scale {1 / unit:.9g}"
        value = fill[column]
        missing = "" if np.isnan(value) else f" value {value:.9g} if missing"
        yield f"  x[{column}]:{name}{range_}{missing}"


def _of_size(network: IntegerNetwork, n_bytes: int, ram: int) -> Iterator[str]:
    n_kept = sum(np.count_nonzero(layer.weight) for layer in network.layers)
    yield f"Weights: {n_kept}; {network.n_dropped} more were rounded to zero."
    code = sum(
        _CODE_OF_LAYER + layer.activation.n_bytes_of_code for layer in network.layers
    )
    yield f"Flash: {n_bytes} bytes of constants, and about {code} of code."
    yield f"RAM: {ram} bytes of stack for units, and a few words."
    for j, layer in enumerate(network.layers):
        yield from (f"Layer {j}: {line}" for line in layer.activation.remarks())
