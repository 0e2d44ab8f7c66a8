"""Every state that a world can reach, and in each of them what must be true.

Facts arrive in any order, at once or late; the clock goes on to the next moment of the world with slad awake, or
asleep. Every step begins with what is stored, as after a crash; so a state is what is stored, and one that was
reached before is not gone through twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from slad.core import machine
from slad.core.errors import InvalidField, Refused
from slad.core.events import Event, EventType
from slad.core.instants import MINUTE_MS
from slad.core.reading import Reading
from slad.core.settle import Transition
from slad.core.terms import Terms
from slad.core.tracking import Fired, Tracking
from slad.storage.codec import decode_tracking, encode
from tests.core.happenings import happen, is_kept
from tests.core.naive_ticket import Happened, NaiveTicket
from tests.core.tickets import OFFICE, calendars
from tests.trials.model.worlds import MIDNIGHT, START, World

OPEN = calendars(OFFICE)

Firing = tuple[str, int, int]
"""(clock, opening, percent) of what is announced and stands."""
Cycles = dict[tuple[str, int], tuple[int | None, bool | None]]
"""(closed at, met) of each cycle, by clock and opening."""


class State(NamedTuple):
    """A ticket at a moment: what was accepted, in the order of its instants, and what slad stored of it."""

    place: int
    """Of the moment among those of the world."""
    happened: tuple[Happened, ...]
    stored: bytes
    retargeted: bool = False


class Counts(NamedTuple):
    """How much of a world was searched."""

    states: int
    steps: int
    sequences: int
    """Ways from the start to some state: what a search that forgets would have to run."""


def explore(world: World, facts: int) -> Counts:
    """Searches `world` with up to so many facts. AssertionError says which rule did not hold, and where."""
    search = _Search(world, facts)
    tracking = Tracking(world.terms, instant(START), unjudged_response=world.unjudged_response)
    begun = machine.begin(tracking, OPEN, instant(START))
    # Every step adds a fact, a moment or other terms: states are gone through in layers, each after all that lead to it.
    layer = {State(0, (), encode(begun.tracking)): 1}
    states = steps = sequences = 0
    while layer:
        following: dict[State, int] = {}
        for state, ways in layer.items():
            states += 1
            sequences += ways
            for after in search.steps(state):
                steps += 1
                following[after] = following.get(after, 0) + ways
        layer = following
    return Counts(states, steps, sequences)


class _Search:
    """The steps from a state, each of which is checked."""

    def __init__(self, world: World, facts: int) -> None:
        self._world, self._facts = world, facts
        self._moments = tuple(START + minute for minute in (0, *world.minutes, world.later))

    def steps(self, state: State) -> Iterator[State]:
        tracking = decode_tracking(state.stored)
        now = instant(self._moments[state.place])
        before = machine.reading_at(tracking, OPEN, now)
        if len(state.happened) < self._facts:
            yield from self._arrivals(state, tracking, before)
        if not state.retargeted and not before.history.life.ended:
            for terms in self._world.retargets:
                after = machine.retarget(tracking, terms, OPEN, now)
                yield self._checked(state, tracking, before, after, state._replace(retargeted=True))
        if state.place + 1 < len(self._moments):
            later = instant(self._moments[state.place + 1])
            passed = state._replace(place=state.place + 1)
            asleep = machine.fire(tracking, OPEN, later)
            yield self._checked(state, tracking, before, asleep, passed)
            events: list[Event] = []
            awake = machine.fire(tracking, OPEN, now)
            while (wake := awake.wake_at) is not None and wake <= later:
                awake = machine.fire(awake.tracking, OPEN, wake)
                assert awake.events, f"woken for nothing at {wake}: {state}"
                events += awake.events
            awake = machine.fire(awake.tracking, OPEN, later)
            assert awake.events == (), f"not woken for {awake.events}: {state}"
            yield self._checked(
                state, tracking, before, msgspec.structs.replace(awake, events=tuple(events)), passed
            )

    def _arrivals(self, state: State, tracking: Tracking, before: Reading) -> Iterator[State]:
        now = before.now
        for minute in self._moments[1:-1][: state.place]:
            for name in self._world.happenings:
                if (minute, name) in state.happened:
                    continue
                try:
                    after = happen(name, tracking, OPEN, now, instant(minute))
                except (Refused, InvalidField):
                    continue
                if not is_kept(name, tracking, after):
                    continue
                place = sum(1 for at, _ in state.happened if at <= minute)
                happened = (*state.happened[:place], (minute, name), *state.happened[place:])
                yield self._checked(state, tracking, before, after, state._replace(happened=happened))

    def _checked(
        self, state: State, was: Tracking, before: Reading, after: Transition, following: State
    ) -> State:
        """The state that a step leads to, after all that must be true of it."""
        where = f"{state.happened} -> {following.happened} at {self._moments[following.place]}"
        tracking, now = after.tracking, instant(self._moments[following.place])
        reading = machine.reading_at(tracking, OPEN, now)
        naive = counted(
            tracking.terms, tracking.unjudged_response, following.happened, self._moments[following.place]
        )
        assert summary(reading) == naive.summary, f"{where}: {summary(reading)} != {naive.summary}"
        firings = announced(tracking)
        assert firings == naive.firings, f"{where}: {firings ^ naive.firings}"
        assert retell(announced(was), after.events, where) == firings, f"{where}: firings of {after.events}"
        if following.place == state.place:
            # A response that no clock waits for is recorded, and nobody is told.
            assert after.changed == bool(after.events) or not tracking.terms.response_ms, where
        told = mirrored(closings(before), after.events)
        known = {clock.name for clock in tracking.terms.named}
        told = {key: value for key, value in told.items() if key[0] in known}
        assert told == closings(reading), f"{where}: {told} != {closings(reading)} by {after.events}"
        stored = encode(levelled(tracking, now))
        again = machine.fire(decode_tracking(stored), OPEN, now)
        assert again.events == (), f"{where}: left for a restart: {again.events}"
        assert announced(again.tracking) == firings, where
        return following._replace(stored=stored)


def levelled(tracking: Tracking, now: int) -> Tracking:
    """The same without what only ids of events hang on, so that lives that differ in nothing else are one.

    That is how often a threshold was retracted, and when one that stands was announced: while the clock is not
    set back (the simulation does that), no more than that it was by now.
    """
    fired = [
        Fired(one.clock, one.percent, one.scheduled_at, now, opened_at=one.opened_at)
        for one in tracking.fired
        if one.fired_at
    ]
    fired.sort(key=lambda one: (str(one.clock), one.opened_at, one.percent))
    return msgspec.structs.replace(tracking, fired=tuple(fired), judged_at=0)


def instant(minute: int) -> int:
    """A minute as UTC epoch ms."""
    return MIDNIGHT + minute * MINUTE_MS


def announced(tracking: Tracking) -> frozenset[Firing]:
    """What is announced and stands."""
    return frozenset(
        (
            fired.clock if isinstance(fired.clock, str) else ("response", "resolution")[fired.clock - 1],
            fired.opened_at or tracking.started_at,
            fired.percent,
        )
        for fired in tracking.fired
        if fired.fired_at
    )


def retell(firings: frozenset[Firing], events: Sequence[Event], where: str) -> frozenset[Firing]:
    """What stands after the events: each threshold once per cycle, a retraction only after it fired."""
    found = set(firings)
    for event in events:
        if event.crossing is None:
            continue
        assert event.about
        firing = event.about.clock, event.about.opened_at, event.crossing.percent
        if event.type is EventType.THRESHOLD_REACHED:
            assert firing not in found, f"{where}: {firing} twice"
            found.add(firing)
        else:
            assert firing in found, f"{where}: {firing} is retracted, and had not fired"
            found.remove(firing)
    return frozenset(found)


def closings(reading: Reading) -> Cycles:
    """How the cycles of named clocks stand."""
    return {
        (clock.name, clock.opened_at): (clock.closed_at, clock.met)
        for clock in reading.clocks
        if not clock.terms.is_unnamed
    }


def mirrored(cycles: Cycles, events: Sequence[Event]) -> Cycles:
    """The same as a consumer has it that hears the events."""
    found = dict(cycles)
    for event in events:
        about = event.about and (event.about.clock, event.about.opened_at)
        match event.type:
            case EventType.CLOCK_OPENED:
                assert about
                found[about] = None, None
            case EventType.CLOCK_CLOSED:
                assert about
                found[about] = event.occurred_at, event.met
            case EventType.CLOCK_RETRACTED:
                assert about
                del found[about]
            case _:
                pass
    return found


Row = tuple[str, int, int, int | None, bool | None, int]
"""Of a cycle: (clock, number, opened at, closed at, met, elapsed), in ms."""


class Summary(NamedTuple):
    """What is compared: as slad derives it, and as it is counted."""

    cycles: tuple[Row, ...]
    held: tuple[str, ...]
    owner: str
    life: str


def summary(reading: Reading) -> Summary:
    """Of slad's reading."""
    return Summary(
        tuple(
            (clock.name, clock.number, clock.opened_at, clock.closed_at, clock.met, clock.elapsed_ms)
            for clock in reading.clocks
        ),
        reading.history.held,
        reading.history.owner,
        reading.history.life.name.lower(),
    )


class Counted(NamedTuple):
    """What the naive life amounts to."""

    summary: Summary
    firings: frozenset[Firing]


@lru_cache(maxsize=400_000)
def counted(terms: Terms, unjudged_response: bool, happened: tuple[Happened, ...], now: int) -> Counted:
    """The same of a ticket counted minute by minute; and what it must have announced (C6)."""
    ticket = NaiveTicket(START, terms, unjudged_response, list(happened))
    life = ticket.settle(now)
    rows: list[Row] = []
    for clock in terms.clocks:
        of_clock = [cycle for cycle in life.cycles if cycle.clock.name == clock.name]
        for number, cycle in enumerate(sorted(of_clock, key=lambda cycle: cycle.opened), start=1):
            closed = None if cycle.closed is None else instant(cycle.closed)
            counted_ms = cycle.counted * MINUTE_MS
            rows.append((clock.name, number, instant(cycle.opened), closed, cycle.met, counted_ms))
    firings = frozenset((clock, instant(opened), percent) for clock, opened, percent in ticket.announced)
    return Counted(Summary(tuple(rows), tuple(life.held), life.owner, life.life), firings)
