"""Messages as bytes that no proper client would send."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)

NOT_UTF8: Final = (
    b"\xed\xa0\x80",  # a lone high surrogate
    b"\xed\xbf\xbf",  # a lone low one
    b"\xed\xa0\xbd\xed\xb8\x80",  # both, as CESU-8 has it
    b"\xff\xfe\xfd",
    b"\xc0\x80",  # NUL, overlong
    b"\xf4\x90\x80\x80",  # beyond U+10FFFF
    b"abc\xe2\x82",  # cut in the middle of a character
)

HIGHEST_NUMBER: Final = 2**29 - 1


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def delimited(number: int, body: bytes) -> bytes:
    return tag(number, BYTES) + varint(len(body)) + body


def spoilt(rng: Random, message: Descriptor, good: bytes) -> bytes:
    """`good`, the bytes of such a message, made into something odd; it may still be one that can be parsed."""
    return rng.choice(_SPOILERS)(rng, message, good)


def _garbage(rng: Random, _: Descriptor, __: bytes) -> bytes:
    return rng.randbytes(rng.choice((1, 2, 5, 30, 300, 30_000)))


def _cut(rng: Random, _: Descriptor, good: bytes) -> bytes:
    return good[: rng.randrange(len(good) + 1)]


def _flipped(rng: Random, _: Descriptor, good: bytes) -> bytes:
    out = bytearray(good or b"\0")
    for _n in range(rng.randrange(1, 6)):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _twice(_: Random, __: Descriptor, good: bytes) -> bytes:
    """Repeated fields double, singular messages merge, the last scalar counts."""
    return good + good


def _not_utf8(rng: Random, message: Descriptor, good: bytes) -> bytes:
    paths = _string_paths(message)
    return good + (_nested(rng.choice(paths), rng.choice(NOT_UTF8)) if paths else b"\x0a\x01\xff")


def _unknown_fields(rng: Random, _: Descriptor, good: bytes) -> bytes:
    numbers = (15_000, 19_999, HIGHEST_NUMBER)
    parts = [delimited(rng.choice(numbers), rng.randbytes(rng.randrange(200))) for _n in range(50)]
    parts.append(tag(rng.choice(numbers), VARINT) + varint(2**64 - 1))
    parts.append(tag(rng.choice(numbers), FIXED64) + b"\xff" * 8)
    return good + b"".join(parts)


def _many_unknown_fields(_: Random, __: Descriptor, good: bytes) -> bytes:
    return good + delimited(HIGHEST_NUMBER, b"") * 100_000


def _wrong_wire_type(rng: Random, message: Descriptor, good: bytes) -> bytes:
    number = rng.choice([field.number for field in message.fields] or [1])
    return good + rng.choice(
        (
            tag(number, VARINT) + varint(2**64 - 1),
            tag(number, FIXED64) + b"\x80" * 8,
            tag(number, FIXED32) + b"\x7f" * 4,
            delimited(number, b"\x01\x02\x03"),
        )
    )


def _wide_number(rng: Random, message: Descriptor, good: bytes) -> bytes:
    """More bits than the field has: a parser drops the upper ones."""
    numbers = [f.number for f in message.fields if f.cpp_type != FieldDescriptor.CPPTYPE_STRING] or [1]
    return good + tag(rng.choice(numbers), VARINT) + varint(rng.choice((2**32, 2**35 + 1, 2**64 - 1, 2**63)))


def _endless_varint(_: Random, __: Descriptor, good: bytes) -> bytes:
    return good + b"\x08" + b"\xff" * 11


def _length_beyond_the_end(rng: Random, message: Descriptor, good: bytes) -> bytes:
    number = rng.choice([field.number for field in message.fields] or [1])
    return good + tag(number, BYTES) + varint(rng.choice((1, 2**31 - 1, 2**31, 2**32, 2**63))) + b""


def _bad_tag(rng: Random, _: Descriptor, good: bytes) -> bytes:
    return good + rng.choice((b"\0\0", tag(1, 6), tag(1, 7), tag(1, END_GROUP), tag(2**29, VARINT) + b"\0"))


def _deep_groups(rng: Random, _: Descriptor, good: bytes) -> bytes:
    """Unknown groups in one another, closed or not."""
    depth = rng.choice((10, 99, 101, 100_000))
    close = tag(HIGHEST_NUMBER, END_GROUP) * depth if rng.random() < 0.5 else b""
    return good + tag(HIGHEST_NUMBER, GROUP) * depth + close


_SPOILERS: Final[tuple[Callable[[Random, Descriptor, bytes], bytes], ...]] = (
    _garbage,
    _cut,
    _flipped,
    _twice,
    _not_utf8,
    _unknown_fields,
    _many_unknown_fields,
    _wrong_wire_type,
    _wide_number,
    _endless_varint,
    _length_beyond_the_end,
    _bad_tag,
    _deep_groups,
)


def _string_paths(message: Descriptor, depth: int = 4) -> list[tuple[int, ...]]:
    """The field numbers that lead to every string of a message."""
    found: list[tuple[int, ...]] = []
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            found.append((field.number,))
        elif field.message_type is not None and depth:
            found += [(field.number, *rest) for rest in _string_paths(field.message_type, depth - 1)]
    return found


def _nested(path: tuple[int, ...], body: bytes) -> bytes:
    for number in reversed(path):
        body = delimited(number, body)
    return body
