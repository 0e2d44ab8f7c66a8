"""The stored forms: compact, and readable by later versions."""

from __future__ import annotations

import msgspec

from slad.core.facts import Fact, FactKind
from slad.core.tracking import Fired, Tracking
from slad.storage.codec import (
    decode_schedule,
    decode_tenants,
    decode_tracking,
    encode,
    encode_schedule,
    encode_tenants,
)
from tests.core.tickets import OFFICE, terms, tracking

FULL = Tracking(
    terms(),
    1_772_442_000_000,
    (Fact(1_772_442_000_001, FactKind.PAUSE, 1), Fact(1_772_442_000_002, FactKind.RESUME)),
    (Fired(1, 50, 1_772_442_000_000, 1_772_442_000_005, superseded=True, arming=2),),
    attributes={"board": "support"},
)


def test_a_tracking_comes_back_as_it_was() -> None:
    assert decode_tracking(encode(FULL)) == FULL


def test_a_row_of_before_a_field_was_added_is_readable() -> None:
    """New fields come last and have defaults; the array of an older row is shorter."""
    parts = msgspec.msgpack.decode(encode(tracking(5)))
    assert decode_tracking(msgspec.msgpack.encode(parts[:2])) == tracking(5)


def test_a_row_of_a_later_version_is_readable() -> None:
    parts = msgspec.msgpack.decode(encode(FULL))
    assert decode_tracking(msgspec.msgpack.encode([*parts, "a field to come"])) == FULL


def test_equal_schedules_have_equal_digests() -> None:
    digest, body = encode_schedule(OFFICE)
    assert decode_schedule(body) == OFFICE
    assert encode_schedule(decode_schedule(body)) == (digest, body)


def test_tenants_that_cannot_be_read_are_none() -> None:
    """Every tenant would be too many, and an error would end the start."""
    granted = frozenset({"acme"})
    assert decode_tenants(encode_tenants(granted)) == granted
    assert decode_tenants('["ac') == decode_tenants("7") == frozenset()
    assert decode_tenants(encode_tenants(None)) is None
