"""A perceptron as C source, in floats: it needs the mathematics library alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from sklearn_sparsenet.deploy.c_integers import IntegerFormat
from sklearn_sparsenet.deploy.c_parts import check_name, read_perceptron, table
from sklearn_sparsenet.deploy.module import Function
from sklearn_sparsenet.networks.stages import Stage
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["to_c"]

_LAYER = """\
    for (i = 0, k = 0; i < {n}; i++) {{
        float v = b{j}[i];
        for (; k < p{j}[i]; k++) v += w{j}[k] * {source}[c{j}[k]];
        {target}[i] = {activation};
    }}
"""
_FILL = """\
    float filled[{n}];
    for (i = 0; i < {n}; i++) filled[i] = x[i] != x[i] ? fill[i] : x[i];
"""


@single_threaded()
def to_c(
    function: Function,
    name: str = "predict",
    dtype: str = "float",
    calibration: np.ndarray | None = None,
    warn: Callable[[str], object] = lambda message: None,
) -> str:
    """Return C99 source with one function, for a network that is a compact perceptron.

    Only nonzero weights are in it, as compressed rows. With ``dtype="float"`` it is
    ``void name(const float *x, float *out)`` in single precision, and `out` gets
    predictions: of a regression the targets, of a classification the probability of
    each class. With ``"int8"`` and ``"int16"`` all is in integers, `out` has 32 bits,
    and the comments of the source say what is to be made of it; `calibration` are rows
    that show the range of each layer, and `warn` is told if predictions change much.
    A ValueError tells of a name that is none in C, or of a number that has none in
    single precision.
    """
    check_name(name)
    if dtype not in FORMATS:
        raise ValueError(f"dtype must be one of {list(FORMATS)}; got {dtype!r}.")
    return FORMATS[dtype](function, name, calibration, warn)


_FAR_FROM_ZERO = (
    "The target varies so little, for how far from zero it is, that predictions in "
    "single precision, in which C source is, lose its digits. Subtract a constant from "
    "y before the fit, and add it in double precision to what the function returns."
)


def _in_floats(
    function: Function, name: str, calibration: object, warn: Callable[[str], object]
) -> str:
    columns, stages = read_perceptron(function.network)
    n_outputs = len(stages[-1].linear.weight)
    tables: list[str] = []
    code: list[str] = []
    source = "x"
    if function.fill is not None:
        tables.append(table("float", "fill", map(_number_or_nan, function.fill)))
        code.append(_FILL.format(n=len(function.fill)))
        source = "filled"
    for j, stage in enumerate(stages):
        weight = stage.linear.weight.detach().numpy()
        used = columns if j == 0 else np.arange(weight.shape[1])
        last = j == len(stages) - 1
        target = "out" if last else f"h{j}"
        tables += _tables(j, weight, stage.linear.bias.detach().numpy(), used)
        if not last:
            code.append(f"    float h{j}[{len(weight)}];\n")
        places = {"n": len(weight), "j": j, "source": source, "target": target}
        code.append(_LAYER.format(activation=_activated(stage), **places))
        source = target
    code.append(function.response.c(n_outputs, _number))
    code.append(_finish(function, n_outputs))
    size = 2 if function.is_binary else n_outputs
    head = (
        "/* Made by sklearn_sparsenet. */\n#include <math.h>\n\n"
        f"/* x: {function.sample_shape[0]} inputs; out: {size} predictions */\n"
    )
    body = "".join(code)
    if function.needs_double:
        warn(_FAR_FROM_ZERO)
    return (
        f"{head}void {name}(const float *x, float *out)\n{{\n"
        f"{''.join(tables)}    int i, k;\n{body}}}\n"
    )


def _activated(stage: Stage) -> str:
    """Return what becomes of a value ``v`` behind a layer."""
    known = stage.activation
    return "v" if known is None else known.c(stage.after[0], _number)


def _tables(
    j: int, weight: np.ndarray, bias: np.ndarray, used: np.ndarray
) -> Iterable[str]:
    """Yield the compressed rows of a layer: weights, columns, ends, biases."""
    rows, places = np.nonzero(weight)
    ends = np.bincount(rows, minlength=len(weight)).cumsum()
    columns = used[places]
    small = "unsigned char" if columns.max(initial=0) < 256 else "unsigned short"
    if columns.max(initial=0) >= 2**16:
        small = "unsigned int"
    yield table("float", f"w{j}", map(_number, weight[rows, places]))
    yield table(small, f"c{j}", map(str, columns))
    yield table("int", f"p{j}", map(str, ends))
    yield table("float", f"b{j}", map(_number, bias))


def _finish(function: Function, n_outputs: int) -> str:
    if function.is_binary:
        return "    out[1] = out[0];\n    out[0] = 1 - out[1];\n"
    if function.scale is None or function.shift is None:
        return ""
    pairs = zip(function.scale, function.shift, strict=True)
    return "".join(
        f"    out[{i}] = out[{i}] * {_number(scale)} + {_number(shift)};\n"
        for i, (scale, shift) in enumerate(pairs)
    )


def _number_or_nan(value: float) -> str:
    return "NAN" if np.isnan(value) else _number(value)


def _number(value: float) -> str:
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if not np.isfinite(single):
        raise ValueError(
            f"C source is in single precision, which has no number for {value}."
        )
    text = f"{single:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


FORMATS = {
    "float": _in_floats,
    "int8": IntegerFormat(8).write,
    "int16": IntegerFormat(16).write,
}
