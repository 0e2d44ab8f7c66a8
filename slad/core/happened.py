"""What a change of a ticket has to tell: the events that say how it differs from before (E1, K5, K8)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import compress, count
from operator import ne
from typing import Final

import msgspec

from slad.core.events import RESOLUTION, CycleRef, Event, EventType, Phase
from slad.core.facts import Fact, FactKind, Life
from slad.core.history import BLANK, History, Leading, beginning
from slad.core.reading import Calendars, ClockReading, Reading, read
from slad.core.tracking import Tracking


class Before(msgspec.Struct, frozen=True):
    """A ticket as it was told last."""

    history: History
    named: dict[tuple[str, int], ClockReading]
    """The cycles of its named clocks, by clock and opening."""


NEW: Final = Before(BLANK, {})
"""A generation without any events so far."""


def told_of(tracking: Tracking, history: History, calendars: Calendars, now: int) -> Before:
    """What was told of `tracking`, whose facts amount to `history`."""
    if not tracking.terms.named:
        return Before(history, {})
    clocks = read(tracking, history, calendars, now).clocks
    return Before(
        history, {(clock.name, clock.opened_at): clock for clock in clocks if not clock.terms.is_unnamed}
    )


def happened(before: Before, tracking: Tracking, reading: Reading) -> list[Event]:
    """The events that tell how a ticket got from `before` to `tracking`, as it is read, in order of time."""
    after = reading.history
    events = [*_phases(before.history, reading), *_end(before.history, tracking, reading)]
    if after.holds:
        events[:0] = _pauses(before.history, after, tracking.facts)
    if before.named or tracking.terms.named:
        events[:0] = _named(before, tracking, reading)
    if after.readable:
        events[:0] = _owners(before.history, after)
    events.sort(key=_by_occurrence)
    return events


def carried_over(reading: Reading) -> list[Event]:
    """What a new generation tells of what it takes over: a pause that is on, and open cycles."""
    events = [
        Event(EventType.CLOCK_OPENED, clock.opened_at, clock.ref)
        for clock in reading.clocks
        if clock.closed_at is None and not clock.terms.is_unnamed
    ]
    if pause := reading.history.running_pause:
        events.append(Event(EventType.PAUSED, pause.from_ms, pause_reason=reading.history.held[0]))
    return events


def continued(before: Before, heir: Tracking, reading: Reading) -> list[Event]:
    """What the heir of an ended generation tells, of which `before` was told.

    That is what was recorded for after the end (M4), another end among it, and what goes on.
    """
    recorded = happened(before, heir, reading)
    goes_on = [event for event in carried_over(reading) if event not in recorded]
    return sorted([*goes_on, *recorded], key=_by_occurrence) if recorded else goes_on


def _pauses(before: History, after: History, facts: Sequence[Fact]) -> Iterator[Event]:
    # What is new is behind what they have in common. Several may be of one instant, so they are counted.
    differing = compress(count(), map(ne, before.stops, after.stops))
    same = next(differing, min(len(before.stops), len(after.stops)))
    paused: dict[int, int] = defaultdict(int)
    resumed: dict[int | None, int] = defaultdict(int)
    for stop in before.stops[same:]:
        paused[stop.from_ms] += bool(stop.reason)
        resumed[stop.to_ms] += stop.resumed
    told, ended = set(), set()
    resumed_at: int | None = None
    for stop in after.stops[same:]:
        if stop.reason:
            paused[stop.from_ms] -= 1
            # Also a known one that begins where a pause before it is told to end: it has the last word. So
            # has a known end where a pause is told to begin.
            if paused[stop.from_ms] < 0 or stop.from_ms == resumed_at:
                told.add(stop.from_ms)
                yield Event(EventType.PAUSED, stop.from_ms, pause_reason=stop.reason)
        if stop.resumed and stop.to_ms is not None:
            resumed[stop.to_ms] -= 1
            if resumed[stop.to_ms] < 0 or stop.to_ms in told:
                resumed_at = stop.to_ms
                ended.add(stop.to_ms)
                yield Event(EventType.RESUMED, stop.to_ms)
    was, now = _changes(before), _changes(after)
    since = after.stops[same].from_ms if same < len(after.stops) else 0
    ends = {fact.at for fact in facts if fact.kind == FactKind.RESUME and fact.detail and fact.at > since}
    if not was and not now and not ends:
        return
    # Also where nothing changes any more: who was told that something did has to hear what is held. And where
    # a resume of one reason may once have been told to end a pause that goes on by now, or not to.
    held_before, held_after = Leading(before.holds), Leading(after.holds)
    turned = {at for at in ends if bool(held_before.at(at)) != bool(held_after.at(at))}
    for at in sorted(({at for at, _ in (now - was) + (was - now)} | turned) - told - ended):
        if reason := held_after.at(at):
            yield Event(EventType.PAUSE_CHANGED, at, pause_reason=reason)
        elif held_before.at(at) and not _was_closed(after, at):
            yield Event(EventType.RESUMED, at)


def _changes(history: History) -> Counter[tuple[int, str]]:
    """The instants within pauses at which a reason was added or let go."""
    if len(history.holds) <= sum([bool(stop.reason) for stop in history.stops]):
        return _NO_CHANGES
    found: Counter[tuple[int, str]] = Counter()
    # Several may begin at one instant, so they are counted.
    begins = Counter((stop.from_ms, stop.reason) for stop in history.stops)
    ends = {stop.to_ms for stop in history.stops}
    for hold in history.holds:
        begins[hold.from_ms, hold.reason] -= 1
        if begins[hold.from_ms, hold.reason] < 0:
            found[hold.from_ms, f"+{hold.reason}"] += 1
        if hold.to_ms is not None and hold.to_ms not in ends:
            found[hold.to_ms, f"-{hold.reason}"] += 1
    return found


_NO_CHANGES: Final[Counter[tuple[int, str]]] = Counter()


def _was_closed(history: History, at: int) -> bool:
    """Whether the ticket had ended by an instant, and was not reopened before it."""
    if history.ended_at is not None and history.ended_at <= at:
        return True
    place = bisect_right(history.stops, at, key=beginning) - 1
    if place < 0:
        return False
    stop = history.stops[place]
    return stop.reason is None and (stop.to_ms is None or at < stop.to_ms)


def _owners(before: History, after: History) -> Iterator[Event]:
    if not after.owners:
        return
    changes = Counter(after.owners)
    changes.subtract(before.owners)
    for (at, owner), more in changes.items():
        if more > 0:
            yield Event(EventType.OWNER_CHANGED, at, owner=owner)


def _phases(before: History, reading: Reading) -> Iterator[Event]:
    after = reading.history
    closings = (
        (Phase.RESPONSE, before.response, after.response),
        (Phase.RESOLUTION, before.resolution, after.resolution),
    )
    for phase, was, now in closings:
        clock = reading.clock(phase)
        if clock is not None and now is not None and (was is None or now.at != was.at):
            yield Event(EventType.PHASE_COMPLETED, now.at, clock.ref, met=clock.met)


def _named(before: Before, tracking: Tracking, reading: Reading) -> Iterator[Event]:
    left = dict(before.named)
    for clock in reading.clocks:
        if clock.terms.is_unnamed:
            continue
        was = left.pop((clock.name, clock.opened_at), None)
        was_closed = (was.closed_at, was.met) if was else (None, None)
        if was is None or (clock.closed_at is None and was.closed_at is not None):
            yield Event(EventType.CLOCK_OPENED, clock.opened_at, clock.ref)
        if clock.closed_at is not None and was_closed != (clock.closed_at, clock.met):
            yield Event(EventType.CLOCK_CLOSED, clock.closed_at, clock.ref, met=clock.met)
    names = {clock.name for clock in tracking.terms.clocks} if left else ()
    for was in left.values():
        if was.name in names:
            yield Event(EventType.CLOCK_RETRACTED, reading.now, was.ref)
        elif was.closed_at is None:
            # The terms have that clock no longer (K9).
            yield Event(EventType.CLOCK_CLOSED, reading.now, was.ref)


def _end(before: History, tracking: Tracking, reading: Reading) -> Iterator[Event]:
    after = reading.history
    if after.ended_at is None or (after.life, after.ended_at) == (before.life, before.ended_at):
        return
    if after.life is not Life.COMPLETED:
        yield Event(EventType.CANCELLED, after.ended_at)
        return
    resolution = reading.clock(Phase.RESOLUTION)
    about = resolution.ref if resolution else CycleRef(RESOLUTION, 1, tracking.started_at)
    yield Event(EventType.COMPLETED, after.ended_at, about, met=resolution.met if resolution else None)


def _by_occurrence(event: Event) -> int:
    return event.occurred_at
