"""What the site needs beyond the extensions of others."""

from __future__ import annotations

import re
import warnings
from typing import Any

import torch

__all__ = ["drop_references", "redirect_links", "setup", "strict_example"]

# What pages link to in the repository, and where the site has it.
_MOVED = [
    (r"\]\((?:\.\./)+examples/gallery/(plot_\w+)\.py\)", r"](/gallery/\1.rst)"),
    (r"\]\(\.\./examples/benchmarks/README\.md\)", "](/benchmark_methods.md)"),
]
# The filters of warnings outside examples.
_OURS: list[list] = []
# References of inherited docstrings into the documentation that they come from.
_REFERENCE = re.compile(r":ref:`([^`<]*?)\s*(?:<[^`>]*>)?`")


def redirect_links(app: Any, name: str, source: list[str]) -> None:
    """Turn links that work on GitHub into such as work on the site."""
    for pattern, target in _MOVED:
        source[0] = re.sub(pattern, target, source[0])


def drop_references(app, what, name, obj, options, lines: list[str]) -> None:
    """Leave the text of references to labels; we have none in docstrings."""
    lines[:] = [_REFERENCE.sub(r"\1", line) for line in lines]


def strict_example(gallery_conf: dict, file_name: str, when: str) -> None:
    """Let every warning of an example fail the build; one thread, as in tests."""
    torch.set_num_threads(1)
    if when == "before":
        _OURS.append(list(warnings.filters))
        warnings.simplefilter("error")
    else:  # Sphinx itself has warnings that are not ours
        warnings.filters[:] = _OURS.pop()


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", redirect_links)
    app.connect("autodoc-process-docstring", drop_references)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
