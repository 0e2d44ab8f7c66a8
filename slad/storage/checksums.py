"""Checksums of what rows tell: a bit that the disk turned is found when the row is read, and not told."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from slad.storage.rows import ParkedEventRow


def tracking_checksum(
    tracking_key: int, tenant_key: int, ticket_id: str, generation: int, state: int, body: bytes
) -> int:
    """Of a row of `tracking`, but for its wake: that follows from the rest, and the doctor compares it."""
    return crc32(body, crc32(f"{tracking_key} {tenant_key} {generation} {state} {ticket_id}".encode()))


def event_checksum(sequence: int, tracking_key: int, tenant_key: int, kind: int, body: bytes) -> int:
    """Of a row of `event`."""
    return crc32(body, crc32(b"%d %d %d %d" % (sequence, tracking_key, tenant_key, kind)))


def request_checksum(tenant_id: str, request_id: str, fingerprint: bytes, answer: bytes) -> int:
    """Of a row of `request`."""
    return crc32(answer, crc32(fingerprint, crc32(f"{tenant_id} {request_id}".encode())))


def audit_checksum(tracking_key: int, recorded_at: int, body: bytes) -> int:
    """Of a row of `audit`."""
    return crc32(body, crc32(b"%d %d" % (tracking_key, recorded_at)))


def parked_event_checksum(row: ParkedEventRow) -> int:
    """Of a row of `parked_event`, but for `released`, which changes in place."""
    about = f"{row.consumer} {row.sequence} {row.parked_at} {row.attempts} {row.tenant_id} {row.ticket_id}"
    return crc32(row.body, crc32(f"{about} {row.reason}".encode()))


def message_checksum(workflow_id: str, tracking_key: int, recorded_at: int, body: bytes) -> int:
    """Of a row of `temporal_outbox`."""
    return crc32(body, crc32(f"{tracking_key} {recorded_at} {workflow_id}".encode()))


def digest_of(body: bytes) -> bytes:
    """The content address of a stored value."""
    return blake2b(body, digest_size=16).digest()
