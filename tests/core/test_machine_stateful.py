"""Random lives of a ticket, commands late and out of order, against a ticket counted minute by minute.

What it shows: C2, C4, C5 (nothing twice, nothing lost), C6, M2–M6. After every step the state machine and
the naive ticket agree on the state, the elapsed time of both clocks, the completions, and the set of
thresholds that were announced and not retracted.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from slad.core import machine
from slad.core.errors import Refused
from slad.core.events import EventType, PauseReason, Phase
from slad.core.facts import FactKind
from slad.core.instants import MINUTE_MS
from slad.core.settle import Transition
from slad.core.terms import Terms
from tests.core.naive_ticket import NaiveState, NaiveTerms, NaiveTicket
from tests.core.tickets import OFFICE, at, calendars, terms, tracking

MIDNIGHT = at("2026-03-02T00:00:00Z")  # a Monday
BOOK = calendars(OFFICE)
PHASES = {"response": Phase.RESPONSE, "resolution": Phase.RESOLUTION}
KINDS = {
    "pause": FactKind.PAUSE,
    "resume": FactKind.RESUME,
    "respond": FactKind.RESPOND,
    "resolve": FactKind.RESOLVE,
    "cancel": FactKind.CANCEL,
}
# Targets of whole hundreds, so that every threshold falls on a whole minute.
TARGETS = st.sampled_from([100, 200, 500, 1000])
PERCENTS = st.sets(st.sampled_from([10, 25, 50, 70, 75, 90, 110, 150]), min_size=1, max_size=4)
PROMISES = st.tuples(st.none() | TARGETS, TARGETS, PERCENTS)


def instant(minute: int) -> int:
    return MIDNIGHT + minute * MINUTE_MS


def promised(response: int | None, resolution: int, percents: set[int]) -> tuple[Terms, NaiveTerms]:
    targets = {"resolution": resolution} | ({"response": response} if response else {})
    return (
        terms(response, resolution, tuple(sorted(percents))),
        NaiveTerms(targets, percents | {100}),
    )


class TicketLife(RuleBasedStateMachine):
    @initialize(promise=PROMISES, start=st.integers(0, 3 * 24 * 60))
    def begin(self, promise: tuple[int | None, int, set[int]], start: int) -> None:
        real, naive = promised(*promise)
        self.now = start
        self.model = NaiveTicket(start, naive)
        self.told: dict[tuple[str, int], int] = {}
        self.state = machine.begin(tracking(instant(start), real), BOOK, instant(start))
        assert self.state.events[0].type is EventType.STARTED
        self.hear(self.state)

    @rule(
        op=st.sampled_from(list(KINDS)),
        late=st.just(0) | st.integers(0, 2000),
        twice=st.booleans(),
    )
    def command(self, op: str, late: int, twice: bool) -> None:
        minute = max(self.model.start, self.now - late)
        self.model.ops.append((minute, op))
        for _ in range(2 if twice else 1):
            self.send(op, minute)
        if twice:
            self.model.ops.append((minute, op))

    def send(self, op: str, minute: int) -> None:
        detail = PauseReason.STATUS_PAUSE.value if op == "pause" else 0
        before = self.state.tracking
        try:
            after = machine.add_fact(
                before, KINDS[op], BOOK, instant(self.now), effective_at=instant(minute), detail=detail
            )
        except Refused as refused:
            ended = refused.reason in ("TRACKING_COMPLETED", "TRACKING_CANCELLED")
            assert ended
            return
        assert after.changed or not after.events
        self.state = after
        self.hear(after)

    @precondition(lambda self: self.model.walk(self.now).ended_at is None)
    @rule(promise=PROMISES)
    def retarget(self, promise: tuple[int | None, int, set[int]]) -> None:
        real, naive = promised(*promise)
        self.model.settle(self.now)
        self.model.terms = naive
        self.state = machine.retarget(self.state.tracking, real, BOOK, instant(self.now))
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
            assert event.phase
            key = (event.phase.name.lower(), event.crossing.percent)
            if event.type is EventType.THRESHOLD_REACHED:
                assert key not in self.told
                assert event.occurred_at == event.crossing.scheduled_at <= instant(self.now)
                self.told[key] = event.occurred_at
            else:
                assert event.type is EventType.THRESHOLD_RETRACTED
                assert self.told.pop(key) == event.crossing.scheduled_at

    @invariant()
    def agrees(self) -> None:
        naive: NaiveState = self.model.settle(self.now)
        reading = machine.reading_at(self.state.tracking, BOOK, instant(self.now))
        history = reading.history
        assert history.life.name.lower() == naive.life
        for name, phase in PHASES.items():
            clock = reading.clock(phase)
            assert (clock is None) == (name not in self.model.terms.targets)
            if clock:
                assert clock.elapsed_ms == naive.elapsed[name] * MINUTE_MS
        for real, naive_minute in (
            (history.response_at, naive.response_at),
            (history.resolution_at, naive.resolution_at),
            (history.ended_at, naive.ended_at),
        ):
            assert real == (None if naive_minute is None else instant(naive_minute))
        assert set(self.told) == self.model.announced


TicketLife.TestCase.settings = settings(max_examples=150, stateful_step_count=15)
test_ticket_life = TicketLife.TestCase
