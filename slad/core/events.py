"""What happened to a tracking, as values (E1). Enum numbers are those of the wire contract."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Phase(IntEnum):
    """The two obligations of a ticket (C1)."""

    RESPONSE = 1
    RESOLUTION = 2


class PauseReason(IntEnum):
    """Why a ticket is paused (M2)."""

    AWAITING_CLIENT = 1
    STATUS_PAUSE = 2


class EventType(IntEnum):
    """The kinds of change (E1)."""

    STARTED = 1
    THRESHOLD_REACHED = 2
    THRESHOLD_RETRACTED = 3
    PAUSED = 4
    RESUMED = 5
    PHASE_COMPLETED = 6
    COMPLETED = 7
    CANCELLED = 8
    RETARGETED = 9
    REOPENED = 10


class Crossing(NamedTuple):
    """The threshold that an event is about, as it fired (C4, C5). Instants in UTC epoch ms."""

    percent: int
    notification: bool
    escalation_level: int
    breach: bool
    scheduled_at: int
    fired_at: int
    superseded: bool
    arming: int
    """How often this threshold had been retracted before: 0 at its first firing."""
    notification_superseded: bool = False
    """One that superseded it is a notification; an escalation alone does not spare people this one."""


class Event(NamedTuple):
    """One change, before it has a place in the order of all events.

    `occurred_at` (UTC epoch ms) is the exact instant of a crossing or the effective time of a command.
    """

    type: EventType
    occurred_at: int
    phase: Phase | None = None
    crossing: Crossing | None = None
    pause_reason: PauseReason | None = None
    met: bool | None = None
