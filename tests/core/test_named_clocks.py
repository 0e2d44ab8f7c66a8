"""All of vectors/clocks.json, in process: fire at every wake, obey at every op (K1–K6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slad.core import machine
from slad.core.events import EventType, PauseReason
from slad.core.facts import Fact, FactKind
from slad.core.instants import MINUTE_MS, format_instant
from slad.core.reading import Reading
from slad.core.settle import Transition
from slad.core.terms import ClockKind, ClockTerms, Terms
from tests.core.tickets import at, calendar, schedule_of, tracking
from tests.paths import VECTORS

CASES = json.loads((VECTORS / "clocks.json").read_text())["cases"]

KINDS = {
    "resolution": FactKind.RESOLVE,
    "cancel": FactKind.CANCEL,
    "customer_message": FactKind.CUSTOMER_MESSAGE,
    "agent_message": FactKind.AGENT_MESSAGE,
    "assign": FactKind.ASSIGN,
    "complete": FactKind.COMPLETE,
    "discard": FactKind.DISCARD,
    "pause": FactKind.PAUSE,
    "resume": FactKind.RESUME,
}


def fact_of(op: dict[str, Any]) -> Fact:
    """The fact of an op of a case."""
    kind = KINDS[op["op"]]
    text = op.get("owner") or op.get("clock") or ""
    detail = 0
    if reason := op.get("reason"):
        known = PauseReason.__members__.get(reason, PauseReason.OTHER)
        detail, text = known.value, reason if known is PauseReason.OTHER else ""
    return Fact(at(op["at"]), kind, detail, text)


def terms_of(case: dict[str, Any]) -> tuple[Terms, dict[int, Any]]:
    """The terms of a case, and the calendars by key."""
    calendars = {1: calendar(schedule_of(case["schedule"]))}
    targets = {"response": 0, "resolution": 0}
    percents: tuple[int, ...] = (50, 75, 90)
    named = []
    for clock in case["clocks"]:
        key = 1
        if "schedule" in clock:
            key = len(calendars) + 1
            calendars[key] = calendar(schedule_of(clock["schedule"]))
        if clock["name"] in targets:
            targets[clock["name"]] = clock["minutes"] * MINUTE_MS
            percents = tuple(clock["percents"])
        named.append(
            ClockTerms(
                clock["name"],
                ClockKind[clock["kind"]],
                clock["minutes"] * MINUTE_MS,
                tuple(clock["percents"]),
                (0, 0, 0),
                key,
                None if clock["paused_by"] == "ALL" else tuple(clock["paused_by"]),
                clock.get("owner", ""),
            )
        )
    terms = Terms(
        "policy", "", targets["response"], targets["resolution"], percents, (0, 0, 0), 1, tuple(named)
    )
    return terms, calendars


# The counter looks once a minute: it finds a crossing at the next whole minute, and counts the minute that
# begins at `until` as well. slad is exact (C3), so the comparison does the same to what slad says.
@pytest.mark.parametrize("number", range(len(CASES)))
def test_clock_vector(number: int) -> None:
    case = CASES[number]
    terms, calendars = terms_of(case)
    fired: list[tuple[str, str, int, int]] = []

    def note(transition: Transition) -> Transition:
        for event in transition.events:
            assert event.type not in (EventType.THRESHOLD_RETRACTED, EventType.CLOCK_RETRACTED)
            if event.type is EventType.THRESHOLD_REACHED:
                assert event.about
                assert event.crossing
                fired.append(
                    (
                        format_instant(-(-event.occurred_at // MINUTE_MS) * MINUTE_MS),
                        event.about.clock,
                        event.about.cycle,
                        event.crossing.percent,
                    )
                )
        return transition

    def fire_until(state: Transition, instant: int) -> Transition:
        while (wake := state.wake_at) is not None and wake <= instant:
            state = note(machine.fire(state.tracking, calendars.__getitem__, wake))
        return state

    start = at(case["start"])
    state = note(machine.begin(tracking(start, terms), calendars.__getitem__, start))
    for op in case["ops"]:
        fact = fact_of(op)
        state = fire_until(state, fact.at)
        state = note(
            machine.add_fact(
                state.tracking,
                FactKind(fact.kind),
                calendars.__getitem__,
                fact.at,
                detail=fact.detail,
                text=fact.text,
            )
        )
    until = at(case["until"])
    state = fire_until(state, until)
    assert sorted(fired) == sorted((e["at"], e["clock"], e["cycle"], e["percent"]) for e in case["expect"])
    reading = machine.reading_at(state.tracking, calendars.__getitem__, until + MINUTE_MS)
    assert told(reading) == sorted(case["cycles"], key=lambda c: (c["clock"], c["cycle"]))


def told(reading: Reading) -> list[dict[str, Any]]:
    """The cycles as a case has them."""
    found = []
    for clock in reading.clocks:
        cycle: dict[str, Any] = {
            "clock": clock.name,
            "cycle": clock.number,
            "opened_at": format_instant(clock.opened_at),
            "elapsed_minutes": clock.elapsed_ms // MINUTE_MS,
        }
        if clock.closed_at is not None:
            cycle |= {"closed_at": format_instant(clock.closed_at), "met": clock.met}
        found.append(cycle)
    return sorted(found, key=lambda c: (c["clock"], c["cycle"]))
