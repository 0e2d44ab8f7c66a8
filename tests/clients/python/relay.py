"""A server between client and daemon that fails when told, before or after it has passed the call on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.errors import Refusal, Refused
from slad.service.error_details import status_of

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@dataclass
class Fault:
    """What happens to one call in place of its answer."""

    code: grpc.StatusCode | None = None
    """Answered with this status and no details; None: with `refusal`, or never."""
    refusal: Refused | None = None
    """Answered as slad answers when it refuses."""
    forward: bool = True
    """Passed on to the daemon first."""
    after_events: int = 1
    """Of a watch: what is let through before."""


def refusing(kind: Refusal, reason: str) -> Fault:
    return Fault(refusal=Refused(kind, reason, "as the test wants it"))


HANGS = Fault()


class Relay(grpc.GenericRpcHandler):
    """`faults[rpc]` is what happens to the next calls; when there is none left, they are passed on."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._server = grpc.aio.server(handlers=[self])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self.faults: dict[str, deque[Fault]] = {}
        self.seen: list[tuple[str, bytes]] = []
        self.time_left: list[float] = []
        """Seconds that each unary call had left when it came, as its caller said."""
        self.streams = 0
        self.cancelled = 0
        """Streams that their caller did not end."""
        self.hold: asyncio.Event | None = None
        """Answers to messages of commands wait for it."""
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.stop(None)

    def fail(self, name: str, *faults: Fault) -> None:
        self.faults[name] = deque(faults)

    def requests(self, name: str) -> list[Any]:
        """The requests of one RPC that have come, in order."""
        kind: type[Message] = getattr(rpc, f"{name}Request")
        return [kind.FromString(request) for seen, request in self.seen if seen == name]

    async def until(self, condition: Callable[[], bool], *, polled: bool = False) -> None:
        """Waits for something to be true of what has come, or if `polled` of anything."""
        async with asyncio.timeout(60):
            while not condition():
                self._news.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 0.001 if polled else None)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        path = details.method
        name = path.rpartition("/")[2]
        if name == "ExecuteSla":

            async def execute(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                async with aclosing(self._execute(path, name, requests, context)) as replies:
                    async for reply in replies:
                        yield reply

            return grpc.stream_stream_rpc_method_handler(execute)
        if name == "WatchSlaEvents":

            async def stream(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                async with aclosing(self._stream(path, name, request, context)) as replies:
                    async for reply in replies:
                        yield reply

            return grpc.unary_stream_rpc_method_handler(stream)

        async def unary(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await self._unary(path, name, request, context)

        return grpc.unary_unary_rpc_method_handler(unary)

    async def _unary(
        self, path: str, name: str, request: bytes, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Any:
        fault = self._next(name, request)
        self.time_left.append(context.time_remaining())
        if fault is None:
            try:
                return await self._forward(path, request)
            except grpc.aio.AioRpcError as error:
                await context.abort(
                    error.code(), error.details() or "", tuple(error.trailing_metadata() or ())
                )
        if fault.forward:
            await self._forward(path, request)
        return await self._answer(fault, context)

    async def _forward(self, path: str, request: bytes) -> Any:
        send: Any = self._channel.unary_unary(path)
        return await send(request)

    async def _stream(
        self, path: str, name: str, request: bytes, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[bytes, None]:
        fault = self._next(name, request)
        upstream: Any = self._channel.unary_stream(path)
        upstream = upstream(request)
        self.streams += 1
        let_through = 0
        try:
            await context.send_initial_metadata(())
            async for reply in upstream:
                parsed = rpc.WatchSlaEventsResponse.FromString(reply)
                for event in parsed.events:
                    yield rpc.WatchSlaEventsResponse(events=[event]).SerializeToString()
                    let_through += 1
                    if fault and let_through == fault.after_events:
                        await self._answer(fault, context)
                        return
        finally:
            upstream.cancel()
            self.streams -= 1
            self._news.set()

    async def _execute(
        self, path: str, name: str, requests: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[bytes, None]:
        """A fault is of one message, and ends its stream."""
        upstream: Any = self._channel.stream_stream(path)
        upstream = upstream()
        self.streams += 1
        try:
            async for request in requests:
                fault = self._next(name, request)
                if fault is None or fault.forward:
                    await upstream.write(request)
                    reply = await upstream.read()
                if self.hold:
                    await self.hold.wait()
                if fault is not None:
                    await self._answer(fault, context)
                    return
                yield reply
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            upstream.cancel()
            self.streams -= 1
            self._news.set()

    def _next(self, name: str, request: bytes) -> Fault | None:
        self.seen.append((name, request))
        self._news.set()
        waiting = self.faults.get(name)
        return waiting.popleft() if waiting else None

    @staticmethod
    async def _answer(fault: Fault, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if fault.refusal:
            await context.abort_with_status(rpc_status.to_status(status_of(fault.refusal)))
        if fault.code is None:
            await asyncio.Event().wait()
        elif fault.code is not grpc.StatusCode.OK:
            await context.abort(fault.code, "as the test wants it")
