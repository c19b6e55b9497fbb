"""What `import sklearn_sparsenet` loads: no more than PyTorch and scikit-learn need."""

import json
import subprocess
import sys

# What of scikit-learn is used, and thereby all that it imports in its turn.
_USED = "torch, sklearn.callback"
# What only some fits, or what comes after a fit, need.
_LATER = {
    "sklearn.metrics", "sklearn.model_selection", "sklearn.pipeline",
    "sklearn.preprocessing", "sklearn_sparsenet.deploy.c_source",
    "sklearn_sparsenet.distributed", "sklearn_sparsenet.plots",
}  # fmt: skip


def imported(modules):
    """Return the names of all modules that a process has after an import."""
    code = f"import {modules}, json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_nothing_is_imported_that_is_not_always_needed():
    """Other packages (onnx, matplotlib, pyarrow, ...) are, where they are used."""
    before, after = imported(_USED), imported("sklearn_sparsenet")
    added = {name.split(".")[0] for name in after - before}
    assert added <= {"sklearn", "sklearn_sparsenet"}
    assert not after & _LATER
