"""Units and bounds of time: UTC epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS

MAX_INSTANT_MS: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last instant that a deadline may have (B6)."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(instant_ms: int) -> datetime:
    """`instant_ms` as an aware UTC datetime. Raises OverflowError outside years 1–9999."""
    return _EPOCH + timedelta(milliseconds=instant_ms)


def from_datetime(moment: datetime) -> int:
    """An aware datetime as epoch ms, floored to the millisecond."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def format_instant(instant_ms: int) -> str:
    """RFC 3339 in UTC, with milliseconds only when there are any: `2026-03-02T09:00:00Z`."""
    moment = to_datetime(instant_ms)
    text = moment.replace(tzinfo=None).isoformat(timespec="milliseconds" if instant_ms % 1000 else "seconds")
    return text + "Z"
