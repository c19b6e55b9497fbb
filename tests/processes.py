"""Scripts in interpreters of their own."""

import os
import subprocess
import sys


def run_script(script, *arguments, **environment):
    """Return what a script prints; it fails if the script does."""
    path = os.pathsep.join(path for path in sys.path if path)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout
