"""Percentiles of the ledger are nearest ranks, whatever the number of cycles (A4)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from slad.core.ledger import LedgerEntry, Revision, Verdict
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.ledger_store import Grouping, Period, row_of
from slad.storage.rows import Batch

PERIOD = Period(1, "due_at", 0, 1_000, 1_000, ())


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    directory = DataDirectory(tmp_path)
    journal = Journal(directory.writer())
    yield journal
    journal.close()
    directory.close()


def entry(elapsed_ms: int) -> LedgerEntry:
    verdict = Verdict.MET if elapsed_ms % 3 else Verdict.MISSED
    return LedgerEntry(
        "response", 0, 1, 1, "gold", "", "", 500, 600, 1, elapsed_ms, 0, {}, verdict, None
    )  # fmt: skip


def test_percentiles_are_nearest_ranks(journal: Journal) -> None:
    ledger = journal.store.ledger()
    for many in range(1, 131):
        # Not in their order, and with two alike.
        row = row_of(Revision(entry((many * 37) % 101), 1, 700), many, 1, "T", 1, {}, "2026.6")
        journal.commit(Batch(ledger=[row]))
        values = sorted((number * 37) % 101 for number in range(1, many + 1))
        (sums,) = ledger.sums(PERIOD, Grouping())
        assert sums.elapsed_p50 == values[math.ceil(many / 2) - 1], many
        assert sums.elapsed_p90 == values[-(-many * 9 // 10) - 1], many
        assert (sums.elapsed_max, sums.elapsed) == (values[-1], sum(values))
        assert sums.met + sums.missed == many


def test_a_value_of_many_digits_is_exact(journal: Journal) -> None:
    long = 253_402_300_799_999
    journal.commit(Batch(ledger=[row_of(Revision(entry(long), 1, 700), 1, 1, "T", 1, {}, "2026.6")]))
    (sums,) = journal.store.ledger().sums(PERIOD, Grouping())
    assert (sums.elapsed_p50, sums.elapsed_p90, sums.elapsed_max, sums.elapsed) == (long, long, long, long)


def test_a_later_revision_counts_from_its_recording_on(journal: Journal) -> None:
    first = entry(10)._replace(verdict=Verdict.MISSED)
    for number, at, revised in ((1, 700, first), (2, 800, first._replace(verdict=Verdict.MET))):
        journal.commit(Batch(ledger=[row_of(Revision(revised, number, at), 1, 1, "T", 1, {}, "2026.6")]))
    ledger = journal.store.ledger()
    for as_of, met in ((799, 0), (800, 1)):
        (sums,) = ledger.sums(PERIOD._replace(as_of=as_of), Grouping())
        assert (sums.met, sums.missed) == (met, 1 - met)
    assert ledger.sums(PERIOD._replace(as_of=699), Grouping()) == []


def test_no_revision_is_written_twice(journal: Journal) -> None:
    row = row_of(Revision(entry(10), 1, 700), 1, 1, "T", 1, {}, "2026.6")
    journal.commit(Batch(ledger=[row]))
    with pytest.raises(Exception, match="UNIQUE"):
        journal.commit(Batch(ledger=[row]))
    assert journal.store.ledger().known(1, 0)["response", 0].number == 1


def test_the_ledger_needs_percentiles_of_sqlite() -> None:
    assert "ENABLE_PERCENTILE" in apsw.compile_options
