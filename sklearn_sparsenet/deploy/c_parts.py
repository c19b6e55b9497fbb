"""What C sources of all number formats have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from torch import nn

from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.networks.stages import Stage, take_apart

__all__ = ["check_name", "quoted", "read_perceptron", "table"]

_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for "
    "goto if inline int long register restrict return short signed sizeof static "
    "struct switch typedef union unsigned void volatile while".split()
)
# Of the standard library, in headers that the source includes or not.
_TAKEN = re.compile(
    r"main|f?abs|floor|ceil|trunc|pow|hypot|fmod|exp(2|10)?|expm1|i?log(2|10|1p|b)?|sqrt|"
    r"cbrt|a?(sin|cos|tan)h?|atan2|erfc?|[lt]?gamma([fl]?_r)?|fm(a|in|ax)|fdim|ldexp|frexp|modf|"
    r"scalb(l?n)?|l?l?(rint|round)|nearbyint|next(after|toward)|remainder|remquo|drem|nan|"
    r"copysign|significand|finite|signgam|[jy][01n]|fpclassify|signbit|math_errhandling|"
    r"is(finite|inf|nan|normal|greater(equal)?|less(equal|greater)?|unordered)|"
    r"u?int(_fast|_least)?(8|16|32|64|max|ptr)_t|(float|double)_t|"
    r"NAN|INFINITY|HUGE_VA[LF]*|MAXFLOAT|(FP|M|MATH)_\w+|"
    r"(U?INT\w+|SIZE|PTRDIFF|WCHAR|WINT|SIG_ATOMIC)_(C|MAX|MIN|WIDTH)"
)


def check_name(name: str) -> None:
    """Refuse what is no name of a C function, or one of C's own library."""
    stems = name, name[:-1] if name.endswith(("f", "l")) else name
    of_library = any(map(_TAKEN.fullmatch, stems))
    allowed = name.isidentifier() and name.isascii() and name not in _KEYWORDS
    if not allowed or of_library:
        raise ValueError(
            f"name={name!r} is no name of a C function, or one of C's own library."
        )


def read_perceptron(network: nn.Module) -> tuple[np.ndarray, list[Stage]]:
    """Return which inputs a compact perceptron reads, and its layers; or TypeError."""
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


def table(kind: str, name: str, values: Iterable[str], indent: str = "    ") -> str:
    """Return a constant array, eight numbers a line; one zero if there are none."""
    listed = list(values) or ["0"]
    lines = [", ".join(listed[i : i + 8]) for i in range(0, len(listed), 8)]
    joined = f",\n{indent}    ".join(lines)
    return f"{indent}static const {kind} {name}[] = {{\n{indent}    {joined}}};\n"


def quoted(name: object) -> str:
    """Return a name for a comment, which it cannot end, nest, or go on with a line."""
    return ascii(str(name)).replace("*", r"\x2a").replace("?", r"\x3f")
