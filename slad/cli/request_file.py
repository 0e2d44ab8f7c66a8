"""Requests from JSON or YAML files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from slad_client.v1 import types_pb2 as pb

from slad.cli.clock_text import parse_clock
from slad.cli.exits import EXIT_CANNOT_START, CommandError
from slad.cli.option_types import parse_enum_word
from slad.cli.parse_errors import problem
from slad.cli.schedule_text import Hours, add_holiday, is_about_dates, parse_date_override, parse_hours

M = TypeVar("M", bound=Message)

STDIN: Final = Path("-")


class _PlainLoader(yaml.SafeLoader):
    """YAML in which 17:00 and 2026-12-25 are texts: YAML 1.1 takes them for 1,020 and a date."""


_PlainLoader.yaml_implicit_resolvers = {}
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(?:true|false)$"), list("tf"))
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("(?:null|~|)$"), ["n", "~", ""])
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]*)$"), list("-0123456789")
)


def read_message(path: Path, message: M) -> M:
    """Fills `message` from a file, `-` for standard input. Its keys are the fields of the contract.

    A schedule, also that of a clock, may be written as `slad.cli.schedule_text` has it: `hours` stand for
    `entries`, `closed` for dates without hours, a date for its hours (`"2026-12-24": ["09:00-13:00"]`), and a
    holiday may be one text. So may a clock (`slad.cli.clock_text`). Values of enums need no prefix. Raises
    CommandError.
    """
    content = _read(path)
    if not isinstance(content, dict):
        shown = repr(content)[:40]
        raise CommandError(f"{name_of(path)}: keys and values are needed, such as `schedule:`, not {shown}")
    try:
        _ease(content)
        return ParseDict(content, message)
    except (ValueError, ParseError) as error:
        raise CommandError(f"{name_of(path)}: {problem(error, message)}") from error


def name_of(path: Path) -> str:
    """The name of a file in messages."""
    return "standard input" if path == STDIN else str(path)


def read_text(path: Path) -> str:
    """What is in a file, `-` for standard input. Raises CommandError."""
    try:
        return sys.stdin.read() if path == STDIN else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandError(f"{name_of(path)} cannot be read: {reason}", EXIT_CANNOT_START) from error


def _read(path: Path) -> Any:
    text = read_text(path)
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text)
        return yaml.load(text, _PlainLoader)  # noqa: S506 - a SafeLoader
    except ValueError as error:
        raise CommandError(f"{name_of(path)} is not JSON: {error}") from error
    except yaml.YAMLError as error:
        raise CommandError(f"{name_of(path)} is not YAML: {' '.join(str(error).split())}") from error


def _ease(content: dict[str, Any]) -> None:
    """Replaces the short forms by the long ones. Raises ValueError."""
    _ease_schedule("schedule", content.get("schedule"))
    _ease_enum(content, "response_on_resolution", pb.SlaResponseOnResolution, "SLA_RESPONSE_ON_RESOLUTION_")
    clocks = content.get("clocks")
    for index, clock in enumerate(clocks if isinstance(clocks, list) else []):
        where = f"clocks[{index}]"
        with _at(where):
            if isinstance(clock, str):
                content["clocks"][index] = _plain(parse_clock(clock))
            elif isinstance(clock, dict):
                _ease_enum(clock, "kind", pb.SlaClockKind, "SLA_CLOCK_KIND_")
        if isinstance(clock, dict):
            _ease_schedule(f"{where}.schedule", clock.get("schedule"))


def _ease_enum(content: dict[str, Any], key: str, enum_type: Any, prefix: str) -> None:
    """Replaces `NEXT_REPLY`, or `next-reply`, by the name that the contract has."""
    value = content.get(key)
    if isinstance(value, str) and not value.startswith(prefix):
        with _at(key):
            content[key] = enum_type.Name(parse_enum_word(value, enum_type, prefix))


def _ease_schedule(where: str, schedule: Any) -> None:
    if not isinstance(schedule, dict):
        return
    closed = _texts(f"{where}.closed", schedule.pop("closed", []))
    of_dates = _take_dates(schedule)
    hours = schedule.pop("hours", "")
    if isinstance(hours, dict):
        closed += _texts(f"{where}.hours.closed", hours.pop("closed", []))
        of_dates |= _take_dates(hours)
        hours = "; ".join(f"{days} {_joined(f'{where}.{days}', windows)}" for days, windows in hours.items())
    elif not isinstance(hours, str):
        raise ValueError(f"{where}.hours: must be a text, such as 'Mon-Fri 09:00-17:00'")  # noqa: TRY004
    with _at(f"{where}.hours"):
        weekly = parse_hours(hours) if hours else Hours([], [])
    if weekly.entries:
        schedule["entries"] = [_plain(entry) for entry in weekly.entries]
    made = pb.BusinessHoursSchedule()
    ParseDict({"entries": schedule.get("entries") or []}, made)
    whole = [
        *_close(f"{where}.closed", made, closed),
        *_close(f"{where}.holidays", made, schedule.get("holidays") or []),
    ]
    # After the closures, as the last override of a date counts.
    made.date_overrides.extend(weekly.date_overrides)
    for key, windows in of_dates.items():
        dates, equals, name = key.partition("=")
        rule = f"{dates.strip()} {_joined(f'{where}.{key}', windows) or 'closed'} {equals}{name}"
        with _at(where):
            made.date_overrides.append(parse_date_override(rule.strip()))
    schedule["holidays"] = [*map(_plain, made.holidays), *whole]
    schedule["date_overrides"] = [
        *map(_plain, made.date_overrides),
        *(schedule.get("date_overrides") or ()),
    ]


def _close(where: str, schedule: pb.BusinessHoursSchedule, rules: list[Any]) -> list[Any]:
    """Closes the dates of those rules that are texts; returns the others."""
    whole = []
    for index, rule in enumerate(rules):
        if isinstance(rule, str):
            with _at(f"{where}[{index}]"):
                add_holiday(schedule, rule)
        else:
            whole.append(rule)
    return whole


def _take_dates(table: dict[str, Any]) -> dict[str, Any]:
    """Removes the keys that are dates, such as `2026-12-24` or `yearly 12-24`, and returns them."""
    return {key: table.pop(key) for key in list(table) if is_about_dates(str(key))}


def _texts(where: str, value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ValueError(f"{where}: must be a list of dates, such as [2026-12-24..2026-12-31]")
    return list(found)


def _joined(where: str, windows: Any) -> str:
    """A window or a list of them as one text."""
    found = [windows] if isinstance(windows, str) else windows or []
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ValueError(f"{where}: must be a list of windows, such as ['09:00-13:00']")
    return ",".join(found)


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Names the place of an error."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _plain(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)
