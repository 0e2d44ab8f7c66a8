"""All of vectors/scenarios.json, in process: fire at every wake, obey at every op."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slad.core import machine
from slad.core.events import EventType, PauseReason
from slad.core.facts import FactKind
from slad.core.instants import format_instant
from slad.core.settle import Transition
from tests.core.tickets import at, calendars, schedule_of, terms, tracking
from tests.paths import VECTORS

CASES = json.loads((VECTORS / "scenarios.json").read_text())["cases"]

KINDS = {
    "pause": (FactKind.PAUSE, PauseReason.STATUS_PAUSE),
    "resume": (FactKind.RESUME, 0),
    "response": (FactKind.RESPOND, 0),
    "resolution": (FactKind.RESOLVE, 0),
    "cancel": (FactKind.CANCEL, 0),
}


@pytest.mark.parametrize("number", range(len(CASES)))
def test_scenario_vector(number: int) -> None:
    case = CASES[number]
    fired = run(case)
    assert fired == sorted((e["at"], e["phase"], e["percent"]) for e in case["expect"])


def run(case: dict[str, Any]) -> list[tuple[str, str, int]]:
    book = calendars(schedule_of(case["schedule"]))
    start = at(case["start"])
    promised = terms(
        case["response_minutes"],
        case["resolution_minutes"],
        tuple(p for p in case["percents"] if p != 100),
    )
    found: list[tuple[str, str, int]] = []

    def note(transition: Transition) -> Transition:
        for event in transition.events:
            assert event.type is not EventType.THRESHOLD_RETRACTED
            if event.type is EventType.THRESHOLD_REACHED:
                assert event.phase
                assert event.crossing
                assert event.crossing.scheduled_at == event.occurred_at
                found.append(
                    (
                        format_instant(event.occurred_at),
                        event.phase.name.lower(),
                        event.crossing.percent,
                    )
                )
        return transition

    def fire_until(state: Transition, instant: int) -> Transition:
        while (wake := state.wake_at) is not None and wake <= instant:
            state = note(machine.fire(state.tracking, book, wake))
        return state

    state = note(machine.begin(tracking(start, promised), book, start))
    for op in case["ops"]:
        instant = at(op["at"])
        state = fire_until(state, instant)
        kind, detail = KINDS[op["op"]]
        state = note(machine.add_fact(state.tracking, kind, book, instant, detail=int(detail)))
    fire_until(state, at(case["until"]))
    return sorted(found)
