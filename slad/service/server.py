"""The gRPC server: slad's services, health, reflection; what callers may take of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from slad_client.v1 import (
    admin_pb2,
    debug_pb2,
    pass_through_pb2,
    sla_backend_pb2,
    test_clock_pb2,
    tokens_pb2,
    worker_pb2,
)

from slad.config.settings import LimitSettings
from slad.service import reflection
from slad.service.access import Gate, rule_of
from slad.service.calls import CallLog, CallMeters
from slad.service.guard import Bounds, Rpc, guarded, parser
from slad.service.health import HEALTH, Health

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
    # What gRPC takes in of a stream that is not read. By itself it would find out what the connection could
    # carry, and hold megabytes.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 256 * 1024),
)


PENDING_CALLS: Final = 8_192


class SladServer:
    """A grpc.aio server with slad's services.

    `services` maps a service's descriptor to the object that has its methods: unary ones take a message and
    return a serialized reply, streaming ones take a message and the context and yield serialized replies.
    `gate` decides who may call them (LookupError for a method that has no rule), `bounds` what they may take.
    `notice` is told of every error that ends a call; `meters` count calls, `log` tells of some, and `tracing`
    follows them.
    """

    def __init__(
        self,
        services: dict[ServiceDescriptor, object],
        gate: Gate,
        bounds: Bounds,
        notice: Callable[[Exception], None] = lambda error: None,
        meters: CallMeters | None = None,
        log: CallLog | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        meters, log = meters or CallMeters(), log or CallLog()
        self._bounds = bounds
        self._server = grpc.aio.server(options=(*OPTIONS, *_options(bounds.limits)))
        self._health = Health()
        for descriptor, service in {**services, HEALTH: self._health}.items():
            handlers = {
                method.name: _handler(
                    method,
                    Rpc(
                        rule_of(method.full_name),
                        gate,
                        bounds,
                        parser(method),
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
        self._names = [descriptor.full_name for descriptor in services]
        reflection.enable([*self._names, HEALTH.full_name], self._server, gate, bounds)

    def bind(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listens on `host:port` or `unix:PATH`, with TLS if there are `credentials`; the port.

        Raises RuntimeError when it is taken.
        """
        if credentials is not None:
            return self._server.add_secure_port(address, credentials)
        return self._server.add_insecure_port(address)

    async def start(self) -> None:
        """Begins to serve, and says so (grpc.health.v1)."""
        self._health.set(("", *self._names), serving=True)
        await self._server.start()

    def set_writable(self, writable: bool) -> None:
        """Lets health say whether commands can be carried out: the status of SlaBackend. Queries go on."""
        self._health.set((SLA_BACKEND.full_name,), serving=writable)

    async def stop(self, grace_s: float) -> None:
        """Takes no more calls and waits up to `grace_s` seconds for those under way.

        Bulk calls end at once. Other streams have to be ended by their services before, or the whole time
        passes.
        """
        self._bounds.stop()
        self._health.stop()
        await self._server.stop(grace_s)


def _options(limits: LimitSettings) -> Sequence[tuple[str, int]]:
    """What gRPC itself bounds, before a call reaches Python."""
    return (
        ("grpc.max_receive_message_length", limits.message_bytes),
        # A stream counts until all of it is gone, also when the caller has reset it: so a connection that
        # opens and resets streams waits for its own. More are refused without a look (REFUSED_STREAM).
        ("grpc.max_concurrent_streams", limits.connection_streams),
        # Calls that wait for Python, over all connections. Beyond it gRPC cancels calls, whoever's they are.
        ("grpc.server.max_pending_requests", PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * PENDING_CALLS),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        # TLS, and the first settings of HTTP/2.
        ("grpc.server_handshake_timeout_ms", limits.handshake_time_ms),
    )


def _handler(method: MethodDescriptor, rpc: Rpc, tracing: Tracing | None) -> grpc.RpcMethodHandler[Any, Any]:
    if tracing is None:
        handler = guarded(method, rpc)
    else:
        handler = tracing.of_method(method, guarded(method, replace(rpc, run=tracing.of_request(rpc.run))))
    # To gRPC every request is a stream, of one message or more: so its handlers can look before they read.
    if method.server_streaming:
        return grpc.stream_stream_rpc_method_handler(handler)
    return grpc.stream_unary_rpc_method_handler(handler)
