"""The named clocks that a request states (K1).

What is wrong raises InvalidField with the path in the request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slad_client.v1 import types_pb2 as pb

from slad.core.errors import InvalidField
from slad.core.events import PHASES
from slad.core.instants import MINUTE_MS
from slad.core.terms import CLOCK_NAME, ClockKind, ClockTerms, check_minutes
from slad.engine.commands import ClockOffer, ScheduleOffer
from slad.service.fields import (
    Fields,
    at_most,
    enum,
    escalation_percents,
    notification_percents,
    own_reason,
)
from slad.service.limits import MAX_CLOCKS

ReadSchedule = Callable[[str, pb.BusinessHoursSchedule], ScheduleOffer | None]
"""Reads the schedule of a message, given its path; None: every hour counts."""


def read_clocks(
    messages: Sequence[pb.SlaClockTerms],
    fields: Fields,
    read_schedule: ReadSchedule,
) -> tuple[ClockOffer, ...]:
    """The clocks of a request, in its order."""
    listed = sum(message.name not in PHASES for message in messages)
    if listed > MAX_CLOCKS:
        raise InvalidField("clocks", "TOO_MANY", f"{listed} clocks, at most {MAX_CLOCKS} are allowed")
    offers: dict[str, ClockOffer] = {}
    for index, message in enumerate(messages):
        path = f"clocks[{index}]"
        offer = _read(path, message, fields, read_schedule)
        if offer.terms.name in offers:
            raise InvalidField(f"{path}.name", "LISTED_TWICE", "this clock is in the list already")
        offers[offer.terms.name] = offer
    return tuple(offers.values())


def _read(
    path: str,
    message: pb.SlaClockTerms,
    fields: Fields,
    read_schedule: ReadSchedule,
) -> ClockOffer:
    if not CLOCK_NAME.fullmatch(message.name):
        text = "a name is a lower-case letter, then up to 63 lower-case letters, digits, - or _"
        raise InvalidField(f"{path}.name", "MALFORMED_NAME" if message.name else "REQUIRED", text)
    paused_by = _paused_by(f"{path}.paused_by", message, fields)
    if phase := PHASES.get(message.name):
        if message.kind not in (0, phase.value):
            raise _wrong_kind(path, f"the clock {message.name!r} has a kind of its own")
        # Its target, thresholds and schedule are those of the request.
        terms = ClockTerms(message.name, phase.value, 0, (), (0, 0, 0), 0, paused_by)
        return ClockOffer(terms, None, path)
    kind = enum(f"{path}.kind", message.kind, ClockKind)
    if kind <= ClockKind.RESOLUTION:
        raise _wrong_kind(path, f"{kind.name} is the kind of the clock {kind.name.lower()!r} alone")
    if message.owner and kind is not ClockKind.OWNERSHIP:
        raise InvalidField(f"{path}.owner", "NOT_FOR_THIS_CLOCK", "an owner goes with the kind OWNERSHIP")
    check_minutes(f"{path}.target_minutes", message.target_minutes)
    thresholds = message.notification_thresholds
    at_most(f"{path}.notification_thresholds", thresholds, fields.limits.thresholds)
    schedule, schedule_id = _own_schedule(path, message, fields, read_schedule)
    terms = ClockTerms(
        message.name,
        kind.value,
        message.target_minutes * MINUTE_MS,
        notification_percents(f"{path}.notification_thresholds", thresholds),
        escalation_percents(path, message),
        0,
        paused_by,
        fields.optional_id(f"{path}.owner", message.owner),
        schedule_id,
    )
    return ClockOffer(terms, schedule, path)


def _own_schedule(
    path: str, message: pb.SlaClockTerms, fields: Fields, read_schedule: ReadSchedule
) -> tuple[ScheduleOffer | None, str | None]:
    """(a clock's own schedule, None when every hour counts; its id, None without a schedule of its own)."""
    if message.is_24x7:
        return None, ""
    if not message.HasField("schedule"):
        return None, None
    schedule_id = fields.optional_id(f"{path}.schedule.schedule_id", message.schedule.schedule_id)
    return read_schedule(f"{path}.schedule", message.schedule), schedule_id


def _paused_by(path: str, message: pb.SlaClockTerms, fields: Fields) -> tuple[str, ...] | None:
    if not message.HasField("paused_by"):
        return None
    paused_by = message.paused_by
    if paused_by.never == bool(paused_by.reasons):
        raise InvalidField(path, "CONTRADICTORY", "give either never or reasons")
    at_most(f"{path}.reasons", paused_by.reasons, fields.limits.thresholds)
    reasons = [own_reason(f"{path}.reasons[{index}]", code) for index, code in enumerate(paused_by.reasons)]
    return tuple(dict.fromkeys(reasons))


def _wrong_kind(path: str, text: str) -> InvalidField:
    return InvalidField(f"{path}.kind", "NOT_FOR_THIS_CLOCK", text)
