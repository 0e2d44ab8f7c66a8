"""Every method once, errors, deadlines and retries: both clients against a daemon."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest
import slad_client
from slad_client import NO_RETRY, RetryPolicy, aio, sync
from slad_client.v1 import types_pb2 as pb
from slad_client.v1.sla_backend_pb2_grpc import SlaBackendServicer

from slad.core.errors import Refusal
from tests.clients.python.conftest import Client, Connect
from tests.clients.python.relay import HANGS, Fault, Relay, refusing
from tests.slad_under_test import OFFICE, Slad, slad_running, stamp, target, told

UNAVAILABLE = Fault(grpc.StatusCode.UNAVAILABLE)

MONDAY_9 = datetime(2026, 3, 2, 9, tzinfo=UTC)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


async def start(client: Client, ticket_id: str = "T-1", **fields: Any) -> Any:
    given = {"tenant_id": "acme", "ticket_id": ticket_id, "targets": [target()], "schedule": OFFICE}
    return await client.start_sla_tracking(**(given | fields))


# --- every method


def test_both_clients_have_the_same_methods_one_for_each_rpc() -> None:
    def methods(kind: type) -> dict[str, inspect.Signature]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(f) for name, f in found if not name.startswith("_")}

    assert methods(aio.SladClient) == methods(sync.SladClient)
    rpcs = {name for name, _ in inspect.getmembers(SlaBackendServicer, inspect.isfunction)}
    snake = {"".join(f"_{c.lower()}" if c.isupper() else c for c in name)[1:] for name in rpcs}
    bulk = {"import_sla_trackings", "export_sla_trackings", "reconcile_sla_trackings"}
    assert set(methods(aio.SladClient)) == snake - bulk - {"execute_sla"} | {"execute", "pipeline", "close"}


async def test_the_life_of_a_ticket(client: Client, slad: Slad) -> None:
    started = await start(
        client,
        policy_id="gold",
        notification_thresholds=[50],
        started_at=MONDAY_9 - minutes(30),
        attributes={"board": "7"},
    )
    assert started.created
    assert started.status.started_at.ToDatetime(UTC) == MONDAY_9 - minutes(30)
    assert started.status.attributes == {"board": "7"}

    paused = await client.pause_sla(ticket_id="T-1", reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
    assert paused.changed
    assert paused.status.is_paused
    await slad.advance(minutes=20)
    resumed = await client.resume_sla(ticket_id="T-1", effective_at=MONDAY_9 + minutes(10))
    assert resumed.status.total_pause_minutes == 10

    answered = await client.complete_sla(ticket_id="T-1", phase=pb.SLA_PHASE_RESPONSE, met=False)
    assert (answered.changed, answered.met, answered.met_differs) == (True, True, True)

    retargeted = await client.retarget_sla(
        ticket_id="T-1", targets=[target(resolution=480)], schedule=OFFICE, policy_id="silver"
    )
    assert retargeted.status.policy_id == "silver"
    assert retargeted.status.resolution.target.ToTimedelta() == minutes(480)

    many = client.retarget_sla_trackings(
        tenant_id="acme", of_policy_id="silver", targets=[target(resolution=960)], dry_run=True
    )
    found = [(d.ticket_id, d.clock) async for reply in many for d in reply.differences]
    assert found == [("T-1", "resolution")]

    cancelled = await client.cancel_sla(ticket_id="T-1", tenant_id="acme")
    assert cancelled.status.state == pb.SLA_TRACKING_STATE_CANCELLED
    reopened = await client.reopen_sla(ticket_id="T-1", tenant_id="acme", mode=pb.REOPEN_MODE_RESUME)
    assert reopened.status.generation == 2

    first = await client.get_sla_status(ticket_id="T-1", generation=1)
    assert first.status.state == pb.SLA_TRACKING_STATE_CANCELLED
    now = await client.get_sla_status(ticket_id="T-1", tenant_id="acme")
    assert now.status == reopened.status
    life = await client.get_sla_timeline(ticket_id="T-1", generation=1)
    assert "STARTED" in told(life.events)
    assert life.segments


async def test_what_share_of_promises_was_kept(client: Client, slad: Slad) -> None:
    for ticket in ("T-1", "T-2"):
        await start(client, ticket, targets=[target(None, 60)], policy_id="gold")
    await slad.advance(minutes=90)
    await client.complete_sla(ticket_id="T-1", phase="RESOLUTION")
    why: dict[str, Any] = {"clock": "resolution", "reason_code": "vendor", "excused": True}
    assert (await client.annotate_sla(ticket_id="T-1", **why)).changed
    about: dict[str, Any] = {"tenant_id": "acme", "from_time": MONDAY_9, "to_time": MONDAY_9 + minutes(600)}
    asked = about | {"timezone": "Europe/Berlin", "by": "DUE", "group_by": ["POLICY", "MONTH"]}
    report = await client.report_sla(**asked)
    assert [(list(row.group), row.missed_excused, row.open_overdue) for row in report.rows] == [
        (["gold", "2026-03"], 1, 1)
    ]
    assert (await client.report_sla(**asked, as_of=report.as_of)).total == report.total
    unfolded = client.unfold_sla_report(**asked, group=["gold", "2026-03"], figures=["OPEN_OVERDUE"])
    assert [entry.ticket_id async for reply in unfolded for entry in reply.entries] == ["T-2"]
    ahead = await client.forecast_sla(tenant_id="acme", until=MONDAY_9 + minutes(600), group_by=["CLOCK"])
    assert (ahead.total.overdue, [cycle.ticket_id for cycle in ahead.cycles]) == (1, ["T-2"])


async def test_a_preview(client: Client) -> None:
    ahead = await client.preview_sla(
        targets=[target()],
        schedule=OFFICE,
        started_at=MONDAY_9,
        pauses=[
            pb.SlaPause(paused_at=stamp("2026-03-02T09:10:00Z"), resumed_at=stamp("2026-03-02T09:30:00Z"))
        ],
        as_of=MONDAY_9 + minutes(40),
    )
    assert ahead.response.due_at.ToDatetime(UTC) == MONDAY_9 + minutes(80)
    assert ahead.response.elapsed.ToTimedelta() == minutes(20)


async def test_a_list_goes_through_all_pages(client: Client) -> None:
    tickets = [f"T-{number}" for number in range(7)]
    for ticket in tickets:
        await start(client, ticket)
    await client.cancel_sla(ticket_id="T-3", tenant_id="acme")
    assert [s.ticket_id async for s in client.list_sla_trackings(page_size=2)] == tickets
    live = client.list_sla_trackings(
        tenant_id="acme",
        states=[pb.SLA_TRACKING_STATE_ACTIVE],
        statuses=[pb.SLA_TIMER_STATUS_ON_TRACK],
        due_before=MONDAY_9 + minutes(61),
        page_size=2,
    )
    assert [s.ticket_id async for s in live] == [ticket for ticket in tickets if ticket != "T-3"]


async def test_an_instant_may_be_of_any_zone_or_come_from_a_reply(client: Client) -> None:
    started = await start(client, started_at=datetime(2026, 3, 2, 10, tzinfo=timezone(minutes(60))))
    due = started.status.response.due_at
    assert [s async for s in client.list_sla_trackings(due_before=due)] == []
    paused = await client.pause_sla(
        ticket_id="T-1", reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE, effective_at=started.status.started_at
    )
    assert paused.changed


async def test_a_start_that_continues_a_cancelled_one(client: Client, slad: Slad) -> None:
    await start(client)
    await client.cancel_sla(ticket_id="T-1", tenant_id="acme")
    await slad.advance(minutes=5)
    again = await start(
        client, on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED, continue_within=timedelta(hours=1)
    )
    assert again.created
    assert again.status.started_at.ToDatetime(UTC) == MONDAY_9


# --- refused before anything is sent


NAIVE = datetime(2026, 3, 2, 9)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("started_at", lambda c: start(c, started_at=NAIVE)),
        ("started_at", lambda c: c.preview_sla(targets=[target()], started_at=NAIVE)),
        ("as_of", lambda c: c.preview_sla(targets=[target()], as_of=NAIVE)),
        ("effective_at", lambda c: c.pause_sla(ticket_id="T", reason=1, effective_at=NAIVE)),
        ("effective_at", lambda c: c.resume_sla(ticket_id="T", effective_at=NAIVE)),
        ("effective_at", lambda c: c.complete_sla(ticket_id="T", phase=1, effective_at=NAIVE)),
        ("effective_at", lambda c: c.cancel_sla(ticket_id="T", effective_at=NAIVE)),
        ("effective_at", lambda c: c.reopen_sla(ticket_id="T", mode=1, effective_at=NAIVE)),
        ("timeout", lambda c: c.get_sla_status(ticket_id="T", timeout=0)),
        ("timeout", lambda c: c.get_sla_status(ticket_id="T", timeout=float("nan"))),
        ("timeout", lambda c: c.get_sla_status(ticket_id="T", timeout=timedelta(-1))),
    ],
)
async def test_a_value_without_sense_is_refused_by_name(
    connect: Connect, argument: str, call: Callable[[Client], Any]
) -> None:
    with pytest.raises(ValueError, match=f"^{argument}: "):
        await call(connect("unix:/nowhere"))


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("acknowledge", lambda c: c.watch_sla_events(acknowledge=True)),
        ("ack_every", lambda c: c.watch_sla_events(consumer="psa", acknowledge=True, ack_every=0)),
        ("ack_interval", lambda c: c.watch_sla_events(consumer="psa", acknowledge=True, ack_interval=0)),
        ("due_before", lambda c: c.list_sla_trackings(due_before=NAIVE)),
    ],
)
async def test_iterations_refuse_at_once_and_not_at_the_first_item(
    connect: Connect, argument: str, call: Callable[[Client], Any]
) -> None:
    client = connect("unix:/nowhere")
    with pytest.raises(ValueError, match=f"^{argument}: "):
        call(client)


def test_the_asyncio_client_wants_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        aio.SladClient()


# --- typed errors


async def test_invalid_argument_names_the_field(client: Client) -> None:
    schedule = pb.BusinessHoursSchedule(timezone="Mars/Olympus", entries=OFFICE.entries)
    with pytest.raises(slad_client.InvalidArgument) as caught:
        await start(client, schedule=schedule)
    error = caught.value
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.field == "schedule.timezone"
    assert error.violations[0].reason == error.reason
    assert "Mars/Olympus" in error.message
    assert error.reason in str(error)
    assert isinstance(error.__cause__, grpc.RpcError)
    assert client.pauses == []


async def test_not_found(client: Client) -> None:
    with pytest.raises(slad_client.NotFound) as caught:
        await client.get_sla_status(ticket_id="T-0")
    assert caught.value.reason == "TRACKING_NOT_FOUND"


async def test_already_exists(client: Client) -> None:
    await start(client)
    with pytest.raises(slad_client.AlreadyExists):
        await start(client, on_existing=pb.ON_EXISTING_FAIL)


async def test_failed_precondition_says_how_it_ended(client: Client) -> None:
    await start(client)
    await client.complete_sla(ticket_id="T-1", tenant_id="acme", phase=pb.SLA_PHASE_RESOLUTION)
    with pytest.raises(slad_client.FailedPrecondition) as caught:
        await client.pause_sla(
            ticket_id="T-1", tenant_id="acme", reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE, request_id="r-1"
        )
    assert caught.value.reason == "TRACKING_COMPLETED"
    assert "COMPLETED" in caught.value.metadata.values()
    assert caught.value.request_id == "r-1"


async def test_out_of_range(client: Client) -> None:
    await start(client)
    events = client.watch_sla_events(consumer="psa")
    first = await anext(events)
    await client.ack_sla_events(consumer="psa", sequence=first.sequence)
    with pytest.raises(slad_client.OutOfRange) as caught:
        await client.ack_sla_events(consumer="psa", sequence=first.sequence - 1)
    assert caught.value.reason == "ACK_BEHIND"
    with pytest.raises(slad_client.OutOfRange) as caught:
        await client.ack_sla_events(consumer="psa", sequence=999)
    assert caught.value.reason == "ACK_BEYOND_SENT"
    await events.aclose()


# --- retries


async def test_a_command_whose_answer_was_lost_is_carried_out_once(
    relay: Relay, relayed: Client, slad: Slad
) -> None:
    relay.fail("StartSlaTracking", UNAVAILABLE, UNAVAILABLE)
    started = await start(relayed)
    assert started.created, "the first answer, though this is the third request"
    first, *others = relay.requests("StartSlaTracking")
    assert others == [first, first]
    assert len(first.request_id) == 36
    assert told(await slad.events()) == ["STARTED"]


async def test_a_command_that_gets_no_answer_is_sent_again(
    relay: Relay, connect: Connect, slad: Slad
) -> None:
    client = connect(relay.address, retry=RetryPolicy(attempt_timeout=0.5, random=lambda: 0.0))
    relay.fail("StartSlaTracking", HANGS)
    started = await start(client, request_id="r-1")
    assert started.created
    # Twice on an idle machine; on a busy one the second answer may be late as well.
    sent = [request.request_id for request in relay.requests("StartSlaTracking")]
    assert len(sent) >= 2
    assert set(sent) == {"r-1"}
    assert told(await slad.events()) == ["STARTED"]


async def test_the_same_request_id_for_another_content_is_refused(client: Client) -> None:
    await start(client, request_id="r-1")
    with pytest.raises(slad_client.FailedPrecondition) as caught:
        await start(client, "T-2", request_id="r-1")
    assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_every_command_gets_an_id_of_its_own(relay: Relay, relayed: Client) -> None:
    await start(relayed)
    await start(relayed)
    assert len({request.request_id for request in relay.requests("StartSlaTracking")}) == 2


async def test_a_query_is_retried_when_slad_is_away(relay: Relay, relayed: Client) -> None:
    relay.fail("PreviewSla", UNAVAILABLE)
    assert (await relayed.preview_sla(targets=[target()], schedule=OFFICE)).HasField("response")


async def test_a_query_that_gets_no_answer_is_not_sent_again(relay: Relay, connect: Connect) -> None:
    client = connect(relay.address, retry=RetryPolicy(attempt_timeout=0.01))
    relay.fail("PreviewSla", HANGS)
    asking = asyncio.create_task(client.preview_sla(targets=[target()], schedule=OFFICE, timeout=60))
    await relay.until(lambda: len(relay.time_left) == 1)
    assert relay.time_left[0] > 1, "all of its time, not that of an attempt"
    await client.close()
    with pytest.raises(slad_client.Cancelled):
        await asking
    assert len(relay.requests("PreviewSla")) == 1


@pytest.mark.parametrize(
    "code",
    [
        code
        for code in grpc.StatusCode
        if code.name not in ("OK", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
    ],
    ids=lambda code: code.name,
)
async def test_nothing_else_is_retried(relay: Relay, relayed: Client, code: grpc.StatusCode) -> None:
    relay.fail("CancelSla", Fault(code, forward=False))
    with pytest.raises(slad_client.SladError) as caught:
        await relayed.cancel_sla(ticket_id="T-1", request_id="r-1")
    error = caught.value
    assert (error.code, error.reason, error.request_id) == (code, "", "r-1")
    assert type(error).__name__ == "".join(word.capitalize() for word in code.name.split("_"))
    assert len(relay.requests("CancelSla")) == 1


async def test_retries_come_to_an_end(relay: Relay, connect: Connect) -> None:
    client = connect(relay.address, retry=RetryPolicy(attempts=3, random=lambda: 1.0, first_delay=0.1))
    relay.fail("CancelSla", *[Fault(grpc.StatusCode.UNAVAILABLE, forward=False)] * 9)
    with pytest.raises(slad_client.Unavailable):
        await client.cancel_sla(ticket_id="T-1")
    assert client.pauses == [0.1, 0.2]


@pytest.mark.parametrize("per_call", [False, True])
async def test_retries_can_be_switched_off(relay: Relay, connect: Connect, per_call: bool) -> None:
    client = connect(relay.address) if per_call else connect(relay.address, retry=NO_RETRY)
    relay.fail("CancelSla", Fault(grpc.StatusCode.UNAVAILABLE, forward=False))
    with pytest.raises(slad_client.Unavailable):
        await client.cancel_sla(ticket_id="T-1", retry=NO_RETRY if per_call else None)
    assert len(relay.requests("CancelSla")) == 1


async def test_a_pause_that_slad_asks_for_is_kept(relay: Relay, relayed: Client) -> None:
    relay.fail("PreviewSla", refusing(Refusal.UNAVAILABLE, "OVERLOADED"))
    await relayed.preview_sla(targets=[target()], schedule=OFFICE)
    assert relayed.pauses == [1.0]


async def test_a_pause_beyond_the_timeout_is_not_made(relay: Relay, relayed: Client) -> None:
    relay.fail("PreviewSla", refusing(Refusal.UNAVAILABLE, "OVERLOADED"))
    with pytest.raises(slad_client.Unavailable) as caught:
        await relayed.preview_sla(targets=[target()], schedule=OFFICE, timeout=timedelta(seconds=0.9))
    assert caught.value.reason == "OVERLOADED"
    assert caught.value.retry_delay == timedelta(seconds=1)
    assert relayed.pauses == []


# --- deadlines


@pytest.mark.parametrize("per_call", [False, True])
async def test_a_server_that_hangs(relay: Relay, connect: Connect, per_call: bool) -> None:
    client = connect(relay.address) if per_call else connect(relay.address, timeout=0.2)
    relay.fail("CancelSla", *[Fault(forward=False)] * 9)
    with pytest.raises(slad_client.DeadlineExceeded) as caught:
        await client.cancel_sla(ticket_id="T-1", timeout=0.2 if per_call else None)
    # What the server was told, rounded up by gRPC; how long it took in the end is the machine's.
    assert max(relay.time_left, default=0) <= 0.25
    assert {request.request_id for request in relay.requests("CancelSla")} <= {caught.value.request_id}


@pytest.mark.parametrize("wait_for_ready", [False, True])
async def test_no_server(connect: Connect, tmp_path: Path, wait_for_ready: bool) -> None:
    client = connect(f"unix:{tmp_path}/nobody.sock", timeout=0.2, wait_for_ready=wait_for_ready)
    expected = slad_client.DeadlineExceeded if wait_for_ready else slad_client.Unavailable
    with pytest.raises(expected):
        await client.get_sla_status(ticket_id="T-1")


async def test_waiting_for_a_server_that_comes(connect: Connect, tmp_path: Path) -> None:
    socket = f"unix:{tmp_path}/slad.sock"
    client = connect(socket, wait_for_ready=True)
    asking = asyncio.create_task(client.preview_sla(targets=[target()], schedule=OFFICE))
    await asyncio.sleep(0)
    async with slad_running(tmp_path / "data", listen=[socket]):
        assert (await asking).HasField("response")


# --- closing


async def test_a_closed_client_says_so(client: Client) -> None:
    await client.close()
    with pytest.raises(slad_client.Cancelled, match="client was closed"):
        await client.get_sla_status(ticket_id="T-1")


async def test_closing_ends_a_call_under_way(relay: Relay, relayed: Client) -> None:
    relay.fail("GetSlaStatus", Fault(forward=False))
    asking = asyncio.create_task(relayed.get_sla_status(ticket_id="T-1"))
    await relay.until(lambda: len(relay.seen) == 1)
    await relayed.close()
    with pytest.raises(slad_client.Cancelled):
        await asking


async def test_a_channel_of_the_callers_stays_open(slad: Slad) -> None:
    async with aio.SladClient(channel=slad.channel) as client:
        await client.preview_sla(targets=[target()], schedule=OFFICE)
    assert (await slad.start()).created
    with (
        grpc.insecure_channel(slad.daemon.addresses[0]) as channel,
        sync.SladClient(channel=channel) as blocking,
    ):
        await asyncio.to_thread(blocking.get_sla_status, ticket_id="T-1")


@pytest.mark.parametrize("kind", [sync.SladClient, aio.SladClient])
def test_every_method_says_what_it_does_and_what_it_raises(kind: type) -> None:
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and name != "close":
            assert "Raises " in (inspect.getdoc(method) or ""), name
