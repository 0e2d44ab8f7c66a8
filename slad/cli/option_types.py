"""Types of options: instants, spans of time, percents, words for enum values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem
from google.protobuf.descriptor import EnumDescriptor

from slad.cli import time_text
from slad.cli.time_text import parse_moment, parse_span
from slad.core.instants import MINUTE_MS

T = TypeVar("T")

MANY = 10
"""So many words are told by the help, not by the name of the value."""


class Parsed(click.ParamType[T]):
    """What `parse` makes of a text. The ValueError that it raises says what is wrong."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """Parses `value`, unless it is a default."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_open_span(text: str) -> int:
    """`8h`, `1h30m` of open time, in minutes. Raises ValueError."""
    if "d" in text:
        raise ValueError(f"{text!r}: open time is counted in hours and minutes, such as 8h or 1h30m")
    try:
        length_ms = parse_span(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a span of open time, such as 30m, 8h or 1h30m") from None
    if length_ms % MINUTE_MS or not length_ms:
        raise ValueError(f"{text!r}: targets are whole minutes, at least one")
    return length_ms // MINUTE_MS


class TypedInstant(NamedTuple):
    """An instant as it was typed, when its zone is not yet known."""

    moment: datetime
    """Naive: to be read in the zone that fits."""

    def aware(self, zone_name: str = "") -> datetime:
        """The instant, read in a zone; by default in the user's."""
        if self.moment.tzinfo is not None:
            return self.moment
        where = time_text.zone(zone_name) or time_text.user_zone()
        return self.moment.astimezone() if where is None else self.moment.replace(tzinfo=where)


def parse_typed_instant(text: str) -> TypedInstant:
    """ISO 8601, `now`, `-2h` or `+30m` from now, `09:30` of today. Raises ValueError."""
    text = text.strip()
    try:
        return TypedInstant(parse_moment(text))
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not an instant, such as 2026-03-02T09:00, 2026-03-02T09:00Z, 09:00, now or -2h"
        ) from None


def parse_percents(text: str) -> tuple[int, ...]:
    """`50,75,90`, also with percent signs. Raises ValueError."""
    try:
        return tuple(int(part.strip().removesuffix("%")) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not a list of percents, such as 50,75,90") from None


SPAN: Final = Parsed("span", parse_span)
"""A length of time, as ms."""

OPEN_SPAN: Final = Parsed("span", parse_open_span)
"""A span of open time, as minutes. A day of it would have no fixed length, so there are no days."""

INSTANT: Final = Parsed("instant", parse_typed_instant)

PERCENTS: Final = Parsed("percents", parse_percents)
"""Percents, separated by commas."""


class EnumWords(click.ParamType[tuple[int, ...]]):
    """Enum values by their words, `at-risk,paused`, separated by commas.

    `everything` is the word, if there is one, that stands for no choice at all.
    """

    name = "words"

    def __init__(self, enum_type: EnumDescriptor, prefix: str, *, everything: str = "") -> None:
        self._numbers = enum_words(enum_type, prefix)
        self._everything = everything

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """All the words, if they are few."""
        return f"[{'|'.join(self.words())}]" if len(self.words()) < MANY else "WORDS"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parses `value`."""
        if isinstance(value, tuple):
            return value
        numbers = []
        for word in str(value).lower().replace("_", "-").split(","):
            if self._everything and word.strip() == self._everything:
                return ()
            if word.strip() not in self._numbers:
                self.fail(f"{word.strip()!r} is not one of {', '.join(self.words())}", param, ctx)
            numbers.append(self._numbers[word.strip()])
        return tuple(numbers)

    def words(self) -> list[str]:
        """The words that may be given."""
        return [*self._numbers, *filter(None, [self._everything])]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The words that the last one may become."""
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(f"{before}{comma}{word}") for word in self.words() if word.startswith(last)]


def parse_enum_word(text: str, enum_type: Any, prefix: str) -> int:
    """`at-risk`, also `AT_RISK`, as the number of its value. Raises ValueError, which names all words."""
    numbers = enum_words(enum_type.DESCRIPTOR, prefix)
    word = text.strip().lower().replace("_", "-")
    if word not in numbers:
        raise ValueError(f"{text.strip()!r} is not one of {', '.join(numbers)}")
    return numbers[word]


def enum_words(enum_type: EnumDescriptor, prefix: str) -> dict[str, int]:
    """The words of all values but the unspecified one, with their numbers."""
    return {enum_word(value.name, prefix): value.number for value in enum_type.values if value.number}


def enum_word(name: str, prefix: str) -> str:
    """`SLA_TIMER_STATUS_AT_RISK` → `at-risk`."""
    return name.removeprefix(prefix).lower().replace("_", "-")
