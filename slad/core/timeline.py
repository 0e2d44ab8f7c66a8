"""Why a ticket stands as it does: every stretch of its life, counted, paused or closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import islice
from typing import Final, NamedTuple

from slad.core.calendar import Calendar
from slad.core.history import History, Stop, heeded
from slad.core.reading import ClockReading
from slad.core.stretches import within

MAX_SEGMENTS: Final = 10_000
"""A timeline is for people; what lies beyond is left out, from the end."""

NO_CYCLE: Final = "no open cycle"
"""The cause of a stretch in which a clock has nothing to count."""

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
    return tuple(islice(_segments(started_at, history.stops, calendar, until), MAX_SEGMENTS))


def clock_timeline(
    started_at: int, history: History, cycles: Sequence[ClockReading], calendar: Calendar, until: int
) -> tuple[TimelineSegment, ...]:
    """The same as one clock sees it, given its `cycles` and its own calendar (K8).

    It is paused for the reasons that it heeds, and closed while no cycle is open.
    """
    if history.ended_at is not None:
        until = history.ended_at
    return tuple(islice(clock_segments(started_at, history, cycles, calendar, until), MAX_SEGMENTS))


def clock_segments(
    at: int, history: History, cycles: Sequence[ClockReading], calendar: Calendar, until: int
) -> Iterator[TimelineSegment]:
    """The stretches of [at, until) as one clock sees them; `at` may be anywhere in its life."""
    heeds = heeded(history, cycles[0].terms.paused_by) if cycles else ()
    for cycle in cycles:
        end = until if cycle.closed_at is None else min(cycle.closed_at, until)
        if end < at:
            continue
        if cycle.opened_at >= until:
            break
        if cycle.opened_at > at:
            yield TimelineSegment(at, cycle.opened_at, TimelineKind.CLOSED, NO_CYCLE)
        stops = within(heeds, cycle.opened_at, cycle.closed_at)
        yield from _segments(max(cycle.opened_at, at), stops, calendar, end)
        at = end
    if at < until:
        yield TimelineSegment(at, until, TimelineKind.CLOSED, NO_CYCLE)


def _segments(
    started_at: int, stops: Sequence[Stop], calendar: Calendar, until: int
) -> Iterator[TimelineSegment]:
    at = started_at
    for stop in stops:
        begin = max(stop.from_ms, at)
        if begin >= until:
            break
        yield from _open_and_closed(calendar, at, begin)
        at = max(begin, until if stop.to_ms is None else min(stop.to_ms, until))
        if at == begin:
            continue
        if stop.reason is None:
            yield TimelineSegment(begin, at, TimelineKind.CLOSED, "ticket closed")
        else:
            yield TimelineSegment(begin, at, TimelineKind.PAUSED, pause_cause(stop.reason))
    yield from _open_and_closed(calendar, at, until)


def pause_cause(reason: str) -> str:
    """What people are told of a pause for the reason of this code."""
    return _PAUSE_CAUSES.get(reason, f"paused: {reason}")


def _open_and_closed(calendar: Calendar, start: int, end: int) -> Iterator[TimelineSegment]:
    for segment in calendar.segments(start, end):
        kind = TimelineKind.COUNTED if segment.is_open else TimelineKind.CLOSED
        yield TimelineSegment(segment.from_ms, segment.to_ms, kind, segment.cause)
