"""Protobuf's wire format, for the few messages that are made thousands of times a second.

An instant costs 0.7 µs here and twice that through message objects, and a reply has some twenty of them; the
parts that are the same in all replies are made once. What is written is what protobuf would write; the tests
hold the two against each other.
"""

from __future__ import annotations

from typing import Final

LENGTH_DELIMITED: Final = 2
VARINT: Final = 0

_NANOS_PER_MS: Final = 1_000_000


def varint(value: int) -> bytes:
    """A whole number from 0 up."""
    if value < 0x80:
        return _SMALL[value]
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


_SMALL: Final = tuple(bytes((value,)) for value in range(0x80))


def tag(number: int, wire_type: int = LENGTH_DELIMITED) -> bytes:
    """What precedes a field's value."""
    return varint(number << 3 | wire_type)


def prefixes(number: int) -> tuple[bytes, ...]:
    """By its length, what precedes a message or text of less than 128 bytes."""
    return tuple(tag(number) + length for length in _SMALL)


def embedded(field: bytes, body: bytes) -> bytes:
    """A message, or a text in UTF-8, as the field with the tag `field`."""
    return field + varint(len(body)) + body


_SECONDS: Final = tag(1, VARINT)
_NANOS: Final = (
    b"",
    *(tag(2, VARINT) + varint(ms * _NANOS_PER_MS) for ms in range(1, 1_000)),
)


def moment(ms: int) -> bytes:
    """The body of a Timestamp (UTC epoch ms) or of a Duration (ms, from 0 up)."""
    seconds, rest = divmod(ms, 1_000)
    if 0x1000_0000 <= seconds < 0x8_0000_0000:
        # The years 1978 to 3058: five groups of seven bits, all but the last with the high bit set.
        spread = (
            0x80_8080_8008
            | (seconds & 0x7F) << 8
            | (seconds & 0x3F80) << 9
            | (seconds & 0x1F_C000) << 10
            | (seconds & 0xFE0_0000) << 11
            | (seconds >> 28) << 40
        )
        return spread.to_bytes(6, "little") + _NANOS[rest]
    if not seconds:
        return _NANOS[rest]
    return _SECONDS + varint(seconds if seconds > 0 else seconds + (1 << 64)) + _NANOS[rest]
