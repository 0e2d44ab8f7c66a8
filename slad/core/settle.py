"""Settling: the crossings that are true now against those that were announced.

What is true and not announced fires; what was announced and is no longer true is retracted. So restart,
redelivery, resume, retarget and late facts need no rules of their own (C5, M5, M6).

All instants are UTC epoch ms.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slad.core.events import Crossing, CycleRef, Event, EventType, Phase
from slad.core.facts import MAX_AHEAD_MS
from slad.core.reading import ClockReading, Reading
from slad.core.terms import BREACH_PERCENT, ThresholdSpec
from slad.core.tracking import CycleKey, Fired, Tracking


class Transition(msgspec.Struct, frozen=True):
    """What a command amounts to. Nothing has happened until it is committed."""

    tracking: Tracking
    reading: Reading
    events: tuple[Event, ...]
    changed: bool

    @property
    def wake_at(self) -> int | None:
        """The next instant at which `machine.fire` has something to do; None: not without a command."""
        return next_wake(self.tracking, self.reading)


class _Firing(msgspec.Struct, frozen=True):
    """A firing, what its threshold stands for, and the cycle that it is of."""

    fired: Fired
    spec: ThresholdSpec
    about: CycleRef
    told_higher: bool = False
    """A higher one that is a notification fires with it."""


_Firings = dict[tuple[CycleKey, int], Fired]
"""What has been announced, or was and is retracted, by cycle and percent (K4)."""


def settle(
    tracking: Tracking,
    reading: Reading,
    happened: Sequence[Event],
    *,
    at: int | None = None,
    until: int | None = None,
    suppress_past: bool = False,
) -> Transition:
    """Announces the crossings that are true and were not announced, retracts those that are no longer true.

    `happened` is what the command, which took effect `at`, has to tell itself. With `until`, only what came
    true by then fires; with `suppress_past` it fires without an event.
    """
    if not tracking.fired and not any(clock.has_happened(clock.instants[0]) for clock in reading.clocks):
        return Transition(tracking, reading, tuple(happened), changed=True)
    firings: _Firings = {(fired.cycle, fired.percent): fired for fired in tracking.fired}
    untrue: list[_Firing] = []
    judged_at = tracking.judged_at
    if firings:
        known = latest_known(tracking, reading.now)
        untrue, moved = _untrue(tracking, reading, firings, known)
        judged_at = known if moved else judged_at
        for firing in untrue:
            firings[firing.fired.cycle, firing.fired.percent] = firing.fired.retracted()
    due: list[Fired] = []
    told: list[_Firing] = []
    for clock in reading.clocks:
        told += _due(clock, firings, due, epoch=tracking.epoch, until=until, silent=suppress_past)
    events = tuple(happened)
    if told or untrue:
        events = _in_order(told, untrue, happened, at, reading.now, tracking.epoch)
    if firings:
        firings |= {(fired.cycle, fired.percent): fired for fired in due}
        due = list(firings.values())
    tracking = msgspec.structs.replace(tracking, fired=tuple(due), judged_at=judged_at)
    return Transition(tracking, reading, events, changed=True)


def _due(
    clock: ClockReading,
    firings: _Firings,
    due: list[Fired],
    *,
    epoch: int,
    until: int | None,
    silent: bool,
) -> list[_Firing]:
    """Adds to `due` what a cycle has reached and not announced, ascending; what is to be told of it.

    All but the highest are superseded (C5).
    """
    key, limit, now = clock.key, clock.limit, clock.now
    told: list[_Firing] = []
    if (first := clock.instants[0]) is None or first > limit:
        return told
    found: list[Fired] = []
    about, superseded, told_higher = clock.ref, False, False
    for spec, instant in zip(reversed(clock.specs), reversed(clock.instants), strict=True):
        if instant is None or instant > limit:
            continue
        percent, arming = spec.percent, 0
        if firings and (before := firings.get((key, percent))) is not None:
            if before.fired_at:
                continue
            arming = before.arming
        if until is None or instant <= until:
            told_in = epoch if arming else 0
            fired = Fired(key[0], percent, instant, now, superseded, silent, arming, key[1], told_in)
            found.append(fired)
            if not silent:
                told.append(_Firing(fired, spec, about, told_higher))
        superseded = True
        told_higher = told_higher or spec.notification
    due += reversed(found)
    told.reverse()
    return told


def _untrue(
    tracking: Tracking, reading: Reading, firings: _Firings, known: int
) -> tuple[list[_Firing], bool]:
    """What was announced and no longer holds; and whether any that holds belongs to another instant by now.

    `known` is how far slad's clock is known to have come.
    """
    untrue: list[_Firing] = []
    moved = False
    unnamed = dict(firings)
    cycles = {clock.key: clock for clock in reading.clocks}
    for clock in reading.clocks:
        key = clock.key
        for spec, instant in zip(clock.specs, clock.instants, strict=True):
            fired = unnamed.pop((key, spec.percent), None)
            if fired is None or not fired.fired_at:
                continue
            has_moved = instant != fired.scheduled_at
            if not clock.still_holds(instant, fired.scheduled_at, known) or (
                has_moved and _is_uncertain(fired, tracking)
            ):
                untrue.append(_Firing(fired, spec, clock.ref))
            elif has_moved:
                moved = True
    for fired in unnamed.values():
        # The terms name this percent no longer: it stands unless the clock is below it now (M5). A wall clock
        # that was set back tells nothing about that (C5). Of a cycle that never was nothing stands (K4).
        if not fired.fired_at:
            continue
        counting = cycles.get(fired.cycle)
        if counting and (counting.has_counted(fired.percent) or reading.now < known):
            moved = True
        else:
            spec = ThresholdSpec(fired.percent, False, 0, fired.percent == BREACH_PERCENT)
            untrue.append(_Firing(fired, spec, counting.ref if counting else _gone(fired, tracking)))
    return untrue, moved


def _is_uncertain(fired: Fired, tracking: Tracking) -> bool:
    """Whether a firing may have been retracted before a restore, which is not known here.

    When it moves then, it is retracted and fires anew: who had heard that it is untrue hears of it again.
    """
    return fired.epoch < tracking.epoch and not fired.silent


def _gone(fired: Fired, tracking: Tracking) -> CycleRef:
    """What a firing was about whose cycle is not there any more; of several the number is not known then."""
    name = fired.clock if isinstance(fired.clock, str) else Phase(fired.clock).name.lower()
    if fired.opened_at:
        return CycleRef(name, 0, fired.opened_at)
    return CycleRef(name, 1, tracking.started_at)


def _in_order(
    told: list[_Firing],
    untrue: list[_Firing],
    happened: Sequence[Event],
    at: int | None,
    now: int,
    epoch: int,
) -> tuple[Event, ...]:
    """The events in the order in which they are told, without retractions of silent firings.

    Crossings up to `at`, the instant of the command, precede what `happened`; then come the retractions, then
    the other crossings. Crossings are in order of their instants; of one instant, in order of the clocks.
    Since a restore a silent firing is retracted aloud: it may have been told before.
    """
    anew = {(firing.fired.cycle, firing.fired.percent) for firing in untrue} if epoch else ()
    before: list[Event] = []
    after: list[Event] = []
    for firing in told:
        fired = firing.fired
        is_before = at is not None and fired.scheduled_at <= at and (fired.cycle, fired.percent) not in anew
        reached = Event(EventType.THRESHOLD_REACHED, fired.scheduled_at, firing.about, _crossing(firing))
        (before if is_before else after).append(reached)
    retracted = [
        Event(EventType.THRESHOLD_RETRACTED, now, firing.about, _crossing(firing))
        for firing in untrue
        if epoch or not firing.fired.silent
    ]
    return *sorted(before, key=_by_instant), *happened, *retracted, *sorted(after, key=_by_instant)


def _crossing(firing: _Firing) -> Crossing:
    fired = firing.fired
    return Crossing(
        *firing.spec,
        fired.scheduled_at,
        fired.fired_at,
        fired.superseded,
        fired.arming,
        firing.told_higher,
    )


def _by_instant(event: Event) -> int:
    return event.occurred_at


def latest_known(tracking: Tracking, now: int) -> int:
    """How far slad's clock is known to have come; ahead of `now` when the wall clock was set back (C5).

    Commands are judged as of then: what was due by then is not to be hidden by the clock. A fact that is only
    a little ahead may be so by its caller's clock (M6), and tells nothing.
    """
    announced = [fired.fired_at for fired in tracking.fired]
    passed = (fact.at for fact in tracking.facts[-1:] if fact.at > now + MAX_AHEAD_MS)
    return max(now, tracking.judged_at, *announced, *passed)


def next_wake(tracking: Tracking, reading: Reading) -> int | None:
    """The earliest crossing that has not been announced, and that time alone will bring or has brought.

    Of a clock that stopped lately, as was told ahead of now (M6), some may be left: timers were late.
    """
    announced = {(fired.clock, fired.opened_at, fired.percent) for fired in tracking.fired if fired.fired_at}
    earliest: int | None = None
    for clock in reading.clocks:
        upcoming = _first_unannounced(clock, announced) if announced else clock.instants[0]
        if upcoming is None or (clock.halted_at is not None and upcoming > clock.halted_at):
            continue
        if earliest is None or upcoming < earliest:
            earliest = upcoming
    return earliest


def _first_unannounced(clock: ClockReading, announced: set[tuple[int | str, int, int]]) -> int | None:
    name, opened_at = clock.key
    for spec, instant in zip(clock.specs, clock.instants, strict=True):
        if (name, opened_at, spec.percent) not in announced:
            return instant
    return None
