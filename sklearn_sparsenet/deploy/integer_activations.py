"""What integers become behind a layer: the same ones in NumPy and in C.

Accumulators are of 32 bits, and at most `LARGEST` in size. Numbers of C are divided by
powers of two as magnitudes: shifts of negative numbers differ between compilers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import floor, log2
from typing import ClassVar, Protocol

import numpy as np

__all__ = ["LARGEST", "IntegerActivation", "Kept", "Slopes", "Table"]

LARGEST = 2**30
_PRECISION = 20  # bits of an accumulator that are multiplied
_FINE = 2**15 - 1  # values that a table is read at have 16 bits
_MOST_PIECES = 8  # of a table, as a power of two
_SCALED = """
/* v * m / 2^(p + s), divided in two steps. Each rounds to the nearest integer, halves
 * away from zero; the result is clipped to -top ... top. */
static int32_t {name}_scaled(int32_t v, int p, uint32_t m, int s, uint32_t top)
{{
    uint32_t u = v < 0 ? 0 - (uint32_t)v : (uint32_t)v;
    u = (u + (((uint32_t)1 << p) >> 1)) >> p;
    u = (u * m + ((uint32_t)1 << (s - 1))) >> s;
    if (u > top) u = top;
    return v < 0 ? -(int32_t)u : (int32_t)u;
}}
"""
_BETWEEN = """
/* The straight line between the two nearest of the values at every 2^s. */
static int32_t {name}_between(const {kind} *t, int32_t v, int s)
{{
    uint32_t u = (uint32_t)(v + 32768), rest = u & (((uint32_t)1 << s) - 1);
    t += u >> s;
    return t[0] + {name}_scaled(((int32_t)t[1] - t[0]) * (int32_t)rest, 0, 1, s, 65535);
}}
"""


class IntegerActivation(Protocol):
    """An activation between accumulators and the integers that the next layer reads."""

    # Bytes of its code on a Cortex-M0, as measured (-Os): an estimate.
    n_bytes_of_code: ClassVar[int]

    @property
    def unit(self) -> float:
        """What 1 stands for among the integers that it gives."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the integers for accumulators."""

    def c(self, name: str, layer: int) -> str:
        """Return the same as an expression for ``int32_t v`` in C."""

    def helpers(self, kind: str) -> Iterable[str]:
        """Return the functions of C that the expression calls, in their order."""

    def nodes(self) -> dict[str, np.ndarray]:
        """Return the tables that it reads, by what their names begin with."""

    def remarks(self) -> Iterable[str]:
        """Return what is to be told of its errors."""


@dataclass(frozen=True)
class Scaling:
    """A multiplication by `factor` as one of integers and two shifts."""

    before: int
    multiplier: int
    shift: int
    top: int

    @classmethod
    def of(cls, factor: float, bound: int, top: int) -> Scaling:
        """Return the largest that is no larger; accumulators are within the bound."""
        before = max(0, bound.bit_length() - _PRECISION)
        most = min(_FINE, (2**31 - 1) // ((bound >> before) + 1))
        if factor == 0:
            return cls(before, 0, 1, top)
        shift = min(31, max(1, floor(log2(most / factor)) - before))
        multiplier = min(most, floor(factor * 2.0 ** (before + shift)))
        return cls(before, multiplier, shift, top)

    @property
    def factor(self) -> float:
        """What it multiplies by."""
        return self.multiplier / 2.0 ** (self.before + self.shift)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the integers that C computes."""
        size = (np.abs(values) + (1 << self.before >> 1)) >> self.before
        size = (size * self.multiplier + (1 << (self.shift - 1))) >> self.shift
        return np.sign(values) * np.minimum(size, self.top)

    def c(self, name: str) -> str:
        """Return a call of the function that scales."""
        if not self.multiplier:
            return "0"
        numbers = f"{self.before}, {self.multiplier}, {self.shift}, {self.top}"
        return f"{name}_scaled(v, {numbers})"


@dataclass(frozen=True)
class Kept:
    """Accumulators as they are: those of the outputs."""

    n_bytes_of_code: ClassVar[int] = 0
    unit: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values

    def c(self, name: str, layer: int) -> str:
        return "v"

    def helpers(self, kind: str) -> Iterable[str]:
        return ()

    def nodes(self) -> dict[str, np.ndarray]:
        return {}

    def remarks(self) -> Iterable[str]:
        return ()


@dataclass(frozen=True)
class Slopes:
    """A straight line above zero, and another one below."""

    n_bytes_of_code: ClassVar[int] = 100
    unit: float
    above: Scaling
    below: Scaling

    @classmethod
    def of(
        cls, slope: float, unit: float, bound: int, after: np.ndarray, top: int
    ) -> Slopes:
        """Return the ones whose range is that of the values after the activation.

        `unit` is that of the accumulators. What the scaling can be decides on the unit
        of the result, so that nothing is lost by rounding a factor.
        """
        wanted = float(np.abs(after).max()) / top or unit
        above = Scaling.of(unit / wanted, bound, top)
        below = Scaling.of(slope * above.factor, bound, top)
        return cls(unit / above.factor, above, below)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.where(values > 0, self.above(values), self.below(values))

    def c(self, name: str, layer: int) -> str:
        above, below = self.above.c(name), self.below.c(name)
        return above if above == below else f"v > 0 ? {above} : {below}"

    def helpers(self, kind: str) -> Iterable[str]:
        return (_SCALED,)

    def nodes(self) -> dict[str, np.ndarray]:
        return {}

    def remarks(self) -> Iterable[str]:
        return ()


@dataclass(frozen=True, eq=False)
class Table:
    """Values at equal distances, and straight lines between them."""

    n_bytes_of_code: ClassVar[int] = 170
    unit: float
    scaling: Scaling  # to what the table is read at
    values: np.ndarray
    error: int  # the largest, in units, within the range that was seen
    top: int

    @classmethod
    def of(
        cls,
        activation: Callable[[np.ndarray], np.ndarray],
        unit: float,
        bound: int,
        before: np.ndarray,
        top: int,
    ) -> Table:
        """Return the smallest table that is exact to half a unit, up to 257 values.

        Where it is to be exact, and what its range is, is told by the values before the
        activation; what exceeds them may be clipped.
        """
        wanted = float(np.abs(before).max()) / _FINE or unit
        scaling = Scaling.of(unit / wanted, bound, _FINE)
        step = unit / scaling.factor
        low, high = (int(np.clip(v / step, -_FINE, _FINE)) for v in _ends(before))
        read = np.arange(low, high + 1)
        own = float(np.abs(activation(before)).max()) / top or 1.0
        exact = activation(read * step) / own
        for pieces in range(3, _MOST_PIECES + 1):
            places = np.linspace(-_FINE - 1, _FINE + 1, 2**pieces + 1)
            values = np.clip(activation(places * step) / own, -top, top)
            if np.abs(np.interp(read, places, values) - exact).max() <= 0.5:
                break
        made = cls(own, scaling, np.rint(values).astype(np.int64), 0, top)
        wrong = np.abs(made.between(read) - exact).max()
        return replace(made, error=int(np.ceil(wrong)))

    @property
    def shift(self) -> int:
        """The distance of its values, as a power of two."""
        return 16 - (len(self.values) - 1).bit_length() + 1

    def between(self, read: np.ndarray) -> np.ndarray:
        """Return the values of the table."""
        place, rest = np.divmod(read + _FINE + 1, 1 << self.shift)
        low, high = self.values[place], self.values[place + 1]
        return low + Scaling(0, 1, self.shift, 2**16 - 1)((high - low) * rest)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return self.between(self.scaling(values))

    def c(self, name: str, layer: int) -> str:
        scaled = self.scaling.c(name)
        return f"{name}_between({name}_t{layer}, {scaled}, {self.shift})"

    def helpers(self, kind: str) -> Iterable[str]:
        return (_SCALED, _BETWEEN)

    def nodes(self) -> dict[str, np.ndarray]:
        return {"t": self.values}

    def remarks(self) -> Iterable[str]:
        yield (
            f"the activation is a table of {len(self.values)} values, which is wrong "
            f"by {self.error} of {self.top} at most."
        )


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())
