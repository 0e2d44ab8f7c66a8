"""Why a ticket stands as it does: every stretch of its life, counted, paused or closed."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from itertools import islice
from typing import Final, NamedTuple

from slad.core.calendar import Calendar
from slad.core.history import History

MAX_SEGMENTS: Final = 10_000
"""A timeline is for people; what lies beyond is left out, from the end."""

_PAUSE_CAUSES: Final = {
    "AWAITING_CLIENT": "paused: awaiting client",
    "STATUS_PAUSE": "paused: status",
}


class TimelineKind(IntEnum):
    """What a stretch was to the clock. The numbers are those of the wire contract."""

    COUNTED = 1
    PAUSED = 2
    CLOSED = 3


class TimelineSegment(NamedTuple):
    """A stretch [from_ms, to_ms), UTC epoch ms; `cause` is for people, empty for counted time."""

    from_ms: int
    to_ms: int
    kind: TimelineKind
    cause: str


def timeline(
    started_at: int, history: History, calendar: Calendar, until: int
) -> tuple[TimelineSegment, ...]:
    """The stretches from the start to the end of the tracking, or else to `until`; without gaps."""
    if history.ended_at is not None:
        until = history.ended_at
    return tuple(islice(_segments(started_at, history, calendar, until), MAX_SEGMENTS))


def _segments(started_at: int, history: History, calendar: Calendar, until: int) -> Iterator[TimelineSegment]:
    at = started_at
    for stop in history.stops:
        if stop.from_ms >= until:
            break
        yield from _open_and_closed(calendar, at, stop.from_ms)
        at = until if stop.to_ms is None else min(stop.to_ms, until)
        if at == stop.from_ms:
            continue
        if stop.reason is None:
            yield TimelineSegment(stop.from_ms, at, TimelineKind.CLOSED, "ticket closed")
        else:
            cause = _PAUSE_CAUSES.get(stop.reason, f"paused: {stop.reason}")
            yield TimelineSegment(stop.from_ms, at, TimelineKind.PAUSED, cause)
    yield from _open_and_closed(calendar, at, until)


def _open_and_closed(calendar: Calendar, start: int, end: int) -> Iterator[TimelineSegment]:
    for segment in calendar.segments(start, end):
        kind = TimelineKind.COUNTED if segment.is_open else TimelineKind.CLOSED
        yield TimelineSegment(segment.from_ms, segment.to_ms, kind, segment.cause)
