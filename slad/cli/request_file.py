"""Requests from JSON or YAML files."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from slad.cli.exits import EXIT_CANNOT_START, CommandError
from slad.cli.parse_errors import problem
from slad.cli.schedule_text import parse_holiday, parse_hours

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

    In a schedule, `hours` may stand for `entries` ("Mon-Fri 09:00-17:00"), and a holiday may be one text
    ("yearly 12-25 Christmas Day"). Raises CommandError.
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


def _read(path: Path) -> Any:
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandError(f"{name_of(path)} cannot be read: {reason}", EXIT_CANNOT_START) from error
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text)
        return yaml.load(text, _PlainLoader)  # noqa: S506 - a SafeLoader
    except ValueError as error:
        raise CommandError(f"{name_of(path)} is not JSON: {error}") from error
    except yaml.YAMLError as error:
        raise CommandError(f"{name_of(path)} is not YAML: {' '.join(str(error).split())}") from error


def _ease(content: dict[str, Any]) -> None:
    """Replaces the short forms by the long ones."""
    schedule = content.get("schedule")
    if not isinstance(schedule, dict):
        return
    if "hours" in schedule:
        hours = schedule.pop("hours")
        if not isinstance(hours, str):
            raise ValueError("schedule.hours: must be a text, such as 'Mon-Fri 09:00-17:00'")
        try:
            schedule["entries"] = [_plain(entry) for entry in parse_hours(hours)]
        except ValueError as error:
            raise ValueError(f"schedule.hours: {error}") from None
    for index, holiday in enumerate(schedule.get("holidays") or ()):
        if isinstance(holiday, str):
            try:
                schedule["holidays"][index] = _plain(parse_holiday(holiday))
            except ValueError as error:
                raise ValueError(f"schedule.holidays[{index}]: {error}") from None


def _plain(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)
