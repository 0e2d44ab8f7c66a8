"""Every RPC of the contract, by descriptor, with requests that try to reach another tenant."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import grpc
import slad_client.v1
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_channelz.v1 import channelz_pb2
from grpc_status import rpc_status

TEXTS = {
    "timezone": "UTC",
    "start_time": "09:00",
    "end_time": "17:00",
    "holiday_date": "2026-12-25",
    "page_token": "",
}
"""What texts of the contract have to be like, by the name of the field; others may be anything."""

ABSENT = frozenset(
    {"effective_at", "started_at", "as_of", "response_completed_at", "due_before", "expires_at"}
    | {"pauses", "closed", "fired", "facts", "clocks", "clock", "discard", "reason_code"}
    | {"response_due_at", "resolution_due_at", "date_overrides", "attributes", "group", "figures"}
    | {"response_open_time", "resolution_open_time"}
)
"""Fields for which the default is better than a made-up value."""

STREAM_TIMEOUT_S = 60


class Outcome(NamedTuple):
    """How a call ended: with replies, or with a status."""

    code: str
    told: str
    """Replies and error as text."""


def methods() -> Iterator[MethodDescriptor]:
    """All RPCs that the contract has, and channelz, which slad serves behind the same guard."""
    yield from channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].methods
    for module in pkgutil.iter_modules(slad_client.v1.__path__):
        if module.name.endswith("_pb2"):
            descriptor = importlib.import_module(f"slad_client.v1.{module.name}").DESCRIPTOR
            for service in descriptor.services_by_name.values():
                yield from service.methods


def filled(method: MethodDescriptor, names: Mapping[str, str]) -> Message:
    """A request with every field set; `names` says what fields of those names hold."""
    request = GetMessageClass(method.input_type)()
    _fill(request, names, 0)
    return request


def _fill(message: Message, names: Mapping[str, str], depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        taken = oneof is not None and message.WhichOneof(oneof.name) is not None
        if field.name not in ABSENT and not taken:
            _fill_field(message, field, names, depth)


def _fill_field(message: Any, field: FieldDescriptor, names: Mapping[str, str], depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            value = message if field.is_repeated else getattr(message, field.name)
            if not field.is_repeated:
                value.FromJsonString("2026-03-02T08:00:00Z")
        elif field.message_type.full_name == "google.protobuf.Duration":
            getattr(message, field.name).FromSeconds(1)
        elif depth < 5:
            child = getattr(message, field.name)
            if field.is_repeated and field.message_type.oneofs_by_name.get("command"):
                _fill_commands(child, field.message_type, names, depth + 1)
            else:
                _fill(child.add() if field.is_repeated else child, names, depth + 1)
        return
    value = _value(field, names)
    if field.is_repeated:
        if value != "":
            getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def _fill_commands(commands: Any, kind: Descriptor, names: Mapping[str, str], depth: int) -> None:
    """One command of each kind, each with a request_id of its own."""
    for field in kind.fields:
        request_id = names.get("request_id", "")
        own = {**names, "request_id": request_id if field.name == "start" else f"{request_id}-{field.name}"}
        _fill(getattr(commands.add(), field.name), own, depth + 1)


def _value(field: FieldDescriptor, names: Mapping[str, str]) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        known = {**TEXTS, **names}
        name = field.name.removesuffix("s") if field.is_repeated else field.name
        return known.get(name, "anything")
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return field.name not in ("all_tenants",)
    if field.name == "after_sequence":
        return 0
    return 1


async def call(
    channel: grpc.aio.Channel, method: MethodDescriptor, request: Message, token: str, fence: Any = None
) -> Outcome:
    """Calls by descriptor. An endless stream is read until what `fence` starts shows up in it."""
    service = method.containing_service.full_name
    path = f"/{service}/{method.name}"
    reply_of = GetMessageClass(method.output_type).FromString
    options: dict[str, Any] = {"metadata": (("authorization", f"Bearer {token}"),) if token else ()}
    body = request.SerializeToString()
    told: list[str] = []
    try:
        async with asyncio.timeout(STREAM_TIMEOUT_S):
            if method.client_streaming and method.server_streaming:
                exchange = channel.stream_stream(path, response_deserializer=reply_of)(_one(body), **options)
                told += [str(reply) async for reply in exchange]
            elif method.client_streaming:
                told.append(
                    str(
                        await channel.stream_unary(path, response_deserializer=reply_of)(
                            _one(body), **options
                        )
                    )
                )
            elif method.server_streaming:
                stream = channel.unary_stream(path, response_deserializer=reply_of)(body, **options)
                try:
                    await stream.initial_metadata()
                    mark = await fence() if fence else None
                    async for reply in stream:
                        told.append(str(reply))
                        if mark and mark in told[-1]:
                            break
                finally:
                    stream.cancel()
            else:
                told.append(
                    str(await channel.unary_unary(path, response_deserializer=reply_of)(body, **options))
                )
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(error)
        return Outcome(error.code().name, "\n".join([*told, str(status or error.details())]))
    return Outcome("OK", "\n".join(told))


async def _one(body: bytes) -> Any:
    yield body
