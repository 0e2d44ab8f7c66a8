"""Types of options: instants, spans of time, percents, words for enum values."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem
from google.protobuf.descriptor import EnumDescriptor

from slad.cli import time_text
from slad.cli.time_text import parse_moment, parse_span
from slad.core.instants import MINUTE_MS

MANY = 10
"""So many words are told by the help, not by the name of the value."""


class Span(click.ParamType[int]):
    """A length of time, as ms."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parses `value`."""
        try:
            return value if isinstance(value, int) else parse_span(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class OpenSpan(click.ParamType[int]):
    """A span of open time, as minutes. A day of it would have no fixed length, so there are no days."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parses `value`."""
        try:
            return value if isinstance(value, int) else parse_open_span(str(value))
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


class Moment(click.ParamType[TypedInstant]):
    """An instant: ISO 8601, `now`, `-2h` or `+30m` from now, `09:30` of today."""

    name = "instant"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> TypedInstant:
        """Parses `value`."""
        if isinstance(value, TypedInstant):
            return value
        text = str(value).strip()
        try:
            return TypedInstant(parse_moment(text))
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is not an instant, such as 2026-03-02T09:00, 2026-03-02T09:00Z, 09:00, now or -2h",
                param,
                ctx,
            )


class Percents(click.ParamType[tuple[int, ...]]):
    """Percents, separated by commas."""

    name = "percents"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parses `value`."""
        try:
            return value if isinstance(value, tuple) else parse_percents(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_percents(text: str) -> tuple[int, ...]:
    """`50,75,90`, also with percent signs. Raises ValueError."""
    try:
        return tuple(int(part.strip().removesuffix("%")) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not a list of percents, such as 50,75,90") from None


class EnumWords(click.ParamType[tuple[int, ...]]):
    """Enum values by their words, `at-risk,paused`, separated by commas.

    `everything` is the word, if there is one, that stands for no choice at all.
    """

    name = "words"

    def __init__(self, enum_type: EnumDescriptor, prefix: str, *, everything: str = "") -> None:
        self._numbers = {
            enum_word(value.name, prefix): value.number for value in enum_type.values if value.number
        }
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
    numbers = {
        enum_word(value.name, prefix): value.number for value in enum_type.DESCRIPTOR.values if value.number
    }
    word = text.strip().lower().replace("_", "-")
    if word not in numbers:
        raise ValueError(f"{text.strip()!r} is not one of {', '.join(numbers)}")
    return int(numbers[word])


def enum_word(name: str, prefix: str) -> str:
    """`SLA_TIMER_STATUS_AT_RISK` → `at-risk`."""
    return name.removeprefix(prefix).lower().replace("_", "-")
