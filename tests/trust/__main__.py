"""Run the parts of the harness for long, and write down what they found."""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy
import sklearn
import torch

import sklearn_sparsenet
from tests.trust.campaigns import Tally, run_campaign
from tests.trust.page import write_page
from tests.trust.parts import PARTS, Part


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.trust", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first one; by default a new one")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="part of the long form"
    )
    parser.add_argument("--short", action="store_true", help="the form of the tests")
    parser.add_argument("--only", nargs="*", help="names of parts; by default all")
    parser.add_argument("--out", type=Path, help="JSON file with what was found")
    parser.add_argument("--page", type=Path, help="page to write from it")
    return parser.parse_args()


def _run(part: Part, first: int, args: argparse.Namespace) -> Tally:
    """Run a part, its short form on the seeds below all others, the same each time."""
    part.prepare()
    n_seeds = max(1, round(part.long * args.scale))
    seeds = range(part.short) if args.short else range(first, first + n_seeds)
    how = {"jobs": args.jobs, "patience": part.patience, "block": part.block}
    return run_campaign(part.name, part.check, seeds, **how)


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> int:
    """Run the parts one after the other; return 1 if a promise was broken."""
    args = _arguments()
    # Seeds that nobody has used: below 2**52, far apart.
    seed = secrets.randbelow(2**32) * 2**20 if args.seed is None else args.seed
    commit = _commit()  # before the files that are written make it a dirty one
    versions = {module.__name__: module.__version__ for module in (torch, numpy)}
    versions |= {"sklearn_sparsenet": sklearn_sparsenet.__version__}
    versions |= {"scikit-learn": sklearn.__version__}
    versions |= {"python": platform.python_version()}
    record: dict[str, Any] = {"date": date.today().isoformat(), "commit": commit}
    record |= {"seed": seed, "cores": os.cpu_count(), "versions": versions, "parts": []}
    if args.only and args.out is not None and args.out.exists():
        record = json.loads(args.out.read_text())  # the other parts stay
    failures = 0
    for part in sorted(PARTS, key=lambda part: part.long):
        if args.only and part.name not in args.only:
            continue
        tally = _run(part, seed, args)
        failures += tally.n_failures
        record["parts"] = [p for p in record["parts"] if p["name"] != part.name]
        record["parts"].append(
            tally.as_dict() | {"commit": commit, "scale": args.scale}
        )
        print(
            f"{part.name}: {tally.cases} cases, {tally.n_failures} failures, "
            f"{tally.seconds:.0f} s; {dict(tally.facts)}",
            flush=True,
        )
        for failure in tally.failures[:20]:
            print(f"  seed {failure['seed']}: {failure['failure'][:400]}", flush=True)
        if args.out is not None:
            args.out.write_text(json.dumps(record, indent=1) + "\n")
    if args.page is not None:
        write_page(record, args.page)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
