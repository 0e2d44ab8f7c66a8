"""Kinds of values on the command line, and the exit codes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from dateutil.parser import isoparse

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, from_datetime
from slad.daemon.settings import DEFAULT_DATA

EXIT_CANNOT_START: Final = 3
"""The address or the data directory cannot be used."""

EXIT_REFUSED: Final = 4
"""The daemon refused, or is not there."""

EXIT_UNSOUND: Final = 5
"""`slad doctor` found something wrong."""

_UNITS: Final = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


Command = TypeVar("Command", bound=Callable[..., Any])


def data_option(command: Command) -> Command:
    """Adds --data."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_DATA,
        show_default=True,
        envvar="SLAD_DATA",
        metavar="DIR",
        help="Data directory.",
    )(command)


class Instant(click.ParamType[int]):
    """An ISO 8601 instant, UTC unless it says otherwise, as UTC epoch ms."""

    name = "instant"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parses `value`."""
        if isinstance(value, int):
            return value
        try:
            moment = isoparse(str(value))
        except ValueError:
            self.fail(f"{value!r} is not an ISO 8601 instant, such as 2026-03-02T09:00:00Z", param, ctx)
        return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


class Span(click.ParamType[int]):
    """A length of time such as 45s, 30m, 12h or 7d, as ms."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parses `value`."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]{1,9})([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r} is not a length of time, such as 45s, 30m, 12h or 7d", param, ctx)
        return int(match[1]) * _UNITS[match[2]]
