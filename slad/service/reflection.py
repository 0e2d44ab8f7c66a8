"""Server reflection, by which grpcurl finds its way."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from slad.core.errors import Refused
from slad.service import error_details
from slad.service.access import REFLECTION, Gate

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

    def __init__(self, service_names: list[str], gate: Gate) -> None:
        pool: Any = _MemberPool()
        super().__init__(service_names, pool=pool)
        self._gate = gate

    async def ServerReflectionInfo(  # type: ignore[override]  # it is a generator there too
        self, request_iterator: AsyncIterable[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        try:
            self._gate.admit(REFLECTION, context)
        except Refused as error:
            await error_details.abort(context, error)
        replies: Any = super().ServerReflectionInfo(request_iterator, context)
        async for reply in replies:
            yield reply


def enable(service_names: list[str], server: grpc.aio.Server, gate: Gate) -> None:
    """Lets `server` describe these services, health and reflection itself."""
    servicer = _GuardedServicer([*service_names, SERVICE_NAME], gate)
    add: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    add(servicer, server)
