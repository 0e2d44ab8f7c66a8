"""What was promised: targets, thresholds, and the schedule they count by (C1, C4)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from slad.core.events import Phase

BREACH_PERCENT: Final = 100
MAX_PERCENT: Final = 1_000
DEFAULT_NOTIFICATION_PERCENTS: Final = (50, 75, 90)


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """The terms of a tracking. Immutable; a retarget replaces them whole (M5)."""

    policy_id: str
    priority_id: str
    response_ms: int
    """Open time allowed until the response, in ms; 0: no response clock."""
    resolution_ms: int
    """Open time allowed until the resolution, in ms; 0: no resolution clock."""
    notification_percents: tuple[int, ...]
    escalation_percents: tuple[int, int, int]
    """Percents of levels 1 to 3; 0: no such level."""
    schedule_key: int
    """Key of the stored schedule; 0: every hour counts."""

    def target_ms(self, phase: Phase) -> int:
        """The target of `phase` in ms, 0 for none."""
        return self.response_ms if phase is Phase.RESPONSE else self.resolution_ms

    @property
    def thresholds(self) -> tuple[ThresholdSpec, ...]:
        """All thresholds of each clock, ascending (C4)."""
        return _specs(self.notification_percents, self.escalation_percents)


class ThresholdSpec(NamedTuple):
    """One percent of a target and what it stands for (C4)."""

    percent: int
    notification: bool
    escalation_level: int
    breach: bool


@lru_cache(maxsize=1024)
def _specs(notifications: tuple[int, ...], escalations: tuple[int, int, int]) -> tuple[ThresholdSpec, ...]:
    levels = {percent: level for level, percent in enumerate(escalations, start=1) if percent > 0}
    notify = {*notifications, BREACH_PERCENT}
    return tuple(
        ThresholdSpec(percent, percent in notify, levels.get(percent, 0), percent == BREACH_PERCENT)
        for percent in sorted(notify | levels.keys())
    )
