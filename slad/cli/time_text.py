"""Instants and spans of time as people read and type them."""

from __future__ import annotations

import os
import re
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from dateutil.parser import isoparse
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_datetime

# As in the daemon: by the tzdata package, never by the host's files (B5).
zoneinfo.reset_tzpath(())

_NAMES: Final = ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"))

_UNITS_MS: Final = {"s": SECOND_MS, "m": MINUTE_MS, "min": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_SPAN: Final = re.compile(r"(?:\d{1,9}\s*(?:d|h|min|m|s)\s*)+")
_PART: Final = re.compile(r"(\d+)\s*(d|h|min|m|s)")


def zone(name: str) -> tzinfo | None:
    """A zone by its IANA name; None when there is no such zone, or the name is empty."""
    try:
        return ZoneInfo(name) if name else None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


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


def clock(moment: datetime) -> str:
    """`10:00 CET`; with seconds and ms where there are any."""
    told = f"{moment:%H:%M}"
    if moment.second or moment.microsecond:
        told = f"{moment:%H:%M:%S}"
    if moment.microsecond:
        told += f".{moment.microsecond // 1000:03}"
    return f"{told} {moment.tzname()}"


def span(length_ms: int) -> str:
    """`1 d 2 h`, `3 h 25 min`, `45 s`: the two largest units that it has, rounded down."""
    if length_ms < 0:
        return f"-{span(-length_ms)}"
    if length_ms < MINUTE_MS:
        return f"{length_ms // SECOND_MS} s"
    parts: list[tuple[int, str]] = []
    for unit_ms, name in _NAMES:
        count, length_ms = divmod(length_ms, unit_ms)
        if count or parts:
            parts.append((count, name))
    return " ".join(f"{count} {name}" for count, name in parts[:2] if count)


def open_span(length_ms: int) -> str:
    """A span of open time: in hours and minutes, as a day of it has no fixed length."""
    if length_ms < 0:
        return f"-{open_span(-length_ms)}"
    hours, rest = divmod(length_ms, HOUR_MS)
    if not hours:
        return span(length_ms)
    minutes = rest // MINUTE_MS
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def relative(instant_ms: int, now_ms: int) -> str:
    """`in 2 h 5 min`, `3 min ago`, `now`."""
    if abs(instant_ms - now_ms) < SECOND_MS:
        return "now"
    if instant_ms > now_ms:
        return f"in {span(instant_ms - now_ms)}"
    return f"{span(now_ms - instant_ms)} ago"


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
