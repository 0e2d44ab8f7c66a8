"""Each thing that Temporal can refuse has its own reason, and concerns whom it should."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.service import RPCError, RPCStatusCode

from slad.config.settings import ConnectionSettings
from slad.core.errors import Refused
from slad.temporal.connection import connect
from slad.temporal.faults import Concern, fault_of
from tests.ports import own_port

SETTINGS = ConnectionSettings("temporal.example:7233", "desk")
MISSING = b"\x08\x05...type.googleapis.com/temporal.api.errordetails.v1.NamespaceNotFoundFailure"


@pytest.mark.parametrize(
    ("status", "text", "details", "concern", "reason"),
    [
        (RPCStatusCode.UNAVAILABLE, "", b"", Concern.LINK, "TEMPORAL_UNREACHABLE"),
        (RPCStatusCode.DEADLINE_EXCEEDED, "", b"", Concern.LINK, "TEMPORAL_UNREACHABLE"),
        (RPCStatusCode.INTERNAL, "panic: secret", b"", Concern.LINK, "TEMPORAL_UNREACHABLE"),
        (RPCStatusCode.NOT_FOUND, "", MISSING, Concern.LINK, "TEMPORAL_NAMESPACE_MISSING"),
        (RPCStatusCode.NOT_FOUND, "for ID: namespace", b"", Concern.WORKFLOW_GONE, "TEMPORAL_WORKFLOW_GONE"),
        (RPCStatusCode.PERMISSION_DENIED, "", b"", Concern.LINK, "TEMPORAL_PERMISSION_DENIED"),
        (RPCStatusCode.UNAUTHENTICATED, "", b"", Concern.LINK, "TEMPORAL_PERMISSION_DENIED"),
        (RPCStatusCode.RESOURCE_EXHAUSTED, "", b"", Concern.LINK, "TEMPORAL_BUSY"),
        (
            RPCStatusCode.INVALID_ARGUMENT,
            "Blob data size exceeds limit.",
            b"",
            Concern.MESSAGE,
            "TEMPORAL_PAYLOAD_TOO_LARGE",
        ),
        (RPCStatusCode.INVALID_ARGUMENT, "panic: secret", b"", Concern.MESSAGE, "TEMPORAL_REFUSED"),
    ],
)
def test_each_fault_has_its_reason_and_no_word_of_temporal_s(
    status: RPCStatusCode, text: str, details: bytes, concern: Concern, reason: str
) -> None:
    fault = fault_of(SETTINGS, RPCError(text, status, details))
    assert (fault.concern, fault.refused.reason) == (concern, reason)
    assert "secret" not in fault.refused.message


async def test_a_connection_that_cannot_be_made_says_why() -> None:
    with pytest.raises(Refused, match="nothing listens there") as caught:
        await connect(ConnectionSettings(f"127.0.0.1:{own_port()}"))
    assert caught.value.reason == "TEMPORAL_UNREACHABLE"


async def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"ca\.pem cannot be read") as caught:
        await connect(ConnectionSettings(tls_ca=tmp_path / "ca.pem"), lazy=True)
    assert caught.value.reason == "TEMPORAL_CERTIFICATE_UNREADABLE"
