"""The examples run."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
MG = Path(__file__).parents[2] / "shared" / "data" / "mg.libsvm"


def run(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_quick_start_prints_a_row_per_target():
    printed = run(EXAMPLES / "quickstart.py")
    assert printed.count("weights left") == 2
    assert "[600, 300]" in printed


@pytest.mark.slow
@pytest.mark.skipif(not MG.exists(), reason=f"the Mg data are not at {MG}")
def test_mg_example():
    script = EXAMPLES / "paper_mg.py"
    printed = run(script, "--data", MG, "--only", "ours")
    assert printed.count(" yes ") == 2


@pytest.mark.slow
@pytest.mark.skipif(not MG.exists(), reason=f"the Mg data are not at {MG}")
def test_mg_example_runs_the_papers_algorithms():
    script = EXAMPLES / "paper_mg.py"
    printed = run(script, "--data", MG, "--epochs", 20, "--only", "paper")
    assert printed.count("Algorithm") == 2
