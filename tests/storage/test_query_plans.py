"""No query of the hot path scans: each is a look-up in an index, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from slad.storage import journal, ledger_store, select, temporal_store
from slad.storage.database import DataDirectory

LOOKUPS = {
    name: getattr(select, name)
    for name in (
        "LATEST", "GENERATION", "BY_KEY", "HOLDERS", "WAKES", "WAKES_AT", "WAKE_OF", "REQUEST", "EVENTS",
        "EVENTS_OF", "SCHEDULE", "SCHEDULE_KEY", "TENANT_KEY", "TENANT_ID", "OF_TENANT", "OF_ALL", "AUDIT_OF",
        "AUDIT_AFTER",
        "OLDEST_EVENT", "NEWEST_EVENT_UP_TO", "EVENTS_OWED", "NEWEST_AUDIT", "META", "PARKED_EVENTS",
        "PARKED_EVENTS_OF", "PARKED_TICKETS", "TENANT_KEYS", "TICKETS_LIKE",
    )
}  # fmt: skip


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    directory = DataDirectory(tmp_path)
    connection = directory.writer()
    yield connection
    connection.close()
    directory.close()


def plan(connection: apsw.Connection, query: str) -> list[str]:
    bindings = (None,) * query.count("?")
    return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", bindings)]


def test_all_queries_of_the_store_are_looked_at() -> None:
    queries = {
        name
        for name, value in vars(select).items()
        if name.isupper() and not name.startswith(("_", "ALL_")) and isinstance(value, str)
    }
    apart = {"OLDEST_REQUESTS", "NTH_NEWEST_EVENT", "OPEN_TICKETS", "HAS_TRACKINGS"}
    assert queries == {*LOOKUPS, *apart, "WAKES_OF_TENANT", "TICKETS_OF_TENANTS_LIKE"}


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_read_is_a_search_and_never_sorts(connection: apsw.Connection, name: str) -> None:
    steps = plan(connection, LOOKUPS[name])
    assert steps
    assert any(step.startswith("SEARCH") for step in steps), steps
    assert not [step for step in steps if step.startswith(("SCAN", "USE TEMP"))]


@pytest.mark.parametrize(
    ("name", "index"),
    [("WAKES_OF_TENANT", "tracking_by_tenant"), ("TICKETS_OF_TENANTS_LIKE", "tracking_by_ticket")],
)
def test_what_the_console_asks_for_some_tenants_goes_by_an_index(
    connection: apsw.Connection, name: str, index: str
) -> None:
    steps = plan(connection, getattr(select, name))
    assert [step for step in steps if step.startswith("SEARCH tracking") and index in step], steps
    assert not [step for step in steps if step.startswith("SCAN tracking")]


def test_counting_tickets_reads_indexes_only(connection: apsw.Connection) -> None:
    scans = [step for step in plan(connection, select.OPEN_TICKETS) if step.startswith(("SCAN", "SEARCH"))]
    assert len([step for step in scans if "USING COVERING INDEX" in step]) == 2, scans


@pytest.mark.parametrize("name", ["LATEST_OF", "ANSWERS"])
def test_a_look_up_of_many_keys_scans_nothing_but_the_keys(connection: apsw.Connection, name: str) -> None:
    for size, query in getattr(select, name).items():
        steps = plan(connection, query)
        assert [step for step in steps if step.startswith(("SCAN", "USE TEMP"))] == [
            f"SCAN {size} CONSTANT ROWS",
            "SCAN wanted",
        ]
        assert any(step.startswith("SEARCH") for step in steps)


def test_the_oldest_requests_are_read_from_the_end_of_the_table(connection: apsw.Connection) -> None:
    """A scan, but in the order of the key and cut off by its LIMIT: nothing is sorted."""
    assert plan(connection, select.OLDEST_REQUESTS) == ["SCAN request"]


def test_an_update_is_a_search(connection: apsw.Connection) -> None:
    for name in ("changed", "redelivery_flags", "unparked_events", "forgotten_parked_events"):
        assert all(step.startswith("SEARCH") for step in plan(connection, journal.STATEMENTS[name]))


def test_reading_and_changing_many_rows_is_a_search_for_each(connection: apsw.Connection) -> None:
    for query in (*select.BY_KEYS.values(), *journal.OF_MANY_ROWS["changed"].values()):
        steps = plan(connection, query)
        assert any(step.startswith("SEARCH tracking") for step in steps)
        assert not [step for step in steps if step.startswith(("SCAN tracking", "USE TEMP"))]


def test_start_up_reads_only_the_ends_of_indexes(connection: apsw.Connection) -> None:
    """The rows that `counters` looks at do not grow with the number of trackings."""
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " INSERT INTO tracking SELECT i, 1, 'T-' || i, 1, 1, i, x'00', NULL FROM n"
    )
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    connection.set_progress_handler(count, 1)
    assert journal.Journal(connection).counters().tracking == 20_000
    assert steps < 200, "virtual machine instructions of the four maxima"


@pytest.mark.parametrize("name", ["KNOWN", "HAS_AUDIT_UP_TO", "ENDED_AFTER", "KEYS_DOWN_FROM"])
def test_what_is_asked_of_the_ledger_is_a_search(connection: apsw.Connection, name: str) -> None:
    steps = plan(connection, getattr(ledger_store, name))
    assert any(step.startswith("SEARCH") for step in steps), steps
    assert not [step for step in steps if step.startswith("SCAN") and "CONSTANT ROW" not in step], steps


@pytest.mark.parametrize("column", ["due_at", "closed_at", "opened_at"])
def test_a_report_reads_its_period_by_an_index(connection: apsw.Connection, column: str) -> None:
    period = ledger_store.Period(1, column, 0, 1, 2, ("response",))
    query = f"EXPLAIN QUERY PLAN SELECT 1 FROM ledger AS l WHERE {period.condition}"
    steps = [str(row[3]) for row in connection.execute(query, period.bindings)]
    index = "ledger_by_due" if column == "due_at" else "ledger_by_recording"
    assert steps[0].startswith(f"SEARCH l USING INDEX {index} (tenant_key=? AND "), steps
    assert steps[-1].startswith("SEARCH later USING COVERING INDEX ledger_by_revision"), steps


def test_old_rows_of_the_ledger_are_found_tenant_by_tenant(connection: apsw.Connection) -> None:
    assert [step.split(" USING")[0] for step in plan(connection, ledger_store.OLD)] == [
        "SCAN tenant",
        "SEARCH ledger",
    ]


TEMPORAL_LOOKUPS = (
    "NEXT_OF", "WAITING_AFTER", "BY_WORKFLOW", "BY_TRACKING", "TO_CHECK", "PARKED_OF", "PARKED_AFTER",
    "EARLIEST_CHECK", "EARLIEST_WAKE", "LATE",
)  # fmt: skip


@pytest.mark.parametrize("name", TEMPORAL_LOOKUPS)
def test_what_is_asked_for_temporal_all_the_time_is_a_search(connection: apsw.Connection, name: str) -> None:
    steps = plan(connection, getattr(temporal_store, name))
    assert any(step.startswith("SEARCH") for step in steps), steps
    assert not [step for step in steps if step.startswith(("SCAN", "USE TEMP"))]
