"""Traces, as a collector gets them over the wire."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collector_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as collector_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.config.settings import TracesSettings
from slad.service import tracing
from tests.slad_under_test import Slad, refused, slad_running, start_request

START = "slad.v1.SlaBackend/StartSlaTracking"
TRACE, CALLER = bytes(range(16)), bytes(range(8))


@dataclass
class Collector(collector_grpc.TraceServiceServicer):
    address: str = ""
    spans: list[Span] = field(default_factory=list)
    resource: dict[str, str] = field(default_factory=dict)

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the method's name
        for resource in request.resource_spans:
            self.resource = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return collector_pb2.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    server, collector = grpc.aio.server(), Collector()
    collector_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(0)


@asynccontextmanager
async def traced(data: Path) -> AsyncIterator[tuple[Slad, Collector]]:
    """A daemon that traces; at its end the collector has all spans."""
    async with (
        collecting() as collector,
        slad_running(data, traces=TracesSettings(collector.address)) as slad,
    ):
        yield slad, collector


def attributes(span: Span) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


async def run(data: Path, act: Any) -> Collector:
    async with traced(data) as (slad, collector):
        await act(slad)
        # What it holds is sent when it stops, and the collector is there longer.
        slad.daemon.request_stop()
    return collector


async def test_a_call_its_turn_and_its_commit(tmp_path: Path) -> None:
    async def act(slad: Slad) -> None:
        await slad.backend.StartSlaTracking(
            start_request("T-1", request_id="r-1", attributes={"pin": "4711"}),
            metadata=(("traceparent", f"00-{TRACE.hex()}-{CALLER.hex()}-01"),),
        )

    collector = await run(tmp_path, act)
    assert collector.resource["service.name"] == "slad"
    (call,), (turn,), (commit,) = collector.named(START), collector.named("turn"), collector.named("commit")
    assert (call.trace_id, call.parent_span_id) == (TRACE, CALLER)
    assert call.kind == Span.SPAN_KIND_SERVER
    assert attributes(call) == {
        "rpc.system.name": "grpc",
        "rpc.method": START,
        "rpc.response.status_code": "OK",
        "slad.tenant_id": "acme",
        "slad.ticket_id": "T-1",
        "slad.request_id": "r-1",
    }
    assert turn.parent_span_id == b""
    assert [link.span_id for link in turn.links] == [call.span_id]
    assert [link.span_id for link in call.links] == [turn.span_id]
    assert attributes(turn) == {"slad.commands": 1, "slad.events": 1}
    assert (commit.trace_id, commit.parent_span_id) == (turn.trace_id, turn.span_id)
    times = [call.start_time_unix_nano, turn.start_time_unix_nano, commit.start_time_unix_nano]
    assert times == sorted(times)
    assert commit.end_time_unix_nano <= turn.end_time_unix_nano


async def test_what_the_caller_did_wrong_is_no_error_of_slads(tmp_path: Path) -> None:
    async def act(slad: Slad) -> None:
        await refused(slad.start("T-1", notification_thresholds=[0]))

    (call,) = (await run(tmp_path, act)).named(START)
    assert attributes(call)["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert attributes(call)["slad.ticket_id"] == "T-1"
    assert call.status.code == Status.STATUS_CODE_UNSET


async def test_an_unforeseen_error_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(slad: Slad) -> None:
        monkeypatch.setattr(slad.daemon.clock, "now", lambda: 1 // 0)
        await refused(slad.start("T-1"))
        monkeypatch.undo()

    (call,) = (await run(tmp_path, act)).named(START)
    assert attributes(call)["rpc.response.status_code"] == "INTERNAL"
    assert call.status.code == Status.STATUS_CODE_ERROR


async def test_a_stream_is_a_span_from_its_first_reply_to_its_end(tmp_path: Path) -> None:
    async def act(slad: Slad) -> None:
        reader = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=0))
        for ticket in ("T-1", "T-2"):
            await slad.start(ticket)
            await reader.read()
        reader.cancel()

    (stream,) = (await run(tmp_path, act)).named("slad.v1.SlaBackend/WatchSlaEvents")
    assert attributes(stream)["slad.replies"] == 2
    assert attributes(stream)["rpc.response.status_code"] in {"CANCELLED", "UNAVAILABLE"}


async def test_a_message_of_commands_is_a_span_within_that_of_its_stream(tmp_path: Path) -> None:
    async def act(slad: Slad) -> None:
        call = slad.backend.ExecuteSla()
        for number in range(2):
            commands = [rpc.SlaCommand(start=start_request(f"T-{number}-{n}")) for n in range(40)]
            await call.write(rpc.ExecuteSlaRequest(commands=commands))
            await call.read()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF

    collector = await run(tmp_path, act)
    (stream,) = collector.named("slad.v1.SlaBackend/ExecuteSla")
    messages = collector.named("commands")
    turns = {turn.span_id: attributes(turn)["slad.commands"] for turn in collector.named("turn")}
    assert sum(turns.values()) == 80
    for message in messages:
        assert (message.trace_id, message.parent_span_id) == (stream.trace_id, stream.span_id)
        assert attributes(message) == {"slad.commands": 40}
        assert sum(turns[span_id] for span_id in {link.span_id for link in message.links}) == 40
    assert len(messages) == 2


async def test_timers_alone_are_a_turn_without_links(tmp_path: Path) -> None:
    async def act(slad: Slad) -> None:
        await slad.start("T-1")
        await slad.advance(hours=1)

    turns = (await run(tmp_path, act)).named("turn")
    assert [(attributes(turn)["slad.commands"], len(turn.links)) for turn in turns] == [(1, 1), (0, 0)]


async def test_a_collector_that_is_gone_costs_no_call_and_little_of_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "FLUSH_S", 0.1)
    async with slad_running(tmp_path, traces=TracesSettings("http://127.0.0.1:1")) as slad:
        assert (await slad.start("T-1")).created
    assert "did not take the last traces" in caplog.text


def test_what_is_off_is_not_even_imported() -> None:
    code = "import sys, slad.cli.serve; print([m for m in sys.modules if m.split('.')[0] in sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", code, "opentelemetry", "prometheus_client", "wsgiref"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
