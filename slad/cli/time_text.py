"""Instants and spans of time as people at a terminal read and type them."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from dateutil.parser import isoparse
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_datetime
from slad.core.time_text import clock, open_span, relative, span, zone

__all__ = ["clock", "open_span", "relative", "span", "zone"]

_UNITS_MS: Final = {"ms": 1, "s": SECOND_MS, "m": MINUTE_MS, "min": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_SPAN: Final = re.compile(r"(?:\d{1,9}\s*(?:d|h|min|ms|m|s)\s*)+")
_PART: Final = re.compile(r"(\d+)\s*(d|h|min|ms|m|s)")


def user_zone() -> tzinfo | None:
    """The zone that TZ names; None: the host's own, as `astimezone()` has it."""
    return zone(os.environ.get("TZ", "").removeprefix(":"))


def local(instant_ms: int, where: tzinfo | None = None) -> datetime:
    """An instant in a zone, by default the user's."""
    return to_datetime(instant_ms).astimezone(where or user_zone())


def ms(value: Timestamp | Duration) -> int:
    """A message's instant (UTC epoch ms) or span, floored to ms."""
    return value.seconds * SECOND_MS + value.nanos // 1_000_000


def instant(instant_ms: int, schedule_zone: str = "") -> str:
    """`Mon 2026-03-02 10:00 CET (14:30 IST)`: the user's zone, then the schedule's if its clocks differ."""
    here = local(instant_ms)
    told = f"{here:%a} {here:%Y-%m-%d} {clock(here)}"
    where = zone(schedule_zone)
    if where is not None:
        there = here.astimezone(where)
        if there.utcoffset() != here.utcoffset():
            date = "" if there.date() == here.date() else f"{there:%a} "
            told += f" ({date}{clock(there)})"
    return told


def stamp(message: Message, field: str) -> str:
    """The instant in a field, as `instant` shows it; empty when the field is not set."""
    return instant(ms(getattr(message, field))) if message.HasField(field) else ""


def wall_clock() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


# --- reading


def parse_span(text: str) -> int:
    """`90s`, `1h30m`, `2d` in ms. Raises ValueError."""
    if not _SPAN.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not a length of time, such as 45s, 30m, 1h30m or 2d")
    return sum(int(count) * _UNITS_MS[unit] for count, unit in _PART.findall(text))


def parse_moment(text: str) -> datetime:
    """ISO 8601, `now`, `-2h` or `+30m` from now, `09:30` of today; naive without a zone.

    Raises ValueError, OverflowError.
    """
    now = wall_clock()
    if text == "now":
        return now
    if text[:1] in ("-", "+"):
        distance = timedelta(milliseconds=parse_span(text[1:]))
        return now - distance if text[0] == "-" else now + distance
    if match := re.fullmatch(r"(\d{1,2}):(\d{2})", text):
        today = now.astimezone(user_zone())
        return today.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0, tzinfo=None)
    return isoparse(text.replace(" ", "T", 1))
