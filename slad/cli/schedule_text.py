"""Business hours as people write them: `Mon-Thu 08:00-12:00,13:00-17:00; Fri 08:00-14:00`.

And holidays: `2026-04-03 Good Friday; yearly 12-25 Christmas Day`. Both ways: what is written here reads as
the same hours (JSON keeps the order of the entries too).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from typing import Final

from slad_client.v1 import types_pb2 as pb

DAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
"""By `day_of_week`."""

_BY_NAME: Final = {name.lower(): number for number, name in enumerate(DAYS)}
_ALIASES: Final = {"daily": range(7), "weekdays": range(1, 6), "weekend": (6, 0)}
_RULE: Final = re.compile(r"([A-Za-z,\- ]+?)\s+([0-9][0-9:,\-– ]*)")
_WINDOW: Final = re.compile(r"(\d{1,2}:\d{2}(?::\d{2})?)\s*[-–]\s*(\d{1,2}:\d{2}(?::\d{2})?)")
_DATE: Final = re.compile(r"(?:(yearly)\s+)?((?:(\d{4})-)?\d{2}-\d{2})(?:\s+(.*))?", re.DOTALL)

ANY_YEAR: Final = 2000
"""The year of a recurring holiday that was written without one; a leap year."""


def parse_hours(text: str) -> list[pb.BusinessHoursEntry]:
    """The weekly windows. Raises ValueError."""
    entries = []
    for rule in filter(None, map(str.strip, text.split(";"))):
        match = _RULE.fullmatch(rule)
        if match is None:
            raise ValueError(f"{rule!r} is not a rule of business hours, such as 'Mon-Fri 09:00-17:00'")
        days = _days(match[1])
        windows = [_window(part) for part in match[2].split(",")]
        entries += [
            pb.BusinessHoursEntry(day_of_week=day, start_time=start, end_time=end, is_enabled=True)
            for day in days
            for start, end in windows
        ]
    if not entries:
        raise ValueError("no business hours, such as 'Mon-Fri 09:00-17:00'")
    return entries


def _days(text: str) -> list[int]:
    days: list[int] = []
    for part in text.lower().split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        if not dash and first in _ALIASES:
            days += _ALIASES[first]
            continue
        begin, end = _day(first), _day(last) if dash else _day(first)
        days += [(begin + step) % 7 for step in range((end - begin) % 7 + 1)]
    return days


def _day(word: str) -> int:
    number = _BY_NAME.get(word[:3])
    if number is None or not _LONG[number].startswith(word):
        raise ValueError(f"{word!r} is not a day, such as Mon, or Mon-Fri, daily, weekdays, weekend")
    return number


_LONG: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def _window(text: str) -> tuple[str, str]:
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is not a window, such as 09:00-17:00")
    start, end = (time.zfill(5) if time.count(":") == 1 else time.zfill(8) for time in match.groups())
    return start, end


def write_hours(entries: Iterable[pb.BusinessHoursEntry]) -> str:
    """The enabled windows of a schedule, in the order in which they are given, days alike put together."""
    windows: dict[int, list[str]] = {}
    for entry in entries:
        if entry.is_enabled:
            windows.setdefault(entry.day_of_week, []).append(f"{entry.start_time}-{entry.end_time}")
    rules = []
    days = sorted(windows, key=lambda day: (day - 1) % 7)  # the week begins on Monday
    for spans, alike in groupby(days, key=lambda day: windows[day]):
        run = list(alike)
        rules.append(f"{_spelt(run)} {','.join(spans)}")
    return "; ".join(rules)


def _spelt(days: list[int]) -> str:
    consecutive = all((one + 1) % 7 == other for one, other in pairwise(days))
    if len(days) > 2 and consecutive:
        return f"{DAYS[days[0]]}-{DAYS[days[-1]]}"
    return ",".join(DAYS[day] for day in days)


def parse_holiday(text: str) -> pb.Holiday:
    """`2026-04-03 Good Friday`, `yearly 12-25 Christmas Day`. Raises ValueError."""
    match = _DATE.fullmatch(text.strip())
    if match is None or (not match[1] and not match[3]):
        raise ValueError(f"{text!r} is not a holiday, such as '2026-04-03 Good Friday' or 'yearly 12-25'")
    date = match[2] if match[3] else f"{ANY_YEAR}-{match[2]}"
    return pb.Holiday(holiday_date=date, is_recurring=bool(match[1]), holiday_name=(match[4] or "").strip())


def write_holidays(holidays: Iterable[pb.Holiday]) -> str:
    """Holidays in one line, separated by semicolons; one in a name is written `\\;`."""
    return "; ".join(_written(holiday) for holiday in holidays)


def _written(holiday: pb.Holiday) -> str:
    name = holiday.holiday_name.replace("\\", "\\\\").replace(";", "\\;")
    parts = ("yearly" if holiday.is_recurring else "", holiday.holiday_date, name)
    return " ".join(filter(None, parts))


def parse_holidays(text: str) -> list[pb.Holiday]:
    """What `write_holidays` writes. Raises ValueError."""
    return [parse_holiday(part) for part in _split(text) if part.strip()]


def _split(text: str) -> Iterator[str]:
    """The parts between semicolons that are not escaped, without their escapes."""
    part = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            part += next(characters, "")
        elif character == ";":
            yield part
            part = ""
        else:
            part += character
    yield part
