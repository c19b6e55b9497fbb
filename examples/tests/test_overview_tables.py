"""The README and the page that compares have the figures of the measurements."""

import overview_tables
import pytest

# Those of shipping are read from a page, which has the last run of some machine.
CHECKED = [part for part in overview_tables.PARTS if part[1] != "shipping"]


@pytest.mark.parametrize(
    ("page", "name", "make"),
    CHECKED,
    ids=[f"{p.stem} {name}" for p, name, _ in CHECKED],
)
def test_pages_have_the_figures_of_the_measurements(page, name, make):
    """If not: `python overview_tables.py` in the folder examples."""
    part = f"<!-- {name} -->\n\n{make()}\n\n<!-- end of {name} -->"
    assert part in page.read_text()


def test_the_summary_of_small_tables_is_a_geometric_mean(monkeypatch):
    records = [
        {
            "table": table,
            "method": method,
            "classes": classes,
            "error": error,
            "seconds": error,
        }
        for method in overview_tables.TABLE_METHODS
        for classes in (True, False)
        for table, error in (("a", 0.1), ("a", 0.3), ("b", 0.8))
    ]
    monkeypatch.setattr(overview_tables, "read", lambda name: records)
    header, _, first, *others = overview_tables.small_tables().splitlines()
    assert header == (
        "| model | log loss, 2 tables | 1 − R², 2 tables | seconds of a fit |"
    )
    assert first.endswith("| 0.400 | 0.400 | 0.3 |")  # errors of .2, by seeds, and .8
    assert len(others) == len(overview_tables.TABLE_METHODS) - 1
