"""Health (grpc.health.v1). With gRPC's own servicer one watcher who does not read holds up all others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2

from slad.core.errors import Refusal, Refused, stopping

HEALTH: Final[Any] = health_pb2.DESCRIPTOR.services_by_name["Health"]

_Status = health_pb2.HealthCheckResponse


class Health:
    """The methods of `grpc.health.v1.Health`. Nothing serves until it is set."""

    def __init__(self) -> None:
        self._statuses: dict[str, Any] = {}
        self._news = asyncio.Event()
        self._stopping = False

    def set(self, names: Iterable[str], *, serving: bool) -> None:
        """Says whether some services serve; "" is the daemon as a whole."""
        for name in names:
            self._statuses[name] = _Status.SERVING if serving else _Status.NOT_SERVING
        self._tell()

    def stop(self) -> None:
        """Nothing serves any more, and watches end."""
        self._stopping = True
        self.set(self._statuses, serving=False)

    async def Check(self, request: health_pb2.HealthCheckRequest) -> bytes:
        """How a service stands. Raises Refused (NOT_FOUND)."""
        status = self._statuses.get(request.service)
        if status is None:
            text = "slad has no service of that name"
            raise Refused(Refusal.NOT_FOUND, "SERVICE_NOT_FOUND", text, field="service")
        return _Status(status=status).SerializeToString()

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, _: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """How a service stands, now and whenever that changes."""
        told = None
        while True:
            news, status = self._news, self._statuses.get(request.service, _Status.SERVICE_UNKNOWN)
            if status != told:
                told = status
                yield _Status(status=status).SerializeToString()
            elif self._stopping:
                raise stopping("watch again")
            else:
                await news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
