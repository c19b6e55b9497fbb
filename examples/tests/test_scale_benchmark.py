"""The benchmark of scale, on data so small that it takes no time."""

import json
import sys
import time

import numpy as np
import pytest
from benchmarks import scale


def test_slopes_are_those_between_neighbours():
    records = [{"size": 10**k, "seconds": 10.0**t} for k, t in ((2, 0), (3, 1), (4, 3))]
    assert scale.steepest(records, "seconds") == pytest.approx(2)


def test_the_slope_over_all_sizes_is_that_of_a_line():
    records = [{"size": 10**k, "seconds": 10.0**t} for k, t in ((2, 0), (3, 1), (4, 3))]
    assert scale.overall(records, "seconds") == pytest.approx(1.5)


def test_entries_of_a_matrix_are_in_order():
    X, y = scale.csr(50, 1000, 500)
    assert X.has_canonical_format
    assert (X.shape, X.nnz, y.shape) == ((50, 1000), 500, (50,))


@pytest.mark.parametrize("name", ["rows", "columns", "csr_columns", "memory"])
def test_every_part_has_data_that_can_be_fitted(name, tmp_path):
    work = scale.PARTS[name].measure.__self__
    record = work.measure(200, tmp_path)
    assert record["size"] == 200
    assert record["data_bytes"] > 0
    assert record["peak_bytes"] >= 0


def test_the_table_is_written_between_the_marks(tmp_path, monkeypatch):
    def measure(name, size):
        return {"size": size, "seconds": size / 1e6, "peak_bytes": 0, "data_bytes": 1}

    monkeypatch.setattr(scale, "_measure_apart", measure)
    page, out = tmp_path / "page.md", tmp_path / "scale.json"
    page.write_text("# Page\n\n<!-- scale -->\n<!-- end of scale -->\n")
    arguments = ["scale", "--json", str(out), "--write", str(page)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--parts", "rows", "csr"])
    scale.main()
    assert list(json.loads(out.read_text())) == ["rows", "csr"]
    assert "| 1.00 |" in page.read_text()
    monkeypatch.setattr(sys, "argv", [*arguments, "--parts", "width"])
    scale.main()
    assert len(json.loads(out.read_text())) == 3
    assert page.read_text().count("| 1.00 |") == 3


def test_memory_is_seen():
    with scale.peak_memory() as peak:
        held = np.ones(2**23)  # beyond what is taken from memory freed before
        time.sleep(0.1)
    assert peak[0] >= held.nbytes / 2
