"""What slad answers when it does not do what was asked: one exception class for each gRPC status."""

# ruff: noqa: N818 - the classes are called as the statuses are

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final, NamedTuple

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2


class FieldViolation(NamedTuple):
    """One field of a request that cannot be accepted."""

    field: str
    """The path as in the request: `schedule.entries[2].end_time`."""
    description: str
    """For people."""
    reason: str
    """For programs: a stable upper-case word."""


class SladError(Exception):
    """A call that failed. The gRPC error, if there was one, is its `__cause__`."""

    code: grpc.StatusCode
    """The gRPC status."""
    reason: str
    """Why, as a stable upper-case word (TRACKING_COMPLETED); empty when the status is not slad's own, such as
    that of a connection that broke."""
    message: str
    """Why, for people."""
    metadata: Mapping[str, str]
    """Further facts, such as how and when a tracking ended."""
    violations: Sequence[FieldViolation]
    """What is wrong with the request; only with InvalidArgument."""
    retry_delay: timedelta | None
    """How long slad asks to wait before the call is repeated; with Unavailable and ResourceExhausted."""
    request_id: str
    """The request_id under which a command was sent, its outcome perhaps unknown: to send the same command
    again with this id is safe. Empty for other calls."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_delay: timedelta | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_delay = retry_delay
        self.request_id = request_id

    def about(self, request_id: str) -> SladError:
        """The same error of another command: many may fail of one cause."""
        error = copy.copy(self)
        error.request_id = request_id
        error.__cause__ = self.__cause__
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies, and pickles of those who work in several processes: an exception is otherwise made anew
        # out of its `args`, which are the message alone.
        details: dict[str, Any] = {
            "reason": self.reason,
            "metadata": self.metadata,
            "violations": self.violations,
            "retry_delay": self.retry_delay,
            "request_id": self.request_id,
        }
        return functools.partial(type(self), **details), (self.code, self.message)

    def __str__(self) -> str:
        return f"{self.reason or self.code.name}: {self.message}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class _OfStatus(SladError):
    """An error whose class says its status."""

    STATUS: ClassVar[grpc.StatusCode]


class InvalidArgument(_OfStatus):
    """The request can never be right."""

    STATUS = grpc.StatusCode.INVALID_ARGUMENT

    @property
    def field(self) -> str:
        """The path of the field that is wrong, as in the request; empty if none is named."""
        return self.violations[0].field if self.violations else ""


class NotFound(_OfStatus):
    """There is no such tracking, or no such consumer."""

    STATUS = grpc.StatusCode.NOT_FOUND


class AlreadyExists(_OfStatus):
    """The ticket is live, and the start was to fail if so."""

    STATUS = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(_OfStatus):
    """Not as things stand: the tracking has ended, the tenant is ambiguous, the request_id is another's."""

    STATUS = grpc.StatusCode.FAILED_PRECONDITION


class OutOfRange(_OfStatus):
    """An acknowledgement of what was not sent, or is behind; a deadline past the year 9999."""

    STATUS = grpc.StatusCode.OUT_OF_RANGE


class ResourceExhausted(_OfStatus):
    """Too much at once, or too large a message."""

    STATUS = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(_OfStatus):
    """slad is not there, is stopping, or is overloaded, and stayed so through all retries."""

    STATUS = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(_OfStatus):
    """No answer in time. A command may have been carried out all the same (see `request_id`)."""

    STATUS = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(_OfStatus):
    """The call was cancelled on its way."""

    STATUS = grpc.StatusCode.CANCELLED


class Internal(_OfStatus):
    """An error of slad itself; its log says more. Or of the connection, when there is no `reason`."""

    STATUS = grpc.StatusCode.INTERNAL


class Unimplemented(_OfStatus):
    """This slad does not know the call."""

    STATUS = grpc.StatusCode.UNIMPLEMENTED


class Unauthenticated(_OfStatus):
    """slad wants to know who is calling: a token is missing, unknown, expired or revoked."""

    STATUS = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(_OfStatus):
    """The token is not for this tenant, or its role is too low."""

    STATUS = grpc.StatusCode.PERMISSION_DENIED


class Aborted(_OfStatus):
    """Not sent by slad; by something in between, perhaps."""

    STATUS = grpc.StatusCode.ABORTED


class DataLoss(_OfStatus):
    """Not sent by slad; by something in between, perhaps."""

    STATUS = grpc.StatusCode.DATA_LOSS


class Unknown(_OfStatus):
    """Not sent by slad; by something in between, perhaps."""

    STATUS = grpc.StatusCode.UNKNOWN


_DETAILS_KEY: Final = "grpc-status-details-bin"
"""Where gRPC's richer error model puts a google.rpc.Status."""

_CODES: Final[dict[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}

_CLASSES: Final[dict[grpc.StatusCode, type[_OfStatus]]] = {
    kind.STATUS: kind for kind in _OfStatus.__subclasses__()
}


def from_rpc_error(error: grpc.RpcError, request_id: str = "") -> SladError:
    """The typed error for one raised by gRPC, asyncio or not."""
    # Every error that a call raises is a grpc.Call or a grpc.aio.AioRpcError, both of which have these.
    call: Any = error
    typed = _typed(call.code(), call.details() or "", _details(call), request_id)
    typed.__cause__ = error
    return typed


def from_status(status: status_pb2.Status, request_id: str = "") -> SladError:
    """The typed error for a status in a message."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _typed(code, status.message, status.details, request_id)


def _typed(code: grpc.StatusCode, message: str, details: Iterable[Any], request_id: str) -> SladError:
    info: dict[str, Any] = {}
    for detail in details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            told = _unpack(detail, error_details_pb2.ErrorInfo())
            info |= {"reason": told.reason, "metadata": told.metadata}
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            request = _unpack(detail, error_details_pb2.BadRequest())
            info["violations"] = [
                FieldViolation(v.field, v.description, v.reason) for v in request.field_violations
            ]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            info["retry_delay"] = _unpack(detail, error_details_pb2.RetryInfo()).retry_delay.ToTimedelta()
    return _CLASSES.get(code, SladError)(code, message, request_id=request_id, **info)


def _details(call: Any) -> Sequence[Any]:
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            try:
                status = status_pb2.Status.FromString(value)
            except (DecodeError, TypeError):
                return ()
            # One of another error was put there by something in between.
            known = (call.code().value[0], call.details() or "")
            return status.details if (status.code, status.message) == known else ()
    return ()


def _unpack(detail: Any, message: Any) -> Any:
    detail.Unpack(message)
    return message
