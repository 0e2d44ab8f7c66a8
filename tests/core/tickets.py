"""Makers of the values that tests of clocks need."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from slad.core.calendar import Calendar, compile_calendar
from slad.core.instants import MINUTE_MS, from_datetime
from slad.core.reading import Calendars
from slad.core.schedule import ALWAYS, Schedule, build_schedule
from slad.core.terms import Terms
from slad.core.tracking import Tracking


def at(text: str) -> int:
    """RFC 3339 → UTC epoch ms."""
    return from_datetime(datetime.fromisoformat(text))


def schedule_of(case: Mapping[str, Any]) -> Schedule:
    """The schedule of a case of `vectors/`."""
    return build_schedule(
        timezone=case["timezone"],
        is_24x7=case["is_24x7"],
        entries=[
            (e["day_of_week"], e["start_time"], e["end_time"], e["is_enabled"]) for e in case["entries"]
        ],
        holidays=[(h["holiday_date"], h["is_recurring"], "") for h in case["holidays"]],
        date_overrides=[
            (
                override["from_date"],
                override.get("to_date", ""),
                override["is_recurring"],
                "",
                [(e["start_time"], e["end_time"]) for e in override["entries"]],
            )
            for override in case.get("date_overrides", ())
        ],
    )


OFFICE = build_schedule(
    timezone="UTC",
    is_24x7=False,
    entries=[(day, "09:00", "17:00", True) for day in range(1, 6)],
    holidays=[],
)
"""Monday to Friday, 09:00 to 17:00 UTC."""


def calendar(schedule: Schedule = ALWAYS) -> Calendar:
    """Compiled; by default every hour counts."""
    return compile_calendar(schedule)


def calendars(schedule: Schedule = ALWAYS) -> Calendars:
    """The same for every schedule key, as the state machine asks for it."""
    compiled = compile_calendar(schedule)
    return lambda _: compiled


def terms(
    response: int | None = 100,
    resolution: int | None = 1000,
    notify: tuple[int, ...] = (50, 75, 90),
    escalate: tuple[int, int, int] = (0, 0, 0),
) -> Terms:
    """Terms with targets in minutes."""
    return Terms(
        "policy", "priority", (response or 0) * MINUTE_MS, (resolution or 0) * MINUTE_MS, notify, escalate, 1
    )


def tracking(started_at: int, of: Terms | None = None) -> Tracking:
    """A tracking that has not begun."""
    return Tracking(of or terms(), started_at)
