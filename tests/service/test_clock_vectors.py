"""All of vectors/clocks.json through the wire: a ticket a case, one daemon, a watcher (K1–K6)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import MINUTE_MS, format_instant
from tests.core.tickets import at
from tests.paths import VECTORS
from tests.slad_under_test import Slad, slad_running

CASES = json.loads((VECTORS / "clocks.json").read_text())["cases"]

KNOWN_REASONS = ("AWAITING_CLIENT", "STATUS_PAUSE")


def clock_terms(clock: dict[str, Any]) -> pb.SlaClockTerms:
    message = pb.SlaClockTerms(name=clock["name"])
    if clock["name"] not in ("response", "resolution"):
        message.kind = pb.SlaClockKind.Value(f"SLA_CLOCK_KIND_{clock['kind']}")
        message.target_minutes = clock["minutes"]
        message.notification_thresholds.extend(clock["percents"])
        message.owner = clock.get("owner", "")
        if "schedule" in clock:
            ParseDict(clock["schedule"], message.schedule)
    if clock["paused_by"] != "ALL":
        message.paused_by.reasons.extend(clock["paused_by"])
        message.paused_by.never = not clock["paused_by"]
    return message


def start_of(case: dict[str, Any], ids: dict[str, str]) -> rpc.StartSlaTrackingRequest:
    unnamed = {
        clock["name"]: clock for clock in case["clocks"] if clock["name"] in ("response", "resolution")
    }
    minutes = {f"{name}_time_minutes": clock["minutes"] for name, clock in unnamed.items()}
    return rpc.StartSlaTrackingRequest(
        **ids,
        targets=[pb.SlaPolicyTarget(**minutes)],
        schedule=ParseDict(case["schedule"], pb.BusinessHoursSchedule()),
        notification_thresholds=next(iter(unnamed.values()))["percents"],
        clocks=map(clock_terms, case["clocks"]),
    )


async def obey(slad: Slad, op: dict[str, Any], ids: dict[str, str], **when: Any) -> None:
    reason: dict[str, Any] = {}
    if code := op.get("reason"):
        reason["reason"] = pb.SlaPauseReason.Value(
            f"SLA_PAUSE_REASON_{code if code in KNOWN_REASONS else 'OTHER'}"
        )
        reason["reason_code"] = "" if code in KNOWN_REASONS else code
    ids = {**ids, **when}
    backend = slad.backend
    match op["op"]:
        case "pause":
            await backend.PauseSla(rpc.PauseSlaRequest(**ids, **reason))
        case "resume":
            await backend.ResumeSla(rpc.ResumeSlaRequest(**ids, **reason))
        case "customer_message":
            sender = pb.SLA_MESSAGE_SENDER_CUSTOMER
            await backend.RecordSlaMessage(rpc.RecordSlaMessageRequest(**ids, sender=sender))
        case "agent_message":
            sender = pb.SLA_MESSAGE_SENDER_AGENT
            await backend.RecordSlaMessage(rpc.RecordSlaMessageRequest(**ids, sender=sender))
        case "assign":
            await backend.AssignSla(rpc.AssignSlaRequest(**ids, owner=op["owner"]))
        case "complete" | "discard":
            discard = op["op"] == "discard"
            await backend.CompleteSla(rpc.CompleteSlaRequest(**ids, clock=op["clock"], discard=discard))
        case "resolution":
            await backend.CompleteSla(rpc.CompleteSlaRequest(**ids, clock="resolution"))
        case "cancel":
            await backend.CancelSla(rpc.CancelSlaRequest(**ids))
        case other:
            raise AssertionError(other)


@pytest.mark.usefixtures("engine")
async def test_clock_vectors_by_test_clock_and_watcher(tmp_path: Path) -> None:
    """All cases at once in one daemon, a ticket each: none disturbs another."""
    steps = sorted(_steps(), key=lambda step: step[:3])
    fired: dict[int, list[tuple[str, str, int, int]]] = defaultdict(list)
    cycles: dict[int, dict[tuple[str, str], dict[str, Any]]] = defaultdict(dict)
    statuses: dict[int, pb.SlaStatus] = {}
    async with slad_running(tmp_path, now=steps[0][0]) as slad:
        watch = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"))
        await watch.initial_metadata()
        for instant, number, _, op in steps:
            if instant > slad.now:
                await slad.advance_to(instant)
            ids = {"tenant_id": "acme", "ticket_id": str(number)}
            if op["op"] == "start":
                await slad.backend.StartSlaTracking(start_of(CASES[number], ids))
            elif op["op"] == "until":
                reply = await slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(**ids))
                statuses[number] = reply.status
            else:
                await obey(slad, op, ids)
        await slad.start("end", tenant_id="end")
        async for reply in watch:
            for event in reply.events:
                if event.tenant_id == "acme":
                    _note(event, fired[int(event.ticket_id)], cycles[int(event.ticket_id)])
            if reply.events[-1].tenant_id == "end":
                break
        watch.cancel()
    for number, case in enumerate(CASES):
        expected = sorted((e["at"], e["clock"], e["cycle"], e["percent"]) for e in case["expect"])
        within = [crossing for crossing in fired[number] if at(crossing[0]) <= at(case["until"])]
        assert sorted(within) == expected, number
        _check_cycles(case, cycles[number], statuses[number], number)


def _steps() -> Iterator[tuple[int, int, int, dict[str, Any]]]:
    for number, case in enumerate(CASES):
        yield at(case["start"]), number, 0, {"op": "start"}
        for place, op in enumerate(case["ops"], start=1):
            yield at(op["at"]), number, place, op
        # A minute later, as the counter counts the minute that begins at `until` as well.
        yield at(case["until"]) + MINUTE_MS, number, len(case["ops"]) + 1, {"op": "until"}


def _note(
    event: pb.SlaEvent,
    fired: list[tuple[str, str, int, int]],
    cycles: dict[tuple[str, str], dict[str, Any]],
) -> None:
    opened_at = format_instant(event.cycle_opened_at.ToMilliseconds()) if event.clock else ""
    cycle = {"clock": event.clock, "cycle": event.cycle, "opened_at": opened_at}
    match event.type:
        case pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
            # The counter finds a crossing at the next whole minute.
            crossed_at = -(-event.occurred_at.ToMilliseconds() // MINUTE_MS) * MINUTE_MS
            fired.append((format_instant(crossed_at), event.clock, event.cycle, event.threshold.percent))
        case pb.SLA_EVENT_TYPE_CLOCK_OPENED:
            cycles[event.clock, opened_at] = cycle
        case pb.SLA_EVENT_TYPE_CLOCK_CLOSED | pb.SLA_EVENT_TYPE_PHASE_COMPLETED:
            cycle["closed_at"] = format_instant(event.occurred_at.ToMilliseconds())
            cycle["met"] = event.met if event.HasField("met") else None
            cycles[event.clock, opened_at] = cycle
        case pb.SLA_EVENT_TYPE_THRESHOLD_RETRACTED | pb.SLA_EVENT_TYPE_CLOCK_RETRACTED:
            raise AssertionError(event)
        case _:
            pass


def _check_cycles(
    case: dict[str, Any],
    told: dict[tuple[str, str], dict[str, Any]],
    status: pb.SlaStatus,
    number: int,
) -> None:
    """The events tell of every cycle; the status of the last one of each clock, and of their number."""
    assert [clock.name for clock in status.clocks] == [clock["name"] for clock in case["clocks"]], number
    for clock in status.clocks:
        mine = [cycle for cycle in case["cycles"] if cycle["clock"] == clock.name]
        closed = [cycle for cycle in mine if "closed_at" in cycle]
        verdicts = [cycle["met"] for cycle in closed]
        assert clock.cycles_closed == len(closed), (number, clock.name)
        assert (clock.cycles_met, clock.cycles_missed) == (verdicts.count(True), verdicts.count(False))
        if not mine:
            assert clock.cycle == 0
            continue
        assert clock.cycle == mine[-1]["cycle"]
        assert format_instant(clock.opened_at.ToMilliseconds()) == mine[-1]["opened_at"]
        assert clock.clock.elapsed.ToMilliseconds() // MINUTE_MS == mine[-1]["elapsed_minutes"], number
        if clock.name not in ("response", "resolution"):
            expected = [{k: v for k, v in cycle.items() if k != "elapsed_minutes"} for cycle in mine]
            found = [told[clock.name, cycle["opened_at"]] for cycle in mine]
            assert found == expected, number
