"""Which inputs are chosen: by networks with few weights, and exactly k of them.

Usage, in the folder `examples`::

    python -m benchmarks.inputs --data ../../shared/data [--write ../docs/inputs.md]
    python -m benchmarks.inputs --parts exactly --problems madelon --methods ours trees

Madelon, pumadyn and MNIST are left out where their files are, LassoNet if it is not
installed. Runs that the files have already are not computed again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from generated_page import replace_part

from benchmarks import exactly_k, inputs_by_weights
from benchmarks.arguments import page_parser, with_data
from benchmarks.exactly_k_tables import page
from benchmarks.input_problems import INPUT_PROBLEMS, TRUTH
from benchmarks.selectors import SELECTORS

PARTS = ("weights", "exactly")
QUICK = [name for name in INPUT_PROBLEMS if name != "mnist_whole"]


def parse() -> argparse.Namespace:
    """Return the options, the problems without data left out.

    Without ``--seeds`` each part has its own number of them.
    """
    said, methods = __doc__.splitlines()[0], [exactly_k.REFERENCE, *SELECTORS]
    parser = page_parser(said, list(INPUT_PROBLEMS), "inputs.json", seeds=0)
    parser.set_defaults(problems=QUICK, seeds=None)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--exactly-out",
        type=Path,
        default=Path("../docs/inputs_k.json"),
        help="records of the part exactly",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=methods,
        default=methods,
        help="of the part exactly",
    )
    arguments = parser.parse_args()
    arguments.problems = with_data(arguments.problems, INPUT_PROBLEMS, arguments.data)
    return arguments


def by_weights(arguments: argparse.Namespace) -> str:
    """Run what is told how many weights to leave; return its tables."""
    records = inputs_by_weights.run_all(
        [name for name in arguments.problems if name in TRUTH],
        arguments.seeds or inputs_by_weights.SEEDS,
        arguments.data,
        arguments.out,
        arguments.jobs,
    )
    return inputs_by_weights.page(records)


def exactly(arguments: argparse.Namespace) -> str:
    """Run what chooses exactly k inputs; return its tables and verdicts."""
    seeds = range(arguments.seeds or exactly_k.SEEDS)
    todo = exactly_k.jobs(arguments.problems, arguments.methods, seeds)
    records = exactly_k.run_all(
        todo, arguments.data, arguments.exactly_out, arguments.jobs
    )
    return page(exactly_k.cells(records))


def main() -> None:
    """Parse the command line; run, print, write."""
    arguments = parse()
    run = {"weights": ("inputs", by_weights), "exactly": ("exactly k", exactly)}
    for part in arguments.parts:
        name, make = run[part]
        text = make(arguments)
        print(text)
        if arguments.write:
            replace_part(arguments.write, name, text)


if __name__ == "__main__":
    main()
