"""Reading what there is for Temporal: messages that wait, tickets that it carries, parked workflows."""

from __future__ import annotations

from typing import Any, Final

import apsw

from slad.storage.reading_connection import ReadingConnection
from slad.storage.row_reader import RowReader, Waiting
from slad.storage.rows import ParkedRow, TemporalTicketRow

ALL_MESSAGES: Final = (
    "SELECT message_key, workflow_id, tracking_key, recorded_at, body, checksum FROM temporal_outbox"
)
NEXT_OF: Final = f"{ALL_MESSAGES} WHERE workflow_id = ? ORDER BY message_key LIMIT 1"
WAITING_AFTER: Final = (
    "SELECT message_key, workflow_id FROM temporal_outbox WHERE message_key > ? ORDER BY message_key LIMIT ?"
)
WAITING: Final = (
    "SELECT (SELECT count(*) FROM temporal_outbox),"
    " (SELECT recorded_at FROM temporal_outbox ORDER BY message_key LIMIT 1)"
)
_TICKETS: Final = "SELECT tracking_key, workflow_id, wake_at, check_at FROM temporal_ticket"
BY_WORKFLOW: Final = f"{_TICKETS} WHERE workflow_id = ?"
BY_TRACKING: Final = f"{_TICKETS} WHERE tracking_key = ?"
TO_CHECK: Final = f"{_TICKETS} WHERE check_at <= ? ORDER BY check_at LIMIT ?"
EARLIEST_WAKE: Final = "SELECT min(wake_at) FROM temporal_ticket WHERE wake_at IS NOT NULL"
CARRIED: Final = "SELECT count(*) FROM temporal_ticket"
LATE: Final = "SELECT count(*) FROM temporal_ticket WHERE wake_at < ?"
_PARKED: Final = "SELECT workflow_id, tracking_key, parked_at, reason FROM temporal_parked"
PARKED: Final = f"{_PARKED} ORDER BY parked_at LIMIT ?"
PARKED_AFTER: Final = f"{_PARKED} WHERE workflow_id > ? ORDER BY workflow_id LIMIT ?"
PARKED_OF: Final = f"{_PARKED} WHERE workflow_id = ?"
EARLIEST_CHECK: Final = "SELECT min(check_at) FROM temporal_ticket WHERE check_at IS NOT NULL"
HAS_TABLES: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'temporal_outbox'"
IN_USE: Final = "SELECT EXISTS (SELECT 1 FROM temporal_ticket) OR EXISTS (SELECT 1 FROM temporal_outbox)"
COUNT_PARKED: Final = "SELECT count(*) FROM temporal_parked"


class TemporalStore(ReadingConnection):
    """What there is for Temporal; used by one thread at a time."""

    def __init__(self, connection: apsw.Connection, read: RowReader) -> None:
        super().__init__(connection)
        self._read = read

    def is_in_use(self) -> bool:
        """Whether Temporal carries any ticket, or has yet to be told anything. Of any schema."""
        return self._value(HAS_TABLES) is not None and bool(self._value(IN_USE))

    def next_of(self, workflow_id: str) -> Waiting | None:
        """The oldest message for a workflow. Raises Unreadable."""
        row = self._row(NEXT_OF, workflow_id)
        return self._read.message(row) if row else None

    def waiting_after(self, message_key: int, limit: int) -> list[tuple[int, str]]:
        """(message_key, workflow_id) of the next messages after a key, in order."""
        return self._rows(WAITING_AFTER, message_key, limit)

    def waiting(self) -> tuple[int, int | None]:
        """(how many messages wait, when the oldest was recorded). Counts them."""
        ((count, oldest_at),) = self._rows(WAITING)
        return count, oldest_at

    def by_workflow(self, workflow_id: str) -> TemporalTicketRow | None:
        """The live tracking that a workflow carries."""
        return _ticket(self._row(BY_WORKFLOW, workflow_id))

    def by_tracking(self, tracking_key: int) -> TemporalTicketRow | None:
        """The live tracking with this key, if a workflow carries it."""
        return _ticket(self._row(BY_TRACKING, tracking_key))

    def to_check(self, now: int, limit: int) -> list[TemporalTicketRow]:
        """The tickets at which it is time to look."""
        return [TemporalTicketRow(*row) for row in self._execute(TO_CHECK, (now, limit))]

    def earliest_check(self) -> int | None:
        """When it is next time to look at a ticket."""
        return self._number(EARLIEST_CHECK)

    def earliest_wake(self) -> int | None:
        """The next threshold of all."""
        return self._number(EARLIEST_WAKE)

    def carried(self) -> int:
        """How many live trackings Temporal carries. Counts them."""
        return int(self._value(CARRIED))

    def late(self, before: int) -> int:
        """How many of them have a threshold before an instant that was not reported. Counts them."""
        return int(self._value(LATE, before))

    def parked(self, limit: int) -> list[ParkedRow]:
        """The parked workflows, the longest parked first."""
        return [ParkedRow(*row) for row in self._execute(PARKED, (limit,))]

    def parked_after(self, workflow_id: str, limit: int) -> list[ParkedRow]:
        """The next parked workflows after an id, in order of their ids."""
        return [ParkedRow(*row) for row in self._execute(PARKED_AFTER, (workflow_id, limit))]

    def parked_of(self, workflow_id: str) -> ParkedRow | None:
        """A workflow, if it is parked."""
        row = self._row(PARKED_OF, workflow_id)
        return ParkedRow(*row) if row else None

    def count_parked(self) -> int:
        """How many workflows are parked."""
        return int(self._value(COUNT_PARKED))


def _ticket(row: Any) -> TemporalTicketRow | None:
    return TemporalTicketRow(*row) if row else None
