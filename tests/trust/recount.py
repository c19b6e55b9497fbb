"""What a fit should have found, counted without the library."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import pairwise

import numpy as np

_EXACT_UP_TO = 3000  # weights, for the search among all numbers of units


def _wanted(entry, size):
    if isinstance(entry, (int, np.integer)):
        return int(entry)
    return max(1, int((1 - float(entry)) * size + 0.5))


def wanted_counts(target, sizes):
    """Return how many weights a valid target keeps: in all, or by layer."""
    if np.ndim(target) == 0 and not isinstance(target, Mapping):
        return _wanted(np.asarray(target).item(), sum(sizes.values()))
    if not isinstance(target, Mapping):
        entries = dict(zip(sizes, target, strict=True))
    else:
        entries = {}
        for name in sizes:
            fits = [key for key in target if key != "*" and fnmatchcase(name, key)]
            key = name if name in target else next(iter(fits), "*")
            if key in target:
                entries[name] = target[key]
    return {name: _wanted(entry, sizes[name]) for name, entry in entries.items()}


def count_live(layers):
    """Count the weights on a path of nonzero weights from an input to an output.

    Layers are of shape (fan_in, fan_out).
    """
    masks = [weights != 0 for weights in layers]
    reached = [np.ones(masks[0].shape[0], bool)]
    for mask in masks:
        reached.append((mask & reached[-1][:, None]).any(axis=0))
    useful = [np.ones(masks[-1].shape[1], bool)]
    for mask in reversed(masks):
        useful.append((mask & useful[-1][None, :]).any(axis=1))
    useful.reverse()
    return sum(
        int((mask & reached[i][:, None] & useful[i + 1][None, :]).sum())
        for i, mask in enumerate(masks)
    )


def live_is_possible(widths, wanted):
    """Tell whether so many weights can all lie on paths through a perceptron.

    Between a units and b units that all have a path lie from max(a, b) to a b weights;
    asked is whether numbers of units exist that allow the total, or each layer's.
    Widths are those of all layers, inputs and outputs included.
    """
    if not isinstance(wanted, int):
        units = set(range(1, widths[0] + 1))
        for count, width in zip(wanted, widths[1:], strict=True):
            units = {
                b
                for a in units
                if a <= count
                for b in range(-(-count // a), min(width, count) + 1)
            }
        return bool(units)
    if sum(a * b for a, b in pairwise(widths)) > _EXACT_UP_TO:
        return wanted >= len(widths) - 1
    # Totals that can be had so far, as bits of an integer, by the last layer's units.
    totals = {a: 1 for a in range(1, widths[0] + 1)}
    for width in widths[1:]:
        following = dict.fromkeys(range(1, width + 1), 0)
        for a, bits in totals.items():
            for b in following:
                fewest, most = max(a, b), min(a * b, wanted)
                for added in range(fewest, most + 1):
                    following[b] |= bits << added
        totals = {b: bits & ((2 << wanted) - 1) for b, bits in following.items()}
    return any(bits >> wanted & 1 for bits in totals.values())
