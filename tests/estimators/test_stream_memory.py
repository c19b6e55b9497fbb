"""Rows that are made when they are asked for are never all in memory."""

import pytest

from tests.processes import run_script

# On top of what a small fit needs; the high-water mark of a process does not fall.
PROGRAM = """
import resource, sys, warnings
import numpy as np
from sklearn_sparsenet import SparseNetClassifier
from tests.streams import Waves

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

warnings.simplefilter("ignore")
n_rows, n_columns, what = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
net = SparseNetClassifier((5,), max_iter=1, batch_size=2000, random_state=0)
net.fit(Waves(20_000, n_columns)).predict(Waves(20_000, n_columns))
before, rows = peak(), Waves(n_rows, n_columns)
net.fit(rows) if what == "fit" else net.predict(rows)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_rows", "n_columns", "what", "bytes_a_row"),
    [
        # X would have 400 and 40, what is made of y and the order of rows have 16,
        # the target that `Waves` makes has 24 for a moment, and batches 30 MB.
        (600_000, 100, "fit", 100),
        (3_000_000, 10, "fit", 55),
        (10_000_000, 10, "predict", 30),  # X would have 40, what is predicted has 8
    ],
)
def test_memory_is_that_of_some_batches_and_of_y(n_rows, n_columns, what, bytes_a_row):
    found = run_script(PROGRAM, str(n_rows), str(n_columns), what)
    assert int(found) < n_rows * bytes_a_row
