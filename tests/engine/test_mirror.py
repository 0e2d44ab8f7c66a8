"""A mirror kept from events alone knows the deadlines and pauses that GetSlaStatus tells (E1).

Random lives of tickets with named clocks and pauses for several reasons: late facts, retargets, reopenings.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from slad_client.v1 import types_pb2 as pb

from slad.core import machine
from slad.core.errors import InvalidField, Refused
from slad.core.facts import FactKind, Life
from slad.core.instants import MINUTE_MS
from slad.core.machine import ReopenMode
from slad.core.settle import Transition
from slad.core.terms import Terms
from slad.core.tracking import TicketRef, Tracking
from slad.engine.event_codec import change_of, encode_events
from tests.core.test_order_of_arrival import CLOCKS, HAPPENINGS, OPEN, START, TERMS

OTHERS = (
    Terms("p", "", 0, 300 * MINUTE_MS, (50, 75), (0, 0, 110), 1, CLOCKS[:2]),
    Terms("q", "", 120 * MINUTE_MS, 240 * MINUTE_MS, (20,), (0, 0, 0), 1, CLOCKS[1:]),
    msgspec.structs.replace(TERMS, resolution_ms=500 * MINUTE_MS, named=()),
)
ENDS = ((FactKind.RESOLVE, 0, ""), (FactKind.CANCEL, 0, ""))
STEPS = st.lists(
    st.integers(1, 400)
    | st.tuples(st.sampled_from(HAPPENINGS + ENDS), st.integers(0, 200))
    | st.sampled_from(OTHERS)
    | st.sampled_from(ReopenMode)
    | st.just("continue"),
    min_size=1,
    max_size=16,
)
"""Minutes that pass, a fact of so many minutes ago, a retarget, a reopening, a start that continues."""

Cycle = tuple[str, int]
PAUSES = (pb.SLA_EVENT_TYPE_PAUSED, pb.SLA_EVENT_TYPE_RESUMED, pb.SLA_EVENT_TYPE_PAUSE_CHANGED)


class Mirror:
    """The due dates of the open cycles, as the newest event that tells them has them; None: paused."""

    def __init__(self) -> None:
        self.due: dict[Cycle, int | None] = {}
        self._pauses: dict[int, bool] = {}
        """By instant: whether a pause was on from then on, as was told last."""

    @property
    def is_paused(self) -> bool:
        return bool(self._pauses) and self._pauses[max(self._pauses)]

    def hear(self, event: pb.SlaEvent) -> None:
        if event.type in PAUSES:
            self._pauses[event.occurred_at.ToMilliseconds()] = event.type != pb.SLA_EVENT_TYPE_RESUMED
        if not event.HasField("due_dates"):
            return
        self.due = {
            (told.clock, told.cycle_opened_at.ToMilliseconds()): (
                told.due_at.ToMilliseconds() if told.HasField("due_at") else None
            )
            for told in event.due_dates.cycles
        }


class Desk:
    """One ticket, and who hears of it."""

    def __init__(self) -> None:
        self.now, self.number, self.mirror = START, 0, Mirror()
        self.apply(machine.begin(Tracking(TERMS, START), OPEN, START))

    def apply(self, after: Transition) -> None:
        self.tracking = after.tracking
        for body in encode_events(change_of(TicketRef("acme", "T", 1), after, self.number, self.now)):
            self.number += 1
            self.mirror.hear(pb.SlaEvent.FromString(body))

    def live(self, step: Any) -> None:
        now = self.now
        if isinstance(step, int):
            self.now += step * MINUTE_MS
            self.apply(machine.fire(self.tracking, OPEN, self.now))
        elif isinstance(step, Terms):
            self.apply(machine.retarget(self.tracking, step, OPEN, now))
        elif isinstance(step, ReopenMode):
            self.apply(machine.reopen(self.tracking, step, OPEN, now))
        elif step == "continue":
            if self.tracking.history.life.name == "CANCELLED":
                self.apply(machine.continue_cancelled(self.tracking, Tracking(TERMS, now), OPEN, now))
        else:
            (kind, detail, text), ago = step
            at = max(now - ago * MINUTE_MS, self.tracking.started_at)
            self.apply(
                machine.add_fact(self.tracking, kind, OPEN, now, effective_at=at, detail=detail, text=text)
            )

    @property
    def due(self) -> dict[Cycle, int | None]:
        """What the status says."""
        reading = machine.reading_at(self.tracking, OPEN, self.now)
        return {
            (clock.name, 0 if clock.terms.has_one_cycle else clock.opened_at): (
                None if clock.is_paused else clock.due_at
            )
            for clock in reading.clocks
            if clock.closed_at is None
        }


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_the_due_dates_of_the_newest_event_are_those_of_the_status(steps: list[Any]) -> None:
    desk = Desk()
    assert desk.mirror.due == desk.due
    for step in steps:
        try:
            desk.live(step)
        except (Refused, InvalidField):
            continue
        assert desk.mirror.due == desk.due


PAUSES_AND_RESUMES = [
    (FactKind.PAUSE, 1, ""),
    (FactKind.PAUSE, 3, "vendor"),
    (FactKind.PAUSE, 3, "parts"),
    (FactKind.RESUME, 0, ""),
    (FactKind.RESUME, 3, "vendor"),
    (FactKind.RESUME, 3, "parts"),
    (FactKind.RESUME, 1, ""),
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.integers(1, 60) | st.tuples(st.sampled_from(PAUSES_AND_RESUMES), st.integers(0, 30)), max_size=12
    )
)
def test_whether_a_ticket_is_paused_is_what_the_latest_instant_says(steps: list[Any]) -> None:
    desk = Desk()
    for step in steps:
        desk.live(step)
        assert desk.mirror.is_paused == (desk.tracking.history.life is Life.PAUSED)


def test_the_end_of_a_pause_is_told_once() -> None:
    desk = Desk()
    for step in (10, ((FactKind.PAUSE, 3, "vendor"), 0), 10):
        desk.live(step)
    number = desk.number
    desk.live(((FactKind.RESUME, 3, "vendor"), 0))
    assert desk.number == number + 1


def test_a_resumption_that_turns_out_to_be_none_is_outdone() -> None:
    desk = Desk()
    for step in (
        10,
        ((FactKind.PAUSE, 1, ""), 0),
        10,
        ((FactKind.RESUME, 1, ""), 0),
        ((FactKind.RESUME, 1, ""), 8),  # it had ended earlier
        ((FactKind.PAUSE, 3, "vendor"), 9),  # and something else had begun before that, and goes on
    ):
        desk.live(step)
    assert desk.tracking.history.life is Life.PAUSED
    assert desk.mirror.is_paused
