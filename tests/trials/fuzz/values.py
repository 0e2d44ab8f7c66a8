"""Values that break things, by the type of a field."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

MIB: Final = 1024 * 1024

STRINGS: Final = (
    "",
    " ",
    "\0",
    "a\0b",
    "\t\r\n\x0b\x0c",
    "\x1b[2J\x07\x7f\x85\x9f",
    "\ufeff",
    "\u202e\u2066ab\u2069",
    "\u200b\u200d\u2060",
    "\ufffe\uffff",
    "\U0010ffff",
    "\ue000\U000f0000",
    "e" + "\u0301" * 300,
    "😀" * 200,
    "😀" * 201,
    "ﷺ" * 200,
    "İıſKÅ",
    "٣٤:٥٦",
    "x" * 200,
    "x" * 201,
    "x" * 1_000,
    "é" * 1_001,
    "x" * 65_536,
    "'; DROP TABLE tracking; --",
    "%s%n%d{0}{}$(id)`id`",
    "../../../../etc/passwd",
    "NaN",
    "-0",
    "1e309",
    "null",
    "[0]",
    "a.b[3]['c']",
    "-1",
    "9" * 15,
    "f" * 15,
    "f" * 16,
    "9" * 4_400,
)

TIMES: Final = (
    "24:00",
    "24:00:01",
    "00:00",
    "23:59:60",
    "9:00",
    "12:60",
    "-1:00",
    "٠٩:٠٠",
    "09:00\n",
    "99:99:99",
)
DATES: Final = (
    "0000-01-01",
    "0001-01-01",
    "9999-12-31",
    "10000-01-01",
    "-001-01-01",
    "2023-02-29",
    "2024-02-29",
    "2024-13-01",
    "2024-00-00",
    "2024-01-01T",
    "2024-01-01T00:00:00Z",
    "2024-01-01T24:00:00+23:59",
    "2024-01-01 " + "0" * 5_000,
    "２０２４-01-01",
    "2024-W01-1",
)
ZONES: Final = (
    "UTC",
    "utc",
    "Europe/Berlin",
    "Europe/Berlin ",
    "Europe/Berlin\0",
    "posixrules",
    "localtime",
    "America/Port-au-Prince",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Gaza",
    "Pacific/Apia",
    "Europe/Dublin",
    "EST5EDT",
    "/etc/localtime",
    "GMT0BST,M3.5.0/1,M10.5.0",
)

INT32: Final = (
    -(2**31),
    -(2**31) + 1,
    -1_001,
    -1,
    0,
    1,
    2,
    7,
    100,
    999,
    1_000,
    1_001,
    65_536,
    2**31 - 2,
    2**31 - 1,
)
INT64: Final = (
    *INT32,
    -(2**63),
    -(2**63) + 1,
    2**32,
    2**53 + 1,
    10_000 * 366 * 1_440,
    10_000 * 366 * 1_440 + 1,
    2**62,
    2**63 - 1,
)
UNSIGNED: Final = (0, 1, 2**31, 2**32 - 1)
FLOATS: Final = (0.0, -0.0, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan"))

YEAR_1: Final = -62_135_596_800
YEAR_2000: Final = 946_684_800
YEAR_10000: Final = 253_402_300_800

INSTANTS: Final = (
    (0, 0),
    (YEAR_1, 0),
    (YEAR_1 - 1, 999_999_999),
    (YEAR_1, -1),
    (YEAR_2000, 0),
    (YEAR_2000 - 1, 999_999_999),
    (YEAR_10000 - 1, 999_999_999),
    (YEAR_10000 - 1, 0),
    (YEAR_10000, 0),
    (2**63 - 1, 999_999_999),
    (2**63 - 1, 2**31 - 1),
    (-(2**63), -(2**31)),
    (-(2**63), 0),
    (-1, -1),
    (1, -(2**31)),
    (1_772_442_000_000, 0),
    (4_102_444_800, 1_000_000_000),
)
"""(seconds, nanos) of a Timestamp."""

SPANS: Final = (
    (0, 0),
    (0, 1),
    (0, -1),
    (-1, 0),
    (1, -1),
    (-1, 1),
    (0, 999_999_999),
    (0, 2**31 - 1),
    (315_576_000_000, 0),
    (315_576_000_001, 0),
    (-315_576_000_000, -999_999_999),
    (2**63 - 1, 999_999_999),
    (-(2**63), -(2**31)),
)
"""(seconds, nanos) of a Duration."""

_INTEGERS: Final = {
    FieldDescriptor.CPPTYPE_INT32: INT32,
    FieldDescriptor.CPPTYPE_INT64: INT64,
    FieldDescriptor.CPPTYPE_UINT32: UNSIGNED,
    FieldDescriptor.CPPTYPE_UINT64: (*UNSIGNED, 2**63, 2**64 - 1),
}


def text(rng: Random) -> str:
    """A hostile string; now and then of a whole MiB."""
    if rng.random() < 0.02:
        return rng.choice(("x", "\0", "é", "😀")) * (MIB // rng.choice((1, 2, 4)))
    if rng.random() < 0.15:
        return "".join(chr(_character(rng)) for _ in range(rng.randrange(1, 60)))
    return rng.choice((*STRINGS, *TIMES, *DATES, *ZONES))


def scalar(rng: Random, field: FieldDescriptor) -> Any:
    """A hostile value of a field that is no message."""
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return rng.randbytes(rng.choice((0, 1, 16, 4_096)))
        return text(rng)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        known = list(field.enum_type.values_by_number)
        return rng.choice((*known, 0, -1, max(known) + 1, 77, 2**31 - 1, -(2**31)))
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS)
    return rng.choice(_INTEGERS[kind])


_SECONDS_AND_NANOS: Final = {
    "google.protobuf.Timestamp": INSTANTS,
    "google.protobuf.Duration": SPANS,
}


def seconds_and_nanos(full_name: str) -> Callable[[Random], tuple[int, int]] | None:
    """What makes hostile Timestamps, or Durations; None for any other message."""
    values = _SECONDS_AND_NANOS.get(full_name)
    return None if values is None else lambda rng: rng.choice(values)


def _character(rng: Random) -> int:
    plane = rng.choice((0x80, 0x80, 0x800, 0xD800, 0x110000))
    code = rng.randrange(plane)
    # Surrogates are no characters; they are sent as bytes (see wire.py).
    return 0xFFFD if 0xD800 <= code < 0xE000 else code
