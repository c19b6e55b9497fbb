"""Write the records, or compare fits of today with them.

Usage, in the root of the repository::

    python -m tests.golden           # compares; ends with 1 where supports differ
    python -m tests.golden --write   # after a change that is to change numbers
"""

import argparse
import sys
import warnings

from tests.golden.cases import CASES
from tests.golden.records import compare, machine, numbers_of, read, write


def main():
    """Run all cases; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    fits = {}
    for name, run in CASES.items():
        fits[name] = numbers_of(run)
        print(name, flush=True)
    if asked.write:
        write(fits)
        return 0
    recorded_on, before = read()
    if recorded_on != machine():
        print(f"Recorded on another machine: {recorded_on}, not {machine()}.")
    differing = 0
    for name, arrays in fits.items():
        same, difference = compare(arrays, before[name])
        differing += not same or difference > 1e-12
        support = "same support" if same else "OTHER SUPPORT"
        print(f"{name}: {support}, {difference:.1e}")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
