"""A batch leaves what its changes would leave, were each written by itself, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slad.storage.database import DataDirectory
from slad.storage.journal import WRITES, Journal
from slad.storage.rows import AuditRow, Batch, ConsumerRow, ParkedEventRow, TrackingChange, TrackingRow

Change = Callable[[Batch], None]


def made(name: str, acknowledged: int) -> Change:
    return lambda batch: batch.consumers.append(ConsumerRow(name, acknowledged, 0, None))


def forgotten(name: str) -> Change:
    return lambda batch: batch.forget_consumer(name)


def parked(consumer: str, sequence: int, released: int) -> Change:
    ticket = "T" if sequence % 2 else "U"
    row = ParkedEventRow(consumer, sequence, "acme", ticket, 0, 1, "refused", released, b"")
    return lambda batch: batch.parked_events.append(row)


def flagged(consumer: str, ticket: str, released: bool) -> Change:
    return lambda batch: batch.flag_for_redelivery(consumer, [("acme", ticket)], released)


def unparked(consumer: str, sequence: int) -> Change:
    return lambda batch: batch.unpark_events(consumer, [sequence])


NAMES, SEQUENCES = st.sampled_from("ab"), st.integers(1, 3)
CHANGES = st.lists(
    st.one_of(
        st.builds(made, NAMES, st.integers(0, 3)),
        st.builds(forgotten, NAMES),
        st.builds(parked, NAMES, SEQUENCES, st.integers(0, 1)),
        st.builds(flagged, NAMES, st.sampled_from("TU"), st.booleans()),
        st.builds(unparked, NAMES, SEQUENCES),
    ),
    max_size=12,
)


@pytest.fixture
def directory(tmp_path: Path) -> Any:
    directory = DataDirectory(tmp_path)
    yield directory
    directory.close()


def left_by(connection: apsw.Connection, batches: Sequence[Sequence[Change]]) -> list[Any]:
    journal = Journal(connection)
    for table in ("consumer", "parked_event"):
        connection.execute(f"DELETE FROM {table}")
    for changes in batches:
        batch = Batch()
        for change in changes:
            change(batch)
        journal.commit(batch)
    return [
        *connection.execute("SELECT * FROM consumer ORDER BY name"),
        *connection.execute("SELECT * FROM parked_event ORDER BY consumer, sequence"),
    ]


def test_whatever_a_batch_puts_and_removes_the_order_is_kept(directory: DataDirectory) -> None:
    connection = directory.writer()
    connection.pragma("synchronous", "OFF")

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(CHANGES)
    def hold(changes: list[Change]) -> None:
        assert left_by(connection, [changes]) == left_by(connection, [[change] for change in changes])

    hold()
    connection.close()


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ([forgotten("a"), made("a", 7)], [("a", 7)]),
        ([made("a", 7), forgotten("a")], []),
    ],
    ids=["forgotten and made anew", "made and forgotten"],
)
def test_a_consumer_that_is_forgotten_and_made_in_one_turn(
    directory: DataDirectory, changes: list[Change], left: list[Any]
) -> None:
    connection = directory.writer()
    assert [row[:2] for row in left_by(connection, [changes])] == left
    connection.close()


def test_every_list_of_a_batch_is_written() -> None:
    assert sorted(name for name, _ in WRITES) == sorted(
        field.name for field in fields(Batch) if field.name != "late"
    )


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 32, 33, 127, 128, 129, 300])
def test_rows_of_any_number_are_written_in_their_order(directory: DataDirectory, number: int) -> None:
    connection = directory.writer()
    batch = Batch(
        tenants=[(1, "acme")],
        created=[TrackingRow(key, 1, f"T-{key}", 1, 1, None, b"new") for key in range(1, number + 1)],
        changed=[TrackingChange(2, key, b"changed", key, key) for key in range(1, number + 1, 2)],
        audit=[AuditRow(number - place, place, b"audit") for place in range(number)],
        consumers=[ConsumerRow("c", place, 0, None) for place in range(number)],
        ledger_unfilled=[(place,) for place in range(number)],
        trials=[(size,) for size in range(number)],
    )
    Journal(connection).commit(batch)
    assert connection.execute("SELECT * FROM tracking ORDER BY tracking_key").fetchall() == [
        (key, 1, f"T-{key}", 1, *((2, key, b"changed", key) if key % 2 else (1, None, b"new", None)))
        for key in range(1, number + 1)
    ]
    assert connection.execute(
        "SELECT tracking_key, recorded_at FROM audit ORDER BY audit_key"
    ).fetchall() == [(number - place, place) for place in range(number)]
    assert connection.execute("SELECT name, acknowledged FROM consumer").fetchall() == [("c", number - 1)]
    noted = "SELECT value FROM meta WHERE name = ?"
    assert connection.execute(noted, ("ledger_unfilled",)).get == number - 1
    assert connection.execute(noted, ("trial",)).get == bytes(number - 1)
    connection.close()
