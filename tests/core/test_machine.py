"""The state machine: its table, what a late fact does to an ended ticket, clocks that cannot be reached."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slad.core import machine
from slad.core.errors import InvalidField, Refused
from slad.core.events import EventType, PauseReason, Phase
from slad.core.facts import LIFE, Fact, FactKind, Life, insert
from slad.core.history import fold
from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.core.machine import ClockOutOfRange, ReopenMode
from slad.core.settle import Transition
from slad.core.tracking import PauseAccounting, Tracking
from tests.core.tickets import OFFICE, at, calendar, calendars, terms, tracking

MONDAY_9 = at("2026-03-02T09:00:00Z")
ALWAYS = calendars()
WAYS = {
    Life.RUNNING: (),
    Life.PAUSED: (FactKind.PAUSE,),
    Life.COMPLETED: (FactKind.RESOLVE,),
    Life.CANCELLED: (FactKind.CANCEL,),
}
COMMANDS = [kind for kind in FactKind if kind is not FactKind.REOPEN]


def begun(minutes: int = 100) -> Transition:
    return machine.begin(tracking(MONDAY_9, terms(None, minutes, (50,))), ALWAYS, MONDAY_9)


def obey(state: Transition, kind: FactKind, now: int, effective_at: int | None = None) -> Transition:
    detail = PauseReason.STATUS_PAUSE.value if kind is FactKind.PAUSE else 0
    return machine.add_fact(state.tracking, kind, ALWAYS, now, effective_at=effective_at, detail=detail)


def kinds(transition: Transition) -> list[EventType]:
    return [event.type for event in transition.events]


@pytest.mark.parametrize(("life", "kind"), list(itertools.product(Life, COMMANDS)))
def test_the_table_is_what_commands_do(life: Life, kind: FactKind) -> None:
    """M2–M4: where the table has an entry the command leads there, where it has none it is refused."""
    state = begun()
    for way in WAYS[life]:
        state = obey(state, way, MONDAY_9 + MINUTE_MS)
    assert state.reading.history.life is life
    following = LIFE[life].get(kind)
    if following is None:
        with pytest.raises(Refused, match=f"was {life.name.lower()} at"):
            obey(state, kind, MONDAY_9 + 2 * MINUTE_MS)
        return
    after = obey(state, kind, MONDAY_9 + 2 * MINUTE_MS)
    assert after.reading.history.life is following
    if life.ended:
        assert not after.changed
        noted = life is Life.CANCELLED and kind is not FactKind.CANCEL
        assert (after.tracking is state.tracking) is not noted
        assert after.reading.history == state.reading.history


def test_every_state_can_be_reached_and_every_fact_has_an_entry() -> None:
    assert {following for row in LIFE.values() for following in row.values()} == set(Life)
    assert {kind for row in LIFE.values() for kind in row} == set(FactKind)


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(COMMANDS)), max_size=8))
def test_the_order_of_arrival_leaves_no_trace(ops: list[tuple[int, FactKind]]) -> None:
    """M6: facts put where they belong give the same history, whichever came first."""
    ops = list({instant: (instant, kind) for instant, kind in ops}.values())
    facts = [Fact(instant, kind, 1 if kind is FactKind.PAUSE else 0) for instant, kind in ops]
    forward: tuple[Fact, ...] = ()
    backward: tuple[Fact, ...] = ()
    for fact in facts:
        forward = insert(forward, fact)
    for fact in reversed(facts):
        backward = insert(backward, fact)
    assert forward == backward
    assert fold(forward) == fold(backward)


def test_a_late_pause_of_a_completed_ticket_changes_its_verdict() -> None:
    """M6: a fact of before the end is applied, although the tracking has ended."""
    state = machine.fire(begun(60).tracking, ALWAYS, MONDAY_9 + 70 * MINUTE_MS)
    done = obey(state, FactKind.RESOLVE, MONDAY_9 + 70 * MINUTE_MS)
    assert done.reading.clocks[0].met is False
    paused = obey(done, FactKind.PAUSE, MONDAY_9 + 80 * MINUTE_MS, MONDAY_9 + 50 * MINUTE_MS)
    assert paused.reading.clocks[0].met is True
    assert kinds(paused) == [EventType.PAUSED, EventType.THRESHOLD_RETRACTED]
    assert paused.events[1].crossing
    assert paused.events[1].crossing.breach


def test_a_reason_that_was_held_for_no_time_is_not_told_by_a_late_pause() -> None:
    now, two = MONDAY_9 + 9 * MINUTE_MS, MONDAY_9 + 2 * MINUTE_MS
    state = obey(begun(), FactKind.PAUSE, now, two)
    state = obey(state, FactKind.RESUME, now, two)
    client = PauseReason.AWAITING_CLIENT.value
    late = machine.add_fact(
        state.tracking, FactKind.PAUSE, ALWAYS, now, effective_at=MONDAY_9 + MINUTE_MS, detail=client
    )
    assert kinds(late) == [EventType.PAUSED]


def test_a_reason_is_told_though_a_pause_for_it_began_and_ended_at_that_instant() -> None:
    now = MONDAY_9 + MINUTE_MS
    state = obey(begun(), FactKind.PAUSE, now)
    state = obey(state, FactKind.RESUME, now)
    client = PauseReason.AWAITING_CLIENT.value
    state = machine.add_fact(state.tracking, FactKind.PAUSE, ALWAYS, now, detail=client)
    assert kinds(obey(state, FactKind.PAUSE, now)) == [EventType.PAUSE_CHANGED]


def test_completing_a_paused_ticket_is_no_resume() -> None:
    paused = obey(begun(), FactKind.PAUSE, MONDAY_9 + MINUTE_MS)
    done = obey(paused, FactKind.RESOLVE, MONDAY_9 + 2 * MINUTE_MS)
    assert kinds(done) == [EventType.PHASE_COMPLETED, EventType.COMPLETED]
    again = machine.reopen(done.tracking, ReopenMode.RESUME, ALWAYS, MONDAY_9 + 9 * MINUTE_MS)
    assert kinds(again) == [EventType.REOPENED]


def test_an_earlier_completion_counts() -> None:
    state = machine.fire(begun(60).tracking, ALWAYS, MONDAY_9 + 70 * MINUTE_MS)
    done = obey(state, FactKind.RESOLVE, MONDAY_9 + 70 * MINUTE_MS)
    earlier = obey(done, FactKind.RESOLVE, MONDAY_9 + 90 * MINUTE_MS, MONDAY_9 + 20 * MINUTE_MS)
    assert earlier.changed
    assert earlier.reading.history.ended_at == MONDAY_9 + 20 * MINUTE_MS
    assert earlier.reading.clocks[0].met is True
    retracted = [e.crossing.percent for e in earlier.events if e.crossing]
    assert retracted == [50, 100]
    later = obey(earlier, FactKind.RESOLVE, MONDAY_9 + 95 * MINUTE_MS)
    assert not later.changed


def test_a_silent_firing_is_retracted_silently_and_may_fire_aloud_later() -> None:
    """M1, M5: what nobody was told of needs no retraction."""
    old = tracking(MONDAY_9 - HOUR_MS, terms(None, 100, (50,)))
    state = machine.begin(old, ALWAYS, MONDAY_9, suppress_past=True)
    assert kinds(state) == [EventType.STARTED]
    longer = machine.retarget(state.tracking, terms(None, 200, (50,)), ALWAYS, MONDAY_9)
    assert kinds(longer) == [EventType.RETARGETED]
    fired = machine.fire(longer.tracking, ALWAYS, MONDAY_9 + 40 * MINUTE_MS)
    assert kinds(fired) == [EventType.THRESHOLD_REACHED]


def test_a_percent_that_the_new_terms_do_not_name_stays_fired_while_it_is_true() -> None:
    state = machine.fire(begun(100).tracking, ALWAYS, MONDAY_9 + 60 * MINUTE_MS)
    other = machine.retarget(state.tracking, terms(None, 100, (80,)), ALWAYS, MONDAY_9 + 60 * MINUTE_MS)
    assert kinds(other) == [EventType.RETARGETED]
    back = machine.retarget(other.tracking, terms(None, 100, (50,)), ALWAYS, MONDAY_9 + 60 * MINUTE_MS)
    assert kinds(back) == [EventType.RETARGETED], "not a second time (C5)"
    away = machine.retarget(other.tracking, terms(None, 1000, (80,)), ALWAYS, MONDAY_9 + 60 * MINUTE_MS)
    assert kinds(away) == [EventType.RETARGETED, EventType.THRESHOLD_RETRACTED]


def test_a_clock_that_the_new_terms_do_not_have_takes_its_announcements_back() -> None:
    both = machine.begin(tracking(MONDAY_9, terms(60, 600, (50,))), ALWAYS, MONDAY_9)
    state = machine.fire(both.tracking, ALWAYS, MONDAY_9 + 40 * MINUTE_MS)
    only = machine.retarget(state.tracking, terms(None, 600, (50,)), ALWAYS, MONDAY_9 + 40 * MINUTE_MS)
    assert kinds(only) == [EventType.RETARGETED, EventType.THRESHOLD_RETRACTED]


def test_reopen_resume_keeps_the_response_and_leaves_the_gap_out() -> None:
    state = obey(begun(100), FactKind.RESOLVE, MONDAY_9 + 30 * MINUTE_MS)
    again = machine.reopen(state.tracking, ReopenMode.RESUME, ALWAYS, MONDAY_9 + 500 * MINUTE_MS)
    assert again.reading.history.response_at == MONDAY_9 + 30 * MINUTE_MS
    assert again.reading.clocks[0].elapsed_ms == 30 * MINUTE_MS
    assert again.wake_at == MONDAY_9 + 520 * MINUTE_MS
    with pytest.raises(InvalidField, match="the tracking ended at"):
        machine.reopen(state.tracking, ReopenMode.RESUME, ALWAYS, MONDAY_9 + HOUR_MS, effective_at=MONDAY_9)


def test_what_ended_a_ticket_after_a_late_reopening_is_told() -> None:
    """A resolution that a late cancel made of no effect counts again, and ends the new generation (M6)."""
    noon = MONDAY_9 + 3 * HOUR_MS
    state = obey(begun(100), FactKind.RESOLVE, noon, MONDAY_9 + 30 * MINUTE_MS)
    state = obey(state, FactKind.CANCEL, noon, MONDAY_9 + 10 * MINUTE_MS)
    at = MONDAY_9 + 20 * MINUTE_MS
    again = machine.reopen(state.tracking, ReopenMode.RESUME, ALWAYS, noon, effective_at=at)
    assert again.reading.history.life is Life.COMPLETED
    assert EventType.COMPLETED in kinds(again)


def paused_for_two_reasons(now: int) -> Transition:
    state = obey(begun(), FactKind.PAUSE, now, MONDAY_9 + 10 * MINUTE_MS)
    at = MONDAY_9 + 12 * MINUTE_MS
    return machine.add_fact(state.tracking, FactKind.PAUSE, ALWAYS, now, effective_at=at, detail=1)


def test_of_a_pause_that_a_late_end_cuts_off_no_resumption_is_told() -> None:
    now = MONDAY_9 + HOUR_MS
    state = obey(paused_for_two_reasons(now), FactKind.RESOLVE, now, MONDAY_9 + 11 * MINUTE_MS)
    assert EventType.COMPLETED in kinds(state)
    assert EventType.RESUMED not in kinds(state)


def test_a_late_end_of_an_earlier_life_tells_only_that_deadlines_have_moved() -> None:
    now = MONDAY_9 + HOUR_MS
    state = obey(paused_for_two_reasons(now), FactKind.RESOLVE, now, MONDAY_9 + 20 * MINUTE_MS)
    again = machine.reopen(state.tracking, ReopenMode.RESUME, ALWAYS, now)
    state = obey(again, FactKind.CANCEL, now, MONDAY_9 + 11 * MINUTE_MS)
    assert kinds(state) == [EventType.RETARGETED]


def test_a_target_past_year_9999_is_refused_at_the_start_and_at_a_retarget() -> None:
    endless = terms(None, 4_000_000_000, (1,))
    with pytest.raises(ClockOutOfRange):
        machine.begin(tracking(MONDAY_9, endless), calendars(OFFICE), MONDAY_9)
    with pytest.raises(ClockOutOfRange):
        machine.retarget(begun().tracking, terms(None, 8_000_000_000, (1,)), ALWAYS, MONDAY_9)


def test_a_paused_ticket_wakes_for_nothing() -> None:
    assert obey(begun(), FactKind.PAUSE, MONDAY_9 + MINUTE_MS).wake_at is None


@given(
    pauses=st.lists(st.tuples(st.integers(1, 300_000), st.integers(0, 7_200_000)), max_size=5),
    target=st.sampled_from([100, 300, 1000]),
)
def test_wall_clock_accounting_adds_up(pauses: list[tuple[int, int]], target: int) -> None:
    """A finished pause that begins before a threshold moves it by its floored minutes; no other does."""
    state = machine.begin(
        Tracking(terms(None, target, (50,)), MONDAY_9, accounting=PauseAccounting.ALGA_WALL_CLOCK),
        calendars(OFFICE),
        MONDAY_9,
    )
    now, stretches = MONDAY_9, []
    for running, stopped in pauses:
        stretches.append((now + running, now + running + stopped))
        now += running + stopped
    moved = state.tracking
    for paused_at, resumed_at in stretches:
        for kind, instant in ((FactKind.PAUSE, paused_at), (FactKind.RESUME, resumed_at)):
            moved = machine.add_fact(moved, kind, calendars(OFFICE), instant, detail=1).tracking
    reading = machine.reading_at(moved, calendars(OFFICE), now)
    for mark in reading.clocks[0].marks:
        expected = calendar(OFFICE).advance(MONDAY_9, target * MINUTE_MS * mark.spec.percent // 100)
        for paused_at, resumed_at in stretches:
            if paused_at < expected:
                expected = max(expected + (resumed_at - paused_at) // MINUTE_MS * MINUTE_MS, resumed_at)
        assert mark.instant == expected


def test_a_clock_of_a_cancelled_tracking_has_no_verdict() -> None:
    state = obey(begun(), FactKind.CANCEL, MONDAY_9 + MINUTE_MS)
    (clock,) = state.reading.clocks
    assert clock.phase is Phase.RESOLUTION
    assert clock.met is None
    assert state.wake_at is None


def test_pauses_of_one_instant_are_each_told() -> None:
    """E1: on the virtual clock a whole conversation may be of one millisecond."""
    state = begun()
    told: list[EventType] = []
    for kind in (FactKind.PAUSE, FactKind.RESUME, FactKind.PAUSE, FactKind.RESUME):
        state = obey(state, kind, MONDAY_9)
        assert state.changed
        told += kinds(state)
    assert told == [EventType.PAUSED, EventType.RESUMED] * 2


def test_a_clock_set_back_retracts_nothing_that_the_terms_no_longer_name() -> None:
    """C5."""
    state = machine.fire(begun(100).tracking, ALWAYS, MONDAY_9 + 60 * MINUTE_MS)
    other = machine.retarget(state.tracking, terms(None, 100, (75,)), ALWAYS, MONDAY_9 + 60 * MINUTE_MS)
    paused = obey(other, FactKind.PAUSE, MONDAY_9 + 5 * MINUTE_MS)
    assert kinds(paused) == [EventType.PAUSED]


def test_continuing_a_paused_ticket_says_that_it_is_paused() -> None:
    paused = obey(begun(), FactKind.PAUSE, MONDAY_9 + MINUTE_MS)
    cancelled = obey(paused, FactKind.CANCEL, MONDAY_9 + 2 * MINUTE_MS)
    fresh = tracking(MONDAY_9 + 3 * MINUTE_MS, terms(None, 50, (50,)))
    heir = machine.continue_cancelled(cancelled.tracking, fresh, ALWAYS, MONDAY_9 + 3 * MINUTE_MS)
    assert kinds(heir) == [EventType.STARTED, EventType.PAUSED]
    assert heir.reading.history.life is Life.PAUSED


BACK = MONDAY_9 + 60 * MINUTE_MS
"""What the wall clock is set back to in the tests below."""


def test_a_clock_set_back_retracts_nothing_that_a_retarget_has_moved() -> None:
    """C5: 50 % was told, and true still under new terms that put it to another instant."""
    state = machine.fire(begun().tracking, ALWAYS, MONDAY_9 + 300 * MINUTE_MS)
    state = machine.retarget(state.tracking, terms(None, 500, (50,)), ALWAYS, MONDAY_9 + 300 * MINUTE_MS)
    assert EventType.THRESHOLD_RETRACTED in kinds(state), "100 % is not true any more"
    state = machine.retarget(state.tracking, terms(None, 500, (50, 60, 61)), ALWAYS, BACK)
    assert kinds(state) == [EventType.RETARGETED, EventType.THRESHOLD_REACHED]
    assert state.events[1].crossing is not None
    assert state.events[1].crossing.percent == 60, "due by the first retarget, behind which the clock is now"


def test_a_clock_set_back_retracts_nothing_that_a_late_pause_has_moved() -> None:
    """C5, M6: the same of a fact that came late."""
    later = MONDAY_9 + 90 * MINUTE_MS
    state = machine.fire(begun().tracking, ALWAYS, later)
    state = obey(state, FactKind.RESUME, later, MONDAY_9 + 45 * MINUTE_MS)
    state = obey(state, FactKind.PAUSE, later, MONDAY_9 + 10 * MINUTE_MS)
    assert kinds(state) == [EventType.PAUSED, EventType.RESUMED]
    state = machine.retarget(state.tracking, terms(None, 100, (50, 99)), ALWAYS, BACK)
    assert kinds(state) == [EventType.RETARGETED]


def test_a_command_behind_which_the_clock_was_set_fires_what_was_due_before_it() -> None:
    """C5: 50 % was told late, the clock set back, the tracking cancelled; 100 % was due before that."""
    state = machine.fire(
        begun().tracking, ALWAYS, MONDAY_9 + 200 * MINUTE_MS, until=MONDAY_9 + 50 * MINUTE_MS
    )
    assert kinds(state) == [EventType.THRESHOLD_REACHED]
    state = obey(state, FactKind.CANCEL, BACK)
    assert kinds(state) == [EventType.THRESHOLD_REACHED, EventType.CANCELLED]
    assert state.wake_at is None


@pytest.mark.parametrize("kind", [FactKind.RESPOND, FactKind.PAUSE, FactKind.CANCEL])
def test_what_is_reached_before_a_stop_that_was_told_ahead_fires_however_late(kind: FactKind) -> None:
    """C5, M6: timers went off only when the clock had stopped, and each fires up to its own instant."""
    promise = terms(1, None, (1, 2, 3, 50))
    state = machine.begin(tracking(MONDAY_9, promise), ALWAYS, MONDAY_9)
    state = obey(state, kind, MONDAY_9, MONDAY_9 + 2_000)
    fired = []
    while state.wake_at is not None:
        assert state.wake_at <= MONDAY_9 + 2_000
        state = machine.fire(state.tracking, ALWAYS, MONDAY_9 + MINUTE_MS, until=state.wake_at)
        fired += [event.crossing.percent for event in state.events if event.crossing]
    assert fired == [1, 2, 3]


@pytest.mark.parametrize("percents", [(1, 2), (1, 2, 10)])
def test_new_terms_judge_what_has_counted_by_now_though_the_end_is_told_ahead(
    percents: tuple[int, ...],
) -> None:
    """M5, M6: 10 % of the longer target is not reached yet, whether the new terms name it or not."""
    state = machine.begin(tracking(MONDAY_9, terms(1, None, (10,))), ALWAYS, MONDAY_9)
    state = machine.fire(state.tracking, ALWAYS, MONDAY_9 + 6_000)
    state = obey(state, FactKind.RESPOND, MONDAY_9 + 9_000, MONDAY_9 + 13_000)
    state = machine.retarget(state.tracking, terms(2, None, percents), ALWAYS, MONDAY_9 + 9_500)
    retracted = [
        event.crossing.percent
        for event in state.events
        if event.type is EventType.THRESHOLD_RETRACTED and event.crossing
    ]
    assert retracted == [10]


def test_continuing_a_ticket_that_was_cancelled_twice_lets_it_live() -> None:
    """M1: a cancel that came late went before another; both are taken back."""
    cancelled = obey(begun(), FactKind.CANCEL, MONDAY_9 + 30 * MINUTE_MS)
    earlier = obey(cancelled, FactKind.CANCEL, MONDAY_9 + 40 * MINUTE_MS, MONDAY_9 + 20 * MINUTE_MS)
    assert earlier.reading.history.ended_at == MONDAY_9 + 20 * MINUTE_MS
    fresh = tracking(MONDAY_9 + 45 * MINUTE_MS, terms(None, 50, (50,)))
    heir = machine.continue_cancelled(earlier.tracking, fresh, ALWAYS, MONDAY_9 + 45 * MINUTE_MS)
    assert heir.reading.history.life is Life.RUNNING
    assert heir.reading.clocks[0].elapsed_ms == 45 * MINUTE_MS
