"""Whose clocks a page goes by, and instants as it shows them."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Final, NamedTuple

from slad.core import time_text
from slad.core.errors import InvalidField
from slad.core.instants import MAX_INSTANT_MS, parse_instant, to_datetime
from slad.core.schedule import check_timezone

READER, SCHEDULE, UTC_NAME = "reader", "schedule", "UTC"

MAX_NAME: Final = 64


class Times(NamedTuple):
    """Instants (UTC epoch ms) for people in one zone, as of `now`."""

    zone: tzinfo
    name: str
    """Of the zone, as IANA has it."""
    choice: str
    """`reader`, `schedule`, or the name of a zone."""
    reader: str
    """The zone of the reader; empty: not known."""
    schedule: str
    """The zone of the schedule; empty: there is none."""
    now: int

    def full(self, at: int) -> str:
        """`Mon 2026-03-02 10:00:00 CET`, with ms where there are any."""
        moment = to_datetime(at).astimezone(self.zone)
        ms = f".{moment.microsecond // 1000:03}" if moment.microsecond else ""
        return f"{moment:%a %Y-%m-%d %H:%M:%S}{ms} {moment.tzname()}"

    def relative(self, at: int) -> str:
        """`in 2 h 5 min`, `3 min ago`."""
        return time_text.relative(at, self.now)


def times(asked: str, reader: str, schedule: str, now: int) -> Times:
    """Times in the zone that is `asked` for; empty: the reader's, else the schedule's, else UTC.

    Raises InvalidField for a zone that there is not.
    """
    reader = reader if len(reader) <= MAX_NAME and time_text.zone(reader) else ""
    choice = asked or (READER if reader else SCHEDULE)
    name = {READER: reader, SCHEDULE: schedule}.get(choice, choice)
    if not name:
        return Times(UTC, UTC_NAME, choice, reader, schedule, now)
    try:
        check_timezone(name)
    except InvalidField as error:
        raise InvalidField("zone", error.reason, error.message) from None
    return Times(time_text.zone(name) or UTC, name, choice, reader, schedule, now)


def read_instant(field: str, text: str) -> int | None:
    """An instant in the address of a page, UTC epoch ms. Raises InvalidField."""
    if not text:
        return None
    try:
        at = parse_instant(text)
    except ValueError:
        at = -1
    if not 0 <= at <= MAX_INSTANT_MS:
        raise InvalidField(field, "MALFORMED_TIMESTAMP", "it is not an instant such as 2026-03-02T09:00:00Z")
    return at
