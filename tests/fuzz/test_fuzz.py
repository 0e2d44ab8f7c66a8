"""A short run; and the fuzzer itself: it reaches everything, repeats itself, and notices what is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import test_clock_pb2 as clock_rpc

from slad.core.errors import InvalidField
from slad.service.errors import status_of
from tests.fuzz.checks import MAX_REPLY, Outcome, path_problem, problems
from tests.fuzz.fuzzer import Report, check_memory, fuzz
from tests.fuzz.generator import MANNERS, Call, Generator, borrowed_services, services
from tests.fuzz.world import World
from tests.slad_under_test import MONDAY_9, slad_running, start_request

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_whatever_is_sent_slad_answers_as_it_should() -> None:
    report = Report(seed=20260302)
    fuzz(report, 1_500, MONDAY_9)
    assert not report.findings, report.findings
    assert report.calls >= 1_500
    assert report.looks
    assert report.refused_alone > 100
    methods = {f"{method.containing_service.name}.{method.name}" for method in all_methods()}
    assert report.counts.keys() == methods
    for name in methods:
        assert report.counts[name]["OK"], f"{name} has never succeeded"


async def test_all_services_that_slad_serves_are_fuzzed(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        stub = reflection_pb2_grpc.ServerReflectionStub(slad.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = stub.ServerReflectionInfo(iter([request]))
        served = {service.name for service in (await call.read()).list_services_response.service}
    assert served == {service.full_name for service in (*services(), *borrowed_services())}


# --- the generator


def all_methods() -> list[Any]:
    return [method for service in (*services(), *borrowed_services()) for method in service.methods]


def test_a_seed_repeats_its_calls() -> None:
    one, other = (Generator(Random(7), World(MONDAY_9)) for _ in range(2))
    assert [one.call() for _ in range(200)] == [other.call() for _ in range(200)]


def test_every_rpc_is_called_in_every_manner() -> None:
    generator = Generator(Random(1), World(MONDAY_9))
    for service in services():
        for method in service.methods:
            manners = Counter(generator.call_of(method).manner for _ in range(500))
            assert set(manners) >= set(MANNERS) - {"heavy", "too large"}, method.full_name


def test_time_is_not_moved_to_its_end() -> None:
    generator = Generator(Random(1), World(MONDAY_9))
    (advance,) = (m for m in all_methods() if m.name == "AdvanceTime")
    for _ in range(500):
        call = generator.call_of(advance)
        if call.manner != "spoilt":
            to = clock_rpc.AdvanceTimeRequest.FromString(call.messages[0]).to.seconds
            assert not MONDAY_9 // 1_000 + 40 * 86_400 < to < 253_402_300_800


# --- the checks


def call_of(*messages: Message | bytes, name: str = "StartSlaTracking") -> Call:
    (method,) = (m for m in all_methods() if m.name == name)
    data = tuple(m if isinstance(m, bytes) else m.SerializeToString() for m in messages)
    return Call(method, data, "right")


def refusal(error: Exception, code: grpc.StatusCode = INVALID) -> Outcome:
    status = status_of(error)
    return Outcome(code, status.message, status.SerializeToString())


def test_a_proper_refusal_is_none_of_the_problems() -> None:
    call = call_of(start_request())
    assert not problems(call, refusal(InvalidField("schedule.entries[4].end_time", "MALFORMED_TIME", "no")))
    assert not problems(call, Outcome(grpc.StatusCode.OK, replies=[b""]))


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE]
)
def test_codes_that_must_not_be(code: grpc.StatusCode) -> None:
    assert problems(call_of(start_request()), Outcome(code, "oh"))


def test_what_is_wrong_with_a_refusal_is_noticed() -> None:
    call = call_of(start_request())
    wrong_field = refusal(InvalidField("schedule.entries[5].end_time", "MALFORMED_TIME", "no"))
    assert problems(call, wrong_field) == [
        "MALFORMED_TIME of 'schedule.entries[5].end_time': entries has 5 items"
    ]
    assert problems(call, refusal(InvalidField("tenant_id", "MADE_UP", "no")))
    assert problems(call, Outcome(INVALID, "no")) == ["INVALID_ARGUMENT without a status: no"]
    assert problems(call, Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED, "too large"))
    assert problems(call, Outcome(grpc.StatusCode.DEADLINE_EXCEEDED)) == ["no answer in time"]
    assert problems(call, Outcome(grpc.StatusCode.CANCELLED))
    foreign = status_pb2.Status(code=3, message="no")
    foreign.details.add().Pack(error_details_pb2.ErrorInfo(reason="REQUIRED", domain="example.org"))
    assert problems(call, Outcome(INVALID, "no", foreign.SerializeToString()))


def test_what_is_wrong_with_a_reply_is_noticed() -> None:
    call = call_of(start_request())
    reply = rpc.StartSlaTrackingResponse(status={"as_of": {"seconds": 2**40}})
    for bad in (b"x" * (MAX_REPLY + 1), b"\xff", reply.SerializeToString()):
        assert problems(call, Outcome(grpc.StatusCode.OK, replies=[bad]))


def test_a_message_of_more_than_4_mib_may_be_refused_by_grpc() -> None:
    outcome = Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max")
    assert not problems(call_of(bytes(5 * 1024 * 1024)), outcome)


@pytest.mark.parametrize(
    "path",
    [
        "tenant_id",
        "targets",
        "targets[0]",
        "targets[0].response_time_minutes",
        "schedule.timezone",
        "schedule.entries[4].end_time",
        "attributes",
        "attributes['a.b[0]']",
        "started_at",
    ],
)
def test_paths_that_lead_somewhere(path: str) -> None:
    assert not path_problem(path, rpc.StartSlaTrackingRequest.DESCRIPTOR, [start_request()])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tenant",
        "tenant_id.",
        "tenant_id.x",
        "tenant_id[0]",
        "targets[1]",
        "targets.response_time_minutes",
        "schedule.entries[5]",
        "schedule.entries[-1]",
        "attributes.k",
        ".tenant_id",
        "started_at.secs",
        "Tenant_id",
    ],
)
def test_paths_that_lead_nowhere(path: str) -> None:
    assert path_problem(path, rpc.StartSlaTrackingRequest.DESCRIPTOR, [start_request()])


def test_a_path_may_name_a_oneof_and_counts_rows_over_a_whole_stream() -> None:
    request = clock_rpc.AdvanceTimeRequest()
    assert not path_problem("target", request.DESCRIPTOR, [request])
    row = rpc.SlaTrackingImport(start=start_request())
    stream = [rpc.ReconcileSlaTrackingsRequest(trackings=[row] * count) for count in (2, 0, 1)]
    for path, wrong in (("trackings[2].start.tenant_id", False), ("trackings[3].start.tenant_id", True)):
        assert bool(path_problem(path, stream[0].DESCRIPTOR, stream)) is wrong


def test_growing_memory_is_noticed() -> None:
    report = Report(seed=1, memory_kib=[50_000 + 1_000 * n for n in range(100)])
    check_memory(report)
    assert report.findings
    steady = Report(seed=1, memory_kib=[20_000, *[60_000 + n % 7 for n in range(99)]])
    check_memory(steady)
    assert not steady.findings
