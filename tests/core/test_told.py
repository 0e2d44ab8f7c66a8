"""E1: whatever a command changes in what the status says, it commits an event."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from slad.core import machine
from slad.core.errors import InvalidField, Refused
from slad.core.events import PauseReason
from slad.core.facts import FactKind
from slad.core.instants import MINUTE_MS
from slad.core.machine import ReopenMode
from slad.core.reading import Reading
from slad.core.status import timer_status
from tests.core.tickets import at, calendars, terms, tracking

MONDAY_9 = at("2026-03-02T09:00:00Z")
ALWAYS = calendars()

STEPS = st.tuples(
    st.sampled_from(["PAUSE", "RESUME", "RESPOND", "RESOLVE", "CANCEL", "reopen", "continue", "retarget"]),
    st.integers(0, 30),
    st.integers(0, 60),
    st.sampled_from(list(PauseReason)[:2]),
)
"""What, minutes until then, minutes that it is late."""


def said(reading: Reading) -> object:
    """What the status says that only a command can change, as at the instant of `reading`."""
    history = reading.history
    clocks = [
        (c.name, c.due_at, c.elapsed_ms, c.closed_at, c.completed_at, c.met, c.breached_at)
        for c in reading.clocks
    ]
    return history.life, history.ended_at, history.held, timer_status(reading), clocks


@settings(max_examples=400)
@given(st.lists(STEPS, max_size=14))
def test_what_the_status_says_changes_with_an_event_only(
    steps: list[tuple[str, int, int, PauseReason]],
) -> None:
    now = MONDAY_9
    state = machine.begin(tracking(now, terms(40, 100, (50,))), ALWAYS, now)
    for what, minutes, late, reason in steps:
        now += minutes * MINUTE_MS
        state = machine.fire(state.tracking, ALWAYS, now)
        before = state.tracking
        then = max(before.started_at, now - late * MINUTE_MS)
        try:
            if what == "reopen":
                state = machine.reopen(before, ReopenMode.RESUME, ALWAYS, now)
            elif what == "continue":
                if state.reading.history.life.name != "CANCELLED":
                    continue
                heir = tracking(now, before.terms)
                state = machine.continue_cancelled(before, heir, ALWAYS, now)
            elif what == "retarget":
                state = machine.retarget(before, terms(40 + late, 100 + late, (50,)), ALWAYS, now)
            else:
                detail = reason.value if what == "PAUSE" else 0
                kind = FactKind[what]
                state = machine.add_fact(before, kind, ALWAYS, now, effective_at=then, detail=detail)
        except (Refused, InvalidField):
            continue
        was = said(machine.reading_at(before, ALWAYS, now))
        assert state.events or said(state.reading) == was, (what, was, said(state.reading))
