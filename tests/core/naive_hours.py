"""Business time by counting, for tests: rules B2–B5 read off one local instant at a time.

Shares nothing with slad but the time-zone files, which it reads through Python's zoneinfo.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

from slad.core.schedule import Schedule, build_schedule

Entry = tuple[int, str, str, bool]
"""day_of_week, start_time, end_time, is_enabled"""

Override = tuple[str, str, bool, str, tuple[tuple[str, str], ...]]
"""from_date, to_date, is_recurring, name, (start_time, end_time)s"""

ONE_DAY = timedelta(days=1)


@cache
def zone_info(name: str) -> ZoneInfo:
    """Python's reading of the package's file, whatever PYTHONTZPATH says."""
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def ms(text: str) -> int:
    """An RFC 3339 instant as epoch ms."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@dataclass(frozen=True)
class NaiveHours:
    """A schedule as a caller writes it."""

    timezone: str
    entries: tuple[Entry, ...]
    holidays: tuple[tuple[str, bool, str], ...] = ()
    overrides: tuple[Override, ...] = ()

    def schedule(self) -> Schedule:
        """The same schedule for slad."""
        return build_schedule(
            timezone=self.timezone,
            is_24x7=False,
            entries=self.entries,
            holidays=self.holidays,
            date_overrides=self.overrides,
        )

    def override(self, day: date) -> tuple[tuple[str, str], ...] | None:
        """The hours of the last override that covers a date (B8)."""
        for first, end, is_recurring, _, hours in reversed(self.overrides):
            last = end or first
            if is_recurring:
                here, first, last = f"{day:%m-%d}", first[5:], last[5:]  # noqa: PLW2901
                covers = first <= here <= last if first <= last else here >= first or here <= last
            else:
                covers = first <= day.isoformat() <= last
            if covers:
                return hours
        return None

    def is_closed(self, day: date) -> bool:
        """B3 and B8."""
        hours = self.override(day)
        return self.is_holiday(day) if hours is None else not hours

    def windows(self, day: date) -> list[tuple[time, time]]:
        """What starts on a date, as (start, end); an end before the start is on the next date."""
        hours = self.override(day)
        if hours is None:
            weekday = day.isoweekday() % 7
            hours = tuple(
                (start, end) for on, start, end, enabled in self.entries if enabled and on == weekday
            )
        return [
            (time.fromisoformat(start), time.max if end.startswith("24:00") else time.fromisoformat(end))
            for start, end in hours
        ]

    def is_holiday(self, day: date) -> bool:
        """B4."""
        return any(
            text[5:10] == f"{day:%m-%d}" if is_recurring else text[:10] == day.isoformat()
            for text, is_recurring, _ in self.holidays
        )

    def is_open_locally(self, local: datetime) -> bool:
        """B2, B3 and B8."""
        today, day_before, now = local.date(), local.date() - ONE_DAY, local.time()
        if self.is_closed(today):
            return False
        for start, end in self.windows(today):
            if now >= start and (now < end or end < start):
                return True
        if self.is_closed(day_before):
            return False
        return any(end < start and now < end for start, end in self.windows(day_before))

    def is_open(self, at_ms: int) -> bool:
        """B5: what the zone's clocks show decides."""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
        return self.is_open_locally(moment.astimezone(zone_info(self.timezone)).replace(tzinfo=None))

    def count(self, from_ms: int, to_ms: int, step_ms: int) -> int:
        """The open time in [from_ms, to_ms), if nothing opens or closes within a step."""
        return sum(step_ms for at_ms in range(from_ms, to_ms, step_ms) if self.is_open(at_ms))

    def advance(self, start_ms: int, open_ms: int, step_ms: int) -> int:
        """The deadline, by counting steps; `open_ms` is a multiple of one."""
        at_ms = start_ms
        while open_ms > 0:
            open_ms -= step_ms if self.is_open(at_ms) else 0
            at_ms += step_ms
        return at_ms
