"""gRPC's own view of its servers, sockets and channels (grpc.channelz.v1), behind the guard of all services.

gRPC's servicer reports failures by a context; here they become what `server` makes statuses of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from grpc_channelz.v1 import channelz_pb2
from grpc_channelz.v1.channelz import ChannelzServicer

from slad.core.errors import Refusal, Refused

CHANNELZ: Final[Any] = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"]


class Channelz:
    """The methods of `grpc.channelz.v1.Channelz`; each asks gRPC's core, which answers at once."""

    def __getattr__(self, name: str) -> Callable[[Message], Awaitable[bytes]]:
        if name not in CHANNELZ.methods_by_name:
            raise AttributeError(name)
        return partial(_answer, getattr(ChannelzServicer, name))


class _Failure:
    """What gRPC's servicer calls instead of raising."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.details = ""

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details


async def _answer(ask: Callable[[Message, Any], Message | None], request: Message) -> bytes:
    failure = _Failure()
    reply = ask(request, failure)
    if failure.code is grpc.StatusCode.NOT_FOUND:
        raise Refused(Refusal.NOT_FOUND, "CHANNELZ_ID_NOT_FOUND", "gRPC has nothing under that id")
    if reply is None:
        raise RuntimeError(failure.details)
    return reply.SerializeToString()
