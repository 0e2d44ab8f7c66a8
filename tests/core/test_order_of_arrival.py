"""The end state depends on the facts and their instants alone, not on the order of their arrival (M6, K6).

And what a consumer keeps from the events alone is what slad holds (E1, K8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from slad.core import machine
from slad.core.errors import Refused
from slad.core.events import Event, EventType
from slad.core.facts import Fact, FactKind, Life
from slad.core.instants import MINUTE_MS
from slad.core.settle import Transition
from slad.core.terms import ClockKind, ClockTerms, Terms
from slad.core.tracking import Tracking
from tests.core.tickets import OFFICE, at, calendars

START = at("2026-03-02T09:00:00Z")
OPEN = calendars(OFFICE)

CLOCKS = (
    ClockTerms("next", ClockKind.NEXT_REPLY, 40 * MINUTE_MS, (50,), (0, 0, 0), 1),
    ClockTerms("updates", ClockKind.PERIODIC_UPDATE, 60 * MINUTE_MS, (50,), (0, 0, 0), 1, ("vendor",)),
    ClockTerms("fix", ClockKind.FROM_START, 90 * MINUTE_MS, (), (0, 0, 0), 1, ()),
    ClockTerms("team", ClockKind.OWNERSHIP, 30 * MINUTE_MS, (80,), (0, 0, 0), 1, None, "b"),
    ClockTerms("anybody", ClockKind.OWNERSHIP, 45 * MINUTE_MS, (), (0, 0, 0), 1),
)
TERMS = Terms("p", "", 60 * MINUTE_MS, 240 * MINUTE_MS, (50, 75), (0, 0, 110), 1, CLOCKS)

HAPPENINGS = (
    (FactKind.PAUSE, 1, ""),
    (FactKind.PAUSE, 3, "vendor"),
    (FactKind.RESUME, 0, ""),
    (FactKind.RESUME, 3, "vendor"),
    (FactKind.RESUME, 1, ""),
    (FactKind.RESPOND, 0, ""),
    (FactKind.CUSTOMER_MESSAGE, 0, ""),
    (FactKind.AGENT_MESSAGE, 0, ""),
    (FactKind.ASSIGN, 0, "a"),
    (FactKind.ASSIGN, 0, "b"),
    (FactKind.ASSIGN, 0, ""),
    (FactKind.COMPLETE, 0, "fix"),
    (FactKind.DISCARD, 0, "next"),
    (FactKind.DISCARD, 0, "response"),
)


@st.composite
def facts(draw: st.DrawFn) -> list[Fact]:
    """Facts at different instants, the last of which may end the ticket."""
    minutes = sorted(draw(st.sets(st.integers(1, 300), min_size=1, max_size=8)))
    found = [Fact(START + minute * MINUTE_MS, *draw(st.sampled_from(HAPPENINGS))) for minute in minutes]
    if draw(st.booleans()):
        end = draw(st.sampled_from((FactKind.RESOLVE, FactKind.CANCEL)))
        found.append(Fact(found[-1].at + MINUTE_MS, end))
    return found


def add(state: Transition, fact: Fact, now: int) -> Transition:
    return machine.add_fact(
        state.tracking,
        FactKind(fact.kind),
        OPEN,
        now,
        effective_at=fact.at,
        detail=fact.detail,
        text=fact.text,
    )


class Mirror:
    """What a consumer knows that has nothing but the events, each of which says when it happened."""

    def __init__(self) -> None:
        self.fired: set[tuple[str, int, int]] = set()
        self.closed: dict[tuple[str, int], tuple[int | None, bool | None]] = {}
        """When each cycle was closed, and how."""
        self._owners: dict[int, str] = {}
        self._pauses: dict[int, bool] = {}
        self.ended = False

    @property
    def owner(self) -> str:
        return self._owners[max(self._owners)] if self._owners else ""

    @property
    def is_paused(self) -> bool:
        return bool(self._pauses) and self._pauses[max(self._pauses)]

    def hear(self, events: Sequence[Event]) -> None:
        for event in events:
            about = event.about and (event.about.clock, event.about.opened_at)
            if event.crossing:
                assert about
                key = (*about, event.crossing.percent)
                if event.type is EventType.THRESHOLD_REACHED:
                    assert key not in self.fired, "each threshold once"
                    self.fired.add(key)
                else:
                    assert key in self.fired, "retracted only after it fired"
                    self.fired.remove(key)
            self._hear(event, about)

    def _hear(self, event: Event, about: Any) -> None:
        match event.type:
            case EventType.CLOCK_OPENED:
                self.closed[about] = None, None
            case EventType.CLOCK_CLOSED:
                self.closed[about] = event.occurred_at, event.met
            case EventType.CLOCK_RETRACTED:
                del self.closed[about]
            case EventType.OWNER_CHANGED:
                self._owners[event.occurred_at] = event.owner
            case EventType.PAUSED | EventType.PAUSE_CHANGED | EventType.RESUMED:
                self._pauses[event.occurred_at] = event.type is not EventType.RESUMED
            case EventType.COMPLETED | EventType.CANCELLED:
                self.ended = True
            case _:
                pass


def live(tracking: Tracking) -> set[tuple[str, int, int]]:
    """What is announced and stands, by clock, opening and percent."""
    return {
        (
            fired.clock if isinstance(fired.clock, str) else ("response", "resolution")[fired.clock - 1],
            fired.opened_at or tracking.started_at,
            fired.percent,
        )
        for fired in tracking.fired
        if fired.fired_at
    }


@settings(max_examples=300, deadline=None)
@given(facts(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_leaves_no_trace(happened: list[Fact], random: Any) -> None:
    now = START + 600 * MINUTE_MS
    ordered = machine.begin(Tracking(TERMS, START), OPEN, START)
    for fact in happened:
        while (wake := ordered.wake_at) is not None and wake <= fact.at:
            ordered = machine.fire(ordered.tracking, OPEN, wake)
        ordered = add(ordered, fact, fact.at)
    ordered = machine.fire(ordered.tracking, OPEN, now)
    mirror = Mirror()
    shuffled = machine.begin(Tracking(TERMS, START), OPEN, now)
    mirror.hear(shuffled.events)
    # What ends a ticket comes last: before it, everything may still arrive in any order.
    ends = [fact for fact in happened if fact.kind in (FactKind.RESOLVE, FactKind.CANCEL)]
    rest = [fact for fact in happened if fact not in ends]
    random.shuffle(rest)
    for fact in (*rest, *ends):
        before = shuffled
        shuffled = add(shuffled, fact, now)
        mirror.hear(shuffled.events)
        assert shuffled.changed == bool(shuffled.events)
        if not shuffled.changed:
            assert shuffled.reading.clocks == before.reading.clocks
    reading = shuffled.reading
    assert reading.clocks == machine.reading_at(ordered.tracking, OPEN, now).clocks
    assert live(shuffled.tracking) == live(ordered.tracking) == mirror.fired
    named = [clock for clock in reading.clocks if not clock.terms.is_unnamed]
    assert mirror.closed.keys() == {(clock.name, clock.opened_at) for clock in named}
    for clock in named:
        about = clock.name, clock.opened_at
        assert mirror.closed[about] == (clock.closed_at, clock.met)
    assert mirror.owner == reading.history.owner
    assert mirror.ended == reading.history.life.ended
    assert mirror.ended or mirror.is_paused == (reading.history.life is Life.PAUSED)
    assert machine.fire(shuffled.tracking, OPEN, now).events == (), "nothing is left over for a restart"


def test_a_late_end_is_refused_what_came_after_it() -> None:
    state = machine.begin(Tracking(TERMS, START), OPEN, START)
    state = add(state, Fact(START + MINUTE_MS, FactKind.RESOLVE), START + MINUTE_MS)
    try:
        add(state, Fact(START + 2 * MINUTE_MS, FactKind.CUSTOMER_MESSAGE), START + 2 * MINUTE_MS)
    except Refused as error:
        assert error.reason == "TRACKING_COMPLETED"  # noqa: PT017
    else:
        raise AssertionError("a message on a completed ticket was taken")
