"""What a report or a forecast is about: the period, the zone, and by what its rows are told apart."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

import click
from slad_client.v1 import attainment_pb2 as pb

from slad.cli import time_text
from slad.cli.exits import CommandError
from slad.cli.option_types import Parsed, TypedInstant, enum_word, enum_words

Command = TypeVar("Command", bound=Callable[..., Any])

_PREFIX: Final = "SLA_GROUP_KEY_"

_MONTH: Final = re.compile(r"(\d{4})-(\d{2})")


class Grouping(NamedTuple):
    """By what rows are told apart."""

    keys: tuple[pb.SlaGroupKey.ValueType, ...] = ()
    attributes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """A word for each value of a group, in their order."""
        return [enum_word(pb.SlaGroupKey.Name(key), _PREFIX) for key in self.keys] + list(self.attributes)


def parse_groups(text: str) -> Grouping:
    """`policy,priority,month`, and attributes of tickets by their names: the daemon knows which there are."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    keys = enum_words(pb.SlaGroupKey.DESCRIPTOR, _PREFIX)
    return Grouping(
        tuple(pb.SlaGroupKey.ValueType(keys[word]) for word in words if word in keys),
        tuple(word for word in words if word not in keys),
    )


def parse_month(text: str) -> tuple[int, int]:
    """`2026-10`, as (year, month). Raises ValueError."""
    match = _MONTH.fullmatch(text.strip())
    if match is None or not 1 <= int(match[2]) <= 12 or not int(match[1]):
        raise ValueError(f"{text!r} is not a month, such as 2026-10")
    return int(match[1]), int(match[2])


def grouping_options(command: Command) -> Command:
    """Adds --by and --timezone; the command gets `by: Grouping` and `timezone: str`."""
    by = click.option(
        "--by",
        type=Parsed("groups", parse_groups),
        default=Grouping(),
        metavar="GROUPS",
        help="A row for each clock, policy, priority, owner, day, week, month, or attribute of tickets; "
        "separate several by commas.",
    )
    zone = click.option(
        "--timezone",
        metavar="ZONE",
        callback=lambda ctx, param, value: zone_name(value),
        help="The IANA zone of days, weeks and months. By default that of TZ, or UTC.",
    )
    return by(zone(command))


def zone_name(given: str | None) -> str:
    """The name of a zone: the one that was given, which the daemon checks, or that of TZ, or UTC."""
    if given:
        return given
    own = os.environ.get("TZ", "").removeprefix(":")
    return own if time_text.zone(own) is not None else "UTC"


def period(
    month: tuple[int, int] | None, begin: TypedInstant | None, end: TypedInstant | None, timezone: str
) -> tuple[datetime, datetime]:
    """[from, to) of a report, in the zone: a month (by default the present one), or two instants."""
    zone = time_text.zone(timezone)
    if zone is None:
        raise CommandError(f"--timezone: {timezone!r} is not a time zone of the IANA database")
    if begin is not None or end is not None:
        if month is not None:
            raise CommandError("--month contradicts --from and --to; give one or the others")
        if begin is None or end is None:
            raise CommandError("--from and --to go together; give both")
        return begin.aware(timezone), end.aware(timezone)
    year, number = month or _this_month(timezone)
    first = datetime(year, number, 1, tzinfo=zone)
    following = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=zone)
    return first, following


def _this_month(timezone: str) -> tuple[int, int]:
    today = time_text.wall_clock().astimezone(time_text.zone(timezone))
    return today.year, today.month


def groups_of(group: Sequence[str]) -> list[str]:
    """The values of a group as cells of a table."""
    return [value or "-" for value in group]
