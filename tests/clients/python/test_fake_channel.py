"""The blocking client against grpcio-testing's channel: what it sends, and how it takes each answer.

The channel hands over every request as the client made it and waits for the answer; there is no server, no
serialization and no time.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc_testing
import pytest
import slad_client
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from slad_client import RetryPolicy
from slad_client.sync import SladClient
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.errors import InvalidField, Refusal, Refused
from slad.service.error_details import status_of
from tests.slad_under_test import OFFICE, target

SERVICE = rpc.DESCRIPTOR.services_by_name["SlaBackend"]


class Fake:
    """A client whose other end is the test."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._channel = grpc_testing.channel([SERVICE], grpc_testing.strict_fake_time(0))
        self.pauses: list[float] = []
        policy = RetryPolicy(attempts=4, random=lambda: 1.0, first_delay=0.25, max_delay=10)
        self.client = SladClient(channel=self._channel, retry=policy, sleep=self.pauses.append)

    def call(self, name: str, **fields: Any) -> Future[Any]:
        return self._pool.submit(getattr(self.client, name), **fields)

    def request(self, name: str, *, answer: Any = None, error: Exception | None = None) -> Any:
        """Takes the next request of an RPC and answers it."""
        _, request, call = self._channel.take_unary_unary(SERVICE.methods_by_name[name])
        if error is None:
            call.terminate(answer, (), grpc.StatusCode.OK, "")
        else:
            status = status_of(error)
            code = next(c for c in grpc.StatusCode if c.value[0] == status.code)
            details = (("grpc-status-details-bin", status.SerializeToString()),)
            call.terminate(None, details, code, status.message)
        return request

    def stream(self) -> tuple[Any, Any]:
        """Takes the next watch: its request, and its server's end."""
        _, request, call = self._channel.take_unary_stream(SERVICE.methods_by_name["WatchSlaEvents"])
        return request, call


@pytest.fixture
def fake() -> Iterator[Fake]:
    with ThreadPoolExecutor(1) as pool:
        yield Fake(pool)


AT = datetime(2026, 3, 2, 9, 0, 0, 123_456, tzinfo=UTC)
AT_MESSAGE = Timestamp(seconds=1_772_442_000, nanos=123_456_000)
CLOCK = pb.SlaClockTerms(
    name="next-reply", kind=pb.SLA_CLOCK_KIND_NEXT_REPLY, target_minutes=60, is_24x7=True
)
FACT = rpc.SlaFact(kind=rpc.SLA_FACT_KIND_CUSTOMER_MESSAGE)
PAUSE = pb.SlaPause(paused_at=AT_MESSAGE, reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE)

SHAPES: list[tuple[str, dict[str, Any], Any, Any]] = [
    (
        "start_sla_tracking",
        {
            "tenant_id": "acme",
            "ticket_id": "T-1",
            "policy_id": "gold",
            "targets": [target()],
            "priority_id": "p1",
            "schedule": OFFICE,
            "notification_thresholds": [50, 80],
            "started_at": AT,
            "on_existing": pb.ON_EXISTING_CONTINUE_CANCELLED,
            "suppress_past": True,
            "pause_accounting": pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK,
            "clocks": [CLOCK],
            "response_on_resolution": "COUNTS",
            "request_id": "r-1",
            "attributes": {"board": "7"},
            "continue_within": timedelta(minutes=1, milliseconds=5),
        },
        rpc.StartSlaTrackingRequest(
            tenant_id="acme",
            ticket_id="T-1",
            policy_id="gold",
            targets=[target()],
            priority_id="p1",
            schedule=OFFICE,
            notification_thresholds=[50, 80],
            started_at=AT_MESSAGE,
            on_existing=pb.ON_EXISTING_CONTINUE_CANCELLED,
            suppress_past=True,
            pause_accounting=pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK,
            clocks=[CLOCK],
            response_on_resolution=pb.SLA_RESPONSE_ON_RESOLUTION_COUNTS,
            request_id="r-1",
            attributes={"board": "7"},
            continue_within=Duration(seconds=60, nanos=5_000_000),
        ),
        rpc.StartSlaTrackingResponse(created=True),
    ),
    (
        "pause_sla",
        {
            "tenant_id": "acme",
            "ticket_id": "T-1",
            "reason": pb.SLA_PAUSE_REASON_AWAITING_CLIENT,
            "reason_code": "parts",
            "effective_at": AT,
            "request_id": "r-1",
        },
        rpc.PauseSlaRequest(
            tenant_id="acme",
            ticket_id="T-1",
            reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT,
            reason_code="parts",
            effective_at=AT_MESSAGE,
            request_id="r-1",
        ),
        rpc.PauseSlaResponse(changed=True),
    ),
    (
        "resume_sla",
        {
            "tenant_id": "acme",
            "ticket_id": "T-1",
            "reason": "OTHER",
            "reason_code": "parts",
            "effective_at": AT,
            "request_id": "r-1",
        },
        rpc.ResumeSlaRequest(
            tenant_id="acme",
            ticket_id="T-1",
            reason=pb.SLA_PAUSE_REASON_OTHER,
            reason_code="parts",
            effective_at=AT_MESSAGE,
            request_id="r-1",
        ),
        rpc.ResumeSlaResponse(changed=True),
    ),
    (
        "complete_sla",
        {
            "tenant_id": "acme",
            "ticket_id": "T-1",
            "phase": pb.SLA_PHASE_RESOLUTION,
            "clock": "next-reply",
            "discard": True,
            "met": False,
            "effective_at": AT,
            "request_id": "r-1",
        },
        rpc.CompleteSlaRequest(
            tenant_id="acme",
            ticket_id="T-1",
            phase=pb.SLA_PHASE_RESOLUTION,
            clock="next-reply",
            discard=True,
            met=False,
            effective_at=AT_MESSAGE,
            request_id="r-1",
        ),
        rpc.CompleteSlaResponse(met_differs=True),
    ),
    (
        "record_sla_message",
        {"tenant_id": "acme", "ticket_id": "T-1", "sender": "AGENT", "effective_at": AT, "request_id": "r-1"},
        rpc.RecordSlaMessageRequest(
            tenant_id="acme",
            ticket_id="T-1",
            sender=pb.SLA_MESSAGE_SENDER_AGENT,
            effective_at=AT_MESSAGE,
            request_id="r-1",
        ),
        rpc.RecordSlaMessageResponse(changed=True),
    ),
    (
        "assign_sla",
        {"tenant_id": "acme", "ticket_id": "T-1", "owner": "ann", "effective_at": AT, "request_id": "r-1"},
        rpc.AssignSlaRequest(
            tenant_id="acme", ticket_id="T-1", owner="ann", effective_at=AT_MESSAGE, request_id="r-1"
        ),
        rpc.AssignSlaResponse(changed=True),
    ),
    (
        "cancel_sla",
        {"tenant_id": "acme", "ticket_id": "T-1", "effective_at": AT, "request_id": "r-1"},
        rpc.CancelSlaRequest(tenant_id="acme", ticket_id="T-1", effective_at=AT_MESSAGE, request_id="r-1"),
        rpc.CancelSlaResponse(changed=True),
    ),
    (
        "retarget_sla",
        {
            "tenant_id": "acme",
            "ticket_id": "T-1",
            "policy_id": "gold",
            "targets": [target()],
            "priority_id": "p1",
            "schedule": OFFICE,
            "notification_thresholds": [50],
            "started_at": AT,
            "suppress_past": True,
            "clocks": [CLOCK],
            "request_id": "r-1",
        },
        rpc.RetargetSlaRequest(
            tenant_id="acme",
            ticket_id="T-1",
            policy_id="gold",
            targets=[target()],
            priority_id="p1",
            schedule=OFFICE,
            notification_thresholds=[50],
            started_at=AT_MESSAGE,
            suppress_past=True,
            clocks=[CLOCK],
            request_id="r-1",
        ),
        rpc.RetargetSlaResponse(changed=True),
    ),
    (
        "reopen_sla",
        {
            "tenant_id": "acme",
            "ticket_id": "T-1",
            "mode": pb.REOPEN_MODE_RESTART,
            "effective_at": AT,
            "request_id": "r-1",
        },
        rpc.ReopenSlaRequest(
            tenant_id="acme",
            ticket_id="T-1",
            mode=pb.REOPEN_MODE_RESTART,
            effective_at=AT_MESSAGE,
            request_id="r-1",
        ),
        rpc.ReopenSlaResponse(changed=True),
    ),
    (
        "get_sla_status",
        {"tenant_id": "acme", "ticket_id": "T-1", "generation": 2},
        rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id="T-1", generation=2),
        rpc.GetSlaStatusResponse(status=pb.SlaStatus(generation=2)),
    ),
    (
        "get_sla_timeline",
        {
            "tenant_id": "acme",
            "ticket_id": "T-1",
            "generation": 2,
            "until": AT,
            "include_audit": True,
            "clock": "next-reply",
        },
        rpc.GetSlaTimelineRequest(
            tenant_id="acme",
            ticket_id="T-1",
            generation=2,
            until=AT_MESSAGE,
            include_audit=True,
            clock="next-reply",
        ),
        rpc.GetSlaTimelineResponse(status=pb.SlaStatus(generation=2)),
    ),
    (
        "preview_sla",
        {
            "targets": [target()],
            "priority_id": "p1",
            "schedule": OFFICE,
            "notification_thresholds": [50],
            "started_at": AT,
            "pauses": [PAUSE],
            "clocks": [CLOCK],
            "facts": [FACT],
            "as_of": AT_MESSAGE,
            "pause_accounting": pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK,
        },
        rpc.PreviewSlaRequest(
            targets=[target()],
            priority_id="p1",
            schedule=OFFICE,
            notification_thresholds=[50],
            started_at=AT_MESSAGE,
            pauses=[PAUSE],
            clocks=[CLOCK],
            facts=[FACT],
            as_of=AT_MESSAGE,
            pause_accounting=pb.PAUSE_ACCOUNTING_ALGA_WALL_CLOCK,
        ),
        rpc.PreviewSlaResponse(response=pb.SlaClock()),
    ),
    (
        "ack_sla_events",
        {"consumer": "psa", "sequence": 7},
        rpc.AckSlaEventsRequest(consumer="psa", sequence=7),
        rpc.AckSlaEventsResponse(),
    ),
]


@pytest.mark.parametrize(("method", "fields", "request_", "reply"), SHAPES, ids=[s[0] for s in SHAPES])
def test_every_argument_becomes_its_field(
    fake: Fake, method: str, fields: dict[str, Any], request_: Any, reply: Any
) -> None:
    assert {field.name for field, _ in request_.ListFields()} == {f.name for f in request_.DESCRIPTOR.fields}
    answer = fake.call(method, **fields)
    assert fake.request(_camel(method), answer=reply) == request_
    assert answer.result() is reply


@pytest.mark.parametrize(
    ("method", "fields", "request_"),
    [
        (
            "complete_sla",
            {"ticket_id": "T", "phase": pb.SLA_PHASE_RESPONSE},
            rpc.CompleteSlaRequest(ticket_id="T", phase=pb.SLA_PHASE_RESPONSE),
        ),
        ("get_sla_status", {"ticket_id": "T"}, rpc.GetSlaStatusRequest(ticket_id="T")),
        ("preview_sla", {"targets": [target()]}, rpc.PreviewSlaRequest(targets=[target()])),
        (
            "start_sla_tracking",
            {"tenant_id": "t", "ticket_id": "T", "targets": [target()]},
            rpc.StartSlaTrackingRequest(tenant_id="t", ticket_id="T", targets=[target()]),
        ),
    ],
)
def test_what_is_not_given_is_left_out(
    fake: Fake, method: str, fields: dict[str, Any], request_: Any
) -> None:
    answer = fake.call(method, **fields)
    sent = fake.request(_camel(method), answer=object())
    answer.result()
    if hasattr(sent, "request_id"):
        assert sent.request_id
        sent.request_id = ""
    assert sent == request_


def test_pages(fake: Fake) -> None:
    listed = fake.call(
        "list_sla_trackings",
        tenant_id="acme",
        states=[pb.SLA_TRACKING_STATE_ACTIVE],
        statuses=[pb.SLA_TIMER_STATUS_AT_RISK, pb.SLA_TIMER_STATUS_PAUSED],
        due_before=AT,
        page_size=2,
    )
    found = fake._pool.submit(lambda: [status.ticket_id for status in listed.result()])
    asked = rpc.ListSlaTrackingsRequest(
        tenant_id="acme",
        states=[pb.SLA_TRACKING_STATE_ACTIVE],
        statuses=[pb.SLA_TIMER_STATUS_AT_RISK, pb.SLA_TIMER_STATUS_PAUSED],
        due_before=AT_MESSAGE,
        page_size=2,
    )
    # A page may be empty although there are more.
    pages = {"": (["A", "B"], "x"), "x": ([], "y"), "y": (["C"], "")}
    for token, (tickets, following) in pages.items():
        asked.page_token = token
        answer = rpc.ListSlaTrackingsResponse(
            trackings=[pb.SlaStatus(ticket_id=ticket) for ticket in tickets], next_page_token=following
        )
        assert fake.request("ListSlaTrackings", answer=answer) == asked
    assert found.result() == ["A", "B", "C"]


AWAY = Refused(Refusal.UNAVAILABLE, "STOPPING", "slad is stopping; try again")


def test_a_command_is_repeated_word_for_word(fake: Fake) -> None:
    answer = fake.call("cancel_sla", ticket_id="T-1", timeout=60)
    first = fake.request("CancelSla", error=AWAY)
    second = fake.request("CancelSla", error=AWAY)
    third = fake.request("CancelSla", answer=rpc.CancelSlaResponse(changed=True))
    assert answer.result().changed
    assert first == second == third
    # What slad asked for, and then the random part.
    assert fake.pauses == [1.25, 1.5]


def test_the_last_attempt_is_the_last(fake: Fake) -> None:
    answer = fake.call("cancel_sla", ticket_id="T-1", timeout=60)
    for _ in range(4):
        fake.request("CancelSla", error=AWAY)
    with pytest.raises(slad_client.Unavailable) as caught:
        answer.result()
    assert (caught.value.reason, caught.value.retry_delay) == ("STOPPING", timedelta(seconds=1))
    assert len(fake.pauses) == 3


def test_a_refusal_is_final(fake: Fake) -> None:
    answer = fake.call("pause_sla", ticket_id="T-1", reason=pb.SLA_PAUSE_REASON_UNSPECIFIED)
    fake.request("PauseSla", error=InvalidField("reason", "REQUIRED", "must be specified"))
    with pytest.raises(slad_client.InvalidArgument) as caught:
        answer.result()
    assert (caught.value.field, caught.value.reason) == ("reason", "REQUIRED")
    assert caught.value.violations == (slad_client.FieldViolation("reason", "must be specified", "REQUIRED"),)
    assert fake.pauses == []


def test_a_watch_goes_on_behind_what_it_has_seen(fake: Fake) -> None:
    events = fake.client.watch_sla_events(after_sequence=4)
    taken = fake._pool.submit(next, events)
    request, call = fake.stream()
    assert request.after_sequence == 4
    call.send_response(rpc.WatchSlaEventsResponse(events=[pb.SlaEvent(sequence=5)]))
    assert taken.result().sequence == 5

    taken = fake._pool.submit(next, events)
    call.terminate((), grpc.StatusCode.UNAVAILABLE, "connection reset")
    request, call = fake.stream()
    assert request.after_sequence == 5
    call.send_response(rpc.WatchSlaEventsResponse(events=[pb.SlaEvent(sequence=5), pb.SlaEvent(sequence=6)]))
    assert taken.result().sequence == 6

    events.close()
    call.cancelled()  # waits for it
    assert fake.pauses == [0.25]


def _camel(method: str) -> str:
    return "".join(word.capitalize() for word in method.split("_"))
