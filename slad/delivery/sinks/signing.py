"""Signatures as Standard Webhooks has them (HMAC-SHA256), with any number of secrets at a time.

A receiver accepts a request when one of its signatures is right. So a secret is changed without a gap: let
the receiver know the new one, add it here, let the receiver forget the old one, remove it here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
MIN_BYTES, MAX_BYTES = 24, 64
"""The sizes of a key that Standard Webhooks allows."""


class KeyFormatError(ValueError):
    """A secret is no key; the message goes on after `the secret`."""


def decode_key(secret: str) -> bytes:
    """The key that a secret such as `whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD` is. Raises KeyFormatError."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise KeyFormatError("is not Base64, with or without whsec_ before it") from None
    if not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise KeyFormatError(f"stands for {len(key)} bytes; {MIN_BYTES} to {MAX_BYTES} are allowed")
    return key


def headers(message_id: str, timestamp_s: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` (UTC epoch seconds) and, if there are keys, `webhook-signature`."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    found = {"webhook-id": message_id, "webhook-timestamp": str(timestamp_s)}
    if keys:
        found["webhook-signature"] = " ".join(f"v1,{signature}" for signature in signatures)
    return found
