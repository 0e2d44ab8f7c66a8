"""The gRPC server: slad's services, health, reflection; one place that guards every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from slad_client.v1 import admin_pb2, sla_backend_pb2, test_clock_pb2, worker_pb2

from slad.core.errors import InvalidField
from slad.service import errors, reflection
from slad.service.limits import MAX_RECEIVE_BYTES

SLA_BACKEND: Final[ServiceDescriptor] = sla_backend_pb2.DESCRIPTOR.services_by_name["SlaBackend"]
SLA_ADMIN: Final[ServiceDescriptor] = admin_pb2.DESCRIPTOR.services_by_name["SlaAdmin"]
SLA_WORKER: Final[ServiceDescriptor] = worker_pb2.DESCRIPTOR.services_by_name["SlaWorker"]
TEST_CLOCK: Final[ServiceDescriptor] = test_clock_pb2.DESCRIPTOR.services_by_name["TestClock"]

OPTIONS: Final[Sequence[tuple[str, int]]] = (
    # A second server on the same port has to fail, not to share it.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    # A peer that vanished without a word is noticed, and its streams end.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Clients behind proxies ping more often than gRPC's default of five minutes allows.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class SladServer:
    """A grpc.aio server with slad's services.

    `services` maps a service's descriptor to the object that has its methods: unary ones take a message and
    return a serialized reply, streaming ones take a message and the context and yield serialized replies.
    `notice` is told of every error that ends a call.
    """

    def __init__(
        self,
        services: dict[ServiceDescriptor, object],
        notice: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self._server = grpc.aio.server(options=OPTIONS)
        names = [descriptor.full_name for descriptor in services]
        for descriptor, service in services.items():
            handlers = {method.name: _handler(method, service, notice) for method in descriptor.methods}
            generic = grpc.method_handlers_generic_handler(descriptor.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))
        self._health = health.aio.HealthServicer()
        self._names = names
        self._writable = True
        self._telling: set[asyncio.Task[None]] = set()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable([*names, health.SERVICE_NAME], self._server)

    def bind(self, address: str) -> int:
        """Listens on `host:port` or `unix:PATH`; the port. Raises RuntimeError when it is taken."""
        return self._server.add_insecure_port(address)

    async def start(self) -> None:
        """Begins to serve, and says so (grpc.health.v1)."""
        await self._server.start()
        for name in ("", *self._names):
            await self._tell(name)

    def set_writable(self, writable: bool) -> None:
        """Lets health say whether commands can be carried out: the status of SlaBackend. Queries go on."""
        self._writable = writable
        # Beside the caller, as it has to wait for peers that watch health and are slow.
        task = asyncio.create_task(self._tell(SLA_BACKEND.full_name))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def stop(self, grace_s: float) -> None:
        """Takes no more calls and waits up to `grace_s` seconds for those under way.

        Streams have to be ended by their services before, or the whole time passes.
        """
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)

    async def _tell(self, name: str) -> None:
        serving = self._writable or name != SLA_BACKEND.full_name
        status = health_pb2.HealthCheckResponse
        await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)


def _handler(
    method: MethodDescriptor, service: object, notice: Callable[[Exception], None]
) -> grpc.RpcMethodHandler[Any, Any]:
    parse = _parser(method)
    run = getattr(service, method.name)
    # Requests come as bytes: of those that are no message gRPC itself would say UNKNOWN and an exception.
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(_guarded_upload(parse, run, notice))
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_guarded_stream(parse, run, notice))
    return grpc.unary_unary_rpc_method_handler(_guarded(parse, run, notice))


def _parser(method: MethodDescriptor) -> Callable[[bytes], Any]:
    from_bytes = GetMessageClass(method.input_type).FromString

    def parse(body: bytes) -> Any:
        try:
            return from_bytes(body)
        except DecodeError:
            message = f"the bytes are not a {method.input_type.full_name}"
            raise InvalidField("", "MALFORMED_MESSAGE", message) from None

    return parse


def _guarded(
    parse: Callable[[bytes], Any],
    run: Callable[[Any], Awaitable[bytes]],
    notice: Callable[[Exception], None],
) -> Any:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> bytes | None:
        try:
            return await run(parse(request))
        except Exception as error:
            notice(error)
            await errors.abort(context, error)
            return None

    return call


def _guarded_upload(
    parse: Callable[[bytes], Any],
    run: Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[bytes]],
    notice: Callable[[Exception], None],
) -> Any:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> bytes | None:
        try:
            return await run((parse(body) async for body in request), context)
        except Exception as error:
            notice(error)
            await errors.abort(context, error)
            return None

    return call


def _guarded_stream(
    parse: Callable[[bytes], Any],
    run: Callable[[Any, grpc.aio.ServicerContext[Any, Any]], AsyncGenerator[bytes, None]],
    notice: Callable[[Exception], None],
) -> Any:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(run(parse(request), context)) as replies:
                async for reply in replies:
                    yield reply
        except Exception as error:
            notice(error)
            await errors.abort(context, error)

    return call
