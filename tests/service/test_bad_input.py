"""Everything that is refused, through the wire: the code, the field, a reason; and nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.message import Message
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import test_clock_pb2 as clock_rpc
from slad_client.v1 import types_pb2 as pb

from tests.slad_under_test import (
    MONDAY_9,
    OFFICE,
    Slad,
    refused,
    slad_running,
    stamp,
    start_request,
    target,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT
LONG = "x" * 201


class Case(NamedTuple):
    name: str
    request: Message
    field: str
    reason: str
    code: grpc.StatusCode = INVALID


def schedule(edit: Callable[[pb.BusinessHoursSchedule], object]) -> pb.BusinessHoursSchedule:
    changed = pb.BusinessHoursSchedule()
    changed.CopyFrom(OFFICE)
    edit(changed)
    return changed


def start(name: str, field: str, reason: str, **fields: Any) -> Case:
    return Case(f"start: {name}", start_request("new", **fields), field, reason)


def bad_schedule(
    name: str, field: str, reason: str, edit: Callable[[pb.BusinessHoursSchedule], object]
) -> Case:
    return start(name, field, reason, schedule=schedule(edit))


def ticket(kind: type[Message], **fields: Any) -> Message:
    return kind(**({"tenant_id": "acme", "ticket_id": "live"} | fields))


def set_entry(index: int, **fields: Any) -> Callable[[pb.BusinessHoursSchedule], object]:
    def edit(changed: pb.BusinessHoursSchedule) -> None:
        for name, value in fields.items():
            setattr(changed.entries[index], name, value)

    return edit


def add_holiday(date: str) -> Callable[[pb.BusinessHoursSchedule], object]:
    return lambda changed: changed.holidays.add(holiday_date=date)


def bad_override(what: str, field: str, reason: str, **fields: Any) -> Case:
    return bad_schedule(
        f"override: {what}",
        f"schedule.date_overrides[0].{field}",
        reason,
        lambda changed: changed.date_overrides.add(**fields),
    )


def every_day_off(changed: pb.BusinessHoursSchedule) -> None:
    for month, days in enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1):
        for day in range(1, days + 1):
            changed.holidays.add(holiday_date=f"2024-{month:02}-{day:02}", is_recurring=True)


PAUSE, RESUME, COMPLETE, CANCEL = (
    rpc.PauseSlaRequest,
    rpc.ResumeSlaRequest,
    rpc.CompleteSlaRequest,
    rpc.CancelSlaRequest,
)
CLIENT = pb.SLA_PAUSE_REASON_AWAITING_CLIENT
HOUR = 3_600_000

CASES = [
    # --- ids
    start("no tenant", "tenant_id", "REQUIRED", tenant_id=""),
    start("no ticket", "ticket_id", "REQUIRED", ticket_id=""),
    start("long tenant", "tenant_id", "TOO_LONG", tenant_id=LONG),
    start("long ticket", "ticket_id", "TOO_LONG", ticket_id=LONG),
    start("long policy", "policy_id", "TOO_LONG", policy_id=LONG),
    start("long request id", "request_id", "TOO_LONG", request_id=LONG),
    start("NUL in ticket", "ticket_id", "NOT_PRINTABLE", ticket_id="a\0b"),
    Case("pause: no ticket", PAUSE(tenant_id="acme", reason=CLIENT), "ticket_id", "REQUIRED"),
    Case("pause: long ticket", ticket(PAUSE, reason=CLIENT, ticket_id=LONG), "ticket_id", "TOO_LONG"),
    # --- targets
    start("no targets", "targets", "NO_TARGET", targets=[]),
    start("target without minutes", "targets[0]", "NO_TARGET", targets=[target(None, None)]),
    start("target of zero", "targets[0].response_time_minutes", "NOT_POSITIVE", targets=[target(0, 60)]),
    start("target below zero", "targets[0].resolution_time_minutes", "NOT_POSITIVE", targets=[target(1, -5)]),
    start(
        "second target of zero",
        "targets[1].resolution_time_minutes",
        "NOT_POSITIVE",
        targets=[target(), target(1, 0)],
    ),
    start(
        "endless target",
        "targets[0].resolution_time_minutes",
        "DEADLINE_OUT_OF_RANGE",
        targets=[target(1, 2**62)],
    ),
    start(
        "target past year 9999",
        "targets[0].resolution_time_minutes",
        "DEADLINE_OUT_OF_RANGE",
        targets=[target(1, 4_000_000_000)],
    ),
    start(
        "priority without target",
        "priority_id",
        "NO_TARGET",
        priority_id="p9",
        targets=[pb.SlaPolicyTarget(priority_id="p1", response_time_minutes=5)],
    ),
    # --- percents
    start("percent 0", "notification_thresholds[1]", "PERCENT_OUT_OF_RANGE", notification_thresholds=[50, 0]),
    start(
        "percent 1001", "notification_thresholds[0]", "PERCENT_OUT_OF_RANGE", notification_thresholds=[1001]
    ),
    start(
        "escalation below zero",
        "targets[0].escalation_1_percent",
        "PERCENT_OUT_OF_RANGE",
        targets=[target(escalate=(-1, 0, 0))],
    ),
    start(
        "escalation 1001",
        "targets[0].escalation_3_percent",
        "PERCENT_OUT_OF_RANGE",
        targets=[target(escalate=(0, 0, 1001))],
    ),
    # --- schedule
    Case(
        "start: no schedule",
        rpc.StartSlaTrackingRequest(tenant_id="acme", ticket_id="new", targets=[target()]),
        "schedule",
        "REQUIRED",
    ),
    bad_schedule(
        "unknown zone",
        "schedule.timezone",
        "UNKNOWN_TIME_ZONE",
        lambda s: setattr(s, "timezone", "Mars/Olympus"),
    ),
    bad_schedule("no zone", "schedule.timezone", "UNKNOWN_TIME_ZONE", lambda s: s.ClearField("timezone")),
    bad_schedule(
        "path as zone",
        "schedule.timezone",
        "UNKNOWN_TIME_ZONE",
        lambda s: setattr(s, "timezone", "../../etc/passwd"),
    ),
    bad_schedule(
        "malformed start", "schedule.entries[2].start_time", "MALFORMED_TIME", set_entry(2, start_time="9:00")
    ),
    bad_schedule(
        "malformed end", "schedule.entries[2].end_time", "MALFORMED_TIME", set_entry(2, end_time="25:00")
    ),
    bad_schedule(
        "24:00 as a start",
        "schedule.entries[0].start_time",
        "MALFORMED_TIME",
        set_entry(0, start_time="24:00"),
    ),
    bad_schedule(
        "empty window", "schedule.entries[1].end_time", "EMPTY_WINDOW", set_entry(1, end_time="09:00:00")
    ),
    bad_schedule(
        "day 7", "schedule.entries[0].day_of_week", "DAY_OF_WEEK_OUT_OF_RANGE", set_entry(0, day_of_week=7)
    ),
    bad_schedule("no entries", "schedule.entries", "SCHEDULE_NEVER_OPENS", lambda s: s.ClearField("entries")),
    bad_schedule("always holiday", "schedule.holidays", "SCHEDULE_NEVER_OPENS", every_day_off),
    bad_schedule(
        "30 February", "schedule.holidays[0].holiday_date", "MALFORMED_DATE", add_holiday("2026-02-30")
    ),
    bad_override("no date", "from_date", "MALFORMED_DATE", from_date="Christmas"),
    bad_override("30 February", "to_date", "MALFORMED_DATE", from_date="2026-02-01", to_date="2026-02-30"),
    bad_override(
        "to before from", "to_date", "BEFORE_FROM_DATE", from_date="2026-12-24", to_date="2026-12-23"
    ),
    bad_override("366 dates", "to_date", "TOO_MANY_DATES", from_date="2026-01-01", to_date="2027-01-01"),
    bad_override(
        "window ends when it starts",
        "entries[1].end_time",
        "EMPTY_WINDOW",
        from_date="2026-12-24",
        entries=[
            pb.DateOverrideEntry(start_time="09:00", end_time="13:00"),
            pb.DateOverrideEntry(start_time="14:00", end_time="14:00"),
        ],
    ),
    bad_override(
        "no time",
        "entries[0].start_time",
        "MALFORMED_TIME",
        from_date="2026-12-24",
        entries=[pb.DateOverrideEntry(start_time="nine", end_time="13:00")],
    ),
    bad_override("long name", "name", "TOO_LONG", from_date="2026-12-24", name=LONG),
    bad_schedule(
        "1001 overrides",
        "schedule.date_overrides",
        "TOO_MANY",
        lambda changed: changed.date_overrides.extend([pb.DateOverride(from_date="2026-12-24")] * 1_001),
    ),
    bad_schedule(
        "always overridden",
        "schedule.date_overrides",
        "SCHEDULE_NEVER_OPENS",
        lambda changed: changed.date_overrides.add(
            from_date="2026-01-01", to_date="2026-12-31", is_recurring=True
        ),
    ),
    bad_schedule("no date", "schedule.holidays[0].holiday_date", "MALFORMED_DATE", add_holiday("Christmas")),
    bad_schedule(
        "1001 entries",
        "schedule.entries",
        "TOO_MANY",
        lambda s: s.entries.extend([OFFICE.entries[0]] * 1000),
    ),
    # --- instants
    start("far past", "started_at", "TOO_FAR_IN_THE_PAST", started_at=stamp("1999-12-31T23:59:59Z")),
    start("year 1", "started_at", "TOO_FAR_IN_THE_PAST", started_at=stamp("0001-01-01T00:00:00Z")),
    start("future", "started_at", "IN_THE_FUTURE", started_at=stamp(MONDAY_9 + 5_001)),
    start("no instant", "started_at", "MALFORMED_TIMESTAMP", started_at={"seconds": 2**62}),
    start("odd nanos", "started_at", "MALFORMED_TIMESTAMP", started_at={"seconds": 1772442000, "nanos": -1}),
    Case(
        "pause: before the start",
        ticket(PAUSE, reason=CLIENT, effective_at=stamp(MONDAY_9 - 5_001)),
        "effective_at",
        "BEFORE_START",
    ),
    Case(
        "complete: in the future",
        ticket(COMPLETE, phase=1, effective_at=stamp(MONDAY_9 + 5_001)),
        "effective_at",
        "IN_THE_FUTURE",
    ),
    Case(
        "reopen: before the end",
        rpc.ReopenSlaRequest(
            tenant_id="acme",
            ticket_id="done",
            mode=pb.REOPEN_MODE_RESUME,
            effective_at=stamp(MONDAY_9 - 5_001),
        ),
        "effective_at",
        "BEFORE_START",
    ),
    # --- enums
    Case("pause: no reason", ticket(PAUSE), "reason", "REQUIRED"),
    Case("pause: reason 9", ticket(PAUSE, reason=9), "reason", "UNKNOWN_ENUM_VALUE"),
    Case("complete: no phase", ticket(COMPLETE), "phase", "REQUIRED"),
    Case(
        "complete: discarded, with a verdict",
        ticket(COMPLETE, phase=1, discard=True, met=False),
        "met",
        "CONTRADICTORY",
    ),
    Case("complete: phase 3", ticket(COMPLETE, phase=3), "phase", "UNKNOWN_ENUM_VALUE"),
    Case("reopen: no mode", ticket(rpc.ReopenSlaRequest), "mode", "REQUIRED"),
    start("on_existing 77", "on_existing", "UNKNOWN_ENUM_VALUE", on_existing=77),
    start(
        "response_on_resolution 77", "response_on_resolution", "UNKNOWN_ENUM_VALUE", response_on_resolution=77
    ),
    start("pause_accounting 77", "pause_accounting", "UNKNOWN_ENUM_VALUE", pause_accounting=77),
    # --- attributes
    start("33 attributes", "attributes", "TOO_MANY", attributes={str(n): "" for n in range(33)}),
    start("long attribute", "attributes['k']", "TOO_LONG", attributes={"k": "v" * 1001}),
    # --- queries
    Case("status: generation 0", ticket(rpc.GetSlaStatusRequest, generation=0), "generation", "NOT_POSITIVE"),
    Case("list: page of 1001", rpc.ListSlaTrackingsRequest(page_size=1001), "page_size", "OUT_OF_RANGE"),
    Case("list: page of -1", rpc.ListSlaTrackingsRequest(page_size=-1), "page_size", "OUT_OF_RANGE"),
    Case("list: token", rpc.ListSlaTrackingsRequest(page_token="?"), "page_token", "MALFORMED_TOKEN"),
    Case("list: state 9", rpc.ListSlaTrackingsRequest(states=[9]), "states[0]", "UNKNOWN_ENUM_VALUE"),
    Case(
        "preview: an owner that AssignSla would not take",
        rpc.PreviewSlaRequest(
            targets=[target()],
            schedule=OFFICE,
            facts=[rpc.SlaFact(at=stamp(MONDAY_9), kind=rpc.SLA_FACT_KIND_ASSIGNED, owner=LONG)],
        ),
        "facts[0].owner",
        "TOO_LONG",
    ),
    *(
        Case(
            f"preview: a fact of kind {kind} with {name}",
            rpc.PreviewSlaRequest(
                targets=[target()],
                schedule=OFFICE,
                facts=[rpc.SlaFact(at=stamp(MONDAY_9), kind=kind, **fields)],
            ),
            f"facts[0].{name}",
            "CONTRADICTORY",
        )
        for kind, name, fields in (
            (rpc.SLA_FACT_KIND_CUSTOMER_MESSAGE, "owner", {"owner": "kim"}),
            (rpc.SLA_FACT_KIND_AGENT_MESSAGE, "clock", {"clock": "response"}),
            (rpc.SLA_FACT_KIND_ASSIGNED, "met", {"met": False}),
            (rpc.SLA_FACT_KIND_CLOCK_DISCARDED, "met", {"clock": "response", "met": True}),
            (rpc.SLA_FACT_KIND_CLOCK_DISCARDED, "owner", {"clock": "response", "owner": "kim"}),
        )
    ),
    Case(
        "preview: overlapping pauses",
        rpc.PreviewSlaRequest(
            targets=[target()],
            schedule=OFFICE,
            started_at=stamp(MONDAY_9),
            pauses=[
                pb.SlaPause(paused_at=stamp(MONDAY_9), resumed_at=stamp(MONDAY_9 + HOUR)),
                pb.SlaPause(paused_at=stamp(MONDAY_9 + 1)),
            ],
        ),
        "pauses[1].paused_at",
        "OUT_OF_ORDER",
    ),
    Case(
        "preview: as_of before the start",
        rpc.PreviewSlaRequest(
            targets=[target()], schedule=OFFICE, started_at=stamp(MONDAY_9), as_of=stamp(MONDAY_9 - 1)
        ),
        "as_of",
        "BEFORE_START",
    ),
    Case("retarget: no target", ticket(rpc.RetargetSlaRequest, schedule=OFFICE), "targets", "NO_TARGET"),
    # --- events
    Case("watch: below zero", rpc.WatchSlaEventsRequest(after_sequence=-1), "after_sequence", "NEGATIVE"),
    Case(
        "watch: beyond the head",
        rpc.WatchSlaEventsRequest(consumer="c", after_sequence=10**9),
        "after_sequence",
        "BEYOND_HEAD",
    ),
    Case("watch: type 99", rpc.WatchSlaEventsRequest(types=[99]), "types[0]", "UNKNOWN_ENUM_VALUE"),
    Case("ack: no consumer", rpc.AckSlaEventsRequest(sequence=1), "consumer", "REQUIRED"),
    Case("ack: below zero", rpc.AckSlaEventsRequest(consumer="psa", sequence=-1), "sequence", "NEGATIVE"),
    # --- the virtual clock
    Case("advance: nowhere", clock_rpc.AdvanceTimeRequest(), "to", "REQUIRED"),
    Case("advance: back", clock_rpc.AdvanceTimeRequest(to=stamp(MONDAY_9 - 1)), "to", "BACKWARDS"),
    # --- what depends on the ticket
    Case(
        "pause: unknown ticket",
        ticket(PAUSE, reason=CLIENT, ticket_id="nobody"),
        "ticket_id",
        "TRACKING_NOT_FOUND",
        grpc.StatusCode.NOT_FOUND,
    ),
    Case(
        "pause: of another tenant",
        ticket(PAUSE, reason=CLIENT, tenant_id="globex"),
        "ticket_id",
        "TRACKING_NOT_FOUND",
        grpc.StatusCode.NOT_FOUND,
    ),
    Case(
        "status: unknown generation",
        ticket(rpc.GetSlaStatusRequest, generation=2),
        "generation",
        "GENERATION_NOT_FOUND",
        grpc.StatusCode.NOT_FOUND,
    ),
    *(
        Case(
            f"{name}: unknown clock",
            ticket(request, clock="nobody"),
            "clock",
            "CLOCK_NOT_FOUND",
            grpc.StatusCode.NOT_FOUND,
        )
        for name, request in (("complete", COMPLETE), ("timeline", rpc.GetSlaTimelineRequest))
    ),
    *(
        Case(
            f"{name}: completed",
            request(tenant_id="acme", ticket_id="done", **fields),
            "",
            "TRACKING_COMPLETED",
            grpc.StatusCode.FAILED_PRECONDITION,
        )
        for name, request, fields in (
            ("pause", PAUSE, {"reason": CLIENT}),
            ("resume", RESUME, {}),
            ("cancel", CANCEL, {}),
            ("retarget", rpc.RetargetSlaRequest, {"targets": [target(5)], "schedule": OFFICE}),
        )
    ),
    Case(
        "complete: cancelled",
        COMPLETE(tenant_id="acme", ticket_id="dropped", phase=2),
        "",
        "TRACKING_CANCELLED",
        grpc.StatusCode.FAILED_PRECONDITION,
    ),
    Case(
        "start: FAIL on a live one",
        start_request("live", on_existing=pb.ON_EXISTING_FAIL),
        "",
        "TRACKING_EXISTS",
        grpc.StatusCode.ALREADY_EXISTS,
    ),
    Case(
        "pause: two tenants have it",
        PAUSE(ticket_id="shared", reason=CLIENT),
        "",
        "TENANT_AMBIGUOUS",
        grpc.StatusCode.FAILED_PRECONDITION,
    ),
    Case(
        "request id of another request",
        ticket(PAUSE, reason=CLIENT, request_id="used"),
        "",
        "REQUEST_ID_REUSED",
        grpc.StatusCode.FAILED_PRECONDITION,
    ),
    Case(
        "ack: unknown consumer",
        rpc.AckSlaEventsRequest(consumer="nobody", sequence=1),
        "consumer",
        "CONSUMER_NOT_FOUND",
        grpc.StatusCode.NOT_FOUND,
    ),
    Case(
        "ack: beyond what was sent",
        rpc.AckSlaEventsRequest(consumer="psa", sequence=10**9),
        "",
        "ACK_BEYOND_SENT",
        grpc.StatusCode.OUT_OF_RANGE,
    ),
    Case(
        "ack: behind what is acknowledged",
        rpc.AckSlaEventsRequest(consumer="psa", sequence=1),
        "",
        "ACK_BEHIND",
        grpc.StatusCode.OUT_OF_RANGE,
    ),
]


async def prepared(slad: Slad) -> None:
    await slad.start("live")
    for name in ("done", "dropped"):
        await slad.start(name)
    ids = {"tenant_id": "acme"}
    await slad.backend.CompleteSla(COMPLETE(ticket_id="done", phase=pb.SLA_PHASE_RESOLUTION, **ids))
    await slad.backend.CancelSla(CANCEL(ticket_id="dropped", **ids))
    for tenant in ("acme", "globex"):
        await slad.start("shared", tenant_id=tenant)
    await slad.backend.ResumeSla(RESUME(ticket_id="live", request_id="used", **ids))
    watch = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"))
    reply = await watch.read()
    watch.cancel()
    await slad.backend.AckSlaEvents(
        rpc.AckSlaEventsRequest(consumer="psa", sequence=reply.events[-1].sequence)
    )


async def everything(slad: Slad) -> list[bytes]:
    """All that callers can see: every event, every status."""
    events = await slad.events()
    found = [
        await slad.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest(tenant_id=tenant, page_size=1000))
        for tenant in ("acme", "globex")
    ]
    seen = [*events, *(status for page in found for status in page.trackings)]
    return [message.SerializeToString(deterministic=True) for message in seen]


async def send(slad: Slad, request: Message) -> Any:
    name = type(request).__name__.removesuffix("Request")
    stub = slad.clock if hasattr(slad.clock, name) else slad.backend
    call = getattr(stub, name)(request)
    return await (call.read() if name == "WatchSlaEvents" else call)


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


async def test_bad_input_is_refused_with_its_field_and_changes_nothing(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async with slad_running(tmp_path) as slad:
        await prepared(slad)
        before = await everything(slad)
        for case in CASES:
            with subtests.test(case.name):
                got = await refused(send(slad, case.request))
                assert got.code is case.code
                assert got.reason == case.reason
                assert got.fields == ([case.field] if case.field else [])
                assert got.message
        assert await everything(slad) == before


async def test_an_ended_tracking_says_how_it_ended(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await prepared(slad)
        got = await refused(slad.backend.PauseSla(PAUSE(ticket_id="done", tenant_id="acme", reason=CLIENT)))
        assert got.metadata == {"state": "COMPLETED", "ended_at": "2026-03-02T09:00:00Z"}


async def test_a_message_over_4_mib_is_refused(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await slad.start("big", attributes={"k": "v" * (5 * 1024 * 1024)})
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_bytes_that_are_no_message_are_refused_without_a_word_of_the_inside(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        for name in ("PauseSla", "WatchSlaEvents", "ImportSlaTrackings"):
            path = f"/slad.v1.SlaBackend/{name}"
            if name == "PauseSla":
                call = slad.channel.unary_unary(path)(b"\xff\xff")
            elif name == "WatchSlaEvents":
                call = slad.channel.unary_stream(path)(b"\xff\xff").read()
            else:
                call = slad.channel.stream_unary(path)(iter([b"\xff\xff"]))
            got = await refused(call)
            assert got.code is INVALID
            assert got.reason == "MALFORMED_MESSAGE"
