"""Open time by weekly windows in UTC. Instants in UTC epoch ms."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate

from slad_client.v1 import types_pb2 as pb

DAY_MS = 24 * 60 * 60 * 1000
WEEK_MS = 7 * DAY_MS
SUNDAY_OFFSET_MS = 4 * DAY_MS
"""The epoch was a Thursday; windows count from Sunday."""


class Hours:
    """Open time as a number that only grows: `opened` and its inverse, `when`.

    `windows` are disjoint stretches of the week, in order, in ms since Sunday 00:00 UTC.
    """

    def __init__(self, windows: Sequence[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in windows]
        self._ends = [end for _, end in windows]
        self._after = list(accumulate(end - start for start, end in windows))
        self._weekly = self._after[-1]

    def opened(self, instant: int) -> int:
        """Open ms before `instant`, counted from a Sunday before all of this."""
        weeks, moment = divmod(instant + SUNDAY_OFFSET_MS, WEEK_MS)
        place = bisect_right(self._starts, moment) - 1
        if place < 0:
            return weeks * self._weekly
        still_to_come = max(0, self._ends[place] - moment)
        return weeks * self._weekly + self._after[place] - still_to_come

    def when(self, opened: int) -> int:
        """The first instant before which there were `opened` open ms."""
        weeks, rest = divmod(opened - 1, self._weekly)
        place = bisect_left(self._after, rest + 1)
        moment = self._ends[place] - (self._after[place] - (rest + 1))
        return weeks * WEEK_MS - SUNDAY_OFFSET_MS + moment


ALWAYS = Hours([(0, WEEK_MS)])
"""24x7."""


def hours_of(schedule: pb.BusinessHoursSchedule) -> Hours:
    """The hours of a schedule in UTC without holidays; all that the trials use."""
    return _parsed(schedule.SerializeToString(deterministic=True))


@lru_cache(maxsize=64)
def _parsed(content: bytes) -> Hours:
    schedule = pb.BusinessHoursSchedule.FromString(content)
    if schedule.is_24x7:
        return ALWAYS
    assert schedule.timezone == "UTC"
    assert not schedule.holidays
    return Hours(
        sorted(
            (
                entry.day_of_week * DAY_MS + _ms(entry.start_time),
                entry.day_of_week * DAY_MS + _ms(entry.end_time),
            )
            for entry in schedule.entries
            if entry.is_enabled
        )
    )


def _ms(time: str) -> int:
    hour, minute, second = [*map(int, time.split(":")), 0][:3]
    return ((hour * 60 + minute) * 60 + second) * 1000


def stop_and_go(now: int, minutes_before: int = 30, minutes_after: int = 150) -> pb.BusinessHoursSchedule:
    """Open for the first 40 s of every minute around `now`: a short trial sees windows end and begin."""
    first = datetime.fromtimestamp(now // 1000, UTC).replace(second=0, microsecond=0)
    minutes = [first + timedelta(minutes=n) for n in range(-minutes_before, minutes_after)]
    return pb.BusinessHoursSchedule(
        schedule_id="stop-and-go",
        timezone="UTC",
        entries=[
            pb.BusinessHoursEntry(
                day_of_week=minute.isoweekday() % 7,
                start_time=f"{minute:%H:%M}:00",
                end_time=f"{minute:%H:%M}:40",
                is_enabled=True,
            )
            for minute in minutes
        ],
    )
