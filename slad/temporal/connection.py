"""Where Temporal is, and connecting to it.

`temporalio` is imported when a connection is made, not before: who runs without Temporal need not have it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from slad.config.settings import ConnectionSettings
from slad.core.errors import Refusal, Refused

if TYPE_CHECKING:
    from temporalio.client import Client

log = logging.getLogger(__name__)

RPC_TIMEOUT: Final = timedelta(seconds=10)
"""How long one call to Temporal may take."""


async def connect(settings: ConnectionSettings, *, lazy: bool = False) -> Client:
    """A client of the namespace. With `lazy` the first call connects, and connecting never fails.

    Raises Refused with what is the matter and what to do.
    """
    try:
        from temporalio.client import Client  # noqa: PLC0415
        from temporalio.service import RetryConfig, TLSConfig  # noqa: PLC0415
    except ImportError:
        raise Refused(
            Refusal.UNIMPLEMENTED,
            "TEMPORAL_NOT_INSTALLED",
            "Temporal's client is not installed: pip install 'slad[temporal]'",
        ) from None
    tls: bool | TLSConfig = False
    if settings.uses_tls:
        tls = TLSConfig(
            server_root_ca_cert=_read(settings.tls_ca),
            client_cert=_read(settings.tls_cert),
            client_private_key=_read(settings.tls_key),
            domain=settings.tls_server_name,
        )
    try:
        return await Client.connect(
            settings.address,
            namespace=settings.namespace,
            api_key=settings.api_key,
            tls=tls,
            lazy=lazy,
            connect_timeout=RPC_TIMEOUT,
            # What is to be tried again is decided here, not in the client.
            retry_config=RetryConfig(max_retries=1, max_elapsed_time_millis=2_000),
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise unreachable(settings, error) from error


CAUSES: Final = (
    ("dns error", "its host name cannot be resolved"),
    ("ConnectionRefused", "nothing listens there"),
    ("InvalidContentType", "it does not speak TLS"),
    (
        "InvalidCertificate",
        "its certificate is not trusted; see temporal.tls_ca, temporal.tls_server_name",
    ),
    ("CertificateRequired", "it requires a certificate; see temporal.tls_cert"),
    ("AlertReceived", "it does not accept the TLS of this side; see temporal.tls_cert"),
    ("Unauthenticated", "it does not accept the caller; see temporal.api_key"),
    ("PermissionDenied", "it does not accept the caller; see temporal.api_key"),
    # With TLS 1.3 a client is connected before the server has seen its certificate, or that it has none.
    (
        "call error after connection",
        "it ended the connection; see temporal.tls_cert, if it requires a certificate",
    ),
)
"""What is found in an error of Temporal's client, and what it means. Its own words are for the log."""


def unreachable(settings: ConnectionSettings, cause: object) -> Refused:
    """What is said when nothing that speaks for Temporal answers."""
    text = str(cause)
    log.debug("Temporal's client says: %s", text)
    known = next((meaning for words, meaning in CAUSES if words in text), "no answer in time")
    return Refused(
        Refusal.UNAVAILABLE,
        "TEMPORAL_UNREACHABLE",
        f"Temporal cannot be reached at {settings.address}: {known}",
    )


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(
            Refusal.FAILED_PRECONDITION,
            "TEMPORAL_CERTIFICATE_UNREADABLE",
            f"{path} cannot be read: {error.strerror}",
        ) from error
