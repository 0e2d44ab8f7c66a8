"""OpenTelemetry traces, for who has the extra `slad[otel]` and says where to send them.

Spans:
  - one a call (SERVER), a child of the caller's when it sends `traceparent`
  - one a message of ExecuteSla, in that of its call, which lasts as long as the stream
  - one a turn of the engine; it and the calls and messages that it carried out are linked, as one turn serves
    many
  - in the turn its commit

Nothing of this module is imported, and nothing of it runs, unless traces are on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from slad import __version__
from slad.engine.listeners import TurnReport
from slad.service.calls import about

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Callable[..., Any])

_stream: ContextVar[Span] = ContextVar("stream")
"""The span of the stream that is served. It is not the current one, as calls to elsewhere would become its
children."""

FLUSH_S: Final = 3.0
"""How long a stopping daemon waits for the collector to take the last spans."""


class Tracing:
    """Makes spans of calls and turns; the engine's `TurnObserver`.

    `processor` gets the finished spans. Sampling, the service's name and further attributes are as
    OpenTelemetry's variables say (`OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`).
    """

    def __init__(self, processor: SpanProcessor) -> None:
        attributes = {"service.version": __version__}
        if "OTEL_SERVICE_NAME" not in os.environ:
            attributes["service.name"] = "slad"
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("slad", __version__)

    @classmethod
    def to_collector(cls, endpoint: str) -> Tracing:
        """Sends spans to an OTLP collector by gRPC, such as `http://127.0.0.1:4317`; `https` for TLS."""
        return cls(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))

    async def stop(self) -> None:
        """Sends what is left, as far as the collector takes it in time."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop may be gone when the collector answers at last
                loop.call_soon_threadsafe(done.set)

        # A thread that the end of the process need not wait for.
        threading.Thread(target=shut_down, name="slad-traces", daemon=True).start()
        try:
            await asyncio.wait_for(done.wait(), FLUSH_S)
        except TimeoutError:
            log.warning("the collector did not take the last traces")

    # --- calls

    def of_method(self, method: MethodDescriptor, handler: T) -> T:
        """A method's handler, with a span around each call."""
        name = f"{method.containing_service.full_name}/{method.name}"
        return self._of_stream(name, handler) if method.server_streaming else self._of_call(name, handler)

    def _of_call(self, name: str, handler: T) -> T:
        async def traced(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with self._tracer.start_as_current_span(
                name,
                context=_callers(context),
                kind=SpanKind.SERVER,
                attributes={"rpc.system.name": "grpc", "rpc.method": name},
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    reply = await handler(request, context)
                except BaseException:
                    code = context.code() or grpc.StatusCode.CANCELLED
                    _end(span, _name_of(code), context.details() or "")
                    raise
                _end(span, "OK")
                return reply

        return traced  # type: ignore[return-value]

    def _of_stream(self, name: str, handler: T) -> T:
        async def traced(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            span = self._tracer.start_span(
                name,
                context=_callers(context),
                kind=SpanKind.SERVER,
                attributes={"rpc.system.name": "grpc", "rpc.method": name},
            )
            counting = _Counting(context)
            _stream.set(span)
            try:
                await handler(request, counting)
            except BaseException:
                code = context.code() or grpc.StatusCode.CANCELLED
                _end(span, _name_of(code), context.details() or "")
                raise
            else:
                _end(span, "OK")
            finally:
                span.set_attribute("slad.replies", counting.replies)
                span.end()

        return traced  # type: ignore[return-value]

    def of_request(self, run: T) -> T:
        """A service's method, which tells the span of its call whose ticket it is about."""

        def told(request: Any, *more: Any) -> Any:
            span = trace.get_current_span()
            if span.is_recording():
                span.set_attributes({f"slad.{field}": value for field, value in about(request).items()})
            return run(request, *more)

        return told  # type: ignore[return-value]

    def batch(self, commands: int) -> Span:
        """The span of a message of so many commands of the stream that is served; to be ended."""
        within = trace.set_span_in_context(_stream.get(), Context())
        return self._tracer.start_span("commands", context=within, attributes={"slad.commands": commands})

    # --- turns

    def cause(self) -> Span:
        """The span of the call that submits a command."""
        return trace.get_current_span()

    def turn(self, report: TurnReport) -> None:
        """Makes the spans of a turn that is over."""
        calls = [span for span in report.causes if span is not None and span.is_recording()]
        wall = time.time_ns() - time.perf_counter_ns()
        turn = self._tracer.start_span(
            "turn",
            context=Context(),
            links=[Link(span.get_span_context()) for span in calls],
            attributes={"slad.commands": report.commands, "slad.events": report.events},
            start_time=wall + report.began,
        )
        for span in calls:
            span.add_link(turn.get_span_context())
        if report.built > report.began:
            inside = trace.set_span_in_context(turn, Context())
            commit = self._tracer.start_span("commit", context=inside, start_time=wall + report.built)
            _fail(commit, report.error)
            commit.end(wall + report.ended)
        _fail(turn, report.error)
        turn.end(wall + report.ended)


class _Counting:
    """A context that counts the messages that are sent."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._context = context
        self.replies = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, reply: Any) -> None:
        await self._context.write(reply)
        self.replies += 1


def _callers(context: grpc.aio.ServicerContext[Any, Any]) -> Context:
    """Where the caller's trace stands, as its metadata say (W3C Trace Context)."""
    return propagate.extract(dict(context.invocation_metadata() or ()), context=Context())


def _name_of(code: Any) -> str:
    if isinstance(code, int):
        code = next(status for status in grpc.StatusCode if status.value[0] == code)
    return str(code.name)


def _end(span: Span, code: str, details: str = "") -> None:
    span.set_attribute("rpc.response.status_code", code)
    if code in {"INTERNAL", "UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"}:
        # Of a server's span, what is the caller's own doing is no error.
        _fail(span, details or code)


def _fail(span: Span, error: str) -> None:
    if error:
        span.set_status(Status(StatusCode.ERROR, error))
