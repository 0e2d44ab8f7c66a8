"""Kinds of values that people type: instants, spans of open time, percents, words for enum values."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import click
from click.shell_completion import CompletionItem
from dateutil.parser import isoparse
from google.protobuf.descriptor import EnumDescriptor

from slad.cli import times
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

_UNITS: Final = {"s": SECOND_MS, "m": MINUTE_MS, "min": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_SPAN: Final = re.compile(r"(?:\d{1,9}\s*(?:d|h|min|m|s)\s*)+")
_PART: Final = re.compile(r"(\d+)\s*(d|h|min|m|s)")


def parse_span(text: str) -> int:
    """`90s`, `1h30m`, `2d` in ms. Raises ValueError."""
    if not _SPAN.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not a length of time, such as 45s, 30m, 1h30m or 2d")
    return sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))


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
        if isinstance(value, int):
            return value
        text = str(value)
        if "d" in text:
            self.fail(f"{text!r}: open time is counted in hours and minutes, such as 8h or 1h30m", param, ctx)
        try:
            length_ms = parse_span(text)
        except ValueError:
            self.fail(f"{text!r} is not a span of open time, such as 30m, 8h or 1h30m", param, ctx)
        if length_ms % MINUTE_MS or not length_ms:
            self.fail(f"{text!r}: targets are whole minutes, at least one", param, ctx)
        return length_ms // MINUTE_MS


class Typed(NamedTuple):
    """An instant as it was typed, when its zone is not yet known."""

    moment: datetime
    """Naive: to be read in the zone that fits."""

    def aware(self, zone_name: str = "") -> datetime:
        """The instant, read in a zone; by default in the user's."""
        if self.moment.tzinfo is not None:
            return self.moment
        where = times.zone(zone_name) or times.user_zone()
        return self.moment.astimezone() if where is None else self.moment.replace(tzinfo=where)


class Moment(click.ParamType[Typed]):
    """An instant: ISO 8601, `now`, `-2h` or `+30m` from now, `09:30` of today."""

    name = "instant"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Typed:
        """Parses `value`."""
        if isinstance(value, Typed):
            return value
        text = str(value).strip()
        try:
            return Typed(parse_moment(text))
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is not an instant, such as 2026-03-02T09:00, 2026-03-02T09:00Z, 09:00, now or -2h",
                param,
                ctx,
            )


def parse_moment(text: str) -> datetime:
    """What `Moment` understands; naive without a zone. Raises ValueError, OverflowError."""
    now = times.wall_clock()
    if text == "now":
        return now
    if text[:1] in ("-", "+"):
        distance = timedelta(milliseconds=parse_span(text[1:]))
        return now - distance if text[0] == "-" else now + distance
    if match := re.fullmatch(r"(\d{1,2}):(\d{2})", text):
        today = now.astimezone(times.user_zone())
        return today.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0, tzinfo=None)
    return isoparse(text.replace(" ", "T", 1))


class Percents(click.ParamType[tuple[int, ...]]):
    """Percents, separated by commas."""

    name = "percents"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parses `value`."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part.strip().removesuffix("%")) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of percents, such as 50,75,90", param, ctx)


class Words(click.ParamType[tuple[int, ...]]):
    """Enum values by their words, `at-risk,paused`, separated by commas.

    `everything` is the word, if there is one, that stands for no choice at all.
    """

    name = "words"

    def __init__(self, enum_type: EnumDescriptor, prefix: str, *, everything: str = "") -> None:
        self._numbers = {
            spoken(value.name, prefix): value.number for value in enum_type.values if value.number
        }
        self._everything = everything

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """All the words."""
        return "[" + "|".join(self._words()) + "]"

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
                self.fail(f"{word.strip()!r} is none of {', '.join(self._words())}", param, ctx)
            numbers.append(self._numbers[word.strip()])
        return tuple(numbers)

    def _words(self) -> list[str]:
        return [*self._numbers, *filter(None, [self._everything])]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The words that the last one may become."""
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(f"{before}{comma}{word}") for word in self._words() if word.startswith(last)]


def spoken(name: str, prefix: str) -> str:
    """`SLA_TIMER_STATUS_AT_RISK` → `at-risk`."""
    return name.removeprefix(prefix).lower().replace("_", "-")
