"""What was promised to a ticket: targets, thresholds, hours (C1, C4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from slad_client.v1 import sla_backend_pb2 as rpc

from tests.trials.crash.hours import ALWAYS, Hours, hours_of

MINUTE_MS = 60_000
DEFAULT_NOTIFICATIONS = frozenset({50, 75, 90})


@dataclass(frozen=True)
class Meaning:
    """What a crossing stands for (C4)."""

    notification: bool
    escalation_level: int
    breach: bool


@dataclass(frozen=True)
class Terms:
    policy_id: str
    priority_id: str
    response_ms: int
    resolution_ms: int
    notifications: frozenset[int]
    escalations: tuple[int, int, int]
    hours: Hours

    def target_ms(self, phase: int) -> int:
        return self.response_ms if phase == 1 else self.resolution_ms

    @cached_property
    def phases(self) -> tuple[int, ...]:
        """The phases that have a clock."""
        return tuple(phase for phase in (1, 2) if self.target_ms(phase))

    @cached_property
    def meanings(self) -> dict[int, Meaning]:
        """All thresholds by percent, ascending."""
        levels = {percent: level for level, percent in enumerate(self.escalations, start=1) if percent}
        told = self.notifications | {100}
        return {
            percent: Meaning(percent in told, levels.get(percent, 0), percent == 100)
            for percent in sorted(told | levels.keys())
        }


def terms_of(request: rpc.StartSlaTrackingRequest | rpc.RetargetSlaRequest) -> Terms:
    wanted = request.priority_id
    target = next(t for t in request.targets if not wanted or t.priority_id == wanted)
    return Terms(
        request.policy_id,
        wanted or target.priority_id,
        target.response_time_minutes * MINUTE_MS,
        target.resolution_time_minutes * MINUTE_MS,
        frozenset(request.notification_thresholds) or DEFAULT_NOTIFICATIONS,
        (target.escalation_1_percent, target.escalation_2_percent, target.escalation_3_percent),
        ALWAYS if target.is_24x7 else hours_of(request.schedule),
    )
