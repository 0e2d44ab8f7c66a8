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
    def thresholds(self) -> Thresholds:
        """The thresholds of each clock (C4)."""
        return _thresholds(self.notification_percents, self.escalation_percents)


class Thresholds(NamedTuple):
    """All thresholds of a clock (C4)."""

    specs: tuple[ThresholdSpec, ...]
    """Ascending."""
    breach: int
    """The place of 100 % among them."""


class ThresholdSpec(NamedTuple):
    """One percent of a target and what it stands for (C4)."""

    percent: int
    notification: bool
    escalation_level: int
    breach: bool


@lru_cache(maxsize=1024)
def _thresholds(notifications: tuple[int, ...], escalations: tuple[int, int, int]) -> Thresholds:
    levels = {percent: level for level, percent in enumerate(escalations, start=1) if percent > 0}
    notify = {*notifications, BREACH_PERCENT}
    percents = sorted(notify | levels.keys())
    specs = tuple(
        ThresholdSpec(percent, percent in notify, levels.get(percent, 0), percent == BREACH_PERCENT)
        for percent in percents
    )
    return Thresholds(specs, percents.index(BREACH_PERCENT))
