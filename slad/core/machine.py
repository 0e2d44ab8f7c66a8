"""The ticket state machine: (tracking, command, now) → (tracking, events, next wake).

Pure: the same code runs in the local engine and inside a Temporal workflow. A command changes facts or
terms; what fires and what is retracted then follows from `slad.core.settle`.

All instants are UTC epoch ms.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from slad.core.due_dates import with_open_time
from slad.core.errors import BadTarget, InvalidField, Refusal, Refused
from slad.core.events import Event, EventType
from slad.core.facts import LIFE, MAX_AHEAD_MS, Fact, FactKind, Life, insert, up_to
from slad.core.happened import NEW, carried_over, continued, happened, told_of
from slad.core.history import History, extended, fold
from slad.core.instants import SECOND_MS, format_instant
from slad.core.reading import Calendars, Reading, TooManyCycles, read
from slad.core.settle import Transition, latest_known, settle
from slad.core.terms import Terms
from slad.core.tracking import Tracking

MAX_FACTS: Final = 10_000
"""Facts that one tracking holds, with or without effect; a ticket beyond it is a loop in the caller."""


MAX_THRESHOLDS: Final = 5_000
"""Thresholds of all cycles of one tracking, fired or to come, a cycle with few of them counted for
CYCLE_THRESHOLDS: every command reads them all. 1,250 cycles of clocks with the usual four."""


class ReopenMode(IntEnum):
    """How a reopened ticket counts on (M5). The numbers are those of the wire contract."""

    RESUME = 1
    RESTART = 2


class ClockOutOfRange(BadTarget):
    """A threshold of the clock of that name would fall past year 9999 (B6)."""


def begin(tracking: Tracking, calendars: Calendars, now: int, *, suppress_past: bool = False) -> Transition:
    """Starts the clocks of `tracking` (M1); facts and firings it has only when it is imported.

    Raises ClockOutOfRange when a threshold would fall past year 9999 (B6), NoOpenTime for a due date.
    """
    tracking = with_open_time(tracking, calendars, now)
    reading = _read(tracking, tracking.history, calendars, now)
    _require_in_range(reading)
    events = [Event(EventType.STARTED, tracking.started_at)]
    if tracking.facts or tracking.terms.named:
        events += happened(NEW, tracking, reading)
    return settle(tracking, reading, events, suppress_past=suppress_past)


def align(
    tracking: Tracking, wanted: Tracking, calendars: Calendars, now: int, *, suppress_past: bool = False
) -> Transition:
    """Gives a live tracking the terms, start, accounting and facts of `wanted`; what it announced it keeps.

    For a reconciliation: every threshold that is still true stays fired, the others are retracted (M5, M6).
    Raises ClockOutOfRange as `begin`.
    """
    now = latest_known(tracking, now)
    terms, started_at, history = tracking.terms, tracking.started_at, tracking.history
    before = told_of(tracking, history, calendars, now)
    facts = wanted.facts
    for gap in history.stops:
        if gap.reason is None and gap.to_ms is not None:
            # The time between an end and a reopening stays out (M5), whatever ended it then.
            for fact in (Fact(gap.from_ms, FactKind.CANCEL), Fact(gap.to_ms, FactKind.REOPEN)):
                facts = insert(facts, fact)
    tracking = msgspec.structs.replace(
        tracking,
        terms=wanted.terms,
        started_at=wanted.started_at,
        accounting=wanted.accounting,
        facts=facts,
        unjudged_response=wanted.unjudged_response,
        retargets=tracking.retargets + 1,
    )
    tracking = with_open_time(tracking, calendars, now, terms)
    after = tracking.history
    reading = _read(tracking, after, calendars, now)
    _require_in_range(reading)
    events = happened(before, tracking, reading)
    told = {event.type for event in events}
    if after.life is not history.life and EventType.PAUSED not in told and (pause := after.running_pause):
        events.append(Event(EventType.PAUSED, pause.from_ms, pause_reason=after.held[0]))
    elif history.life is Life.PAUSED and after.life is Life.RUNNING and EventType.RESUMED not in told:
        # There never was a pause; who was told of one has to hear that the clock runs.
        events.append(Event(EventType.RESUMED, now))
    if not events or not tracking.terms.same_as(terms) or wanted.started_at != started_at:
        events.insert(0, Event(EventType.RETARGETED, now))
    return settle(tracking, reading, events, suppress_past=suppress_past)


def continue_cancelled(
    cancelled: Tracking,
    tracking: Tracking,
    calendars: Calendars,
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
        annotations=cancelled.annotations,
    )
    heir = with_open_time(heir, calendars, now, cancelled.terms)
    reading = _read(heir, heir.history, calendars, now)
    _require_in_range(reading)
    before = told_of(cancelled, cancelled.history, calendars, now)
    events = [Event(EventType.STARTED, now), *continued(before, heir, reading)]
    return settle(heir, reading, events, suppress_past=suppress_past)


def add_fact(
    tracking: Tracking,
    kind: FactKind,
    calendars: Calendars,
    now: int,
    *,
    effective_at: int | None = None,
    detail: int = 0,
    text: str = "",
) -> Transition:
    """Records that something happened to the ticket, of any kind but REOPEN (M2–M4, M6, K6).

    `detail` and `text` are those of the Fact.

    A fact of a cancelled ticket is kept for when the ticket is continued (M4).
    Raises InvalidField for an `effective_at` out of bounds, Refused when the ticket had ended by then.
    """
    at = _effective(tracking, effective_at, now)
    now = latest_known(tracking, now)
    before = tracking.history
    then = before if not tracking.facts or tracking.facts[-1].at <= at else _life_at(tracking, at)
    if kind not in LIFE[then.life]:
        raise _ended(then)
    moot = (
        then.life is Life.COMPLETED
        or (then.life is Life.CANCELLED and kind is FactKind.CANCEL)
        or (kind is FactKind.RESPOND and then.response is not None)
    )
    if moot:
        return Transition(tracking, read(tracking, before, calendars, now), (), changed=False)
    fact = Fact(at, kind, detail, text)
    facts = insert(tracking.facts, fact)
    changed = msgspec.structs.replace(tracking, facts=facts)
    is_last = facts[-1] is fact
    after = (
        extended(before, fact, unjudged_response=tracking.unjudged_response) if is_last else changed.history
    )
    reads = _read if kind in _MAY_OPEN else read
    reading = reads(changed, after, calendars, now)
    told = happened(told_of(tracking, before, calendars, now), changed, reading)
    if not told and _without_readable(reading.history) == _without_readable(before):
        if len(facts) <= MAX_FACTS:
            tracking = changed
        return Transition(tracking, reading, (), changed=False)
    if len(facts) > MAX_FACTS:
        raise Refused(
            Refusal.RESOURCE_EXHAUSTED,
            "TOO_MANY_FACTS",
            f"this tracking holds {MAX_FACTS} facts already: pauses, resumptions, messages and so on",
        )
    if not told and reading.history.stops != before.stops:
        # A late end of an earlier life moves deadlines, and nothing else says so (E1).
        told = [Event(EventType.RETARGETED, now)]
    return settle(changed, reading, told, at=at)


def retarget(
    tracking: Tracking,
    terms: Terms,
    calendars: Calendars,
    now: int,
    *,
    started_at: int | None = None,
    suppress_past: bool = False,
) -> Transition:
    """Puts a live tracking under new `terms`, and moves its start to `started_at` if that is given (M5).

    Raises Refused when it has ended, InvalidField for a start after the first fact, ClockOutOfRange and
    NoOpenTime as `begin`.
    """
    history = tracking.history
    if history.life.ended:
        raise _ended(history)
    if started_at is None:
        started_at = tracking.started_at
    elif tracking.facts and started_at > tracking.facts[0].at:
        raise InvalidField(
            "started_at",
            "AFTER_FIRST_FACT",
            f"the first pause or completion was at {format_instant(tracking.facts[0].at)}, before that start",
        )
    known = latest_known(tracking, now)
    former, before = tracking, told_of(tracking, history, calendars, now)
    tracking = with_open_time(
        msgspec.structs.replace(tracking, terms=terms, started_at=started_at),
        calendars,
        known,
        former.terms if started_at == former.started_at else None,
    )
    if tracking.terms.same_as(former.terms) and started_at == former.started_at:
        # What the caller calls the schedule changes nothing that anyone is told.
        if tracking.terms == former.terms:
            tracking = former
        return Transition(tracking, read(tracking, history, calendars, now), (), changed=False)
    tracking = msgspec.structs.replace(tracking, retargets=tracking.retargets + 1)
    reading = _read(tracking, history, calendars, known)
    _require_in_range(reading)
    events = [Event(EventType.RETARGETED, known)]
    if before.named or tracking.terms.named:
        events += happened(before, tracking, reading)
    return settle(tracking, reading, events, suppress_past=suppress_past)


def reopen(
    tracking: Tracking,
    mode: ReopenMode,
    calendars: Calendars,
    now: int,
    *,
    effective_at: int | None = None,
) -> Transition:
    """The next generation of an ended tracking (M5); a live one is left as it is.

    Raises InvalidField for an `effective_at` before the end.
    """
    history = tracking.history
    if not history.life.ended:
        return Transition(tracking, read(tracking, history, calendars, now), (), changed=False)
    at = _effective(tracking, effective_at, now)
    now = latest_known(tracking, now)
    if history.ended_at is not None and at < history.ended_at:
        raise InvalidField(
            "effective_at",
            "BEFORE_END",
            f"the tracking ended at {format_instant(history.ended_at)}, after that instant",
        )
    before = told_of(tracking, history, calendars, now)
    if mode is ReopenMode.RESTART:
        # Who has the ticket, has it still.
        facts = tuple(Fact(at, FactKind.ASSIGN, text=owner) for owner in [history.owner] if owner)
        tracking = msgspec.structs.replace(
            tracking, started_at=at, facts=facts, fired=(), judged_at=0, annotations=()
        )
    else:
        facts = insert(tracking.facts, Fact(at, FactKind.REOPEN))
        tracking = msgspec.structs.replace(tracking, facts=facts)
    reading = _read(tracking, tracking.history, calendars, now)
    # What was recorded of a cancelled ticket for an instant after the reopening counts (M6).
    resumes = mode is ReopenMode.RESUME
    goes_on = continued(before, tracking, reading) if resumes else carried_over(reading)
    return settle(tracking, reading, [Event(EventType.REOPENED, at), *goes_on])


def fire(tracking: Tracking, calendars: Calendars, now: int, *, until: int | None = None) -> Transition:
    """Fires what has come true by `now`; with `until`, only what came true by then (C3–C6).

    A caller that goes through the overdue thresholds of many tickets in order of their instants fires
    each ticket `until` its own next instant; `now` still decides what is superseded.
    """
    reading = read(tracking, tracking.history, calendars, now)
    return settle(tracking, reading, [], until=until)


def reading_at(tracking: Tracking, calendars: Calendars, now: int) -> Reading:
    """The clocks of `tracking` as at `now`."""
    return read(tracking, tracking.history, calendars, now)


_MAY_OPEN: Final = (FactKind.CUSTOMER_MESSAGE, FactKind.AGENT_MESSAGE, FactKind.ASSIGN)
"""Facts that may open a cycle; what closes one is always taken."""


def _read(tracking: Tracking, history: History, calendars: Calendars, now: int) -> Reading:
    """As `read`. Raises Refused when its cycles have more thresholds than a tracking may have."""
    try:
        return read(tracking, history, calendars, now, most=MAX_THRESHOLDS)
    except TooManyCycles:
        raise Refused(
            Refusal.RESOURCE_EXHAUSTED,
            "TOO_MANY_CYCLES",
            f"the cycles of the ticket's clocks would have more than {MAX_THRESHOLDS} thresholds in all",
        ) from None


def _life_at(tracking: Tracking, at: int) -> History:
    return fold(up_to(tracking.facts, at), unjudged_response=tracking.unjudged_response)


def _effective(tracking: Tracking, effective_at: int | None, now: int) -> int:
    """When a command takes effect (M6).

    Without a word from the caller: now, and not before what has happened already, in case the wall clock
    was set back (C5) or a caller's is ahead. What the caller says stands as it is, though its clock may be a
    little ahead of slad's: so facts are in the order of the caller's instants. A little before the start is
    the start: two clocks of a PSA differ as well.
    """
    if effective_at is None:
        last = (fact.at for fact in tracking.facts[-1:])
        return max(latest_known(tracking, now), tracking.started_at, *last)
    if effective_at < tracking.started_at - MAX_AHEAD_MS:
        raise InvalidField(
            "effective_at",
            "BEFORE_START",
            f"before the start of the tracking at {format_instant(tracking.started_at)}",
        )
    if effective_at > now + MAX_AHEAD_MS:
        raise InvalidField(
            "effective_at", "IN_THE_FUTURE", f"more than {MAX_AHEAD_MS // SECOND_MS} s ahead of slad's clock"
        )
    return max(effective_at, tracking.started_at)


def _ended(history: History) -> Refused:
    assert history.ended_at is not None
    ended_at = format_instant(history.ended_at)
    return Refused(
        Refusal.FAILED_PRECONDITION,
        f"TRACKING_{history.life.name}",
        f"the tracking was {history.life.name.lower()} at {ended_at}",
        {"state": history.life.name, "ended_at": ended_at},
    )


def _without_readable(history: History) -> History:
    return msgspec.structs.replace(history, readable=())


def _require_in_range(reading: Reading) -> None:
    for clock in reading.clocks:
        if clock.instants[-1] is None:
            raise ClockOutOfRange(clock.name)
