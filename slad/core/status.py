"""How a tracking stands, in one word and a few numbers (T1, T2)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from slad.core.events import Phase
from slad.core.facts import Life
from slad.core.history import History
from slad.core.instants import MINUTE_MS
from slad.core.reading import ClockReading, Reading

AT_RISK_PERCENT: Final = 25
"""A running clock with this much of its target left, or less, is at risk (T1)."""


class TimerStatus(IntEnum):
    """One word for a ticket (T1). The numbers are those of the wire contract."""

    ON_TRACK = 1
    AT_RISK = 2
    RESPONSE_BREACHED = 3
    RESOLUTION_BREACHED = 4
    PAUSED = 5


class TrackingState(IntEnum):
    """The life of a tracking. The numbers are those of the wire contract, and are stored."""

    ACTIVE = 1
    COMPLETED = 2
    CANCELLED = 3


def tracking_state(life: Life) -> TrackingState:
    """What `life` is called towards callers: a paused tracking is active."""
    if life is Life.COMPLETED:
        return TrackingState.COMPLETED
    return TrackingState.CANCELLED if life is Life.CANCELLED else TrackingState.ACTIVE


def timer_status(reading: Reading) -> TimerStatus:
    """One word for the ticket, about response and resolution: the first that applies (T1, K8)."""
    if reading.history.life is Life.PAUSED:
        return TimerStatus.PAUSED
    status = TimerStatus.ON_TRACK
    for clock in reading.unnamed:
        if _is_breached(clock):
            if clock.phase is Phase.RESPONSE:
                return TimerStatus.RESPONSE_BREACHED
            status = TimerStatus.RESOLUTION_BREACHED
        elif status is TimerStatus.ON_TRACK and _is_at_risk(clock):
            status = TimerStatus.AT_RISK
    return status


def clock_status(cycle: ClockReading) -> TimerStatus:
    """One word for one cycle (K8)."""
    if cycle.is_paused:
        return TimerStatus.PAUSED
    if _is_breached(cycle):
        is_response = cycle.phase is Phase.RESPONSE
        return TimerStatus.RESPONSE_BREACHED if is_response else TimerStatus.RESOLUTION_BREACHED
    return TimerStatus.AT_RISK if _is_at_risk(cycle) else TimerStatus.ON_TRACK


def remaining_minutes(clock: ClockReading) -> int | None:
    """Open minutes left until 100 %, floored; negative once past; None for a closed clock (T2)."""
    if clock.closed_at is not None:
        return None
    return (clock.target_ms - clock.elapsed_ms) // MINUTE_MS


def total_pause_minutes(history: History, now: int) -> int:
    """Wall-clock minutes paused so far, floored, a running pause included (T2)."""
    until = now if history.ended_at is None else history.ended_at
    paused_ms = sum(
        max(0, min(stop.to_ms if stop.to_ms is not None else until, until) - stop.from_ms)
        for stop in history.stops
        if stop.reason
    )
    return paused_ms // MINUTE_MS


def _is_breached(clock: ClockReading) -> bool:
    return clock.breached_at is not None if clock.met is None else not clock.met


def _is_at_risk(clock: ClockReading) -> bool:
    left = clock.target_ms - clock.elapsed_ms
    return clock.running and left * 100 <= clock.target_ms * AT_RISK_PERCENT
