"""A perceptron as C source: no dependencies but the mathematics library."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from torch import nn

from sklearn_sparsenet.deploy.module import Function
from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.networks.stages import Stage, take_apart
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["to_c"]

_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for "
    "goto if inline int long register restrict return short signed sizeof static "
    "struct switch typedef union unsigned void volatile while".split()
)
# Of the standard library, in headers that the source includes or not.
_TAKEN = re.compile(
    "main|f?abs|floor|ceil|round|trunc|pow|hypot|fmod|exp2?|expm1|log(2|10|1p|b)?|sqrt|"
    "cbrt|a?(sin|cos|tan)h?|atan2|erfc?|[lt]gamma|fm(a|in|ax)|fdim|ldexp|frexp|modf|"
    "scalbn|rint|remainder|copysign|nan"
)
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
def to_c(function: Function, name: str = "predict") -> str:
    """Return C99 source with one function, ``void name(const float *x, float *out)``.

    Only nonzero weights are in it, as compressed rows; arithmetic is in single
    precision. `out` gets predictions: of a regression the targets, of a classification
    the probability of each class. The network is a compact perceptron; a ValueError
    tells of a name that is none in C, or of a number that has none in single precision.
    """
    of_library = _TAKEN.fullmatch(name.removesuffix("f")) or _TAKEN.fullmatch(name)
    allowed = name.isidentifier() and name.isascii() and name not in _KEYWORDS
    if not allowed or of_library:
        raise ValueError(
            f"name={name!r} is no name of a C function, or one of C's own library."
        )
    columns, stages = _read(function.network)
    n_outputs = len(stages[-1].linear.weight)
    tables: list[str] = []
    code: list[str] = []
    source = "x"
    if function.fill is not None:
        tables.append(_array("float", "fill", map(_number_or_nan, function.fill)))
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
    return (
        f"{head}void {name}(const float *x, float *out)\n{{\n"
        f"{''.join(tables)}    int i, k;\n{body}}}\n"
    )


def _read(network: nn.Module) -> tuple[np.ndarray, list[Stage]]:
    no_part = (nn.Dropout, nn.AlphaDropout)
    children = [m for m in network.children() if type(m) not in no_part]
    selects = isinstance(children[0], SelectInputs)
    first, stages, stranger = take_apart(children[1:] if selects else children)
    several = [module for stage in stages for module in stage.after[1:]]
    stranger = next(iter([*first, *several]), stranger)
    if stranger is not None:
        layers = " - ".join(type(child).__name__ for child in network.children())
        raise TypeError(
            f"C source is for multilayer perceptrons; {type(stranger).__name__} is "
            f"not part of one at this place in {layers}."
        )
    if isinstance(children[0], SelectInputs):
        return children[0].index.numpy(), stages
    return np.arange(stages[0].linear.weight.shape[1]), stages


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
    yield _array("float", f"w{j}", map(_number, weight[rows, places]))
    yield _array(small, f"c{j}", map(str, columns))
    yield _array("int", f"p{j}", map(str, ends))
    yield _array("float", f"b{j}", map(_number, bias))


def _array(kind: str, name: str, values: Iterable[str]) -> str:
    listed = list(values) or ["0"]
    lines = [", ".join(listed[i : i + 8]) for i in range(0, len(listed), 8)]
    joined = ",\n        ".join(lines)
    return f"    static const {kind} {name}[] = {{\n        {joined}}};\n"


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
