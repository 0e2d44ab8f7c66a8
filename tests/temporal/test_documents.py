"""The wire: AlgaPSA's JSON in, the core's values out, and back without loss."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from slad.core import machine
from slad.core.errors import InvalidField
from slad.core.events import PauseReason, Phase
from slad.core.facts import Fact, FactKind
from slad.core.instants import MINUTE_MS
from slad.core.schedule import ALWAYS, build_schedule
from slad.core.terms import ClockKind, ClockTerms
from slad.core.tracking import Engine, Fired, PauseAccounting, Tracking
from slad.temporal.workflow import documents, names, wire
from slad.temporal.workflow.wire import StateExtension, TicketWorkflowInput
from tests.core.tickets import OFFICE, at, schedule_of, terms
from tests.paths import VECTORS

SCHEDULES = [case["schedule"] for case in json.loads((VECTORS / "scenarios.json").read_text())["cases"]]

NINE = at("2026-03-02T09:00:00Z")

ALGA_INPUT: dict[str, Any] = {
    "ticketId": "T-1",
    "tenantId": "acme",
    "policyTargets": [
        {
            "tenant": "acme",
            "target_id": "t1",
            "sla_policy_id": "gold",
            "priority_id": "high",
            "response_time_minutes": 60,
            "resolution_time_minutes": 240,
            "escalation_1_percent": 70,
            "escalation_2_percent": 90,
            "escalation_3_percent": 110,
            "is_24x7": False,
            "created_at": "2025-01-01T00:00:00.000Z",
        }
    ],
    "businessHoursSchedule": {
        "tenant": "acme",
        "schedule_id": "s1",
        "schedule_name": "Office",
        "timezone": "UTC",
        "is_default": True,
        "is_24x7": False,
        "entries": [
            {
                "entry_id": f"e{day}",
                "schedule_id": "s1",
                "day_of_week": day,
                "start_time": "09:00:00",
                "end_time": "17:00:00",
                "is_enabled": True,
            }
            for day in range(1, 6)
        ],
    },
    "notificationThresholds": [50, 75],
}
"""As AlgaPSA's client sends it."""


def alga_input(**changes: Any) -> TicketWorkflowInput:
    return wire.read({**ALGA_INPUT, **changes}, TicketWorkflowInput)


def alga_target(**changes: Any) -> list[dict[str, Any]]:
    return [{**ALGA_INPUT["policyTargets"][0], **changes}]


def test_what_alga_psa_sends_is_understood() -> None:
    ticket = documents.read_ticket(alga_input(), NINE)
    assert ticket
    assert ticket.tracking.started_at == NINE
    assert ticket.tracking.engine == Engine.TEMPORAL
    told = ticket.tracking.terms
    assert (told.response_ms, told.resolution_ms) == (60 * MINUTE_MS, 240 * MINUTE_MS)
    assert told.notification_percents == (50, 75)
    assert told.escalation_percents == (70, 90, 110)
    assert ticket.calendar(1) is documents.calendar_of(OFFICE)


def test_thresholds_that_are_not_sent_are_the_default_ones() -> None:
    ticket = documents.read_ticket(alga_input(notificationThresholds=None), NINE)
    assert ticket
    assert ticket.tracking.terms.notification_percents == (50, 75, 90)


@pytest.mark.parametrize("targets", [[], alga_target(response_time_minutes=None, resolution_time_minutes=0)])
def test_nothing_promised_is_nothing_to_do(targets: list[Any]) -> None:
    assert documents.read_ticket(alga_input(policyTargets=targets), NINE) is None


def test_a_24x7_target_overrides_the_schedule() -> None:
    ticket = documents.read_ticket(alga_input(policyTargets=alga_target(is_24x7=True)), NINE)
    assert ticket
    assert ticket.tracking.terms.schedule_key == 0
    assert ticket.calendar(0).is_open(at("2026-03-01T03:00:00Z")), "a Sunday night"


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"ticketId": 7}, "ticketId", "MALFORMED_MESSAGE"),
        ({"policyTargets": "x"}, "policyTargets", "MALFORMED_MESSAGE"),
        (
            {"policyTargets": alga_target(response_time_minutes="soon")},
            "policyTargets[0].response_time_minutes",
            "MALFORMED_MESSAGE",
        ),
        (
            {"policyTargets": alga_target(escalation_2_percent=1001)},
            "policyTargets[0].escalation_2_percent",
            "PERCENT_OUT_OF_RANGE",
        ),
        (
            {"policyTargets": alga_target(resolution_time_minutes=10**15)},
            "policyTargets[0].resolution_time_minutes",
            "DEADLINE_OUT_OF_RANGE",
        ),
        ({"notificationThresholds": [50, 0]}, "notificationThresholds[1]", "PERCENT_OUT_OF_RANGE"),
        ({"businessHoursSchedule": None}, "businessHoursSchedule", "REQUIRED"),
        (
            {"businessHoursSchedule": {**ALGA_INPUT["businessHoursSchedule"], "timezone": "Mars/Base"}},
            "businessHoursSchedule.timezone",
            "UNKNOWN_TIME_ZONE",
        ),
        (
            {"businessHoursSchedule": {**ALGA_INPUT["businessHoursSchedule"], "entries": None}},
            "businessHoursSchedule.entries",
            "SCHEDULE_NEVER_OPENS",
        ),
        ({"carried": {"startedAt": "yesterday"}}, "carried.startedAt", "MALFORMED_TIMESTAMP"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(changes: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(InvalidField) as caught:
        documents.read_ticket(alga_input(**changes), NINE)
    assert (caught.value.field, caught.value.reason) == (field, reason)


def test_numbers_may_come_as_text() -> None:
    ticket = documents.read_ticket(alga_input(policyTargets=alga_target(response_time_minutes="45")), NINE)
    assert ticket
    assert ticket.tracking.terms.response_ms == 45 * MINUTE_MS


def test_every_schedule_survives_the_wire() -> None:
    seen = set()
    for schedule in map(schedule_of, SCHEDULES):
        sent = wire.to_json(documents.schedule_document(schedule, "acme"))
        received = wire.read(json.loads(json.dumps(sent)), wire.BusinessHoursSchedule)
        assert documents.read_schedule(received) == schedule
        seen.add(schedule)
    assert len(seen) > 50


def test_odd_windows_survive_too() -> None:
    schedule = build_schedule(
        timezone="Europe/Berlin",
        is_24x7=False,
        entries=[
            (0, "22:00", "06:00", True),
            (1, "00:00", "24:00", True),
            (2, "08:15:30", "08:15:31", True),
            (3, "22:00", "00:00", True),
        ],
        holidays=[("2026-12-25", True, "Christmas Day"), ("0400-02-29", True, "")],
        date_overrides=[
            ("2026-12-24", "", True, "Christmas Eve", [("09:00", "13:00"), ("22:00", "00:00")]),
            ("2026-12-27", "2027-01-02", False, "", []),
        ],
    )
    sent = json.loads(json.dumps(wire.to_json(documents.schedule_document(schedule))))
    assert documents.read_schedule(wire.read(sent, wire.BusinessHoursSchedule)) == schedule
    assert documents.read_schedule(documents.schedule_document(schedule)) == schedule


def journaled() -> Tracking:
    return Tracking(
        terms(60, 240, (50, 75), (70, 90, 110)),
        NINE,
        (Fact(NINE + 5, FactKind.PAUSE, PauseReason.AWAITING_CLIENT), Fact(NINE + 9, FactKind.RESUME)),
        (Fired(Phase.RESPONSE, 50, NINE, NINE, superseded=True, arming=2),),
        PauseAccounting.ALGA_WALL_CLOCK,
        Engine.TEMPORAL,
        {"queue": "mail"},
    )


def test_a_journaled_state_survives_the_wire_without_its_attributes() -> None:
    state = StateExtension(generation=3, revision=7, tracking=journaled())
    sent = json.loads(json.dumps(wire.to_json(documents.ticket_input("acme", "T-1", state, OFFICE))))
    received = wire.read(sent, TicketWorkflowInput)
    ticket = documents.read_ticket(received, NINE + 1)
    assert ticket
    assert ticket.tracking == msgspec.structs.replace(journaled(), attributes={})
    assert ticket.calendar(1) is documents.calendar_of(OFFICE)
    assert received.slad
    assert (received.slad.generation, received.slad.revision) == (3, 7)
    old_worker = documents.read_ticket(msgspec.structs.replace(received, slad=None), NINE)
    assert old_worker
    assert old_worker.tracking.terms.clocks == journaled().terms.clocks
    assert old_worker.tracking.terms.response_ms == journaled().terms.response_ms


def test_an_update_survives_the_wire() -> None:
    state = StateExtension(generation=3, revision=8, tracking=journaled())
    for schedule in (OFFICE, None):
        sent = json.loads(json.dumps(wire.to_json(documents.update_signal("acme", state, schedule))))
        ticket = documents.read_update(wire.read(sent, wire.UpdateSignal))
        assert ticket.tracking.facts == journaled().facts
        assert ticket.tracking.terms == journaled().terms
        assert ticket.calendar(1) is documents.calendar_of(schedule or ALWAYS)


def test_named_clocks_survive_the_wire_each_with_its_schedule() -> None:
    clocks = (
        ClockTerms("next-reply", ClockKind.NEXT_REPLY, MINUTE_MS, (50,), (0, 0, 0), 7, ("vendor",)),
        ClockTerms("fix", ClockKind.FROM_START, MINUTE_MS, (), (0, 0, 110), 0, ()),
        ClockTerms("team", ClockKind.OWNERSHIP, MINUTE_MS, (), (0, 0, 0), 1, None, "b"),
    )
    tracking = journaled()
    tracking = msgspec.structs.replace(tracking, terms=msgspec.structs.replace(tracking.terms, named=clocks))
    state = StateExtension(generation=3, revision=8, tracking=tracking)
    nights = build_schedule(timezone="UTC", is_24x7=False, entries=[(1, "20:00", "23:00", True)], holidays=[])
    update = documents.update_signal("acme", state, OFFICE, {7: nights})
    start = documents.ticket_input("acme", "T-1", state, OFFICE, of_clocks={7: nights})
    for ticket in (
        documents.read_update(wire.read(json.loads(json.dumps(wire.to_json(update))), wire.UpdateSignal)),
        documents.read_ticket(wire.read(json.loads(json.dumps(wire.to_json(start))), TicketWorkflowInput), 0),
    ):
        assert ticket
        assert ticket.tracking.terms == tracking.terms
        counted = [ticket.calendar(clock.schedule_key) for clock in clocks]
        assert counted == [documents.calendar_of(schedule) for schedule in (nights, ALWAYS, OFFICE)]
        assert ticket.of_clocks == {7: nights}
    with pytest.raises(InvalidField) as refused:
        documents.read_update(documents.update_signal("acme", state, OFFICE))
    assert (refused.value.field, refused.value.reason) == ("slad.schedules", "REQUIRED")


def test_slads_fields_are_the_only_ones_that_alga_psa_does_not_know() -> None:
    state = StateExtension(generation=1, revision=1, tracking=journaled())
    sent = wire.to_json(documents.ticket_input("acme", "T-1", state, OFFICE))
    assert sent.keys() - {"slad"} <= ALGA_INPUT.keys()
    assert sent["policyTargets"][0].keys() <= ALGA_INPUT["policyTargets"][0].keys()
    assert sent["businessHoursSchedule"].keys() <= {*ALGA_INPUT["businessHoursSchedule"], "holidays"}


def test_a_run_that_alga_psas_worker_continued_is_taken_over() -> None:
    """Its deadline: 60 minutes from 09:00, moved by the 30 minutes of past pauses."""
    carried = {
        "startedAt": "2026-03-02T09:00:00.000Z",
        "responseCompleted": False,
        "state": {
            "currentPhase": "response",
            "currentStatus": "active",
            "pauseState": {
                "isPaused": False,
                "pauseStartedAt": None,
                "totalPauseMinutes": 30,
                "reason": None,
            },
            "notifiedThresholds": {"response": [50], "resolution": []},
        },
    }
    ticket = documents.read_ticket(alga_input(carried=carried), NINE + 10**9)
    assert ticket
    now = NINE + 80 * MINUTE_MS
    transition = machine.fire(ticket.tracking, ticket.calendar, now)
    assert [event.crossing.percent for event in transition.events if event.crossing] == [70, 75]
    assert transition.reading.clocks[0].due_at == NINE + 90 * MINUTE_MS


def test_instants_are_written_as_javascript_does() -> None:
    assert documents.instant_text(NINE) == "2026-03-02T09:00:00.000Z"
    assert documents.read_instant("x", "2026-03-02T09:00:00.000Z") == NINE
    assert documents.read_instant("x", "2026-03-02 10:00:00+01:00") == NINE


def test_an_instant_that_cannot_be_is_refused_whatever_is_wrong_with_it() -> None:
    for text in ("soon", "2026-13-01", "9999-12-31T24:00"):
        with pytest.raises(InvalidField, match="not an ISO 8601 instant"):
            documents.read_instant("carried.startedAt", text)


def test_the_names_are_alga_psas() -> None:
    assert names.workflow_id("acme", "T-1") == "sla-ticket-acme-T-1"
    assert set(wire.to_json(wire.PauseSignal(reason="awaiting_client"))) == {"reason"}
    assert documents.pause_reason("awaiting_client") is PauseReason.AWAITING_CLIENT
    assert documents.pause_reason("a_new_one") is PauseReason.STATUS_PAUSE


FIRST_USE = """
import importlib, sys, threading
from slad.temporal.workflow import names, wire
from tests.paths import VECTORS

sys.setswitchinterval(1e-7)
for _ in range(60):
    importlib.reload(wire)  # types that nobody has used
    together = threading.Barrier(4)

    def read():
        together.wait()
        wire.read({"ticketId": "T-1", "tenantId": "acme", "policyTargets": []}, wire.TicketWorkflowInput)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_threads_may_be_the_first_to_read_a_message_at_once() -> None:
    """Two workflows do, when a worker starts. What went wrong was a segmentation fault, so: a process."""
    subprocess.run([sys.executable, "-c", FIRST_USE], check=True, timeout=120)
