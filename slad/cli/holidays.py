"""`slad holidays`: the public holidays of a country, for a schedule."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import date
from types import ModuleType
from typing import Any, Final, NamedTuple

import click
import yaml
from google.protobuf.json_format import MessageToDict
from slad_client.v1 import types_pb2 as pb

from slad.cli import time_text
from slad.cli.exits import EXIT_CANNOT_START, CommandError
from slad.cli.help import example
from slad.cli.option_types import Parsed
from slad.cli.output import note, print_json
from slad.cli.schedule_text import add_holiday, parse_hours

PUBLIC: Final = "public"
HALF_DAY: Final = "half_day"
ENGLISH: Final = "en_US"

_FROM: Final = re.compile(r"\(from (\d{1,2})(?::(\d\d))?\s?(am|pm)\)")


def parse_years(text: str) -> tuple[int, ...]:
    """`2026`, `2026-2028`, `2026,2028`, ascending. Raises ValueError."""
    years: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{4})(?:\s*-\s*(\d{4}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + 100:
            raise ValueError(f"{text!r} are not years, such as 2026, 2026-2028 or 2026,2028")
        years.update(range(first, last + 1))
    return tuple(sorted(years))


class Day(NamedTuple):
    """A holiday, or a date with the rest of the day closed."""

    date: date
    name: str
    closed_from: str = ""
    """HH:MM; empty: the whole day."""

    def __str__(self) -> str:
        hours = f" {self.closed_from}-24:00" if self.closed_from else ""
        return f"{self.date}{hours} = {self.name}"


@click.command(
    epilog=example(
        "slad holidays DE --subdivision BY --years 2026-2028",
        'slad holidays DE --hours "Mon-Fri 09:00-17:00" --tz Europe/Berlin >desk.yaml',
    )
)
@click.argument("country")
@click.option("--subdivision", default="", metavar="CODE", help="A state or region, such as BY, or Bayern.")
@click.option(
    "--years",
    type=Parsed("years", parse_years),
    metavar="YEARS",
    help="2026 or 2026-2028; by default this year and the next.",
)
@click.option(
    "--category",
    "categories",
    multiple=True,
    metavar="NAME",
    help="Another category of holidays that the country has, such as catholic or bank; may repeat.",
)
@click.option(
    "--language", default="", metavar="CODE", help="The language of the names; by default yours (LANG)."
)
@click.option(
    "--hours", default="", metavar="HOURS", help="Write a whole schedule, with these business hours."
)
@click.option("--tz", default="", metavar="ZONE", help="The time zone of --hours, such as Europe/Berlin.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="yaml: for --file; json: the BusinessHoursSchedule of the contract.",
)
def holidays(
    country: str,
    subdivision: str,
    years: tuple[int, ...] | None,
    categories: tuple[str, ...],
    language: str,
    hours: str,
    tz: str,
    form: str,
) -> None:
    """Write the public holidays of COUNTRY (such as DE or US) for the schedule of a desk.

    Half days are included if their hour is known. Add the days on which only your desk is closed yourself.
    """
    if bool(hours) != bool(tz):
        raise CommandError("give --hours and --tz together")
    this_year = time_text.wall_clock().astimezone(time_text.user_zone()).year
    found = _Country(country, subdivision, years or (this_year, this_year + 1), language)
    days = sorted(found.days((PUBLIC, *categories)))
    head = f"Holidays of {found.name}, {_spelt(found.years)}, from the package holidays {found.release}"
    try:
        schedule = _schedule(days, hours, tz)
    except ValueError as error:
        raise CommandError(f"--hours: {error}") from None
    if form == "json":
        if not hours and any(day.closed_from for day in days):
            note("half days need --hours in JSON, and are left out")
        print_json(MessageToDict(schedule, preserving_proto_field_name=True))
        return
    texts = list(map(str, days))
    content: dict[str, Any] = {"holidays": texts}
    if hours:
        content = {"schedule": {"timezone": tz, "hours": hours, "holidays": texts}}
    click.echo(f"# {head}.")
    click.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=200), nl=False)


def _schedule(days: list[Day], hours: str, tz: str) -> pb.BusinessHoursSchedule:
    """The days as a schedule of the contract. Raises ValueError."""
    schedule = pb.BusinessHoursSchedule(timezone=tz)
    of_dates: list[pb.DateOverride] = []
    if hours:
        entries, of_dates = parse_hours(hours)
        schedule.entries.extend(entries)
    for day in days:
        if hours or not day.closed_from:
            add_holiday(schedule, str(day))
    schedule.date_overrides.extend(of_dates)
    return schedule


class _Country:
    """What the package `holidays` knows of a country."""

    def __init__(self, code: str, subdivision: str, years: tuple[int, ...], language: str) -> None:
        package = _package()
        self.release: str = package.__version__
        self.years = years
        code = code.upper()
        known = package.list_supported_countries(include_aliases=False)
        if code not in known:
            raise CommandError(
                f"{code!r} is not the code of a country that the package holidays knows, such as DE"
            )
        self._type: Any = getattr(package, code)
        self._subdivision = self._known_subdivision(code, subdivision)
        self._language = self._known_language(language)
        self.name = f"{code} {self._subdivision}".strip()
        first, last = self._type.start_year, self._type.end_year
        if years[0] < first or years[-1] > last:
            raise CommandError(f"--years: the holidays of {code} are known from {first} to {last}")

    def days(self, categories: tuple[str, ...]) -> Iterator[Day]:
        """The holidays of these categories, and the half days whose hour is known."""
        known = [name for name in self._type.supported_categories if name != HALF_DAY]
        for category in categories:
            if category not in known:
                raise CommandError(f"--category: {category!r} is not one of {', '.join(known)}")
        whole = self._found(categories, self._language)
        for day, name in whole.items():
            yield Day(day, name)
        if HALF_DAY not in self._type.supported_categories:
            return
        in_english = self._found((HALF_DAY,), self._in(ENGLISH))
        unknown = []
        for day, name in self._found((HALF_DAY,), self._language).items():
            if day in whole:
                continue
            if match := _FROM.search(in_english[day]):
                closed_from = int(match[1]) % 12 + (12 if match[3] == "pm" else 0)
                yield Day(day, re.sub(r"\s*[(（].*", "", name), f"{closed_from:02}:{match[2] or '00'}")
            else:
                unknown.append(f"{day} {name}")
        if unknown:
            note(f"half days whose hour is not known are left out: {', '.join(unknown)}")

    def _found(self, categories: tuple[str, ...], language: str | None) -> Mapping[date, str]:
        found: Mapping[date, str] = self._type(
            subdiv=self._subdivision or None, years=self.years, categories=categories, language=language
        )
        return dict(found.items())

    def _known_subdivision(self, code: str, subdivision: str) -> str:
        names: Mapping[str, str] = self._type.subdivisions_aliases
        found = names.get(subdivision, subdivision)
        if found and found not in self._type.subdivisions:
            there = ", ".join(self._type.subdivisions) or "none"
            raise CommandError(f"--subdivision: {code} has {there}, not {subdivision!r}")
        return found

    def _known_language(self, language: str) -> str | None:
        if not language:
            return self._in(_language_of_the_reader()) or self._in(ENGLISH)
        found = self._in(language)
        if found is None:
            there = ", ".join(self._type.supported_languages) or "one language only"
            raise CommandError(f"--language: there is {there}, not {language!r}")
        return found

    def _in(self, language: str) -> str | None:
        """The language that the package has, the nearest one; None: it has none like it."""
        there: tuple[str, ...] = self._type.supported_languages
        alike = [name for name in there if name.partition("_")[0] == language.partition("_")[0]]
        return language if language in there else next(iter(alike), None)


def _language_of_the_reader() -> str:
    """`de_DE` from the environment, as gettext has it; empty: not said."""
    names = (os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return next(filter(None, names), "").partition(".")[0].partition("@")[0]


def _package() -> ModuleType:
    try:
        import holidays as package  # noqa: PLC0415 - 14 MB, for this command only
    except ModuleNotFoundError:
        raise CommandError(
            "the package holidays is not installed: pip install 'slad[holidays]'", EXIT_CANNOT_START
        ) from None
    return package


def _spelt(years: tuple[int, ...]) -> str:
    whole = len(years) > 1 and years[-1] - years[0] == len(years) - 1
    return f"{years[0]}-{years[-1]}" if whole else ", ".join(map(str, years))
