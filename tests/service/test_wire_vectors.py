"""All vectors through the wire: business time by PreviewSla, scenarios by TestClock and a watcher."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import MINUTE_MS, format_instant
from tests.core.tickets import at
from tests.paths import VECTORS
from tests.slad_under_test import slad_running, stamp

BUSINESS_TIME = [
    case
    for name in ("business_time.json", "date_overrides.json")
    for case in json.loads((VECTORS / name).read_text())["cases"]
]
SCENARIOS = json.loads((VECTORS / "scenarios.json").read_text())["cases"]

OPS = {
    "pause": ("PauseSla", lambda ids: rpc.PauseSlaRequest(reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE, **ids)),
    "resume": ("ResumeSla", lambda ids: rpc.ResumeSlaRequest(**ids)),
    "response": ("CompleteSla", lambda ids: rpc.CompleteSlaRequest(phase=pb.SLA_PHASE_RESPONSE, **ids)),
    "resolution": ("CompleteSla", lambda ids: rpc.CompleteSlaRequest(phase=pb.SLA_PHASE_RESOLUTION, **ids)),
    "cancel": ("CancelSla", lambda ids: rpc.CancelSlaRequest(**ids)),
}


async def test_business_time_vectors_by_preview(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        for number, case in enumerate(BUSINESS_TIME):
            request = rpc.PreviewSlaRequest(
                schedule=ParseDict(case["schedule"], pb.BusinessHoursSchedule()),
                started_at=stamp(case["start"]),
            )
            if case["kind"] == "deadline":
                request.targets.add(resolution_time_minutes=case["minutes"])
                clock = (await slad.backend.PreviewSla(request)).resolution
                assert clock.due_at.ToMilliseconds() == at(case["expect"]), number
            else:
                request.targets.add(resolution_time_minutes=1_000_000)
                request.as_of.CopyFrom(stamp(case["end"]))
                clock = (await slad.backend.PreviewSla(request)).resolution
                assert clock.elapsed.ToMilliseconds() == case["expect_minutes"] * MINUTE_MS, number


@pytest.mark.usefixtures("engine")
async def test_scenario_vectors_by_test_clock_and_watcher(tmp_path: Path) -> None:
    """All scenarios at once in one daemon, a ticket each: none disturbs another."""
    steps = sorted(_steps(), key=lambda step: (step[0], step[1]))
    fired: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
    async with slad_running(tmp_path, now=steps[0][0]) as slad:
        watch = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"))
        await watch.initial_metadata()
        for instant, number, op in steps:
            if instant > slad.now:
                await slad.advance_to(instant)
            ids = {"tenant_id": "acme", "ticket_id": str(number)}
            if op == "start":
                await slad.backend.StartSlaTracking(_start(SCENARIOS[number], ids))
            elif op != "until":
                method, make = OPS[op]
                reply = await getattr(slad.backend, method)(make(ids))
                assert reply.changed
        await slad.start("end", tenant_id="end")
        async for reply in watch:
            for event in reply.events:
                if event.type == pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
                    fired[int(event.ticket_id)].append(_crossing(event))
            if reply.events[-1].tenant_id == "end":
                break
        watch.cancel()
    for number, case in enumerate(SCENARIOS):
        expected = sorted((e["at"], e["phase"], e["percent"]) for e in case["expect"])
        # Time goes on for this ticket until the last scenario ends.
        within = [crossing for crossing in fired[number] if at(crossing[0]) <= at(case["until"])]
        assert sorted(within) == expected, number


def _steps() -> Iterator[tuple[int, int, str]]:
    for number, case in enumerate(SCENARIOS):
        yield at(case["start"]), number, "start"
        for op in case["ops"]:
            yield at(op["at"]), number, op["op"]
        yield at(case["until"]), number, "until"


def _start(case: dict[str, Any], ids: dict[str, str]) -> rpc.StartSlaTrackingRequest:
    return rpc.StartSlaTrackingRequest(
        **ids,
        targets=[
            pb.SlaPolicyTarget(
                response_time_minutes=case["response_minutes"],
                resolution_time_minutes=case["resolution_minutes"],
            )
        ],
        schedule=ParseDict(case["schedule"], pb.BusinessHoursSchedule()),
        notification_thresholds=case["percents"],
    )


def _crossing(event: pb.SlaEvent) -> tuple[str, str, int]:
    assert MessageToDict(event.occurred_at) == MessageToDict(event.threshold.scheduled_at)
    assert event.threshold.fired_at == event.threshold.scheduled_at
    phase = pb.SlaPhase.Name(event.phase).removeprefix("SLA_PHASE_").lower()
    return format_instant(event.occurred_at.ToMilliseconds()), phase, event.threshold.percent
