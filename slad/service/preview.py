"""The clocks of a ticket that does not exist. Needs neither a store nor an engine."""

from __future__ import annotations

from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.calendar import Calendar, compile_calendar
from slad.core.facts import fold
from slad.core.reading import Reading, read
from slad.core.schedule import ALWAYS
from slad.core.timeline import TimelineSegment, timeline
from slad.core.tracking import Tracking
from slad.engine.catalog import EVERY_HOUR
from slad.service import replies
from slad.service.requests import PreviewQuery


class PreviewedTicket:
    """A ticket that does not exist, read at one instant. Raises InvalidField for a deadline out of range."""

    def __init__(self, asked: PreviewQuery) -> None:
        self.started_at: int = asked.started_at
        """UTC epoch ms."""
        self.calendar: Calendar = compile_calendar(
            ALWAYS if asked.terms.schedule is None else asked.terms.schedule.schedule
        )
        self.tracking = Tracking(
            asked.terms.under(EVERY_HOUR, ""),
            asked.started_at,
            asked.facts,
            accounting=asked.accounting.value,
        )
        self.reading: Reading = read(self.tracking, fold(asked.facts), self.calendar, asked.as_of)
        for clock in self.reading.clocks:
            if clock.due_at is None:
                raise asked.terms.out_of_range(clock.phase)

    def reply(self) -> rpc.PreviewSlaResponse:
        """Both clocks."""
        response, resolution = replies.preview(self.reading, self.tracking)
        return rpc.PreviewSlaResponse(response=response, resolution=resolution)

    def timeline(self, until: int) -> tuple[TimelineSegment, ...]:
        """Its stretches up to `until` (UTC epoch ms)."""
        return timeline(self.started_at, self.reading.history, self.calendar, until)
