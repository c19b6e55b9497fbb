"""What the site needs beyond the extensions of others."""

from __future__ import annotations

import re
import warnings
from html import escape
from pathlib import Path
from typing import Any

import torch
from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

__all__ = [
    "ExampleOrder",
    "adapt_page",
    "drop_references",
    "hide_protocol_signature",
    "setup",
    "strict_example",
    "visit_math",
]

_LOGGER = logging.getLogger(__name__)

# From the first question of a user to the last; examples not named come at the end.
_ORDER = """
exact_count network error_against_weights cross_validation pipeline_grid_search
per_layer feature_selection feature_selection_truth stability weights custom_loss
custom_module sparse_input watching shipping compact save_load export penalties
bracket_search certified_solution lasso training_loop when_not
""".split()

# Examples: pages link to the file, and the site has a page instead.
_EXAMPLE = re.compile(r"\]\((?:\.\./)+examples/gallery/(plot_\w+)\.py\)")
# The filters of warnings outside examples.
_OURS: list[list] = []
# References of inherited docstrings into the documentation that they come from.
_REFERENCE = re.compile(r":ref:`([^`<]*?)\s*(?:<[^`>]*>)?`")


class ExampleOrder:
    """The order of the gallery, as a sort key."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def __call__(self, file_name: str) -> tuple[int, str]:
        """Return the key of an example."""
        name = Path(file_name).stem.removeprefix("plot_")
        place = _ORDER.index(name) if name in _ORDER else len(_ORDER)
        return place, name


def adapt_page(app: Any, name: str, source: list[str]) -> None:
    """Turn links that work on GitHub into such as work on the site.

    Code blocks lose the empty line that doctest needs at their end.
    """
    text = _EXAMPLE.sub(r"](/gallery/\1.rst)", source[0])
    source[0] = text.replace("\n\n```\n", "\n```\n")


def visit_math(translator: Any, node: Any) -> None:
    """Write a formula as MathML, which browsers show without any script or network."""
    as_block = node.tagname == "math_block"
    # \dots chooses the height of the dots, which the converter cannot.
    formula = node.astext().replace(r"\dots", r"\ldots")
    try:
        mathml = tex2mathml(formula, as_block=as_block)
    except MathError as error:
        _LOGGER.warning("formula %r: %s", formula, error, location=node)
        mathml = f"<code>{escape(formula)}</code>"
    translator.body.append(f'<div class="math">{mathml}</div>' if as_block else mathml)
    raise nodes.SkipNode


def drop_references(app, what, name, obj, options, lines: list[str]) -> None:
    """Leave the text of references to labels; we have none in docstrings."""
    lines[:] = [_REFERENCE.sub(r"\1", line) for line in lines]


def hide_protocol_signature(app, what, name, obj, options, signature, returns):
    """Leave out the arguments of what is never called: protocols."""
    return ("", None) if getattr(obj, "_is_protocol", False) else None


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
    app.connect("source-read", adapt_page)
    app.connect("autodoc-process-docstring", drop_references)
    app.connect("autodoc-process-signature", hide_protocol_signature)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
