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

    def schedule(self) -> Schedule:
        """The same schedule for slad."""
        return build_schedule(
            timezone=self.timezone, is_24x7=False, entries=self.entries, holidays=self.holidays
        )

    def is_holiday(self, day: date) -> bool:
        """B4."""
        return any(
            text[5:10] == f"{day:%m-%d}" if is_recurring else text[:10] == day.isoformat()
            for text, is_recurring, _ in self.holidays
        )

    def is_open_locally(self, local: datetime) -> bool:
        """B2 and B3."""
        if self.is_holiday(local.date()):
            return False
        for day_of_week, start_text, end_text, is_enabled in self.entries:
            if not is_enabled:
                continue
            start = time.fromisoformat(start_text)
            end = time.max if end_text.startswith("24:00") else time.fromisoformat(end_text)
            now, past_midnight = local.time(), end < start
            if local.isoweekday() % 7 == day_of_week and now >= start and (now < end or past_midnight):
                return True
            day_before = local.date() - ONE_DAY
            is_after = past_midnight and day_before.isoweekday() % 7 == day_of_week
            if is_after and now < end and not self.is_holiday(day_before):
                return True
        return False

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
