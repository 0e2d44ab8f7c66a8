"""Random lives of a ticket, commands late and out of order, against a ticket counted minute by minute.

What it shows: C2, C4, C5 (nothing twice, nothing lost), C6, K2-K7, K9, M2-M6. After every step the state
machine and the naive ticket agree on the state, the cycles of every clock with their elapsed times and
verdicts, owner and reasons, and the set of thresholds that were announced and not retracted.
"""

from __future__ import annotations

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from slad.core import machine
from slad.core.errors import InvalidField, Refused
from slad.core.events import EventType
from slad.core.instants import MINUTE_MS
from slad.core.settle import Transition
from slad.core.terms import ClockKind, ClockTerms, Terms
from slad.core.tracking import Tracking
from tests.core.happenings import HAPPENINGS, happen, is_kept
from tests.core.naive_ticket import Announced, NaiveLife, NaiveTicket
from tests.core.tickets import OFFICE, at, calendars, terms

MIDNIGHT = at("2026-03-02T00:00:00Z")  # a Monday
BOOK = calendars(OFFICE)
# Targets of whole hundreds, so that every threshold falls on a whole minute.
TARGETS = st.sampled_from([100, 200, 500, 1000])
PERCENTS = st.sets(st.sampled_from([10, 25, 50, 70, 75, 90, 110, 150]), min_size=1, max_size=4)
PROMISES = st.tuples(st.none() | TARGETS, TARGETS, PERCENTS)
NONE = (0, 0, 0)
CLOCKS = (
    ClockTerms("next", ClockKind.NEXT_REPLY, 100 * MINUTE_MS, (), NONE, 1),
    ClockTerms("updates", ClockKind.PERIODIC_UPDATE, 200 * MINUTE_MS, (25,), NONE, 1, ("vendor",)),
    ClockTerms("fix", ClockKind.FROM_START, 500 * MINUTE_MS, (), NONE, 1, ()),
    ClockTerms("team", ClockKind.OWNERSHIP, 100 * MINUTE_MS, (70,), NONE, 1, None, "b"),
    ClockTerms("anybody", ClockKind.OWNERSHIP, 200 * MINUTE_MS, (), NONE, 1),
    ClockTerms("resolution", ClockKind.RESOLUTION, 0, (), NONE, 1, ("AWAITING_CLIENT",)),
)
NAMED = st.sets(st.sampled_from(CLOCKS)).map(lambda clocks: tuple(sorted(clocks, key=CLOCKS.index)))


def instant(minute: int) -> int:
    return MIDNIGHT + minute * MINUTE_MS


def promised(promise: tuple[int | None, int, set[int]], named: tuple[ClockTerms, ...] = ()) -> Terms:
    response, resolution, percents = promise
    return msgspec.structs.replace(terms(response, resolution, tuple(sorted(percents))), named=named)


class TicketLife(RuleBasedStateMachine):
    @initialize(promise=PROMISES, named=NAMED, start=st.integers(0, 3 * 24 * 60), unjudged=st.booleans())
    def begin(
        self,
        promise: tuple[int | None, int, set[int]],
        named: tuple[ClockTerms, ...],
        start: int,
        unjudged: bool,
    ) -> None:
        self.now = start
        self.model = NaiveTicket(start, promised(promise, named), unjudged)
        self.told: dict[Announced, int] = {}
        tracking = Tracking(self.model.terms, instant(start), unjudged_response=unjudged)
        self.state = machine.begin(tracking, BOOK, instant(start))
        assert self.state.events[0].type is EventType.STARTED
        self.hear(self.state)

    @rule(
        name=st.sampled_from(sorted(HAPPENINGS.keys() - {"reopen"})),
        late=st.just(0) | st.integers(0, 2000),
        twice=st.booleans(),
    )
    def command(self, name: str, late: int, twice: bool) -> None:
        minute = max(self.model.start, self.now - late)
        for _ in range(2 if twice else 1):
            self.send(name, minute)

    @precondition(lambda self: self.model.walk(self.now).ended)
    @rule(late=st.just(0) | st.integers(0, 500))
    def reopen(self, late: int) -> None:
        self.send("reopen", max(self.model.start, self.now - late))

    def send(self, name: str, minute: int) -> None:
        before = self.state.tracking
        try:
            after = happen(name, before, BOOK, instant(self.now), instant(minute))
        except (Refused, InvalidField) as refused:
            if refused.reason not in ("TRACKING_COMPLETED", "TRACKING_CANCELLED", "BEFORE_END"):
                raise
            return
        assert after.changed or not after.events
        if is_kept(name, before, after):
            self.model.happened.append((minute, name))
        self.state = after
        self.hear(after)

    @precondition(lambda self: not self.model.walk(self.now).ended)
    @rule(promise=PROMISES, named=NAMED)
    def retarget(self, promise: tuple[int | None, int, set[int]], named: tuple[ClockTerms, ...]) -> None:
        self.model.settle(self.now)
        self.model.terms = promised(promise, named)
        self.state = machine.retarget(self.state.tracking, self.model.terms, BOOK, instant(self.now))
        self.hear(self.state)

    @rule(minutes=st.integers(1, 1000))
    def pass_time(self, minutes: int) -> None:
        self.now += minutes
        while (wake := self.state.wake_at) is not None and wake <= instant(self.now):
            before = len(self.told)
            self.state = machine.fire(self.state.tracking, BOOK, wake)
            self.hear(self.state)
            assert len(self.told) > before, "woke for nothing"

    @rule(minutes=st.integers(1, 1000))
    def sleep_through(self, minutes: int) -> None:
        """slad was down; everything overdue fires at once."""
        self.now += minutes
        self.state = machine.fire(self.state.tracking, BOOK, instant(self.now))
        self.hear(self.state)

    def hear(self, transition: Transition) -> None:
        """Keeps what was announced as a consumer would: each once, and retracted only when announced."""
        for event in transition.events:
            if event.crossing is None:
                continue
            assert event.about
            opened = (event.about.opened_at - MIDNIGHT) // MINUTE_MS
            key = (event.about.clock, opened, event.crossing.percent)
            if event.type is EventType.THRESHOLD_REACHED:
                assert key not in self.told
                assert event.occurred_at == event.crossing.scheduled_at <= instant(self.now)
                self.told[key] = event.occurred_at
            else:
                assert event.type is EventType.THRESHOLD_RETRACTED
                assert self.told.pop(key) == event.crossing.scheduled_at

    @invariant()
    def agrees(self) -> None:
        naive: NaiveLife = self.model.settle(self.now)
        reading = machine.reading_at(self.state.tracking, BOOK, instant(self.now))
        history = reading.history
        assert history.life.name.lower() == naive.life
        assert history.ended_at == (None if naive.ended_at is None else instant(naive.ended_at))
        assert (history.owner, history.held) == (naive.owner, tuple(naive.held))
        for clock in self.model.terms.clocks:
            mine = [cycle for cycle in naive.cycles if cycle.clock.name == clock.name]
            assert [
                (cycle.opened_at, cycle.closed_at, cycle.met, cycle.elapsed_ms)
                for cycle in reading.cycles(clock.name)
            ] == [
                (
                    instant(cycle.opened),
                    None if cycle.closed is None else instant(cycle.closed),
                    cycle.met,
                    cycle.counted * MINUTE_MS,
                )
                for cycle in sorted(mine, key=lambda cycle: cycle.opened)
            ]
        assert set(self.told) == self.model.announced


TicketLife.TestCase.settings = settings(max_examples=150, stateful_step_count=15)
test_ticket_life = TicketLife.TestCase
