"""The one place where exceptions become gRPC statuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from slad.core.errors import InvalidField, Refusal, Refused, without_frames

log = logging.getLogger(__name__)

DOMAIN: Final = "slad"

RETRY_DELAY_S: Final = 1
"""What callers are told to wait before they send an UNAVAILABLE request again."""

MAX_TEXT: Final = 1_000
"""Characters of a message or a path; a status travels in headers, which hold 16 KiB in all."""

_CODES: Final = {kind: code_pb2.Code.Value(kind.name) for kind in Refusal}


def status_of(error: Exception) -> status_pb2.Status:
    """The status that tells a caller about `error`; of an unforeseen one, nothing but that it happened."""
    if isinstance(error, InvalidField):
        status = _status(code_pb2.INVALID_ARGUMENT, str(error), error.reason)
        _name_field(status, error)
        return status
    if isinstance(error, Refused):
        status = _status(_CODES[error.kind], error.message, error.reason, error.details)
        _name_field(status, error)
        retry_s = error.retry_s
        if retry_s is None and (error.kind is Refusal.UNAVAILABLE or error.reason == "DISK_FULL"):
            retry_s = RETRY_DELAY_S
        if retry_s is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.seconds = retry_s
            status.details.add().Pack(retry)
        return status
    return _status(code_pb2.INTERNAL, "internal error; see the log of slad", "INTERNAL")


def code_and_reason(error: BaseException) -> tuple[str, str]:
    """The name of the gRPC code, and the reason, that `status_of` gives."""
    if isinstance(error, InvalidField):
        return "INVALID_ARGUMENT", error.reason
    if isinstance(error, Refused):
        return code_pb2.Code.Name(_CODES[error.kind]), error.reason
    return "INTERNAL", "INTERNAL"


async def abort(
    context: grpc.aio.ServicerContext[Any, Any], error: Exception, about: Mapping[str, Any] | None = None
) -> None:
    """Ends the call with the status of `error`. Always raises. `about` says in the log which call it was."""
    if isinstance(error, grpc.aio.AbortError | asyncio.CancelledError):
        raise error
    tell_if_unexpected(error, about)
    status = rpc_status.to_status(status_of(error))
    # gRPC's own error refers to it, and lives on in a cycle.
    without_frames(error)
    try:
        await context.abort_with_status(status)
    except grpc.aio.InternalError:
        # The caller is gone: there is nobody to tell.
        raise asyncio.CancelledError from None


def tell_if_unexpected(error: Exception, about: Mapping[str, Any] | None = None) -> None:
    """Logs an error that is no refusal; `about` says which call or command it was."""
    if not isinstance(error, InvalidField | Refused):
        log.error("unexpected error in a call", exc_info=error, extra=about)


def _status(
    code: int, message: str, reason: str, details: Mapping[str, str] | None = None
) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=message[:MAX_TEXT])
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=details or {})
    status.details.add().Pack(info)
    return status


def _name_field(status: status_pb2.Status, error: InvalidField | Refused) -> None:
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field[:MAX_TEXT], description=error.message[:MAX_TEXT], reason=error.reason
        )
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
