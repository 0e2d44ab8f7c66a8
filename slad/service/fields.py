"""The fields of the contract's messages: each check once, for every service.

What is wrong raises InvalidField with the path in the request.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence, Sized
from hashlib import blake2b
from typing import Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from slad_client.v1 import types_pb2 as pb

from slad.config.settings import DEFAULT_LIMITS, RequestLimits
from slad.core.errors import InvalidField
from slad.core.events import PauseReason
from slad.core.facts import MAX_AHEAD_MS
from slad.core.instants import MAX_INSTANT_MS, SECOND_MS
from slad.core.terms import check_percent
from slad.delivery.consumers import SINK_PREFIX
from slad.engine.commands import RequestIdentity
from slad.service.limits import DEFAULT_PAGE_SIZE, MAX_LISTED_VALUES, MAX_REASON_CODE

E = TypeVar("E", bound=int)

NANOS_PER_MS: Final = 1_000_000

MIN_INSTANT_MS: Final = -62_135_596_800_000
"""0001-01-01T00:00:00Z, the first instant of a Timestamp."""


class Fields:
    """The checks whose bounds the operator sets."""

    def __init__(self, limits: RequestLimits = DEFAULT_LIMITS.requests) -> None:
        self.limits = limits

    def required_id(self, field: str, value: str) -> str:
        """An id or a name that must be given."""
        if not value:
            raise InvalidField(field, "REQUIRED", "must not be empty")
        return self.optional_id(field, value)

    def optional_id(self, field: str, value: str) -> str:
        """An id or a name that may be empty."""
        most = self.limits.id_length
        if len(value) <= most and value.isprintable():  # every start has four of them
            return value
        return printable_text(field, value, most)

    def consumer(self, name: str) -> str:
        """The name of a consumer that a caller may use, or nothing."""
        if name.startswith(SINK_PREFIX):
            text = f"names with {SINK_PREFIX} are those of slad's own sinks"
            raise InvalidField("consumer", "RESERVED", text)
        return self.optional_id("consumer", name)

    def identity(self, request: Message, scope: str, request_id: str) -> RequestIdentity | None:
        """What tells whether a request has been sent before (M6); None without a request_id."""
        if not request_id:
            return None
        self.optional_id("request_id", request_id)
        body = request.SerializeToString(deterministic=True)
        kind = request.DESCRIPTOR.name.encode()[: blake2b.PERSON_SIZE]
        return RequestIdentity(scope, request_id, blake2b(body, digest_size=16, person=kind).digest())

    def page_size(self, asked: int, default: int = DEFAULT_PAGE_SIZE) -> int:
        """How many items a page is to have; 0: slad chooses."""
        return page_size(asked, default, self.limits.page_size)


def page_size(asked: int, default: int, most: int) -> int:
    """How many items a page is to have, up to `most`; 0: `default`, or `most` if that is less."""
    size = asked or min(default, most)
    if not 1 <= size <= most:
        raise InvalidField("page_size", "OUT_OF_RANGE", f"1 to {most}")
    return size


def page_token(key: int | None) -> str:
    """The token that leads to the page after `key`; empty when there is none."""
    return "" if key is None else f"{key:x}"


def page_key(token: str) -> int:
    """The key that a page token holds; an empty one is the beginning."""
    if not token:
        return 0
    # 15 digits keep it within SQLite's integers.
    if not re.fullmatch("[0-9a-f]{1,15}", token):
        raise InvalidField("page_token", "MALFORMED_TOKEN", "not a token that slad issued")
    return int(token, 16)


def at_most(field: str, items: Sized, limit: int) -> None:
    """Bounds a repeated field."""
    if len(items) > limit:
        raise InvalidField(field, "TOO_MANY", f"{len(items)} items, at most {limit} are allowed")


def notification_percents(field: str, values: Sequence[int]) -> tuple[int, ...]:
    """Percents of a target, ascending, each once (C4)."""
    for index, value in enumerate(values):
        check_percent(f"{field}[{index}]", value)
    return tuple(sorted(set(values)))


def escalation_percents(path: str, message: pb.SlaPolicyTarget | pb.SlaClockTerms) -> tuple[int, int, int]:
    """The percents of levels 1 to 3 (C4); 0: there is no such level."""
    levels = message.escalation_1_percent, message.escalation_2_percent, message.escalation_3_percent
    for level, percent in enumerate(levels, start=1):
        if percent:
            check_percent(f"{path}.escalation_{level}_percent", percent)
    return levels


def reason_code(field: str, reason: int, code: str) -> str:
    """The code that goes with a reason to pause: one of the caller's own with OTHER, else none (K5)."""
    if reason != PauseReason.OTHER:
        if code:
            raise InvalidField(field, "NOT_FOR_THIS_REASON", "a code goes with the reason OTHER")
        return ""
    return own_reason(field, code)


def own_reason(field: str, code: str) -> str:
    """The code of a reason to pause (K5)."""
    if not code:
        raise InvalidField(field, "REQUIRED", "must not be empty")
    return printable_text(field, code, MAX_REASON_CODE)


def printable_text(field: str, value: str, most: int) -> str:
    """A text of at most `most` characters, without control characters."""
    if len(value) > most:
        raise InvalidField(field, "TOO_LONG", f"{len(value)} characters, at most {most} are allowed")
    if value and not value.isprintable():
        raise InvalidField(field, "NOT_PRINTABLE", "must not hold control characters")
    return value


def sequence(field: str, value: int) -> int:
    """The sequence of an event; 0 is before the first."""
    if value < 0:
        raise InvalidField(field, "NEGATIVE", "events are counted from 1; 0 is the beginning")
    return value


def enum(field: str, value: int, kind: type[E], default: E | None = None) -> E:
    """An enum value; zero, unspecified, is `default`, or an error when there is none."""
    if value == 0:
        if default is None:
            raise InvalidField(field, "REQUIRED", "must be specified")
        return default
    try:
        return kind(value)
    except ValueError:
        raise InvalidField(field, "UNKNOWN_ENUM_VALUE", f"{value} is not one of its values") from None


def enums(field: str, values: Collection[int], kind: type[E]) -> tuple[E, ...]:
    """The values of a list, each once, in its order. A list may repeat itself, within reason."""
    at_most(field, values, MAX_LISTED_VALUES)
    return tuple(dict.fromkeys(enum(f"{field}[{index}]", value, kind) for index, value in enumerate(values)))


def instant(message: Message, name: str, path: str = "") -> int | None:
    """A Timestamp field in UTC epoch ms, floored; None when it is absent."""
    if not message.HasField(name):
        return None
    value: Timestamp = getattr(message, name)
    epoch_ms = value.seconds * SECOND_MS + value.nanos // NANOS_PER_MS
    if not 0 <= value.nanos < 1_000_000_000 or not MIN_INSTANT_MS <= epoch_ms <= MAX_INSTANT_MS:
        raise InvalidField(
            f"{path}.{name}" if path else name, "MALFORMED_TIMESTAMP", "not an instant of the years 1 to 9999"
        )
    return epoch_ms


def duration_ms(message: Message, name: str, path: str = "") -> int | None:
    """A Duration field in ms, not negative; None when it is absent."""
    if not message.HasField(name):
        return None
    value: Duration = getattr(message, name)
    span_ms = value.seconds * SECOND_MS + value.nanos // NANOS_PER_MS
    if not 0 <= span_ms <= MAX_INSTANT_MS or not 0 <= value.nanos < 1_000_000_000:
        raise InvalidField(
            f"{path}.{name}" if path else name, "MALFORMED_DURATION", "not a duration of zero or more"
        )
    return span_ms


def not_ahead(field: str, at: int, now: int) -> int:
    """An instant that is no further ahead than a caller's clock may be; it is kept as given (M6)."""
    if at > now + MAX_AHEAD_MS:
        raise InvalidField(
            field, "IN_THE_FUTURE", f"more than {MAX_AHEAD_MS // SECOND_MS} s ahead of slad's clock"
        )
    return at
