"""A day at a small service desk, for `slad demo`: who does what, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from slad_client.sync import SladClient
from slad_client.v1 import types_pb2 as pb

from slad.cli.schedule_text import parse_hours

TENANT: Final = "acme"
ZONE: Final = ZoneInfo("Europe/Berlin")
BEGIN: Final = datetime(2026, 3, 2, 9, 0, tzinfo=ZONE)
NOON: Final = datetime(2026, 3, 2, 12, 55, tzinfo=ZONE)
END: Final = datetime(2026, 3, 2, 18, 0, tzinfo=ZONE)

OFFICE: Final = pb.BusinessHoursSchedule(
    schedule_name="office hours",
    timezone=str(ZONE),
    entries=parse_hours("Mon-Fri 09:00-17:00").entries,
    holidays=[pb.Holiday(holiday_date="2026-12-25", is_recurring=True, holiday_name="Christmas Day")],
)


def _target(response: int, resolution: int, *, always: bool = False) -> pb.SlaPolicyTarget:
    return pb.SlaPolicyTarget(
        response_time_minutes=response,
        resolution_time_minutes=resolution,
        escalation_1_percent=80,
        escalation_2_percent=110,
        is_24x7=always,
    )


POLICIES: Final = {
    "critical": _target(15, 120, always=True),
    "gold": _target(30, 240),
    "silver": _target(60, 480),
}


class Action(NamedTuple):
    """Something that happens at the desk."""

    at: datetime
    ticket_id: str
    do: Callable[[SladClient, str], object]


def _start(policy: str) -> Callable[[SladClient, str], object]:
    return lambda slad, ticket: slad.start_sla_tracking(
        tenant_id=TENANT, ticket_id=ticket, policy_id=policy, targets=[POLICIES[policy]], schedule=OFFICE
    )


def _retarget(policy: str) -> Callable[[SladClient, str], object]:
    return lambda slad, ticket: slad.retarget_sla(
        ticket_id=ticket, policy_id=policy, targets=[POLICIES[policy]], schedule=OFFICE
    )


def _answer(slad: SladClient, ticket: str) -> object:
    return slad.complete_sla(ticket_id=ticket, phase=pb.SLA_PHASE_RESPONSE)


def _resolve(slad: SladClient, ticket: str) -> object:
    return slad.complete_sla(ticket_id=ticket, phase=pb.SLA_PHASE_RESOLUTION)


def _wait(slad: SladClient, ticket: str) -> object:
    return slad.pause_sla(ticket_id=ticket, reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)


def _resume(slad: SladClient, ticket: str) -> object:
    return slad.resume_sla(ticket_id=ticket)


def _cancel(slad: SladClient, ticket: str) -> object:
    return slad.cancel_sla(ticket_id=ticket)


BREACHED: Final = "DESK-103"
"""The ticket whose life is told at the end."""

_DAY: Final = (
    ("09:05", "DESK-101", _start("silver")),
    ("09:20", "DESK-102", _start("gold")),
    ("09:25", "DESK-101", _answer),
    ("09:45", "DESK-102", _answer),
    ("10:00", "DESK-103", _start("critical")),
    ("10:08", "DESK-103", _answer),
    ("10:30", "DESK-102", _wait),
    ("11:00", "DESK-104", _start("gold")),
    ("11:15", "DESK-101", _resolve),
    ("11:20", "DESK-103", _wait),
    ("11:40", "DESK-104", _answer),
    ("11:50", "DESK-103", _resume),
    ("12:15", "DESK-102", _resume),
    ("12:50", "DESK-105", _start("silver")),
    ("13:05", "DESK-103", _resolve),
    ("13:10", "DESK-105", _answer),
    ("14:00", "DESK-105", _retarget("gold")),
    ("14:30", "DESK-104", _resolve),
    ("14:50", "DESK-102", _resolve),
    ("15:00", "DESK-106", _start("silver")),
    ("15:50", "DESK-106", _answer),
    ("16:30", "DESK-106", _wait),
    ("16:40", "DESK-107", _start("gold")),
    ("16:45", "DESK-107", _cancel),
)


def actions() -> Iterator[Action]:
    """The day, in order."""
    for clock, ticket_id, do in _DAY:
        hours, minutes = map(int, clock.split(":"))
        yield Action(BEGIN.replace(hour=0, minute=0) + timedelta(hours=hours, minutes=minutes), ticket_id, do)
