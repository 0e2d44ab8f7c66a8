"""Server reflection, by which grpcurl finds its way."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection

SERVICE_NAME = reflection.SERVICE_NAME


class _MemberPool:
    """The default pool, which also finds the file of a method, a field or an enum value.

    protobuf's own pool knows whole messages, enums and services only, so that
    `grpcurl describe slad.v1.SlaBackend.PauseSla` would fail.
    """

    def __init__(self) -> None:
        self._pool: Any = descriptor_pool.Default()  # type: ignore[no-untyped-call]

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


def enable(service_names: list[str], server: grpc.aio.Server) -> None:
    """Lets `server` describe these services, health and reflection itself."""
    pool: Any = _MemberPool()
    reflection.enable_server_reflection((*service_names, SERVICE_NAME), server, pool)
