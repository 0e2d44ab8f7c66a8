"""What happened to a tracking, as values (E1). Enum numbers are those of the wire contract."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

RESPONSE: Final = "response"
"""The name of the clock that every ticket with a response target has (C1)."""

RESOLUTION: Final = "resolution"
"""The name of the clock that every ticket with a resolution target has (C1)."""


class Phase(IntEnum):
    """The two obligations that a ticket has without naming them (C1), as the contract numbers them."""

    RESPONSE = 1
    RESOLUTION = 2


class PauseReason(IntEnum):
    """Why a ticket is paused (M2); OTHER is a reason of the caller's own, with a code (K5)."""

    AWAITING_CLIENT = 1
    STATUS_PAUSE = 2
    OTHER = 3


def pause_reason(code: str) -> PauseReason:
    """The reason that has this code; OTHER for one of the caller's own."""
    return PauseReason.__members__.get(code, PauseReason.OTHER)


class EventType(IntEnum):
    """The kinds of change (E1, K5, K8)."""

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
    CLOCK_OPENED = 11
    CLOCK_CLOSED = 12
    CLOCK_RETRACTED = 13
    OWNER_CHANGED = 14
    PAUSE_CHANGED = 15


class CycleRef(msgspec.Struct, frozen=True):
    """Which cycle of which clock an event is about (K8)."""

    clock: str
    cycle: int
    """From 1, in the order of opening."""
    opened_at: int
    """UTC epoch ms."""

    @property
    def phase(self) -> Phase | None:
        """The clock as one of the two that need no name; None for another."""
        return PHASES.get(self.clock)


PHASES: Final = {RESPONSE: Phase.RESPONSE, RESOLUTION: Phase.RESOLUTION}
"""The phases by the names of their clocks."""


class Crossing(msgspec.Struct, frozen=True):
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


class Event(msgspec.Struct, frozen=True):
    """One change, before it has a place in the order of all events.

    `occurred_at` (UTC epoch ms) is the exact instant of a crossing or the effective time of a command.
    """

    type: EventType
    occurred_at: int
    about: CycleRef | None = None
    crossing: Crossing | None = None
    pause_reason: str = ""
    """The code of a reason; empty: the event is about none."""
    met: bool | None = None
    owner: str = ""

    @property
    def phase(self) -> Phase | None:
        """Which of the two clocks that need no name it is about, if it is about one of them."""
        return self.about.phase if self.about else None
