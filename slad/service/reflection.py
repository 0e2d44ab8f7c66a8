"""Server reflection, by which grpcurl finds its way."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from slad.core.errors import Refused
from slad.service import error_details
from slad.service.access import REFLECTION, Gate
from slad.service.guard import Bounds

SERVICE_NAME = reflection.SERVICE_NAME


class _MemberPool:
    """The default pool, which also finds the file of a method, a field or an enum value.

    protobuf's own pool knows whole messages, enums and services only, so that
    `grpcurl describe slad.v1.SlaBackend.PauseSla` would fail.
    """

    def __init__(self) -> None:
        self._pool: Any = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # the pool's own name
        """The file that declares `symbol`. Raises KeyError."""
        found: FileDescriptor
        try:
            found = self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            owner = symbol.rpartition(".")[0]
            found = self._pool.FindFileContainingSymbol(owner)
        return found


class _GuardedServicer(reflection.aio.ReflectionServicer):
    """Describes the services to those who may call any of them."""

    def __init__(self, service_names: list[str], gate: Gate, bounds: Bounds) -> None:
        pool: Any = _MemberPool()
        super().__init__(service_names, pool=pool)
        self._gate = gate
        self._bounds = bounds

    async def ServerReflectionInfo(  # type: ignore[override]  # the stubs want a generator
        self, request_iterator: AsyncIterable[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        try:
            who = self._gate.admit(REFLECTION, context)
            with self._bounds.place(REFLECTION.kind, who, context), self._gate.stream(who):
                await self._bounds.begin(context)
                replies: Any = super().ServerReflectionInfo(request_iterator, context)
                async for reply in replies:
                    self._gate.still_good(who)
                    await self._bounds.send(context, reply, reply.ByteSize())
        except Refused as error:
            await error_details.abort(context, error)


def enable(service_names: list[str], server: grpc.aio.Server, gate: Gate, bounds: Bounds) -> None:
    """Lets `server` describe these services, health and reflection itself."""
    servicer = _GuardedServicer([*service_names, SERVICE_NAME], gate, bounds)
    add: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    add(servicer, server)
