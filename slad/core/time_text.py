"""Instants and spans of time as people read them."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

# By the tzdata package, never by the host's files (B5).
zoneinfo.reset_tzpath(())

_NAMES: Final = ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"))


def zone(name: str) -> tzinfo | None:
    """A zone by its IANA name; None when there is no such zone, or the name is empty."""
    try:
        return ZoneInfo(name) if name else None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


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
