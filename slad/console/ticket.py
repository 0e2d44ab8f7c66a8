"""What the page of a ticket shows. Made on the thread that reads, as a long life takes its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from slad_client.v1 import types_pb2 as pb

from slad.console.axis import WHOLE, ZOOMS, window
from slad.console.svg import svg
from slad.console.times import Times, times
from slad.console.words import Word, clock_words, event_clock, event_details, event_kind, lateness, meaning
from slad.core.errors import InvalidField
from slad.core.events import PHASES
from slad.core.picture import Mark, Picture, lane, life_span
from slad.core.terms import ClockKind
from slad.core.time_text import span
from slad.core.timeline import pause_cause
from slad.engine.commands import Answer
from slad.engine.event_codec import decode_event
from slad.engine.queries import Queries
from slad.service import replies
from slad.storage.codec import AuditEntry

MAX_ROWS: Final = 300
"""Events and commands that a page lists, the latest; `slad explain` has all."""


class Asked(NamedTuple):
    """Which ticket, and how to show it."""

    tenant_id: str
    ticket_id: str
    generation: int | None
    """None: the latest."""
    zoom: str
    at: int | None
    """The middle of the window, UTC epoch ms; None: now."""
    zone: str
    reader: str
    """The reader's own zone, as the browser says."""


class EventView(NamedTuple):
    """A row of what happened."""

    occurred_at: int
    recorded_at: int
    late_ms: int
    kind: str
    details: str
    is_untrue: bool
    """It was retracted later."""


class ClockView(NamedTuple):
    """How one clock stands."""

    name: str
    kind: str
    cycle: int
    words: Word
    share: int
    """Percent of the target that has counted, at most 100."""
    due_at: int | None
    next_at: int | None
    next_label: str
    cycles: str
    """How the closed cycles of a clock with several went."""


class TicketView(NamedTuple):
    """All of the page."""

    asked: Asked
    status: pb.SlaStatus
    latest: int
    """The number of the latest generation."""
    times: Times
    window: tuple[int, int]
    picture: str
    clocks: list[ClockView]
    pauses: list[str]
    """The reasons that are held."""
    events: list[EventView]
    audit: list[tuple[int, AuditEntry]]
    left_out: int
    """Rows that the tables do not show."""


def zoom_of(text: str) -> str:
    """The name of a window. Raises InvalidField."""
    if text and text != WHOLE and text not in ZOOMS:
        raise InvalidField("zoom", "UNKNOWN_ENUM_VALUE", f"it is one of {WHOLE}, {', '.join(ZOOMS)}")
    return text or WHOLE


def look(queries: Queries, asked: Asked, now: int, *, alone: bool = False) -> TicketView:
    """Reads a ticket and draws it; `alone`: for the picture by itself. Raises Refused and InvalidField."""
    ticket = asked.tenant_id, asked.ticket_id
    life = queries.timeline(*ticket, asked.generation, now, with_audit=True)
    answer = life.answer
    latest = queries.status(*ticket, None, now).ticket.generation
    status = pb.SlaStatus.FromString(replies.sla_status(answer))
    by = times(asked.zone, asked.reader, status.timezone, now)
    events = [event for stored in life.events if (event := decode_event(stored.body)) is not None]
    shown = window(life_span(answer.tracking, answer.reading), now, asked.zoom, asked.at)
    clocks = list(_clocks(answer, status))
    picture = _picture(queries, answer, events, shown, now)
    told = {clock.name: clock.words.text for clock in clocks}
    title = f"The clocks of ticket {asked.ticket_id}"
    return TicketView(
        asked,
        status,
        latest,
        by,
        shown,
        svg(picture, by.zone, title, told, alone=alone),
        clocks,
        [pause_cause(reason).removeprefix("paused: ") for reason in answer.reading.history.held],
        list(_event_views(events))[: -MAX_ROWS - 1 : -1],
        life.audit[: -MAX_ROWS - 1 : -1],
        max(0, len(events) - MAX_ROWS) + max(0, len(life.audit) - MAX_ROWS),
    )


def _picture(
    queries: Queries, answer: Answer, events: Sequence[pb.SlaEvent], shown: tuple[int, int], now: int
) -> Picture:
    retracted: dict[str, list[Mark]] = {}
    for event in events:
        if event.type == pb.SLA_EVENT_TYPE_THRESHOLD_RETRACTED:
            at = event.threshold.scheduled_at.ToMilliseconds()
            retracted.setdefault(event_clock(event), []).append(
                Mark(at, meaning(event.threshold), "retracted")
            )
    lanes = (
        lane(
            clock.name,
            answer.tracking,
            answer.reading,
            queries.calendar(clock.schedule_key),
            shown,
            retracted.get(clock.name, ()),
        )
        for clock in answer.tracking.terms.clocks
    )
    return Picture(*shown, now, tuple(lanes))


def _clocks(answer: Answer, status: pb.SlaStatus) -> Iterator[ClockView]:
    for told in replies.clock_statuses(answer.reading, answer.tracking):
        clock, is_open = told.clock, told.cycle and not told.HasField("closed_at")
        target = clock.target.ToMilliseconds()
        upcoming = clock.next_threshold
        runs = is_open and not told.is_paused and upcoming.HasField("scheduled_at")
        yield ClockView(
            told.name,
            ClockKind(told.kind).name.lower().replace("_", " "),
            told.cycle,
            clock_words(clock, closed=not is_open) if told.cycle else Word("no cycle yet", "ended"),
            min(100, clock.elapsed.ToMilliseconds() * 100 // target) if target else 0,
            clock.due_at.ToMilliseconds() if is_open and clock.HasField("due_at") else None,
            upcoming.scheduled_at.ToMilliseconds() if runs else None,
            meaning(upcoming) if runs else "",
            "" if told.name in PHASES else _told_cycles(told),
        )


def _told_cycles(told: pb.SlaClockStatus) -> str:
    if not told.cycles_closed:
        return ""
    return f"{told.cycles_closed} closed: {told.cycles_met} met, {told.cycles_missed} missed"


def _event_views(events: Sequence[pb.SlaEvent]) -> Iterator[EventView]:
    standing: dict[tuple[str, int, int], int] = {}
    untrue: set[int] = set()
    for event in events:
        which = event_clock(event), event.cycle_opened_at.ToMilliseconds(), event.threshold.percent
        if event.type == pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
            standing[which] = event.sequence
        elif event.type == pb.SLA_EVENT_TYPE_THRESHOLD_RETRACTED and which in standing:
            untrue.add(standing.pop(which))
    for event in events:
        late = lateness(event)
        yield EventView(
            event.occurred_at.ToMilliseconds(),
            event.recorded_at.ToMilliseconds(),
            late,
            event_kind(event),
            ", ".join(filter(None, (event_details(event), f"recorded {span(late)} later" if late else ""))),
            event.sequence in untrue,
        )
