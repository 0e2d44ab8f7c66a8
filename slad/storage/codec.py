"""The stored forms.

Trackings, schedules and audit entries are MessagePack arrays of the core's own values: a new field is added
at the end with a default, so that older rows stay readable. An event is bytes to this floor: what they hold
is the engine's matter (`slad.engine.event_codec`).
"""

from __future__ import annotations

import json
import logging
from typing import Final

import msgspec

from slad.core.access import Tenants
from slad.core.schedule import Schedule
from slad.core.tracking import Tracking
from slad.core.undo import Undo
from slad.storage.checksums import digest_of

log = logging.getLogger(__name__)

encode = msgspec.msgpack.Encoder().encode
"""Any stored value → bytes."""

decode_tracking = msgspec.msgpack.Decoder(Tracking).decode
"""Bytes → Tracking. Raises msgspec.ValidationError for anything else."""

_schedule_decoder: Final = msgspec.msgpack.Decoder(Schedule)


class AuditEntry(msgspec.Struct, frozen=True, array_like=True):
    """One command that was carried out."""

    command: str
    effective_at: int | None
    request_id: str
    changed: bool
    note: str = ""
    """What else is worth knowing, such as a verdict that differs from the caller's (M3)."""
    token_id: str = ""
    """The token that it came with; empty: without one."""
    undo: Undo | None = None
    """How the clocks get back to where they were before it; None: it left them there, or began them (A5)."""


decode_audit = msgspec.msgpack.Decoder(AuditEntry).decode
"""Bytes → AuditEntry."""


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Something that Temporal has to be told of a tracking."""

    kind: int
    """A FactKind, or one of the START, UPDATE and LEAVE of `slad.temporal.passthrough.messages`."""
    generation: int
    at: int = 0
    """The instant of the fact, UTC epoch ms."""
    detail: int = 0
    """That of the fact."""
    tracking: Tracking | None = None
    """With START and UPDATE: the state, as it was committed with this message."""


decode_message = msgspec.msgpack.Decoder(Message).decode
"""Bytes → Message."""


def encode_schedule(schedule: Schedule) -> tuple[bytes, bytes]:
    """(digest, body) of a schedule; equal schedules have equal digests."""
    body = encode(schedule)
    return digest_of(body), body


def decode_schedule(body: bytes) -> Schedule:
    """The schedule that `encode_schedule` stored."""
    return _schedule_decoder.decode(body)


def encode_tenants(tenants: Tenants) -> str:
    """Tenants as columns have them: a JSON array, sorted; empty: every tenant."""
    return "" if tenants is None else json.dumps(sorted(tenants), ensure_ascii=False)


def decode_tenants(stored: str) -> Tenants:
    """The tenants of a column; none when it cannot be read, so that nobody gets more than was granted."""
    try:
        return frozenset(json.loads(stored)) if stored else None
    except (ValueError, TypeError):
        log.exception("the tenants %r of a token or consumer cannot be read: it gives access to none", stored)
        return frozenset()
