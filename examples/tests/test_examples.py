"""The examples run."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent


def run(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_quick_start_prints_a_row_per_target():
    printed = run(EXAMPLES / "quickstart.py")
    assert printed.count("weights left") == 2
    assert "[600, 300]" in printed


@pytest.mark.slow
def test_shipping_prints_sizes():
    printed = run(EXAMPLES / "shipping.py")
    assert "500 weights" in printed
    assert printed.count("KB") >= 3
