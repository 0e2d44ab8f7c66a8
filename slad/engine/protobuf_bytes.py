"""Protobuf's wire format, for the few messages that are made thousands of times a second.

An instant costs 0.3 µs here and four times that through message objects, and a reply has some twenty of them;
the parts that are the same in all replies are made once. The bytes are those that protobuf would write; tests
compare the two.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from google.protobuf.message import Message

LENGTH_DELIMITED: Final = 2
VARINT: Final = 0

_NANOS_PER_MS: Final = 1_000_000


def varint(value: int) -> bytes:
    """A whole number from 0 up."""
    if value < 0x80:
        return _SMALL[value]
    if value >= 1 << _LOW_BITS:
        return _LOW[value & _LOW_MASK] + _high(value >> _LOW_BITS)
    return bytes((value & 0x7F | 0x80, value >> 7))


_SMALL: Final = tuple(bytes((value,)) for value in range(0x80))

_LOW_BITS: Final = 14
_LOW_MASK: Final = (1 << _LOW_BITS) - 1
_LOW: Final = tuple(bytes((low & 0x7F | 0x80, low >> 7 | 0x80)) for low in range(1 << _LOW_BITS))
"""The first two bytes of numbers that need more."""

_high = lru_cache(maxsize=4_096)(varint)
"""The rest of them. Of the seconds of an instant it changes every 4.5 hours."""


def tag(number: int, wire_type: int = LENGTH_DELIMITED) -> bytes:
    """What precedes a field's value."""
    return varint(number << 3 | wire_type)


def tag_of(message: type[Message], field: str, wire_type: int = LENGTH_DELIMITED) -> bytes:
    """What precedes the value of a field of `message`."""
    number: int = message.DESCRIPTOR.fields_by_name[field].number
    return tag(number, wire_type)


def prefixes(field: bytes) -> tuple[bytes, ...]:
    """By its length, what precedes a message or text of less than 128 bytes, as the field with that tag."""
    return tuple(field + length for length in _SMALL)


def embedded(field: bytes, body: bytes) -> bytes:
    """A message, or a text in UTF-8, as the field with the tag `field`."""
    return field + varint(len(body)) + body


def text(field: bytes, value: str) -> bytes:
    """A text as the field with the tag `field`; nothing when it is empty, as protobuf has it."""
    if not value:
        return b""
    body = value.encode()  # not by `embedded`: that is a call more
    return field + varint(len(body)) + body


def number(field: bytes, value: int) -> bytes:
    """A whole number of 64 bits as the field with the tag `field`, also when it is 0."""
    # A negative one is its two's complement.
    return field + varint(value if value >= 0 else value + (1 << 64))


_SECONDS: Final = tag(1, VARINT)
_NANOS: Final = (b"", *(tag(2, VARINT) + varint(ms * _NANOS_PER_MS) for ms in range(1, 1_000)))


def moment(ms: int) -> bytes:
    """The body of a Timestamp (UTC epoch ms) or of a Duration (ms, from 0 up)."""
    seconds, rest = divmod(ms, 1_000)
    if seconds >= 1 << _LOW_BITS:
        return _SECONDS + _LOW[seconds & _LOW_MASK] + _high(seconds >> _LOW_BITS) + _NANOS[rest]
    if not seconds:
        return _NANOS[rest]
    # A negative number is its two's complement.
    return _SECONDS + varint(seconds if seconds > 0 else seconds + (1 << 64)) + _NANOS[rest]
