"""The trials' own picture of a ticket, held against cases that were counted minute by minute."""

from __future__ import annotations

import json
from datetime import datetime
from random import Random
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.storage.kill_points import ALL
from tests.paths import VECTORS
from tests.trials.crash.hours import ALWAYS, Hours, hours_of, stop_and_go
from tests.trials.crash.kills import RANDOM, draw
from tests.trials.crash.life import Fact, Kind, Life
from tests.trials.crash.terms import MINUTE_MS, Terms
from tests.trials.crash.ticket import Generation, Ticket

CASES = json.loads((VECTORS / "scenarios.json").read_text())["cases"]
SIMPLE = [
    number
    for number, case in enumerate(CASES)
    if case["schedule"]["is_24x7"]
    or (
        case["schedule"]["timezone"] == "UTC"
        and not case["schedule"]["holidays"]
        and all(e["start_time"] < e["end_time"] for e in case["schedule"]["entries"] if e["is_enabled"])
    )
]
"""What `hours` can count: 24x7, and UTC without holidays and nights."""

KINDS = {"response": Kind.RESPOND, "resolution": Kind.RESOLVE}


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def hours(schedule: dict[str, Any]) -> Hours:
    entries = [pb.BusinessHoursEntry(**entry) for entry in schedule["entries"]]
    return hours_of(
        pb.BusinessHoursSchedule(timezone=schedule["timezone"], is_24x7=schedule["is_24x7"], entries=entries)
    )


@pytest.mark.parametrize("number", SIMPLE)
def test_scenario_vector(number: int) -> None:
    case = CASES[number]
    terms = Terms(
        "",
        "",
        (case["response_minutes"] or 0) * MINUTE_MS,
        (case["resolution_minutes"] or 0) * MINUTE_MS,
        frozenset(case["percents"]),
        (0, 0, 0),
        hours(case["schedule"]),
    )
    facts = [Fact(at(op["at"]), KINDS.get(op["op"]) or Kind(op["op"]), reason=1) for op in case["ops"]]
    ticket = Generation(1, terms, at(case["start"]), tuple(facts))
    fired = [
        (instant, name, percent)
        for phase, name in ((1, "response"), (2, "resolution"))
        for percent in case["percents"]
        if (instant := ticket.has_reached(phase, percent, at(case["until"]))) is not None
    ]
    assert sorted(fired) == sorted((at(e["at"]), e["phase"], e["percent"]) for e in case["expect"])


def test_opened_and_when_are_inverse() -> None:
    monday = at("2026-03-02T00:00:00Z")
    book = hours_of(stop_and_go(monday))
    assert book.opened(monday + 60_000) - book.opened(monday) == 40_000
    assert book.opened(monday + 50_000) == book.opened(monday + 40_000) == book.opened(monday) + 40_000
    # In three hours the windows end; the next is a week after the first.
    assert book.when(book.opened(monday + 3 * 3_600_000) + 1) == monday - 1_800_000 + 7 * 86_400_000 + 1
    rng = Random(7)
    for some in (ALWAYS, book):
        for _ in range(1000):
            instant = monday + rng.randrange(-(10**9), 10**9)
            first = some.when(some.opened(instant))
            assert first <= instant
            assert some.opened(first) == some.opened(instant)
            assert some.opened(first - 1) == some.opened(instant) - 1


def test_a_pause_that_a_reopening_has_ended_does_not_go_on_when_a_cancel_of_that_instant_is_continued() -> (
    None
):
    """M1, M5."""
    begun = at("2026-03-02T09:00:00Z")
    start = rpc.StartSlaTrackingRequest(
        policy_id="gold", targets=[pb.SlaPolicyTarget(resolution_time_minutes=60, is_24x7=True)]
    )
    again = rpc.StartSlaTrackingRequest(on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED)
    again.MergeFrom(start)
    told_ahead = rpc.CancelSlaRequest()
    told_ahead.effective_at.FromMilliseconds(begun + 4_000)
    ticket = Ticket("acme", "T-1")
    for now, request in enumerate(
        (
            start,
            rpc.PauseSlaRequest(reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE),
            told_ahead,
            rpc.ReopenSlaRequest(mode=pb.REOPEN_MODE_RESUME),
            rpc.CancelSlaRequest(),
            again,
        ),
        start=begun,
    ):
        ticket, effect = ticket.apply(request, now)
        assert effect.changed, request
    assert ticket.latest is not None
    assert ticket.latest.history.life is Life.RUNNING


def test_half_of_the_kills_are_random_and_the_seed_draws_them() -> None:
    plan = draw(Random("7"), 1000)
    assert plan == draw(Random("7"), 1000) != draw(Random("8"), 1000)
    kinds = [kill.kind for kill in plan]
    assert [kinds.count(kind) for kind in (RANDOM, *ALL)] == [500, 125, 125, 125, 125]
    assert {kind for kind in kinds if kinds.count(kind) < 2} == set()
    few = [kill.kind for kill in draw(Random("7"), 16)]
    assert [few.count(kind) for kind in (RANDOM, *ALL)] == [8, 2, 2, 2, 2]
