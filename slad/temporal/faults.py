"""What Temporal refuses, as reasons. Its own words never reach a caller."""

from __future__ import annotations

from enum import Enum
from typing import Final

from temporalio.service import RPCError, RPCStatusCode

from slad.config.settings import ConnectionSettings
from slad.core.errors import Refusal, Refused
from slad.temporal.connection import unreachable

NAMESPACE_NOT_FOUND: Final = b"NamespaceNotFoundFailure"
"""In the details of the status: tells a missing namespace from a missing workflow."""


GONE: Final = "TEMPORAL_WORKFLOW_GONE"
"""The reason of `Concern.WORKFLOW_GONE`, for which a workflow may be parked."""


DENIED: Final = "TEMPORAL_PERMISSION_DENIED"
"""The reason when the caller is not allowed what it asks."""


class Concern(Enum):
    """Whom a fault concerns, and so what is to be done about it."""

    LINK = "link"
    """Every ticket alike: wait, and try again."""
    WORKFLOW_GONE = "workflow gone"
    """The workflow has ended or was never there."""
    MESSAGE = "message"
    """This message will never be taken."""


class TemporalFault(Exception):  # noqa: N818 - what is the case, not what it is
    """A call to Temporal that failed; `refused` says it to people and programs."""

    def __init__(self, concern: Concern, refused: Refused) -> None:
        super().__init__(refused.message)
        self.concern = concern
        self.refused = refused


LINK_TROUBLE: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    }
)

TOO_LARGE: Final = ("size exceeds", "too large", "too long")
"""How Temporal says that a message, or the history that it would go into, is too large."""


def fault_of(settings: ConnectionSettings, error: Exception) -> TemporalFault:
    """What an error of Temporal's client amounts to."""
    # A lazy client that cannot connect raises RuntimeError.
    if not isinstance(error, RPCError):
        return TemporalFault(Concern.LINK, unreachable(settings, error))
    of_link = _of_link(settings, error)
    if of_link is not None:
        return TemporalFault(Concern.LINK, of_link)
    if error.status is RPCStatusCode.NOT_FOUND:
        gone = Refused(Refusal.NOT_FOUND, GONE, "the workflow has ended or is not there")
        return TemporalFault(Concern.WORKFLOW_GONE, gone)
    if any(words in error.message.lower() for words in TOO_LARGE):
        text = "the schedule or the facts of the ticket are more than Temporal accepts in one message"
        refused = Refused(Refusal.FAILED_PRECONDITION, "TEMPORAL_PAYLOAD_TOO_LARGE", text)
    else:
        text = f"Temporal refuses the message ({error.status.name}); see the log of slad"
        refused = Refused(Refusal.FAILED_PRECONDITION, "TEMPORAL_REFUSED", text)
    return TemporalFault(Concern.MESSAGE, refused)


def _of_link(settings: ConnectionSettings, error: RPCError) -> Refused | None:
    where, namespace = f"Temporal at {settings.address}", repr(settings.namespace)
    if error.status in LINK_TROUBLE:
        return unreachable(settings, error.status.name)
    if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED):
        text = f"{where} does not allow slad to use namespace {namespace}"
        return Refused(Refusal.FAILED_PRECONDITION, DENIED, text)
    if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
        return Refused(
            Refusal.RESOURCE_EXHAUSTED, "TEMPORAL_BUSY", "Temporal accepts no more calls at the moment"
        )
    if error.status is RPCStatusCode.NOT_FOUND and NAMESPACE_NOT_FOUND in error.raw_grpc_status:
        text = f"{where} has no namespace {namespace}"
        return Refused(Refusal.FAILED_PRECONDITION, "TEMPORAL_NAMESPACE_MISSING", text)
    return None
