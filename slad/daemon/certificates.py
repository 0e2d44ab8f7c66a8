"""TLS: certificates read from files, examined before they are used, replaced without a restart."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import grpc

from slad.config.settings import TlsSettings
from slad.core.instants import DAY_MS, SECOND_MS, format_instant
from slad.core.metrics import MS_PER_SECOND, Metric, MetricKind, Sample

log = logging.getLogger(__name__)

WARN_DAYS: Final = 21
"""So long before the end of a certificate the log begins to say so."""

_ROUNDS: Final = 10
"""More than a handshake takes."""


class CertificateError(ValueError):
    """A certificate or key cannot be used; the message says which, why, and what to do."""


class Certificates:
    """What the TLS listeners show to callers. Raises CertificateError."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self.expires_at = 0
        """Of the certificate, UTC epoch ms."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """The same for HTTP; another one after a reload, as a context forgets no client CA and no session."""
        self._configuration = self._read(settings)

    def credentials(self) -> grpc.ServerCredentials:
        """For one address: gRPC takes the first and every newer configuration from them once."""
        shown = self._configuration

        def newer() -> Any:  # grpcio's stubs do not know that None means: as before
            nonlocal shown
            before, shown = shown, self._configuration
            return shown if shown is not before else None

        # It asks before each handshake, on threads of its own.
        return grpc.dynamic_ssl_server_credentials(shown, newer, self._settings.client_ca is not None)

    def reload(self, settings: TlsSettings) -> None:
        """Uses the files as they are now, for connections from now on.

        Raises CertificateError; then nothing has changed.
        """
        if (settings.client_ca is None) != (self._settings.client_ca is None):
            raise CertificateError("tls.client_ca can only be set or unset by a restart")
        self._configuration, self._settings = self._read(settings), settings

    def _read(self, settings: TlsSettings) -> grpc.ServerCertificateConfiguration:
        certificate, key = settings.cert, settings.key
        assert certificate is not None
        assert key is not None
        chain, secret = _bytes(certificate, "certificate"), _bytes(key, "key")
        ends_at = examine(certificate, key)
        left = (ends_at - int(time.time() * 1_000)) // DAY_MS
        if left < WARN_DAYS:
            log.warning("%s ends on %s; replace it and reload", certificate, format_instant(ends_at))
        roots, context = None, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if settings.client_ca is not None:
            roots = _bytes(settings.client_ca, "client CA")
            if not _context(ssl.PROTOCOL_TLS_CLIENT, settings.client_ca).cert_store_stats()["x509"]:
                raise CertificateError(f"{settings.client_ca} holds no certificate")
            context.load_verify_locations(settings.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(certificate, key)
        self.expires_at, self.context = ends_at, context
        return grpc.ssl_server_certificate_configuration([(secret, chain)], roots)


EXPIRES: Final = Metric(
    "slad_certificate_expires_timestamp_seconds",
    MetricKind.GAUGE,
    "When the certificate expires that slad shows to callers.",
)


class CertificateMetrics:
    """The certificate in use as a `MetricSource`; without TLS there is none."""

    metrics: Final = (EXPIRES,)

    def __init__(self, certificates: Certificates | None) -> None:
        self._certificates = certificates

    async def samples(self) -> Iterable[Sample]:
        """The value now."""
        if self._certificates is None:
            return []
        return [Sample(EXPIRES, self._certificates.expires_at / MS_PER_SECOND)]


def examine(certificate: Path, key: Path) -> int:
    """Lets the certificate and its key meet a client that trusts it, in memory; when it ends, UTC epoch ms.

    Raises CertificateError when they do not belong together, or no client would take it: expired, not yet
    valid, not for servers.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(f"{key} is not the key of {certificate}") from error
        raise CertificateError(f"{certificate} or {key} is not PEM, or damaged") from error
    client = _context(ssl.PROTOCOL_TLS_CLIENT, certificate)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        return _shake_hands(server, client)
    except ssl.SSLCertVerificationError as error:
        raise CertificateError(
            f"every client would refuse {certificate}: {error.verify_message}; replace it"
        ) from error
    except ssl.SSLError as error:
        raise CertificateError(f"{certificate} cannot be used: {_said(error)}") from error


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> int:
    """A handshake over two buffers; the end of the certificate, UTC epoch ms."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller, callee = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(_ROUNDS):
        for side in (caller, callee):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        shown = caller.getpeercert() if caller.version() and caller.cipher() else None
        if shown:
            return int(ssl.cert_time_to_seconds(str(shown["notAfter"]))) * SECOND_MS
    raise ssl.SSLError("the TLS handshake does not end")


def _context(protocol: int, authorities: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    try:
        context.load_verify_locations(authorities)
    except ssl.SSLError as error:
        raise CertificateError(f"{authorities} holds no certificate in PEM") from error
    return context


def _bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"the {what} {path} cannot be read: {error.strerror}") from error


def _no_password() -> str:
    raise CertificateError("the key is encrypted; slad cannot ask for its password")


def _said(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
