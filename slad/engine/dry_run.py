"""What a change of terms would make of trackings. Nothing is stored, also not its schedule (M9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from slad.core import machine
from slad.core.calendar import Calendar, compile_calendar
from slad.core.errors import InvalidField, Refused, without_frames
from slad.engine.catalog import EVERY_HOUR, Catalog
from slad.engine.commands import ScheduleOffer
from slad.engine.terms_change import ClockDifference, TermsChange, changed_terms, differences
from slad.storage.row_reader import Record


class WouldChange(NamedTuple):
    """What would become of one ticket."""

    ticket_id: str
    outcome: tuple[ClockDifference, ...] | InvalidField | Refused
    """An error: it would be refused."""


def would_change(
    records: Iterable[Record], catalog: Catalog, change: TermsChange, now: int, *, suppress_past: bool
) -> list[WouldChange]:
    """What the change would make of live trackings at `now` (UTC epoch ms)."""
    schedules = _Schedules(catalog)
    found: list[WouldChange] = []
    for record in records:
        before = record.tracking
        try:
            after = changed_terms(
                before, change, schedules.key_of, schedules.calendar, now, suppress_past=suppress_past
            )
        except (InvalidField, Refused) as error:
            found.append(WouldChange(record.ticket_id, without_frames(error)))
        else:
            reading = machine.reading_at(before, catalog.calendar, now)
            differs = differences(before, reading, after.tracking, after.reading)
            found.append(WouldChange(record.ticket_id, tuple(differs)))
    return found


class _Schedules:
    """The stored ones, and the drafts, which have negative keys."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._drafts: dict[bytes, int] = {}
        self._calendars: dict[int, Calendar] = {}

    def key_of(self, schedule: ScheduleOffer | None) -> int:
        if schedule is None:
            return EVERY_HOUR
        key = self._catalog.schedule_key(schedule.digest) or self._drafts.get(schedule.digest)
        if key is None:
            key = self._drafts[schedule.digest] = -1 - len(self._drafts)
            self._calendars[key] = compile_calendar(schedule.schedule)
        return key

    def calendar(self, schedule_key: int) -> Calendar:
        return self._calendars[schedule_key] if schedule_key < 0 else self._catalog.calendar(schedule_key)
