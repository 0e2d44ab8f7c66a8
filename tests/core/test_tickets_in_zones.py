"""Tickets of odd calendars, to the millisecond, against their schedules counted minute by minute.

What it shows beside the lives of tickets in an office of UTC, told in whole minutes: C2, C3, C5, M3, M5 and
M6 hold in any zone, over changes of its clocks, holidays and overrides. Offices open and close, and clocks
change, at whole minutes; so the minutes that are open make stretches which are exact to the millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slad.core import machine
from slad.core.calendar import compile_calendar
from slad.core.due_dates import NoOpenTime
from slad.core.events import EventType, Phase
from slad.core.facts import FactKind
from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.core.reading import Calendars
from slad.core.settle import Transition
from tests.core.naive_hours import NaiveHours
from tests.core.test_calendar_properties import hours_at
from tests.core.tickets import terms, tracking

SPAN_MS = 36 * HOUR_MS
"""How long a ticket is looked at; its start may be moved back by as much as EARLIER_MS."""
EARLIER_MS = 8 * HOUR_MS
RUNNING = (FactKind.PAUSE, FactKind.RESUME, FactKind.PAUSE, FactKind.RESUME, FactKind.RESPOND)

Stretch = tuple[int, int]


class Told(NamedTuple):
    """A fact, and when slad is told of it."""

    told_at: int
    at: int
    kind: FactKind


@lru_cache(maxsize=4)
def open_minutes(hours: NaiveHours, start: int) -> list[Stretch]:
    """The stretches of a life of that start in which the office is open."""
    first = (start - EARLIER_MS) // MINUTE_MS * MINUTE_MS
    minutes = range(first, start + SPAN_MS + MINUTE_MS, MINUTE_MS)
    return [(minute, minute + MINUTE_MS) for minute in minutes if hours.is_open(minute)]


def counted(hours: NaiveHours, start: int, begin: int, end: int, stops: list[Stretch]) -> Iterator[Stretch]:
    """What counts in [begin, end), piece by piece."""
    for from_ms, to_ms in open_minutes(hours, start):
        left = max(from_ms, begin)
        right = min(to_ms, end)
        for stop_from, stop_to in stops:
            if left < right and stop_from < right and left < stop_to:
                if left < stop_from:
                    yield left, stop_from
                left = stop_to
        if left < right:
            yield left, right


def total(pieces: Iterable[Stretch]) -> int:
    return sum(to_ms - from_ms for from_ms, to_ms in pieces)


def reached(pieces: list[Stretch], need_ms: int) -> int | None:
    """When so much has counted, if it has (C3)."""
    for from_ms, to_ms in pieces:
        if need_ms <= to_ms - from_ms:
            return from_ms + need_ms
        need_ms -= to_ms - from_ms
    return None


class Life(NamedTuple):
    """What facts in the order of their instants amount to by the end."""

    stops: list[Stretch]
    responded_at: int | None
    ended_at: int | None
    resolved: bool


def life_of(facts: list[Told], end: int) -> Life:
    stops: list[Stretch] = []
    paused_at = responded_at = ended_at = None
    resolved = False
    for fact in sorted(facts, key=lambda one: one.at):
        if fact.kind is FactKind.PAUSE and paused_at is None:
            paused_at = fact.at
        elif fact.kind is FactKind.RESPOND and responded_at is None:
            responded_at = fact.at
        elif fact.kind in (FactKind.RESOLVE, FactKind.CANCEL):
            ended_at, resolved = fact.at, fact.kind is FactKind.RESOLVE
        if paused_at is not None and (fact.kind is FactKind.RESUME or ended_at):
            stops.append((paused_at, fact.at))
            paused_at = None
    if paused_at is not None:
        stops.append((paused_at, end))
    return Life(stops, responded_at, ended_at, resolved)


@st.composite
def facts_of(draw: st.DrawFn, start: int) -> list[Told]:
    """At different instants, in the order of their arrival; the last to happen may be the end."""
    offsets = sorted(draw(st.sets(st.integers(1, SPAN_MS), max_size=7)))
    found = []
    for place, offset in enumerate(offsets, start=1):
        kind = draw(st.sampled_from(RUNNING))
        if place == len(offsets):
            kind = draw(st.sampled_from((kind, FactKind.RESOLVE, FactKind.CANCEL)))
        late = draw(st.just(0) | st.integers(0, SPAN_MS - offset))
        found.append(Told(start + offset + late, start + offset, kind))
    return sorted(found)


Announced = dict[tuple[Phase | None, int], int]


def hear(announced: Announced, state: Transition) -> Transition:
    """Keeps what was announced and not retracted, with its instant."""
    for event in state.events:
        if event.crossing is None:
            continue
        key = event.phase, event.crossing.percent
        if event.type is EventType.THRESHOLD_REACHED:
            assert key not in announced, "twice (C5)"
            announced[key] = event.crossing.scheduled_at
        else:
            del announced[key]
    return state


def fire_until(announced: Announced, state: Transition, book: Calendars, instant: int) -> Transition:
    """All that falls due by then, each at its wake."""
    while (wake := state.wake_at) is not None and wake <= instant:
        state = hear(announced, machine.fire(state.tracking, book, wake))
    return state


@settings(max_examples=100)
@given(
    hours_at(),
    hours_at(),
    st.integers(0, MINUTE_MS - 1),
    st.tuples(st.none() | st.integers(1, 600), st.integers(1, 900)),
    st.sets(st.integers(1, 300), min_size=1, max_size=4).map(lambda percents: tuple(sorted(percents))),
    st.none() | st.integers(1, SPAN_MS),
    st.none() | st.integers(0, EARLIER_MS),
    st.data(),
)
def test_a_ticket_of_any_calendar_agrees_with_counting(
    drawn: tuple[NaiveHours, int],
    others: tuple[NaiveHours, int],
    odd_ms: int,
    minutes: tuple[int | None, int],
    percents: tuple[int, ...],
    due_after: int | None,
    earlier: int | None,
    data: st.DataObject,
) -> None:
    """With `due_after` the resolution is a fixed due date; with `earlier` a ticket that lives to the end gets
    other hours there, and its start is moved back.
    """
    hours, moment = drawn
    first = start = moment + odd_ms
    end = start + SPAN_MS
    book = {1: compile_calendar(hours.schedule()), 2: compile_calendar(others[0].schedule())}.__getitem__
    promised = terms(*minutes, percents, (0, 40, 120))
    resolution_ms = minutes[1] * MINUTE_MS
    if due_after is not None:
        promised = msgspec.structs.replace(promised, resolution_ms=0, resolution_due_at=start + due_after)
        resolution_ms = total(counted(hours, first, start, start + due_after, []))
        if not resolution_ms:
            with pytest.raises(NoOpenTime):
                machine.begin(tracking(start, promised), book, start)
            return
    announced: Announced = {}
    state = hear(announced, machine.begin(tracking(start, promised), book, start))
    facts = data.draw(facts_of(start))
    for fact in facts:
        state = fire_until(announced, state, book, fact.told_at)
        detail = int(fact.kind is FactKind.PAUSE)
        state = machine.add_fact(
            state.tracking, fact.kind, book, fact.told_at, effective_at=fact.at, detail=detail
        )
        hear(announced, state)
    state = fire_until(announced, state, book, end)
    life = life_of(facts, end)
    if earlier is not None and life.ended_at is None:
        hours, start = others[0], start - earlier
        other = msgspec.structs.replace(state.tracking.terms, schedule_key=2, resolution_due_at=0)
        state = hear(announced, machine.retarget(state.tracking, other, book, end, started_at=start))

    for clock in machine.reading_at(state.tracking, book, end).unnamed:
        is_response = clock.phase is Phase.RESPONSE
        responded_at = life.responded_at if is_response else None
        closed_at = responded_at or life.ended_at
        until = closed_at or end
        pieces = list(counted(hours, first, start, until, life.stops))
        crossings = {
            spec.percent: reached(pieces, -(-clock.target_ms * spec.percent // 100)) for spec in clock.specs
        }
        crossed = {percent: at for percent, at in crossings.items() if at is not None}
        assert is_response or clock.target_ms == resolution_ms
        assert (clock.closed_at, clock.elapsed_ms) == (closed_at, total(pieces))
        assert {
            mark.spec.percent: mark.instant for mark in clock.marks if mark.spec.percent in crossed
        } == crossed
        assert {percent for phase, percent in announced if phase is clock.phase} == crossed.keys()
        assert clock.breached_at == crossed.get(100)
        is_judged = responded_at is not None or life.resolved
        assert clock.met == (crossed.get(100, until) == until if is_judged else None)
