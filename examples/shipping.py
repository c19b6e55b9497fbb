"""A sparse network leaves: smaller, saved, as ONNX, as C.

Usage::

    python examples/shipping.py            # needs no data
"""

from __future__ import annotations

import importlib.util
import pickle
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetClassifier, load


def kilobytes(n_bytes: int) -> str:
    """Return a size for the reader."""
    return f"{n_bytes / 1024:.1f} KB"


def main() -> None:
    """Fit a network and send it away in every form."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    net = SparseNetClassifier((300, 100), target_sparsity=500, random_state=0)
    net.fit(X_train, y_train)
    print(f"{net.n_nonzero_} weights, test accuracy {net.score(X_test, y_test):.3f}")
    print(net.sparsity_report())
    print(f"products for 1000 rows: {net.prediction_plan(1000)}")

    probabilities = net.predict_proba(X_test)
    print(f"pickle: {kilobytes(len(pickle.dumps(net)))}")
    print(f"sparsified: {kilobytes(len(pickle.dumps(net.sparsify())))}")
    net.densify().compact()
    print(f"units after compact(): {[coef.shape[1] for coef in net.coefs_]}")
    assert np.allclose(net.predict_proba(X_test), probabilities)

    with tempfile.TemporaryDirectory() as directory:
        if importlib.util.find_spec("safetensors"):
            path = Path(directory) / "net.safetensors"
            net.save(path)
            again = load(path)
            print(f"save: {kilobytes(path.stat().st_size)}")
            assert np.array_equal(again.predict(X_test), net.predict(X_test))
        if importlib.util.find_spec("onnx"):
            path = Path(directory) / "net.onnx"
            net.to_onnx(path)
            print(f"ONNX: {kilobytes(path.stat().st_size)}")
    print(f"C source: {kilobytes(len(net.to_c()))}")


if __name__ == "__main__":
    main()
