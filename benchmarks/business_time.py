"""Deadlines in business time, held against a walk over the minutes: `python -m benchmarks.business_time`.

The walk is what one writes first: minute after minute, is it open? Both must come to the same instant, or the
benchmark ends with an error.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import resources
from itertools import cycle
from random import Random
from statistics import median
from time import thread_time
from timeit import Timer
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from slad.core.calendar import Calendar, compile_calendar
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS
from slad.core.schedule import Schedule, build_schedule, parse_date_override

ZONE: Final = "Europe/Berlin"
OPENS, CLOSES = 8, 18
HOLIDAYS: Final = (
    ("2026-01-01", True),
    ("2026-04-03", False),
    ("2026-04-06", False),
    ("2026-05-01", True),
    ("2026-05-14", False),
    ("2026-05-25", False),
    ("2026-10-03", True),
    ("2026-12-24", True),
    ("2026-12-25", True),
    ("2026-12-26", True),
)

START: Final = int(datetime(2026, 3, 2, 9, tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)
"""A Monday morning, before the clocks go forward."""

SPANS: Final = (("1 day", DAY_MS), ("90 days", 90 * DAY_MS), ("10 years", 3_652 * DAY_MS))
"""How far ahead the deadlines lie, on the wall clock."""

PERCENTS: Final = (50, 70, 75, 90, 100, 110)
"""The thresholds of one clock of the realistic request."""

REPEATS: Final = 7


@dataclass(frozen=True, slots=True)
class Walk:
    """Business time by looking at every minute."""

    zone: ZoneInfo
    one_off: frozenset[tuple[int, int, int]]
    recurring: frozenset[tuple[int, int]]

    def advance(self, start_ms: int, open_ms: int) -> int:
        """The deadline; both arguments are whole minutes."""
        at, left = start_ms // 1000, open_ms // MINUTE_MS
        while left:
            local = datetime.fromtimestamp(at, self.zone)
            if (
                OPENS <= local.hour < CLOSES
                and local.weekday() < 5
                and (local.month, local.day) not in self.recurring
                and (local.year, local.month, local.day) not in self.one_off
            ):
                left -= 1
            at += 60
        return at * 1000


def office() -> tuple[Schedule, Walk]:
    """Monday to Friday and ten holidays: for slad, and for the walk."""
    schedule = build_schedule(
        timezone=ZONE,
        is_24x7=False,
        entries=[(day, f"{OPENS:02}:00", f"{CLOSES:02}:00", True) for day in range(1, 6)],
        holidays=[(date, is_recurring, "") for date, is_recurring in HOLIDAYS],
    )
    dates = [(*map(int, date.split("-")), is_recurring) for date, is_recurring in HOLIDAYS]
    # The same rules for both: those of the tzdata package.
    with resources.files("tzdata").joinpath("zoneinfo", *ZONE.split("/")).open("rb") as file:
        zone = ZoneInfo.from_file(file, key=ZONE)
    one_off = frozenset((year, month, day) for year, month, day, recurs in dates if not recurs)
    recurring = frozenset((month, day) for _, month, day, recurs in dates if recurs)
    return schedule, Walk(zone, one_off, recurring)


def with_overrides(schedule: Schedule) -> Schedule:
    """The schedule with half days, make-up Sundays, summer hours and closures, for ten years and for ever."""
    half_day, summer = ("09:00", "13:00"), ("07:00", "15:00")
    overrides = [
        parse_date_override("2000-12-24", "", True, "Christmas Eve", [half_day]),
        parse_date_override("2000-12-27", "2001-01-02", True, "Closed", []),
        parse_date_override("2000-07-01", "2000-08-31", True, "Summer", [summer]),
    ]
    for year in range(2026, 2037):
        overrides.append(parse_date_override(f"{year}-06-07", "", False, "Open Sunday", [half_day]))
        overrides.append(parse_date_override(f"{year}-02-10", f"{year}-03-11", False, "Ramadan", [summer]))
    return msgspec.structs.replace(schedule, date_overrides=tuple(overrides))


def cpu_us(action: Callable[[], object], *, repeats: int = REPEATS) -> float:
    """Microseconds of CPU that `action` takes: the median of some runs, each long enough to be measured."""
    timer = Timer(action, timer=thread_time)
    number, _ = timer.autorange()
    return median(timer.repeat(repeats, number)) / number * 1e6


def starts() -> Iterator[int]:
    """Instants all over a week, for ever, so that no two deadlines in a row are the same."""
    random = Random(1)
    return cycle([START + random.randrange(7 * DAY_MS) for _ in range(1_000)])


def deadline_rows(schedule: Schedule, walk: Walk) -> Iterator[str]:
    """Warm deadlines near and far, against the walk."""
    calendar = compile_calendar(schedule)
    for name, span_ms in SPANS:
        open_ms = calendar.open_between(START, START + span_ms)
        if calendar.advance(START, open_ms) != walk.advance(START, open_ms):
            raise AssertionError(f"slad and the walk differ over {name}")
        walks, walk_seconds = Timer(partial(walk.advance, START, open_ms), timer=thread_time).autorange()
        walk_us = walk_seconds / walks * 1e6
        slad_us = cpu_us(_advance(calendar, open_ms))
        yield f"| one deadline, {name} ahead | {slad_us:.2f} | {walk_us:,.0f} | {walk_us / slad_us:,.0f} |"


def other_rows(schedule: Schedule) -> Iterator[str]:
    """What else a start asks of the calendar; the walk has no such thing."""
    calendar = compile_calendar(schedule)
    spans = [8 * HOUR_MS * percent // 100 for percent in PERCENTS]
    start = starts()
    many_us = cpu_us(lambda: calendar.advance_many(next(start), spans))
    yield f"| all {len(spans)} thresholds of an 8-hour clock | {many_us:.2f} | – | – |"
    between_us = cpu_us(lambda: calendar.open_between(next(start), START + 90 * DAY_MS))
    yield f"| open time of 90 days | {between_us:.2f} | – | – |"
    yield f"| compile the calendar | {cpu_us(lambda: compile_calendar(schedule)):.2f} | – | – |"
    cold_us = cpu_us(lambda: compile_calendar(schedule).advance(START, spans[-1]))
    yield f"| compile it, and the first deadline | {cold_us:.2f} | – | – |"


def _advance(calendar: Calendar, open_ms: int) -> Callable[[], int]:
    start = starts()
    return lambda: calendar.advance(next(start), open_ms)


def main() -> None:
    """The command."""
    schedule, walk = office()
    print(
        f"Python {platform.python_version()}; µs of CPU; medians of {REPEATS} runs, the walk is timed once.\n"
    )
    print("| what | slad | minute walk | walk ÷ slad |")
    print("| --- | ---: | ---: | ---: |")
    for row in (*deadline_rows(schedule, walk), *other_rows(schedule)):
        print(row)


if __name__ == "__main__":
    main()
