"""What must hold of every answer, whatever was asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from slad.config.settings import DEFAULT_LIMITS
from slad.service.error_details import DOMAIN
from tests.system.docs.test_errors import documented_reasons
from tests.trials.fuzz import values
from tests.trials.fuzz.generator import Call
from tests.trials.fuzz.plausible import is_map

MAX_REPLY: Final = 4 * 1024 * 1024
"""What a client takes unless it is told otherwise."""

UNREADABLE: Final = "MALFORMED_MESSAGE"

NEVER: Final = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)
"""Nothing that is sent, at a rate that is bearable, may lead to these."""

_DOCUMENTED: Final = frozenset(documented_reasons())


@dataclass
class Outcome:
    """How a call ended, as the caller saw it."""

    code: grpc.StatusCode
    details: str = ""
    status: bytes | None = None
    """The google.rpc.Status of the trailing metadata."""
    replies: list[bytes] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_refused(self) -> bool:
        return self.code not in (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED)


def problems(call: Call, outcome: Outcome) -> list[str]:
    """What is wrong with an answer; empty: nothing."""
    code = outcome.code
    found = [problem for reply in outcome.replies for problem in _reply_problems(call, reply)]
    if code is grpc.StatusCode.OK or (code is grpc.StatusCode.CANCELLED and call.cancelled):
        return found
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return [*found, "no answer in time"]
    if code in NEVER or code is grpc.StatusCode.CANCELLED:
        return [*found, f"{code.name}: {outcome.details[:200]}"]
    if call.is_borrowed:
        return found
    if outcome.status is None:
        by_grpc = code is grpc.StatusCode.RESOURCE_EXHAUSTED and any(
            len(message) > DEFAULT_LIMITS.message_bytes for message in call.messages
        )
        return found if by_grpc else [*found, f"{code.name} without a status: {outcome.details[:200]}"]
    return found + _status_problems(call, outcome, status_pb2.Status.FromString(outcome.status))


def _reply_problems(call: Call, reply: bytes) -> list[str]:
    if len(reply) > MAX_REPLY:
        return [f"a reply of more than {MAX_REPLY:,} bytes"]
    try:
        message = GetMessageClass(call.method.output_type).FromString(reply)
    except DecodeError:
        return [f"a reply that is no {call.method.output_type.full_name}"]
    found = list({f"a reply with a {kind} out of range" for kind in _times_out_of_range(message)})
    for result in getattr(message, "results", ()):
        if result.WhichOneof("result") == "error":
            found += _error_problems(result.error)
    return found


def _error_problems(status: status_pb2.Status) -> list[str]:
    """What is wrong with the status that a command of ExecuteSla has for its result."""
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    if code in NEVER:
        return [f"a result with {code.name}: {status.message[:200]}"]
    infos = [info for detail in status.details if detail.Unpack(info := error_details_pb2.ErrorInfo())]
    bad = [bad for detail in status.details if detail.Unpack(bad := error_details_pb2.BadRequest())]
    if [info.domain for info in infos] != [DOMAIN]:
        return [f"a result with {code.name} without an ErrorInfo of slad"]
    reason, fields = infos[0].reason, [v.field for request in bad for v in request.field_violations]
    found = [] if (code.name, reason) in _DOCUMENTED else [f"{code.name} {reason} is not in docs/errors.md"]
    names_field = code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    if names_field != (len(fields) == 1):
        found.append(f"a result with {code.name} {reason} and the fields {fields}")
    return found


def _times_out_of_range(message: Message) -> Iterator[str]:
    """The names of Timestamp and Duration, for each that JSON cannot tell."""
    for fd, value in message.ListFields():
        if fd.message_type is None or is_map(fd):
            continue
        for item in value if fd.is_repeated else (value,):
            bounds = _BOUNDS_S.get(fd.message_type.full_name)
            if bounds is None:
                yield from _times_out_of_range(item)
            elif not (bounds[0] <= item.seconds <= bounds[1] and abs(item.nanos) < 1_000_000_000):
                yield fd.message_type.name


_BOUNDS_S: Final = {
    "google.protobuf.Timestamp": (values.YEAR_1, values.YEAR_10000 - 1),
    "google.protobuf.Duration": (-315_576_000_000, 315_576_000_000),
}


def _status_problems(call: Call, outcome: Outcome, status: status_pb2.Status) -> list[str]:
    found = []
    infos = [info for detail in status.details if detail.Unpack(info := error_details_pb2.ErrorInfo())]
    bad = [bad for detail in status.details if detail.Unpack(bad := error_details_pb2.BadRequest())]
    retries = [r for detail in status.details if detail.Unpack(r := error_details_pb2.RetryInfo())]
    code = outcome.code
    if (status.code, status.message) != (code.value[0], outcome.details):
        found.append(f"the status says {status.code} {status.message!r}, gRPC {code} {outcome.details!r}")
    if [info.domain for info in infos] != [DOMAIN]:
        return [*found, f"{code.name} without an ErrorInfo of slad"]
    reason = infos[0].reason
    if (code.name, reason) not in _DOCUMENTED:
        found.append(f"{code.name} {reason} is not in docs/errors.md")
    if retries:
        found.append(f"{code.name} {reason} asks for another try, which would not help")
    violations = [violation for request in bad for violation in request.field_violations]
    messages = parsed(call)
    if not bad and code is grpc.StatusCode.NOT_FOUND:
        pass  # channelz names no field
    elif code not in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
        if bad:
            found.append(f"{code.name} {reason} with a BadRequest")
    elif messages is None:
        if reason == UNREADABLE and violations:
            found.append(f"{reason} names {violations[0].field!r}")
        elif reason != UNREADABLE and not call.method.client_streaming:
            found.append(f"{reason}, but the message cannot be parsed")
    elif len(violations) != 1 or violations[0].reason != reason:
        found.append(f"{reason} with {len(violations)} field violations")
    else:
        wrong = path_problem(violations[0].field, call.method.input_type, messages)
        if wrong:
            found.append(f"{reason} of {violations[0].field[:200]!r}: {wrong}")
    return found


def parsed(call: Call) -> list[Message] | None:
    """The messages of a call; None when one cannot be parsed."""
    kind = GetMessageClass(call.method.input_type)
    try:
        return [kind.FromString(message) for message in call.messages]
    except DecodeError:
        return None


_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_STEP: Final = re.compile(r"([a-z][a-z0-9_]*)(?:\[([0-9]+)\])?(?:\.|$)")


def path_problem(path: str, descriptor: Descriptor, messages: Sequence[Message]) -> str:
    """Why a field's path leads nowhere in these messages of one stream; empty: it does lead somewhere.

    Items of a repeated field are counted over all messages. A field may be absent, an item may not.
    """
    owners = list(messages)
    at = 0
    while at < len(path):
        name = _NAME.match(path, at)
        if name is None:
            return f"no name at {at}"
        if at == 0 and path in descriptor.oneofs_by_name:
            return ""
        fd = descriptor.fields_by_name.get(name[0])
        if fd is None:
            return f"{descriptor.full_name} has no {name[0]}"
        if is_map(fd):
            return _key_problem(path[name.end() :])
        step = _STEP.match(path, at)
        if step is None:
            return f"no step at {at}"
        owners, wrong = _descend(owners, fd, step[2])
        if wrong:
            return wrong
        at = step.end()
        if at < len(path):
            if fd.message_type is None or (fd.is_repeated and step[2] is None):
                return f"{name[0]} has no fields"
            descriptor = fd.message_type
    return "" if path and not path.endswith(".") else "it is empty"


def _key_problem(rest: str) -> str:
    # A very long key is cut.
    return "" if not rest or rest.startswith("[") else "a map's key is in brackets"


def _descend(owners: list[Message], fd: FieldDescriptor, index: str | None) -> tuple[list[Any], str]:
    if not fd.is_repeated:
        if index is not None:
            return [], f"{fd.name} is not repeated"
        if fd.message_type is None:
            return [], ""
        return [getattr(owner, fd.name) for owner in owners if owner.HasField(fd.name)], ""
    if index is None:
        return [], ""
    items = [item for owner in owners for item in getattr(owner, fd.name)]
    if int(index) >= len(items):
        return [], f"{fd.name} has {len(items)} items"
    return [items[int(index)]], ""
