"""Calls with the very bytes that were sent and received, so that journals can keep and compare them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from slad_client import SladError
from slad_client.aio import SladPipeline
from slad_client.v1 import sla_backend_pb2

SERVICE = sla_backend_pb2.DESCRIPTOR.services_by_name["SlaBackend"]
METHODS = {GetMessageClass(method.input_type): method for method in SERVICE.methods}
REPLIES: dict[type[Message], type[Message]] = {
    request: GetMessageClass(method.output_type) for request, method in METHODS.items()
}

COMMANDS = {
    GetMessageClass(field.message_type): field.name
    for field in sla_backend_pb2.SlaCommand.DESCRIPTOR.fields
    if field.message_type
}
"""Where a request goes in a SlaCommand."""

CALL_TIMEOUT_S = 30.0
"""An answer that takes longer, from a daemon that is alive, is a fault."""

PIPELINE_TIMEOUT_S = 120.0
"""So is one of a pipeline that takes longer, over all the kills in between."""

OPTIONS = [
    # Each client has a connection of its own, as separate processes would.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
]


class DownError(Exception):
    """The connection ended: the daemon is dead, and what it did of the call is unknown."""


class RefusedError(Exception):
    """slad's own refusal."""

    def __init__(self, code: grpc.StatusCode, reason: str, message: str) -> None:
        super().__init__(f"{code.name} {reason}: {message}")
        self.code = code
        self.reason = reason


class Caller:
    """One client's connection to one run of the daemon."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._calls: dict[type[Message], Any] = {}
        for request, method in METHODS.items():
            make = self._channel.unary_stream if method.server_streaming else self._channel.unary_unary
            self._calls[request] = make(f"/{SERVICE.full_name}/{method.name}")

    async def send(self, kind: type[Message], request: bytes) -> bytes:
        """The serialized reply. Raises DownError, RefusedError."""
        try:
            reply: bytes = await self._calls[kind](request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _understood(error) from None
        return reply

    async def ask(self, request: Message) -> Any:
        """The reply, parsed. Raises DownError, RefusedError."""
        return REPLIES[type(request)].FromString(await self.send(type(request), request.SerializeToString()))

    async def watch(self, request: sla_backend_pb2.WatchSlaEventsRequest) -> AsyncIterator[list[Any]]:
        """The events, as they come. Raises DownError, RefusedError."""
        call = self._calls[type(request)](request.SerializeToString())
        try:
            async for data in call:
                yield list(sla_backend_pb2.WatchSlaEventsResponse.FromString(data).events)
        except grpc.aio.AioRpcError as error:
            raise _understood(error) from None
        finally:
            call.cancel()

    async def head(self) -> int:
        """The newest sequence there is. Raises DownError."""
        request = sla_backend_pb2.WatchSlaEventsRequest(after_sequence=0)
        call = self._calls[type(request)](request.SerializeToString())
        try:
            head = (await call.initial_metadata()).get("slad-head-sequence")
        except grpc.aio.AioRpcError as error:
            raise _understood(error) from None
        finally:
            call.cancel()
        if head is None:
            raise DownError
        return int(head)

    async def close(self) -> None:
        await self._channel.close()


class PipelinedCaller(Caller):
    """One whose commands go through a pipeline, which outlives it: it goes on over the runs of the daemon."""

    def __init__(self, address: str, pipeline: SladPipeline) -> None:
        super().__init__(address)
        self._pipeline = pipeline

    async def send(self, kind: type[Message], request: bytes) -> bytes:
        """As of `Caller`; a command is answered, whatever happens to the daemon meanwhile."""
        field = COMMANDS.get(kind)
        if field is None:
            return await super().send(kind, request)
        command = sla_backend_pb2.SlaCommand(**{field: kind.FromString(request)})
        (outcome,) = await self._pipeline.execute([command])
        if isinstance(outcome, SladError):
            raise RefusedError(outcome.code, outcome.reason, outcome.message)
        return outcome.SerializeToString()


def _understood(error: grpc.aio.AioRpcError) -> Exception:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    if status is None and error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return DownError(error.details())
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            break
    return RefusedError(error.code(), info.reason, error.details() or "")
