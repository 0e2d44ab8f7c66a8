"""A ticket with thousands of facts is read as one with few, and costs little more."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slad.core import machine
from slad.core.errors import Refused
from slad.core.facts import Fact, FactKind
from slad.core.history import BLANK, BLOCK, extended, fold
from slad.core.instants import MINUTE_MS
from slad.core.terms import ClockKind, ClockTerms, Terms
from slad.core.tracking import Tracking
from tests.core.tickets import OFFICE, at, calendars
from tests.system.guard.counting import function_calls

START = at("2026-03-02T09:00:00Z")
OPEN = calendars(OFFICE)
TERMS = Terms("p", "", 60 * MINUTE_MS, 10_000 * MINUTE_MS, (50,), (0, 0, 0), 1)
HAPPENINGS = (
    (FactKind.PAUSE, 1, ""),
    (FactKind.PAUSE, 3, "vendor"),
    (FactKind.RESUME, 0, ""),
    (FactKind.RESUME, 3, "vendor"),
    (FactKind.RESPOND, 2, ""),
    (FactKind.CUSTOMER_MESSAGE, 0, ""),
    (FactKind.ASSIGN, 0, "a"),
    (FactKind.RESOLVE, 0, ""),
    (FactKind.REOPEN, 0, ""),
)


def paused_and_resumed(number: int) -> Tracking:
    """So many facts, a minute apart."""
    facts = [
        Fact(START + minute * MINUTE_MS, FactKind.RESUME if minute % 2 else FactKind.PAUSE, (minute + 1) % 2)
        for minute in range(number)
    ]
    return Tracking(TERMS, START, tuple(facts))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(HAPPENINGS), max_size=3 * BLOCK), st.booleans())
def test_what_is_remembered_of_facts_is_what_folding_all_gives(
    happened: list[tuple[FactKind, int, str]], unjudged: bool
) -> None:
    facts = tuple(Fact(START + place, *happening) for place, happening in enumerate(happened))
    assert fold(facts, unjudged_response=unjudged) == extended(BLANK, *facts, unjudged_response=unjudged)


def test_many_stops_are_counted_as_each_is() -> None:
    for number in (2, 2 * BLOCK, 2 * BLOCK + 2, 1_000):
        tracking = paused_and_resumed(number)
        now = START + 5_000 * MINUTE_MS
        reading = machine.reading_at(tracking, OPEN, now)
        stops = reading.history.stops
        assert len(stops) == number // 2
        instants = [START, *(instant for stop in stops for instant in (stop.from_ms, stop.to_ms or now)), now]
        counted = sum(OPEN(1).open_between(a, b) for a, b in list(pairwise(instants))[::2])
        assert [clock.elapsed_ms for clock in reading.clocks] == [counted, counted]
        # Each threshold is where that much has counted, and not before.
        for clock in reading.clocks:
            for spec, instant in zip(clock.specs, clock.instants, strict=True):
                assert instant is not None
                at_instant = machine.reading_at(tracking, OPEN, instant)
                same = next(other for other in at_instant.clocks if other.name == clock.name)
                assert same.elapsed_ms == clock.target_ms * spec.percent // 100


def test_a_command_costs_with_many_facts_little_more_than_with_few() -> None:
    calls = {}
    for number in (2 * BLOCK, 64 * BLOCK):
        tracking = paused_and_resumed(number)
        now = START + (number + 5) * MINUTE_MS
        tracking = machine.fire(tracking, OPEN, now).tracking

        def pause(tracking: Tracking = tracking, now: int = now) -> None:
            machine.add_fact(tracking, FactKind.PAUSE, OPEN, now, detail=1)

        pause()
        calls[number] = function_calls(pause)
    few, many = calls.values()
    assert many < 1.1 * few, calls


def test_a_tracking_holds_so_many_facts_and_no_more() -> None:
    full = paused_and_resumed(machine.MAX_FACTS)
    now = START + 20_000 * MINUTE_MS
    repeated = machine.add_fact(full, FactKind.RESUME, OPEN, now)
    assert not repeated.changed
    assert repeated.tracking is full, "one without effect is dropped"
    try:
        machine.add_fact(full, FactKind.PAUSE, OPEN, now, detail=1)
    except Refused as error:
        assert error.reason == "TOO_MANY_FACTS"  # noqa: PT017
        assert "10000 facts" in error.message  # noqa: PT017
    else:
        raise AssertionError("one more was taken")


def test_a_tracking_has_so_many_cycles_and_no_more() -> None:
    update = ClockTerms("update", ClockKind.PERIODIC_UPDATE, 60 * MINUTE_MS, (), (0, 0, 0), 0)
    terms = msgspec.structs.replace(TERMS, notification_percents=(50, 75, 90), named=(update,))
    full = (machine.MAX_THRESHOLDS // 4) - 3  # beside response and resolution, and the one that is open
    wrote = [Fact(START + minute * MINUTE_MS, FactKind.AGENT_MESSAGE) for minute in range(1, full + 1)]
    now = START + 2_000 * MINUTE_MS
    tracking = machine.begin(Tracking(terms, START, tuple(wrote)), OPEN, now).tracking
    with pytest.raises(Refused) as refused:
        machine.add_fact(tracking, FactKind.AGENT_MESSAGE, OPEN, now)
    assert refused.value.reason == "TOO_MANY_CYCLES"
    more = msgspec.structs.replace(update, name="more")
    with pytest.raises(Refused) as refused:
        machine.retarget(tracking, msgspec.structs.replace(terms, named=(update, more)), OPEN, now)
    assert refused.value.reason == "TOO_MANY_CYCLES"
    assert machine.add_fact(tracking, FactKind.PAUSE, OPEN, now, detail=1).changed
    assert machine.add_fact(tracking, FactKind.RESOLVE, OPEN, now).changed
