"""The clocks of a ticket that does not exist. Needs neither a store nor an engine."""

from __future__ import annotations

from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.calendar import Calendar, compile_calendar
from slad.core.due_dates import NoOpenTime, with_open_time
from slad.core.machine import ClockOutOfRange, reading_at
from slad.core.reading import Reading
from slad.core.schedule import ALWAYS, Schedule
from slad.core.timeline import TimelineSegment, clock_timeline, timeline
from slad.core.tracking import Tracking
from slad.engine.catalog import EVERY_HOUR
from slad.engine.commands import ScheduleOffer
from slad.service import replies
from slad.service.requests import PreviewQuery


class PreviewedTicket:
    """A ticket that does not exist, read at one instant. Raises InvalidField for a deadline out of range."""

    def __init__(self, asked: PreviewQuery) -> None:
        self.started_at: int = asked.started_at
        """UTC epoch ms."""
        self._schedules: list[Schedule] = []
        self.tracking = Tracking(
            asked.terms.under(self._key_of, ""),
            asked.started_at,
            asked.facts,
            accounting=asked.accounting.value,
        )
        self._calendars = [compile_calendar(schedule) for schedule in (ALWAYS, *self._schedules)]
        calendars = self._calendars.__getitem__
        try:
            self.tracking = with_open_time(self.tracking, calendars, asked.as_of)
        except NoOpenTime as error:
            raise asked.terms.refused(error) from None
        self.reading: Reading = reading_at(self.tracking, calendars, asked.as_of)
        for clock in self.reading.clocks:
            if clock.due_at is None:
                raise asked.terms.refused(ClockOutOfRange(clock.name))

    @property
    def calendar(self) -> Calendar:
        """That of the ticket's schedule."""
        return self._calendars[self.tracking.terms.schedule_key]

    def _key_of(self, schedule: ScheduleOffer | None) -> int:
        if schedule is None:
            return EVERY_HOUR
        self._schedules.append(schedule.schedule)
        return len(self._schedules)

    def reply(self) -> rpc.PreviewSlaResponse:
        """How its clocks stand."""
        return replies.preview(self.reading, self.tracking)

    def timeline(self, until: int, clock: str = "") -> tuple[TimelineSegment, ...]:
        """Its stretches up to `until` (UTC epoch ms), or those of one clock, by its name."""
        history = self.reading.history
        if not clock:
            return timeline(self.started_at, history, self.calendar, until)
        (terms,) = (terms for terms in self.tracking.terms.clocks if terms.name == clock)
        calendar = self._calendars[terms.schedule_key]
        return clock_timeline(self.started_at, history, self.reading.cycles(clock), calendar, until)
