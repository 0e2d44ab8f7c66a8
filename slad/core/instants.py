"""Units and bounds of time: UTC epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from dateutil.parser import isoparse

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

MAX_INSTANT_MS: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last instant that a deadline may have (B6)."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(instant_ms: int) -> datetime:
    """`instant_ms` as an aware UTC datetime. Raises OverflowError outside years 1–9999."""
    return _EPOCH + timedelta(milliseconds=instant_ms)


def from_datetime(moment: datetime) -> int:
    """An aware datetime as epoch ms, floored to the millisecond."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def format_instant(instant_ms: int, *, with_ms: bool = False) -> str:
    """RFC 3339 in UTC, without milliseconds when there are none: `2026-03-02T09:00:00Z`.

    With `with_ms` they are always there, as JavaScript writes it: `2026-03-02T09:00:00.000Z`.
    """
    moment = to_datetime(instant_ms).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds" if with_ms or instant_ms % 1000 else "seconds") + "Z"


def parse_instant(text: str) -> int:
    """An ISO 8601 instant, UTC unless it says otherwise, as UTC epoch ms. Raises ValueError."""
    try:
        moment = isoparse(text)
    except (ValueError, OverflowError):  # 24:00 of the last day there is
        shown = repr(text[:40])
        raise ValueError(f"{shown} is not an ISO 8601 instant, such as 2026-03-02T09:00:00Z") from None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
