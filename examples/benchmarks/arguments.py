"""The command line of the benchmarks that write a part of a page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.problems import PROBLEMS, Problem

__all__ = ["page_parser", "parse_problems", "with_data"]


def page_parser(
    description: str, problems: Sequence[str], out: str, seeds: int
) -> argparse.ArgumentParser:
    """Return a parser for what all of them are told; `out` is for the records."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=Path("../../shared/data"))
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    parser.add_argument(
        "--problems", nargs="*", choices=problems, default=list(problems)
    )
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    return parser


def parse_problems(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line; say which problems have no data, and leave them out."""
    arguments = parser.parse_args()
    arguments.problems = with_data(arguments.problems, PROBLEMS, arguments.data)
    return arguments


def with_data(
    names: Sequence[str], problems: Mapping[str, Problem], directory: Path
) -> list[str]:
    """Return the names whose files are there; say which are left out."""
    missing = {name: problems[name].missing(directory) for name in names}
    for name, files in missing.items():
        if files:
            print(f"skipped {name}: {directory} has no {', '.join(files)}")
    return [name for name in names if not missing[name]]
