"""What is drawn of a ticket's life: a lane for each clock, over one axis of time. Values only.

`slad explain` draws it with characters, the console as SVG. A lane of more stretches than a picture can show
is summed up in columns; their cost does not follow the length of the life.

Instants are UTC epoch ms, spans ms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from slad.core.calendar import Calendar
from slad.core.history import History, heeded
from slad.core.reading import ClockReading, Reading
from slad.core.stretches import within
from slad.core.timeline import TimelineSegment, clock_segments
from slad.core.tracking import Fired, Tracking

COLUMNS: Final = 250
"""Of a lane that is summed up; and of marks, which share a column's place when they are too many."""

MAX_STRETCHES: Final = 400
"""Of a lane that is drawn stretch by stretch."""

_VERDICTS: Final = {True: ("met", "done"), False: ("missed", "missed"), None: ("closed", "ended")}
"""Label and sign of a cycle's end, by its verdict."""


class Mark(NamedTuple):
    """Something at an instant."""

    at_ms: int
    label: str
    sign: str
    """`fired`, `ahead`, `breach`, `breach-ahead`, `retracted`, `opened`, `done`, `missed`, `ended`, `now`."""


class Column(NamedTuple):
    """A stretch [from_ms, to_ms) summed up: how much of it counted, and how much was paused."""

    from_ms: int
    to_ms: int
    counted_ms: int
    paused_ms: int


class Lane(NamedTuple):
    """One clock in the window of a picture: its stretches, or else columns."""

    name: str
    stretches: tuple[TimelineSegment, ...]
    columns: tuple[Column, ...]
    marks: tuple[Mark, ...]


class Picture(NamedTuple):
    """All lanes over [from_ms, to_ms)."""

    from_ms: int
    to_ms: int
    now_ms: int
    lanes: tuple[Lane, ...]


def threshold_label(percent: int, escalation_level: int, *, breach: bool) -> str:
    """`50 %`, `90 %, level 2`, `100 %, breach`."""
    parts = [f"{percent} %"]
    if escalation_level:
        parts.append(f"level {escalation_level}")
    if breach:
        parts.append("breach")
    return ", ".join(parts)


def life_span(tracking: Tracking, reading: Reading) -> tuple[int, int]:
    """From the start of a life to its end, or else to the last deadline ahead of it."""
    end = reading.history.ended_at
    if end is None:
        ahead = (cycle.due_at for cycle in reading.clocks if cycle.running)
        end = max(reading.now, *(due or 0 for due in ahead), 0)
    return tracking.started_at, max(end, tracking.started_at + 1)


def lane(
    name: str,
    tracking: Tracking,
    reading: Reading,
    calendar: Calendar,
    window: tuple[int, int],
    retracted: Iterable[Mark] = (),
) -> Lane:
    """What the clock `name` did, or will do if nothing changes, in a window (from, to)."""
    life, cycles = life_span(tracking, reading), reading.cycles(name)
    begin, end = max(window[0], life[0]), min(window[1], life[1])
    if begin >= end:
        return Lane(name, (), (), ())
    history = reading.history
    segments = clock_segments(begin, history, cycles, calendar, end)
    stretches = tuple(islice(segments, MAX_STRETCHES + 1))
    columns: tuple[Column, ...] = ()
    if len(stretches) > MAX_STRETCHES:
        stretches, columns = (), tuple(_summed_up(history, cycles, calendar, begin, end))
    marks = (mark for cycle in cycles for mark in _marks(cycle, tracking.fired_of(cycle.key)))
    inside = sorted(mark for mark in (*marks, *retracted) if window[0] <= mark.at_ms <= window[1])
    return Lane(name, stretches, columns, tuple(_thinned(inside, window)))


def sums(stretches: Iterable[TimelineSegment], until: int) -> dict[str, int]:
    """How long each cause lasted up to an instant, `counted` among them, in the order in which they began."""
    found: Counter[str] = Counter()
    for stretch in stretches:
        found[stretch.cause or "counted"] += max(0, min(stretch.to_ms, until) - stretch.from_ms)
    return {cause: total for cause, total in found.items() if total}


def _marks(cycle: ClockReading, fired: Mapping[int, Fired]) -> Iterator[Mark]:
    if not cycle.terms.has_one_cycle:
        yield Mark(cycle.opened_at, f"cycle {cycle.number} opened", "opened")
    for spec, instant in cycle.marks:
        label = threshold_label(spec.percent, spec.escalation_level, breach=spec.breach)
        known = fired.get(spec.percent)
        if known is not None and known.fired_at:
            yield Mark(known.scheduled_at, label, "breach" if spec.breach else "fired")
        elif instant is not None and cycle.running:
            yield Mark(instant, label, "breach-ahead" if spec.breach else "ahead")
    if cycle.closed_at is not None:
        yield Mark(cycle.closed_at, *_VERDICTS[cycle.met])


def _thinned(marks: Sequence[Mark], window: tuple[int, int]) -> Iterator[Mark]:
    """Of the marks with one sign that share a place, when there are many, the first stands for all."""
    if len(marks) <= COLUMNS:
        yield from marks
        return
    length = max(1, window[1] - window[0])
    places: dict[tuple[int, str], list[Mark]] = {}
    for mark in marks:
        places.setdefault(((mark.at_ms - window[0]) * COLUMNS // length, mark.sign), []).append(mark)
    for first, *others in places.values():
        yield first._replace(label=f"{first.label} and {len(others)} more") if others else first


def _summed_up(
    history: History, cycles: Sequence[ClockReading], calendar: Calendar, begin: int, end: int
) -> Iterator[Column]:
    """Columns by running totals, not stretch by stretch."""
    bounds = [begin + (end - begin) * place // COLUMNS for place in range(COLUMNS + 1)]
    counted, paused = [0] * COLUMNS, [0] * COLUMNS
    heeds = heeded(history, cycles[0].terms.paused_by) if cycles else ()
    for cycle in cycles:
        closed_at = end if cycle.closed_at is None else cycle.closed_at
        for place, low, high in _places(bounds, cycle.opened_at, closed_at):
            counted[place] += calendar.open_between(low, high)
        for stop in within(heeds, cycle.opened_at, closed_at):
            stopped_until = closed_at if stop.to_ms is None else stop.to_ms
            for place, low, high in _places(bounds, stop.from_ms, stopped_until):
                counted[place] -= calendar.open_between(low, high)
                paused[place] += high - low if stop.reason is not None else 0
    for place in range(COLUMNS):
        yield Column(bounds[place], bounds[place + 1], counted[place], paused[place])


def _places(bounds: Sequence[int], from_ms: int, to_ms: int) -> Iterator[tuple[int, int, int]]:
    """(place, from, to) of the parts of a stretch in the columns between `bounds`."""
    begin, end, columns = bounds[0], bounds[-1], len(bounds) - 1
    low, high = max(from_ms, begin), min(to_ms, end)
    if low >= high:
        return
    for place in range(max(0, (low - begin) * columns // (end - begin) - 1), columns):
        if bounds[place] >= high:
            return
        if bounds[place + 1] > low:
            yield place, max(low, bounds[place]), min(high, bounds[place + 1])
