"""A short seeded run against the real daemon, and the parts of the fuzzer that must not be blind.

All: `make fuzz`.
"""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from slad_client.v1 import sla_backend_pb2 as rpc

from tests.slad_under_test import MONDAY_9
from tests.trials.fuzz.checks import Outcome, path_problem, problems
from tests.trials.fuzz.fuzzer import Report, fuzz
from tests.trials.fuzz.generator import MANNERS, Call, services

REQUESTS = 2_500
SEED = 1


def test_nothing_that_is_sent_does_harm() -> None:
    report = Report(SEED)
    fuzz(report, REQUESTS, MONDAY_9, lambda line: None)
    assert not report.findings, report.findings
    assert report.calls >= REQUESTS
    every = {f"{service.name}.{method.name}" for service in services() for method in service.methods}
    assert every <= set(report.counts), f"never called: {every - set(report.counts)}"
    assert set(MANNERS) == set(report.manners)
    assert report.refused_alone > 200
    assert report.looks > 3
    codes = {code for counter in report.counts.values() for code in counter}
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"} <= codes


# --- what the checks find

START = next(
    method for service in services() for method in service.methods if method.name == "StartSlaTracking"
)


def call(request: rpc.StartSlaTrackingRequest | None = None) -> Call:
    return Call(START, ((request or rpc.StartSlaTrackingRequest()).SerializeToString(),), "right")


def refusal(reason: str, field: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> Outcome:
    status = status_pb2.Status(code=code.value[0], message="no")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="slad"))
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, reason=reason)
    status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return Outcome(code, "no", status.SerializeToString())


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
def test_internal_and_unknown_are_found(code: grpc.StatusCode) -> None:
    assert problems(call(), Outcome(code, "boom"))


def test_a_reason_that_is_not_documented_is_found() -> None:
    assert problems(call(), refusal("REQUIRED", "ticket_id")) == []
    assert "not in docs/errors.md" in problems(call(), refusal("MADE_UP", "ticket_id"))[0]


def test_a_path_that_leads_nowhere_is_found() -> None:
    request = rpc.StartSlaTrackingRequest()
    request.schedule.entries.add()
    descriptor = rpc.StartSlaTrackingRequest.DESCRIPTOR
    assert path_problem("schedule.entries[0].end_time", descriptor, [request]) == ""
    for wrong in ("", "schedule.", "schedule.entries[1].end_time", "schedule.entry", "ticket_id.x"):
        assert path_problem(wrong, descriptor, [request]), wrong


def test_a_reply_that_cannot_be_read_is_found() -> None:
    assert problems(call(), Outcome(grpc.StatusCode.OK, replies=[b"\xff"]))
    assert problems(call(), Outcome(grpc.StatusCode.OK, replies=[bytes(5 << 20)]))
    assert problems(call(), Outcome(grpc.StatusCode.OK, replies=[b""])) == []
