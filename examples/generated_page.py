"""Tables in Markdown, and pages of which a part is generated."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["replace_part", "table"]


def table(header: list[str], rows: Iterable[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def replace_part(page: Path, name: str, text: str) -> None:
    """Write `text` between the markers ``<!-- name -->``, ``<!-- end of name -->``."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{start}.*{end}", re.DOTALL)
    part = f"{start}\n\n{text}\n\n{end}"
    written, count = pattern.subn(lambda _: part, page.read_text())
    if count != 1:
        raise ValueError(f"{page} has {count} parts marked {start!r}, not one.")
    page.write_text(written)
