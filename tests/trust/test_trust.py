"""The short form of the harness, and its own tools held against known answers."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from tests.trust.campaigns import Finding, run_campaign
from tests.trust.crowds import check_soak
from tests.trust.page import render
from tests.trust.parts import PARTS
from tests.trust.recount import count_live, live_is_possible, wanted_counts
from tests.trust.specimens import specimens

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.mark.slow
@pytest.mark.parametrize("name", [part.name for part in PARTS if part.short])
def test_promises_hold(name):
    """Seeds that the long form has not used, the same in each run of the tests.

    In an interpreter of its own: a child that is forked from one in which joblib has
    workers would wait for workers that it does not have.
    """
    command = [sys.executable, "-m", "tests.trust", "--short", "--jobs", "1", "--only"]
    done = subprocess.run(
        [*command, name], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failures" in done.stdout


@pytest.mark.slow
def test_nothing_grows():
    specimens()
    tally = run_campaign("soak", lambda seed: check_soak(300, warm_up=100), range(1))
    assert not tally.failures


def test_the_page_says_what_was_found():
    record = json.loads((DOCS / "trust.json").read_text())
    assert (DOCS / "trust.md").read_text() == render(record)


def crash(seed):
    if seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 5:
        time.sleep(60)
    if seed == 6:
        raise ValueError("of the check")
    found = Finding()
    found.facts["seen"] += 1
    found.check(seed != 1, "odd")
    return found


def test_campaigns_survive_crashes_and_hangs():
    tally = run_campaign("crash", crash, range(8), jobs=2, patience=1.0, block=3)
    assert tally.cases == 8
    assert tally.facts["seen"] == 5
    by_seed = {failure["seed"]: failure["failure"] for failure in tally.failures}
    assert by_seed[1] == "odd"
    assert by_seed[3].startswith("crash")
    assert by_seed[5] == "hang"
    assert "of the check" in by_seed[6]


def brute_force(widths):
    """Return all totals, and counts by layer, of networks without dead weights."""
    shapes = list(pairwise(widths))
    totals, by_layer = set(), set()
    for bits in product([0, 1], repeat=sum(a * b for a, b in shapes)):
        rest, layers = np.array(bits), []
        for a, b in shapes:
            layers.append(rest[: a * b].reshape(a, b))
            rest = rest[a * b :]
        if count_live(layers) == sum(bits) > 0:
            totals.add(sum(bits))
            by_layer.add(tuple(int(layer.sum()) for layer in layers))
    return totals, by_layer


@pytest.mark.parametrize("widths", [(1, 2, 1), (2, 2, 1), (1, 3, 2), (2, 1, 2, 1)])
def test_possible_counts_against_brute_force(widths):
    totals, by_layer = brute_force(widths)
    sizes = [a * b for a, b in pairwise(widths)]
    for wanted in range(1, sum(sizes) + 1):
        assert live_is_possible(widths, wanted) == (wanted in totals)
    for wanted in product(*(range(1, size + 1) for size in sizes)):
        assert live_is_possible(widths, list(wanted)) == (wanted in by_layer)


def test_wanted_counts_are_those_of_the_contract():
    sizes = {"0.weight": 30, "2.weight": 7}
    assert wanted_counts(0.9, sizes) == 4
    assert wanted_counts(12, sizes) == 12
    assert wanted_counts([0.5, 3], sizes) == {"0.weight": 15, "2.weight": 3}
    assert wanted_counts({"*": 0.99, "0.*": 2}, sizes) == {"0.weight": 2, "2.weight": 1}
