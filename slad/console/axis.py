"""The time axis of a picture: where its ticks are, and the windows that one can zoom to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from slad.core.instants import DAY_MS, HOUR_MS, MAX_INSTANT_MS, MINUTE_MS, from_datetime, to_datetime

ZOOMS: Final = {
    "10m": 10 * MINUTE_MS,
    "1h": HOUR_MS,
    "6h": 6 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
    "1mo": 31 * DAY_MS,
    "3mo": 92 * DAY_MS,
    "1y": 366 * DAY_MS,
}
"""Names of windows, and how long each is."""

WHOLE: Final = "all"
"""The window that shows a life from its start to its end."""

MARGIN: Final = 0.03
"""Of the whole, on either side."""

MIN_WHOLE_MS: Final = 10 * MINUTE_MS

MAX_TICKS: Final = 11

_SUB_DAY: Final = tuple(
    timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)
)
_DAYS: Final = (1, 2, 7, 14)
_MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 600, 1_200)


class Tick(NamedTuple):
    """A place of the axis that is labelled."""

    at_ms: int
    label: str


def window(life: tuple[int, int], now: int, zoom: str, at: int | None) -> tuple[int, int]:
    """(from, to) of a zoom into a life, around `at`, by default now; or the nearest that the life has."""
    begin, end = life
    if zoom == WHOLE:
        end = max(end, begin + MIN_WHOLE_MS)
        margin = int((end - begin) * MARGIN)
        return begin - margin, end + margin
    middle = min(max(now if at is None else at, begin), end)
    length = ZOOMS[zoom]
    return middle - length // 2, middle - length // 2 + length


def ticks(from_ms: int, to_ms: int, zone: tzinfo) -> list[Tick]:
    """At most MAX_TICKS round local times in [from_ms, to_ms), as far apart as that takes."""
    last = max(from_ms, min(to_ms, MAX_INSTANT_MS - 400 * DAY_MS))
    length = timedelta(milliseconds=last - from_ms)
    begin = to_datetime(from_ms).astimezone(zone)
    for step in _SUB_DAY:
        if length / step <= MAX_TICKS:
            start = begin.replace(tzinfo=None, minute=0, hour=0, second=0, microsecond=0)
            return list(_labelled(_every(start, step), from_ms, last, zone, "%H:%M"))
    for days in _DAYS:
        if length / timedelta(days=days) <= MAX_TICKS:
            start = begin.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
            start -= timedelta(days=start.weekday() if days >= 7 else 0)
            return list(_labelled(_every(start, timedelta(days=days)), from_ms, last, zone, "%d %b"))
    for months in _MONTHS:
        if length / timedelta(days=30 * months) <= MAX_TICKS:
            break
    form = "%b %Y" if months < 12 else "%Y"
    return list(_labelled(_months(begin.year, months), from_ms, last, zone, form))


def _labelled(
    places: Iterator[datetime], from_ms: int, to_ms: int, zone: tzinfo, form: str
) -> Iterator[Tick]:
    before = from_ms - 1
    for local in places:
        at = from_datetime(local.replace(tzinfo=zone))
        if at >= to_ms:
            return
        if at > before:  # a local time that an hour's shift brings twice, or never, has one tick
            midnight = form == "%H:%M" and not (local.hour or local.minute)
            yield Tick(at, f"{local:{'%d %b' if midnight else form}}")
            before = at


def _every(start: datetime, step: timedelta) -> Iterator[datetime]:
    while True:
        yield start
        start += step


def _months(year: int, step: int) -> Iterator[datetime]:
    year -= year % max(1, step // 12)
    month = 0
    while True:
        if year + month // 12 > datetime.max.year:
            return
        yield datetime(max(1, year + month // 12), month % 12 + 1, 1)
        month += step
