"""Run the parts of the harness for long, and write down what they found."""

import argparse
import json
import os
import platform
import secrets
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy
import sklearn
import torch

import sklearn_sparsenet
from tests.trust.campaigns import run_campaign
from tests.trust.page import render
from tests.trust.parts import PARTS


def arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.trust", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, help="the first one; by default a new one")
    add("--jobs", type=int, default=2, help="processes at a time")
    add("--scale", type=float, default=1.0, help="part of the long form")
    add("--short", action="store_true", help="the form of the tests")
    add("--only", nargs="*", help="names of parts; by default all")
    add("--out", type=Path, help="JSON file with what was found")
    add("--page", type=Path, help="page to write from it")
    return parser.parse_args()


def new_record(seed):
    """Return what is to be known of a run, whatever it will find."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    modules = torch, numpy, sklearn_sparsenet
    versions = {module.__name__: module.__version__ for module in modules}
    versions |= {"scikit-learn": sklearn.__version__}
    versions |= {"python": platform.python_version()}
    return {
        "date": date.today().isoformat(), "commit": done.stdout.strip() or "unknown",
        "seed": seed, "cores": os.cpu_count(), "versions": versions, "parts": [],
    }  # fmt: skip


def run(part, first, args):
    """Run a part, its short form on the seeds below all others, the same each time."""
    part.prepare()
    n_seeds = max(1, round(part.long * args.scale))
    seeds = range(part.short) if args.short else range(first, first + n_seeds)
    how = {"jobs": args.jobs, "patience": part.patience, "block": part.block}
    tally = run_campaign(part.name, part.check, seeds, **how)
    print(
        f"{part.name}: {tally.cases} cases, {tally.n_failures} failures, "
        f"{tally.seconds:.0f} s; {dict(tally.facts)}",
        flush=True,
    )
    for failure in tally.failures[:20]:
        print(f"  seed {failure['seed']}: {failure['failure'][:400]}", flush=True)
    return tally


def main():
    """Run the parts one after the other; return 1 if a promise was broken."""
    args = arguments()
    # Seeds that nobody has used: below 2**52, far apart.
    seed = secrets.randbelow(2**32) * 2**20 if args.seed is None else args.seed
    record = new_record(seed)  # before the files that are written make it a dirty one
    commit = record["commit"]
    if args.only and args.out is not None and args.out.exists():
        record = json.loads(args.out.read_text())  # the other parts stay
    failures = 0
    for part in sorted(PARTS, key=lambda part: part.long):
        if args.only and part.name not in args.only:
            continue
        tally = run(part, seed, args)
        failures += tally.n_failures
        found = tally.as_dict() | {"commit": commit, "scale": args.scale}
        others = (p for p in record["parts"] if p["name"] != part.name)
        record["parts"] = [*others, found]
        if args.out is not None:
            args.out.write_text(json.dumps(record, indent=1) + "\n")
    if args.page is not None:
        args.page.write_text(render(record))
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
