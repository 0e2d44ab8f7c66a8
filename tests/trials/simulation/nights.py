"""A schedule with everything that makes dates differ: nights, a holiday, dates with other hours, a closed one."""

from __future__ import annotations

from slad.core.schedule import build_schedule
from tests.core.naive_ticket import MINUTES_A_DAY

SCHEDULE_OF_NIGHTS = build_schedule(
    timezone="UTC",
    is_24x7=False,
    entries=[(day, "20:00", "04:00", True) for day in range(1, 6)],
    holidays=[("2026-03-03", False, "")],
    date_overrides=[
        ("2026-03-05", "2026-03-06", False, "", [("10:00", "12:00")]),
        ("2026-03-10", "", False, "", []),
    ],
)
HOLIDAY, SHORT, CLOSED = 1, (3, 4), 8
"""Its special dates, counted from Monday, 2026-03-02."""


def nights_open(minute: int) -> bool:
    """Whether it is open, by B3 and B8 as they are written."""
    day, at = divmod(minute, MINUTES_A_DAY)
    if day in (HOLIDAY, CLOSED):
        return False
    if day in SHORT and 10 * 60 <= at < 12 * 60:
        return True
    return (_has_night(day) and at >= 20 * 60) or (_has_night(day - 1) and at < 4 * 60)


def _has_night(day: int) -> bool:
    return day % 7 < 5 and day not in (HOLIDAY, *SHORT, CLOSED)
