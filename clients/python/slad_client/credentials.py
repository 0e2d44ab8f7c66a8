"""Who is calling, and over what: tokens and TLS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc

Token = str | Callable[[], str]
"""A token as `slad tokens create` shows it; or what gives it, asked for every call, as one may be rotated."""


def tls(
    ca: Path | str | None = None, certificate: Path | str | None = None, key: Path | str | None = None
) -> grpc.ChannelCredentials:
    """Credentials for a client's `tls`, from files in PEM.

    Args:
        ca: Who may have signed the daemon's certificate; without it, the CAs that gRPC comes with.
        certificate: The caller's own, with those that lead to its CA, where the daemon asks for one (mTLS).
        key: Its private key.

    Raises OSError when a file cannot be read, ValueError when one of certificate and key is missing.
    """
    if (certificate is None) != (key is None):
        raise ValueError("certificate and key go together: give both, or neither")
    ca_bytes, key_bytes, chain = (
        None if path is None else Path(path).read_bytes() for path in (ca, key, certificate)
    )
    return grpc.ssl_channel_credentials(ca_bytes, key_bytes, chain)


def bearer(token: Token) -> tuple[tuple[str, str], ...]:
    """The metadata that carry a token."""
    secret = token() if callable(token) else token
    return (("authorization", f"Bearer {secret.strip()}"),)
