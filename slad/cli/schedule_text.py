"""Schedules as people write them: in one line, with semicolons between the rules.

Hours are weekly, `Mon-Thu 08:00-12:00,13:00-17:00`, or of dates (B8), `2026-12-24 09:00-13:00 = Half day`,
`2026-12-27..2026-12-31 closed`, `yearly 12-31 09:00-12:00`. Holidays are `2026-04-03 Good Friday` or
`yearly 12-25 = 1st day of Christmas`. What is written here reads as the same schedule (JSON keeps the order
of the weekly entries too).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from slad_client.v1 import types_pb2 as pb

DAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
"""By `day_of_week`."""

_BY_NAME: Final = {name.lower(): number for number, name in enumerate(DAYS)}
_ALIASES: Final = {"daily": range(7), "weekdays": range(1, 6), "weekend": (6, 0)}
_RULE: Final = re.compile(r"([A-Za-z,\- ]+?)\s+([0-9][0-9:,\-– ]*)")
_WINDOW: Final = re.compile(r"(\d{1,2}:\d{2}(?::\d{2})?)\s*[-–]\s*(\d{1,2}:\d{2}(?::\d{2})?)")
_DATES: Final = re.compile(
    r"(?P<yearly>yearly\s+)?(?P<first>[\d-]+)(?:\s*(?:\.\.|\bto\b)\s*(?P<last>[\d-]+))?"
    r"(?:\s+(?P<hours>closed|\d[\d:,\-– ]*))?(?:\s*=\s*(?P<name>.*)|\s+(?P<bare>.*))?",
    re.DOTALL,
)
_DATE: Final = re.compile(r"(?:(\d{4})-)?(\d{2}-\d{2})")
_TIME_WORD: Final = re.compile(
    r"\b(?:to|till?|until|from|through|after|before|at|half|halfday|noon|midday|morning|afternoon|evening|closed?"
    r"|closes|closing|open|opens|only|except|am|pm)\b",
    re.IGNORECASE,
)

ANY_YEAR: Final = 2000
"""The year of a recurring holiday that was written without one; a leap year."""


class Hours(NamedTuple):
    """Rules of hours as the contract has them."""

    entries: list[pb.BusinessHoursEntry]
    date_overrides: list[pb.DateOverride]


def parse_hours(text: str) -> Hours:
    """The windows of the week and of dates. Raises ValueError."""
    hours = Hours([], [])
    for rule in filter(None, map(str.strip, split_rules(text))):
        if is_about_dates(rule):
            hours.date_overrides.append(parse_date_override(rule))
        else:
            hours.entries.extend(_weekly(rule))
    if not any(hours):
        raise ValueError("no business hours, such as 'Mon-Fri 09:00-17:00'")
    return hours


def is_about_dates(rule: str) -> bool:
    """Whether a rule begins with a date, not with days of the week."""
    return re.match(r"\d{4}-|yearly\b", rule) is not None


def _weekly(rule: str) -> Iterator[pb.BusinessHoursEntry]:
    match = _RULE.fullmatch(rule)
    if match is None:
        raise ValueError(
            f"{rule!r} is not a rule of business hours, such as 'Mon-Fri 09:00-17:00' or "
            "'2026-12-24 09:00-13:00'"
        )
    windows = [_window(part) for part in match[2].split(",")]
    for day in _days(match[1]):
        for start, end in windows:
            yield pb.BusinessHoursEntry(day_of_week=day, start_time=start, end_time=end, is_enabled=True)


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


def write_hours(
    entries: Iterable[pb.BusinessHoursEntry], date_overrides: Iterable[pb.DateOverride] = ()
) -> str:
    """The enabled windows in their order, days alike put together; then the windows of dates."""
    windows: dict[int, list[str]] = {}
    for entry in entries:
        if entry.is_enabled:
            windows.setdefault(entry.day_of_week, []).append(f"{entry.start_time}-{entry.end_time}")
    rules = []
    days = sorted(windows, key=lambda day: (day - 1) % 7)  # the week begins on Monday
    for spans, alike in groupby(days, key=lambda day: windows[day]):
        run = list(alike)
        rules.append(f"{_spelt(run)} {','.join(spans)}")
    return "; ".join([*rules, *map(_written_override, date_overrides)])


def _spelt(days: list[int]) -> str:
    consecutive = all((one + 1) % 7 == other for one, other in pairwise(days))
    if len(days) > 2 and consecutive:
        return f"{DAYS[days[0]]}-{DAYS[days[-1]]}"
    return ",".join(DAYS[day] for day in days)


# --- dates


class Dates(NamedTuple):
    """A rule about dates: `[yearly] DATE[..DATE] [WINDOWS|closed] [= NAME]`."""

    first: str
    """YYYY-MM-DD."""
    last: str
    """The last date of a range; empty: it is one date."""
    is_yearly: bool
    windows: list[tuple[str, str]]
    name: str


def _dates(text: str, forms: str) -> Dates:
    """Reads a rule; `forms` are those that an error names. Raises ValueError."""
    wrong = ValueError(f"{text.strip()!r} is not understood; {forms}")
    match = _DATES.fullmatch(text.strip())
    if match is None or (match["bare"] and not _is_surely_a_name(match["bare"])):
        raise wrong
    yearly = bool(match["yearly"])
    ends = [_date(end, yearly) if end else "" for end in (match["first"], match["last"])]
    if None in ends:
        raise wrong
    hours = match["hours"] or "closed"
    try:
        windows = [] if hours == "closed" else [_window(part) for part in hours.split(",")]
    except ValueError:
        raise wrong from None
    first, last = (end or "" for end in ends)
    if yearly and last and last < first and last.startswith(f"{ANY_YEAR}-"):
        last = f"{ANY_YEAR + 1}{last[4:]}"  # over the turn of the year
    return Dates(first, last, yearly, windows, (match["name"] or match["bare"] or "").strip())


def _is_surely_a_name(text: str) -> bool:
    """Whether nobody can have meant hours or dates by it. Any other name needs a `=` before it."""
    return not (text[0].islower() or any(c.isdigit() for c in text) or _TIME_WORD.search(text))


def _date(text: str, is_yearly: bool) -> str | None:
    match = _DATE.fullmatch(text)
    if match is None or not (match[1] or is_yearly):
        return None
    return f"{match[1] or ANY_YEAR}-{match[2]}"


def parse_date_override(text: str) -> pb.DateOverride:
    """`2026-12-24 09:00-13:00 = Christmas Eve`, `2026-12-27..2026-12-31 closed`. Raises ValueError."""
    dates = _dates(text, "write '2026-12-24 09:00-13:00' or '2026-12-24..2026-12-31 closed', a name after =")
    if not dates.windows and not re.search(r"\d\s+closed\b", text):
        raise ValueError(
            f"{text.strip()!r} has no hours: add windows such as 09:00-13:00, or the word closed"
        )
    return _override(dates)


def _override(dates: Dates) -> pb.DateOverride:
    return pb.DateOverride(
        name=dates.name,
        from_date=dates.first,
        to_date=dates.last,
        is_recurring=dates.is_yearly,
        entries=[pb.DateOverrideEntry(start_time=start, end_time=end) for start, end in dates.windows],
    )


def _written_override(override: pb.DateOverride) -> str:
    dates = f"{override.from_date}..{override.to_date}" if override.to_date else override.from_date
    windows = ",".join(f"{entry.start_time}-{entry.end_time}" for entry in override.entries)
    parts = ("yearly" if override.is_recurring else "", dates, windows or "closed", _named(override.name))
    return " ".join(filter(None, parts))


def _named(name: str) -> str:
    return f"= {escaped(name)}" if name else ""


def escaped(text: str) -> str:
    """A text that `split_rules` gives back in one piece."""
    return text.replace("\\", "\\\\").replace(";", "\\;")


HOLIDAY_FORMS: Final = (
    "write '2026-04-03 = Good Friday' or '2026-12-24..2026-12-31'; "
    "'2026-12-24 13:00-24:00' closes a part of a day"
)


def add_holiday(schedule: pb.BusinessHoursSchedule, text: str) -> None:
    """Closes dates: `2026-04-03 Good Friday`, `yearly 12-25`, `2026-12-24..2026-12-31 = Closure`.

    `2026-12-24 13:00-24:00` closes a part of the date: the windows of its weekday in `schedule` are cut.
    Raises ValueError.
    """
    dates = _dates(text, HOLIDAY_FORMS)
    if not dates.last and _has_rule(schedule, dates):
        raise ValueError(f"{text.strip()!r}: another rule closes {dates.first} or a part of it; give one")
    if dates.windows:
        override = _override(dates)
        del override.entries[:]
        override.entries.extend(_open_beside(dates, schedule, text.strip()))
        schedule.date_overrides.append(override)
    elif dates.last:
        schedule.date_overrides.append(_override(dates))
    else:
        schedule.holidays.append(
            pb.Holiday(holiday_date=dates.first, is_recurring=dates.is_yearly, holiday_name=dates.name)
        )


def _has_rule(schedule: pb.BusinessHoursSchedule, dates: Dates) -> bool:
    """Whether a rule for a part of a date would undo half of another one."""
    if dates.windows and any(holiday.holiday_date == dates.first for holiday in schedule.holidays):
        return True
    return any(
        override.from_date <= dates.first <= (override.to_date or override.from_date)
        and not override.is_recurring
        and (dates.windows or override.entries)
        for override in schedule.date_overrides
    )


def _open_beside(
    dates: Dates, schedule: pb.BusinessHoursSchedule, text: str
) -> Iterator[pb.DateOverrideEntry]:
    """What stays open on a date that is partly closed. Raises ValueError if an override cannot say it."""
    if dates.last or dates.is_yearly:
        raise ValueError(f"{text!r}: a part of a day can be closed on one date only; {PART_FORMS}")
    try:
        day = (date.fromisoformat(dates.first).weekday() + 1) % 7
    except ValueError:
        raise ValueError(f"{text!r}: {dates.first} is not a date") from None
    enabled = [entry for entry in schedule.entries if entry.is_enabled]
    near = [entry for entry in enabled if entry.day_of_week in (day, (day - 1) % 7)]
    if any(entry.end_time <= entry.start_time for entry in near):
        raise ValueError(f"{text!r}: hours past midnight cannot be cut; {PART_FORMS}")
    windows = [(_full(e.start_time), _full(e.end_time)) for e in enabled if e.day_of_week == day]
    for closed_from, closed_to in ((_full(start), _full(end)) for start, end in dates.windows):
        if closed_to <= closed_from:
            raise ValueError(f"{text!r}: {closed_to} is not after {closed_from}")
        windows = [
            part
            for start, end in windows
            for part in ((start, min(end, closed_from)), (max(start, closed_to), end))
            if part[0] < part[1]
        ]
    for start, end in windows:
        yield pb.DateOverrideEntry(start_time=start, end_time=end)


def _full(time: str) -> str:
    """HH:MM:SS, so that times compare as texts."""
    return time if len(time) == 8 else f"{time}:00"


PART_FORMS: Final = "say what is open: --hours '2026-12-24 09:00-13:00'"


def write_holidays(holidays: Iterable[pb.Holiday]) -> str:
    """Holidays in one line, separated by semicolons; one in a name is written `\\;`."""
    return "; ".join(_written(holiday) for holiday in holidays)


def _written(holiday: pb.Holiday) -> str:
    parts = ("yearly" if holiday.is_recurring else "", holiday.holiday_date, _named(holiday.holiday_name))
    return " ".join(filter(None, parts))


def add_holidays(schedule: pb.BusinessHoursSchedule, text: str) -> None:
    """Adds what `write_holidays` writes. Raises ValueError."""
    for part in split_rules(text):
        if part.strip():
            add_holiday(schedule, part)


def split_rules(text: str) -> Iterator[str]:
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
