"""The gRPC server: slad's services, health, reflection; one place that guards every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from slad_client.v1 import (
    admin_pb2,
    debug_pb2,
    pass_through_pb2,
    sla_backend_pb2,
    test_clock_pb2,
    tokens_pb2,
    worker_pb2,
)

from slad.config.settings import DEFAULT_LIMITS
from slad.core.access import Caller
from slad.core.errors import InvalidField
from slad.service import error_details, reflection
from slad.service.access import Gate, Rule, rule_of
from slad.service.calls import CallLog, CallMeter, CallMeters, about

if TYPE_CHECKING:
    from slad.service.tracing import Tracing

SLA_BACKEND: Final[ServiceDescriptor] = sla_backend_pb2.DESCRIPTOR.services_by_name["SlaBackend"]
SLA_ADMIN: Final[ServiceDescriptor] = admin_pb2.DESCRIPTOR.services_by_name["SlaAdmin"]
SLA_DEBUG: Final[ServiceDescriptor] = debug_pb2.DESCRIPTOR.services_by_name["SlaDebug"]
SLA_PASS_THROUGH: Final[ServiceDescriptor] = pass_through_pb2.DESCRIPTOR.services_by_name["SlaPassThrough"]
SLA_TOKENS: Final[ServiceDescriptor] = tokens_pb2.DESCRIPTOR.services_by_name["SlaTokens"]
SLA_WORKER: Final[ServiceDescriptor] = worker_pb2.DESCRIPTOR.services_by_name["SlaWorker"]
TEST_CLOCK: Final[ServiceDescriptor] = test_clock_pb2.DESCRIPTOR.services_by_name["TestClock"]

OPTIONS: Final[Sequence[tuple[str, int]]] = (
    # A second server on the same port has to fail, not to share it.
    ("grpc.so_reuseport", 0),
    # A peer that vanished without a word is noticed, and its streams end.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Clients behind proxies ping more often than gRPC's default of five minutes allows.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.enable_channelz", 1),
)


class SladServer:
    """A grpc.aio server with slad's services.

    `services` maps a service's descriptor to the object that has its methods: unary ones take a message and
    return a serialized reply, streaming ones take a message and the context and yield serialized replies.
    `gate` decides who may call them: LookupError for a method that has no rule.
    `notice` is told of every error that ends a call; `meters` count calls, `log` tells of some, and `tracing`
    follows them. A message of more than `max_receive_bytes` is refused by gRPC itself (RESOURCE_EXHAUSTED).
    """

    def __init__(
        self,
        services: dict[ServiceDescriptor, object],
        gate: Gate,
        notice: Callable[[Exception], None] = lambda error: None,
        meters: CallMeters | None = None,
        log: CallLog | None = None,
        tracing: Tracing | None = None,
        max_receive_bytes: int = DEFAULT_LIMITS.message_bytes,
    ) -> None:
        meters, log = meters or CallMeters(), log or CallLog()
        options = (*OPTIONS, ("grpc.max_receive_message_length", max_receive_bytes))
        self._server = grpc.aio.server(options=options)
        names = [descriptor.full_name for descriptor in services]
        for descriptor, service in services.items():
            handlers = {
                method.name: _handler(
                    method,
                    _Rpc(
                        rule_of(method.full_name),
                        gate,
                        _parser(method),
                        getattr(service, method.name),
                        notice,
                        meters.meter(method.name),
                        log,
                    ),
                    tracing,
                )
                for method in descriptor.methods
            }
            generic = grpc.method_handlers_generic_handler(descriptor.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))
        self._health = health.aio.HealthServicer()
        self._names = names
        self._writable = True
        self._publishing: set[asyncio.Task[None]] = set()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable([*names, health.SERVICE_NAME], self._server, gate)

    def bind(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listens on `host:port` or `unix:PATH`, with TLS if there are `credentials`; the port.

        Raises RuntimeError when it is taken.
        """
        if credentials is not None:
            return self._server.add_secure_port(address, credentials)
        return self._server.add_insecure_port(address)

    async def start(self) -> None:
        """Begins to serve, and says so (grpc.health.v1)."""
        await self._server.start()
        for name in ("", *self._names):
            await self._publish_health(name)

    def set_writable(self, writable: bool) -> None:
        """Lets health say whether commands can be carried out: the status of SlaBackend. Queries go on."""
        self._writable = writable
        # Beside the caller, as it has to wait for peers that watch health and are slow.
        task = asyncio.create_task(self._publish_health(SLA_BACKEND.full_name))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def stop(self, grace_s: float) -> None:
        """Takes no more calls and waits up to `grace_s` seconds for those under way.

        Streams have to be ended by their services before, or the whole time passes.
        """
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)

    async def _publish_health(self, name: str) -> None:
        serving = self._writable or name != SLA_BACKEND.full_name
        status = health_pb2.HealthCheckResponse
        await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)


class _Rpc(NamedTuple):
    """What a guard needs to know of the method that it guards."""

    rule: Rule
    gate: Gate
    parse: Callable[[bytes], Any]
    run: Callable[..., Any]
    notice: Callable[[Exception], None]
    meter: CallMeter
    log: CallLog

    def end(self, request: Any, began: int) -> None:
        """Counts a reply. `began` is of `perf_counter_ns`."""
        took = perf_counter_ns() - began
        self.meter.succeeded += 1
        self.meter.durations.observe(took)
        self.log.ended(self.meter.rpc, request, took)

    def fail(self, request: Any, error: Exception) -> dict[str, Any]:
        """Counts and logs a call that ends with `error`; what a log line tells about it."""
        code, reason = self.meter.fail(error)
        self.log.refused(self.meter.rpc, request, error, code, reason)
        self.notice(error)
        return {"rpc": self.meter.rpc, **about(request)}


def _handler(method: MethodDescriptor, rpc: _Rpc, tracing: Tracing | None) -> grpc.RpcMethodHandler[Any, Any]:
    if method.client_streaming and method.server_streaming:
        guard, make = _guarded_exchange, grpc.stream_stream_rpc_method_handler
    elif method.client_streaming:
        guard, make = _guarded_upload, grpc.stream_unary_rpc_method_handler
    elif method.server_streaming:
        guard, make = _guarded_stream, grpc.unary_stream_rpc_method_handler
    else:
        guard, make = _guarded, grpc.unary_unary_rpc_method_handler
    # Requests come as bytes: of those that are no message gRPC itself would say UNKNOWN and an exception.
    if tracing is None:
        return make(guard(rpc))
    return make(tracing.of_method(method, guard(rpc._replace(run=tracing.of_request(rpc.run)))))


def _parser(method: MethodDescriptor) -> Callable[[bytes], Any]:
    from_bytes = GetMessageClass(method.input_type).FromString

    def parse(body: bytes) -> Any:
        try:
            return from_bytes(body)
        except DecodeError:
            message = f"the bytes are not a {method.input_type.full_name}"
            raise InvalidField("", "MALFORMED_MESSAGE", message) from None

    return parse


def _guarded(rpc: _Rpc) -> Any:
    parse, run, meter = rpc.parse, rpc.run, rpc.meter
    rule, admit, check = rpc.rule, rpc.gate.admit, rpc.gate.check

    async def call(body: Any, context: grpc.aio.ServicerContext[Any, Any]) -> bytes | None:
        began = perf_counter_ns()
        meter.begun += 1
        request = None
        try:
            who = admit(rule, context)
            request = parse(body)
            check(rule, who, request)
            reply: bytes = await run(request)
        except Exception as error:
            call_was = rpc.fail(request, error)
            body = request = None  # this frame lives on in a cycle of gRPC's until the collector comes
            await error_details.abort(context, error, call_was)
            return None
        except BaseException as error:
            meter.fail(error)
            raise
        rpc.end(request, began)
        return reply

    return call


def _guarded_upload(rpc: _Rpc) -> Any:
    run, meter, gate = rpc.run, rpc.meter, rpc.gate

    async def call(bodies: Any, context: grpc.aio.ServicerContext[Any, Any]) -> bytes | None:
        began = perf_counter_ns()
        meter.begun += 1
        try:
            who = gate.admit(rpc.rule, context)
            with gate.stream(who):
                reply: bytes = await run(_messages(rpc, who, bodies), context)
        except Exception as error:
            await error_details.abort(context, error, rpc.fail(None, error))
            return None
        except BaseException as error:
            meter.fail(error)
            raise
        rpc.end(None, began)
        return reply

    return call


async def _messages(rpc: _Rpc, who: Caller, bodies: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    is_first = True
    async for body in bodies:
        message = rpc.parse(body)
        if is_first:
            rpc.gate.check(rpc.rule, who, message)
            is_first = False
        yield message


def _guarded_exchange(rpc: _Rpc) -> Any:
    run, meter, gate = rpc.run, rpc.meter, rpc.gate

    async def call(bodies: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncGenerator[bytes, None]:
        meter.begun += 1
        try:
            who = gate.admit(rpc.rule, context)
            with gate.stream(who):
                async with aclosing(run(_messages(rpc, who, bodies), context)) as replies:
                    async for reply in replies:
                        gate.still_good(who)
                        yield reply
        except Exception as error:
            await error_details.abort(context, error, rpc.fail(None, error))
        except BaseException as error:
            meter.fail(error)
            raise
        else:
            meter.succeeded += 1

    return call


def _guarded_stream(rpc: _Rpc) -> Any:
    parse, run, meter, gate = rpc.parse, rpc.run, rpc.meter, rpc.gate

    async def call(body: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncGenerator[bytes, None]:
        meter.begun += 1
        request = None
        try:
            who = gate.admit(rpc.rule, context)
            request = parse(body)
            gate.check(rpc.rule, who, request)
            with gate.stream(who):
                async with aclosing(run(request, context)) as replies:
                    async for reply in replies:
                        gate.still_good(who)
                        yield reply
        except Exception as error:
            call_was = rpc.fail(request, error)
            body = request = None  # as in `_guarded`
            await error_details.abort(context, error, call_was)
        except BaseException as error:
            meter.fail(error)
            raise
        else:
            meter.succeeded += 1

    return call
