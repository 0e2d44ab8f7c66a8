"""What the benchmarks show is what was measured, and the document about them knows all rows."""

from __future__ import annotations

import re

import pytest

from benchmarks.curves import Curves, sizes_up_to
from benchmarks.report import curve_table
from benchmarks.results import load
from benchmarks.row import Row
from benchmarks.table import TABLE
from tests.paths import ROOT

README = ROOT / "benchmarks" / "README.md"


def test_the_readme_describes_all_rows() -> None:
    assert set(re.findall(r"^\| `([a-z]+)` \|", README.read_text("utf-8"), re.MULTILINE)) == set(TABLE)


@pytest.mark.parametrize("row", [row for row in TABLE.values() if load(row.name)], ids=lambda row: row.name)
def test_a_kept_result_has_the_figures_that_the_table_shows(row: Row) -> None:
    result = load(row.name)
    assert result is not None
    assert {*(target.figure for target in row.targets), *row.reported} <= set(result.figures)
    assert all(result.figures.values())


def test_sizes_end_with_what_was_asked_for() -> None:
    assert sizes_up_to(1_000_000) == [1_000, 10_000, 100_000, 1_000_000]
    assert sizes_up_to(2_000) == [1_000, 2_000]
    assert sizes_up_to(1_000) == [1_000]


def test_curves_hold_the_largest_size_against_the_smallest() -> None:
    curves = Curves()
    for few, many in ((2.0, 3.0), (4.0, 4.0), (1.0, 5.0)):
        curves.add("cost, µs", 1_000, few)
        curves.add("cost, µs", 20_000, many)
    curves.add("lateness, ms", 1_000, 7.0, "p50")
    assert curves.ratios("cost, µs") == [1.5, 1.0, 5.0]
    assert curves.points() == {
        "cost, µs": {"": [[1_000, 2.0, 1.0, 4.0], [20_000, 4.0, 3.0, 5.0]]},
        "lateness, ms": {"p50": [[1_000, 7.0, 7.0, 7.0]]},
    }
    assert curve_table(curves.points()) == [
        "| pending | 1,000 | 20,000 |",
        "|---|---:|---:|",
        "| cost, µs | 2.00 | 4.00 |",
        "| lateness, ms: p50 | 7.00 | – |",
        "",
    ]
    assert curve_table({}) == []
