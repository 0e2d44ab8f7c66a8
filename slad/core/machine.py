"""The ticket state machine: (tracking, command, now) → (tracking, events, next wake).

Pure: the same code runs in the local engine and inside a Temporal workflow. A command changes facts or
terms; what fires and what is retracted then follows from `slad.core.settle`.

All instants are UTC epoch ms.
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from typing import Final

import msgspec

from slad.core.errors import DeadlineOutOfRange, InvalidField, Refusal, Refused
from slad.core.events import Event, EventType, Phase
from slad.core.facts import BLANK, LIFE, Fact, FactKind, History, Life, fold, insert, life_at
from slad.core.instants import SECOND_MS, format_instant
from slad.core.reading import BusinessTime, Reading, read
from slad.core.settle import Transition, latest_known, settle
from slad.core.terms import Terms
from slad.core.tracking import Tracking

MAX_AHEAD_MS: Final = 5 * SECOND_MS
"""How far ahead of slad's clock a caller's `effective_at` or `started_at` may be (M6)."""

MAX_FACTS: Final = 10_000
"""Facts that one tracking holds; a ticket beyond it is a loop in the caller."""

MAX_REDUNDANT_FACTS: Final = 1_000
"""Up to this many facts, repeated pauses and resumes are kept too: a late fact may yet give them effect."""


class ReopenMode(IntEnum):
    """How a reopened ticket counts on (M5). The numbers are those of the wire contract."""

    RESUME = 1
    RESTART = 2


class ClockOutOfRange(DeadlineOutOfRange):
    """A threshold of the clock of `phase` would fall past year 9999 (B6)."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(phase.name)
        self.phase = phase


def begin(tracking: Tracking, calendar: BusinessTime, now: int, *, suppress_past: bool = False) -> Transition:
    """Starts the clocks of `tracking` (M1); facts and firings it has only when it is imported.

    Raises ClockOutOfRange when a threshold would fall past year 9999 (B6).
    """
    history = fold(tracking.facts)
    reading = read(tracking, history, calendar, now)
    _require_in_range(reading)
    events = [Event(EventType.STARTED, tracking.started_at)]
    if tracking.facts:
        events += _what_happened(BLANK, history, reading)
    return settle(tracking, reading, events, suppress_past=suppress_past)


def align(
    tracking: Tracking, wanted: Tracking, calendar: BusinessTime, now: int, *, suppress_past: bool = False
) -> Transition:
    """Gives a live tracking the terms, start, accounting and facts of `wanted`; what it announced it keeps.

    For a reconciliation: every threshold that is still true stays fired, the others are retracted (M5, M6).
    Raises ClockOutOfRange as `begin`.
    """
    now = latest_known(tracking, now)
    terms, started_at, before = tracking.terms, tracking.started_at, fold(tracking.facts)
    facts = wanted.facts
    for gap in before.stops:
        if gap.reason is None and gap.to_ms is not None:
            # The time between an end and a reopening stays out (M5), whatever ended it then.
            for fact in (Fact(gap.from_ms, FactKind.CANCEL), Fact(gap.to_ms, FactKind.REOPEN)):
                facts = insert(facts, fact)
    after = fold(facts)
    tracking = msgspec.structs.replace(
        tracking,
        terms=wanted.terms,
        started_at=wanted.started_at,
        accounting=wanted.accounting,
        facts=facts,
    )
    reading = read(tracking, after, calendar, now)
    _require_in_range(reading)
    events = _what_happened(before, after, reading)
    told = {event.type for event in events}
    if after.life is not before.life and EventType.PAUSED not in told and (pause := after.running_pause):
        events.append(Event(EventType.PAUSED, pause.from_ms, pause_reason=pause.reason))
    elif before.life is Life.PAUSED and after.life is Life.RUNNING and EventType.RESUMED not in told:
        # There never was a pause; who was told of one has to hear that the clock runs.
        events.append(Event(EventType.RESUMED, now))
    if not events or wanted.terms != terms or wanted.started_at != started_at:
        events.insert(0, Event(EventType.RETARGETED, now))
    return settle(tracking, reading, events, suppress_past=suppress_past)


def continue_cancelled(
    cancelled: Tracking,
    tracking: Tracking,
    calendar: BusinessTime,
    now: int,
    *,
    suppress_past: bool = False,
) -> Transition:
    """Starts `tracking` with the start, facts and firings of a `cancelled` one (M1, M5).

    Raises ClockOutOfRange as `begin`.
    """
    # Of its last life, all of them: a cancel that came late may have gone before another.
    lives = [place for place, fact in enumerate(cancelled.facts) if fact.kind == FactKind.REOPEN]
    begun = lives[-1] if lives else 0
    facts = (
        *cancelled.facts[:begun],
        *(fact for fact in cancelled.facts[begun:] if fact.kind != FactKind.CANCEL),
    )
    now = latest_known(cancelled, now)
    heir = msgspec.structs.replace(
        tracking,
        started_at=cancelled.started_at,
        facts=facts,
        fired=cancelled.fired,
        judged_at=cancelled.judged_at,
    )
    reading = read(heir, fold(facts), calendar, now)
    _require_in_range(reading)
    events = [Event(EventType.STARTED, now)]
    if pause := reading.history.running_pause:
        events.append(Event(EventType.PAUSED, pause.from_ms, pause_reason=pause.reason))
    return settle(heir, reading, events, suppress_past=suppress_past)


def add_fact(
    tracking: Tracking,
    kind: FactKind,
    calendar: BusinessTime,
    now: int,
    *,
    effective_at: int | None = None,
    detail: int = 0,
) -> Transition:
    """Records that something happened to the ticket: PAUSE, RESUME, RESPOND, RESOLVE or CANCEL (M2–M4, M6).

    Raises InvalidField for an `effective_at` out of bounds, Refused when the ticket had ended by then.
    """
    at = _effective(tracking, effective_at, now)
    now = latest_known(tracking, now)
    before = fold(tracking.facts)
    then = life_at(tracking.facts, at)
    if kind not in LIFE[then.life]:
        raise _ended(then)
    moot = then.life.ended or (kind is FactKind.RESPOND and then.response_at is not None)
    if moot:
        return Transition(tracking, read(tracking, before, calendar, now), (), changed=False)
    facts = insert(tracking.facts, Fact(at, kind, detail))
    after = fold(facts)
    if after == before:
        if len(facts) <= MAX_REDUNDANT_FACTS:
            tracking = msgspec.structs.replace(tracking, facts=facts)
        return Transition(tracking, read(tracking, before, calendar, now), (), changed=False)
    if len(facts) > MAX_FACTS:
        raise Refused(
            Refusal.RESOURCE_EXHAUSTED,
            "TOO_MANY_FACTS",
            f"this tracking holds {MAX_FACTS} pauses, resumptions and completions already",
        )
    tracking = msgspec.structs.replace(tracking, facts=facts)
    reading = read(tracking, after, calendar, now)
    return settle(tracking, reading, _what_happened(before, after, reading), at=at)


def retarget(
    tracking: Tracking, terms: Terms, calendar: BusinessTime, now: int, *, suppress_past: bool = False
) -> Transition:
    """Puts a live tracking under new `terms` (M5).

    Raises Refused when it has ended, ClockOutOfRange as `begin`.
    """
    history = fold(tracking.facts)
    if history.life.ended:
        raise _ended(history)
    if terms == tracking.terms:
        return Transition(tracking, read(tracking, history, calendar, now), (), changed=False)
    now = latest_known(tracking, now)
    tracking = msgspec.structs.replace(tracking, terms=terms)
    reading = read(tracking, history, calendar, now)
    _require_in_range(reading)
    return settle(tracking, reading, [Event(EventType.RETARGETED, now)], suppress_past=suppress_past)


def reopen(
    tracking: Tracking,
    mode: ReopenMode,
    calendar: BusinessTime,
    now: int,
    *,
    effective_at: int | None = None,
) -> Transition:
    """The next generation of an ended tracking (M5); a live one is left as it is.

    Raises InvalidField for an `effective_at` before the end.
    """
    history = fold(tracking.facts)
    if not history.life.ended:
        return Transition(tracking, read(tracking, history, calendar, now), (), changed=False)
    at = _effective(tracking, effective_at, now)
    now = latest_known(tracking, now)
    if history.ended_at is not None and at < history.ended_at:
        raise InvalidField(
            "effective_at",
            "BEFORE_END",
            f"the tracking ended at {format_instant(history.ended_at)}, after that instant",
        )
    if mode is ReopenMode.RESTART:
        tracking = msgspec.structs.replace(tracking, started_at=at, facts=(), fired=(), judged_at=0)
    else:
        facts = insert(tracking.facts, Fact(at, FactKind.REOPEN))
        tracking = msgspec.structs.replace(tracking, facts=facts)
    reading = read(tracking, fold(tracking.facts), calendar, now)
    return settle(tracking, reading, [Event(EventType.REOPENED, at)])


def fire(tracking: Tracking, calendar: BusinessTime, now: int, *, until: int | None = None) -> Transition:
    """Fires what has come true by `now`; with `until`, only what came true by then (C3–C6).

    A caller that goes through the overdue thresholds of many tickets in order of their instants fires
    each ticket `until` its own next instant; `now` still decides what is superseded.
    """
    reading = read(tracking, fold(tracking.facts), calendar, now)
    return settle(tracking, reading, [], until=until)


def reading_at(tracking: Tracking, calendar: BusinessTime, now: int) -> Reading:
    """The clocks of `tracking` as at `now`."""
    return read(tracking, fold(tracking.facts), calendar, now)


def _what_happened(before: History, after: History, reading: Reading) -> list[Event]:
    """The events that tell the difference between two histories of a ticket, in order of time."""
    events = []
    if after.stops:
        # Several may be of one instant, so they are counted.
        paused_before = Counter(stop.from_ms for stop in before.stops if stop.reason)
        resumed_before = Counter(stop.to_ms for stop in before.stops if stop.resumed)
        for stop in after.stops:
            if stop.reason:
                paused_before[stop.from_ms] -= 1
                if paused_before[stop.from_ms] < 0:
                    events.append(Event(EventType.PAUSED, stop.from_ms, pause_reason=stop.reason))
            if stop.resumed and stop.to_ms is not None:
                resumed_before[stop.to_ms] -= 1
                if resumed_before[stop.to_ms] < 0:
                    events.append(Event(EventType.RESUMED, stop.to_ms))
    closings = (
        (Phase.RESPONSE, before.response_at, after.response_at),
        (Phase.RESOLUTION, before.resolution_at, after.resolution_at),
    )
    for phase, at_before, at_after in closings:
        clock = reading.clock(phase)
        if clock is not None and at_after is not None and at_after != at_before:
            events.append(Event(EventType.PHASE_COMPLETED, at_after, phase, met=clock.met))
    if after.ended_at is not None and (after.life, after.ended_at) != (before.life, before.ended_at):
        if after.life is Life.COMPLETED:
            resolution = reading.clock(Phase.RESOLUTION)
            met = resolution.met if resolution else None
            events.append(Event(EventType.COMPLETED, after.ended_at, Phase.RESOLUTION, met=met))
        else:
            events.append(Event(EventType.CANCELLED, after.ended_at))
    events.sort(key=_by_occurrence)
    return events


def _effective(tracking: Tracking, effective_at: int | None, now: int) -> int:
    """When a command takes effect (M6).

    Without a word from the caller: now, and not before what has happened already, in case the wall clock
    was set back (C5). A caller's clock may be a little ahead of slad's; then it means now.
    """
    if effective_at is None:
        return max(latest_known(tracking, now), tracking.started_at)
    if effective_at < tracking.started_at:
        raise InvalidField(
            "effective_at",
            "BEFORE_START",
            f"before the start of the tracking at {format_instant(tracking.started_at)}",
        )
    if effective_at > now + MAX_AHEAD_MS:
        raise InvalidField(
            "effective_at", "IN_THE_FUTURE", f"more than {MAX_AHEAD_MS // SECOND_MS} s ahead of slad's clock"
        )
    return max(min(effective_at, now), tracking.started_at)


def _ended(history: History) -> Refused:
    assert history.ended_at is not None
    ended_at = format_instant(history.ended_at)
    return Refused(
        Refusal.FAILED_PRECONDITION,
        f"TRACKING_{history.life.name}",
        f"the tracking was {history.life.name.lower()} at {ended_at}",
        {"state": history.life.name, "ended_at": ended_at},
    )


def _require_in_range(reading: Reading) -> None:
    for clock in reading.clocks:
        if clock.instants[-1] is None:
            raise ClockOutOfRange(clock.phase)


def _by_occurrence(event: Event) -> int:
    return event.occurred_at
