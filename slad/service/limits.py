"""What a request may hold. Beyond a limit it is refused (INVALID_ARGUMENT) with the field named."""

from __future__ import annotations

from typing import Final

MAX_FIRED: Final = 1_000
"""Fired thresholds of an imported row."""

MAX_CLOCKS: Final = 16
"""Named clocks of a ticket (K1)."""

MAX_REASON_CODE: Final = 100
"""Characters of the code of a reason to pause (K5)."""

MAX_NOTE: Final = 1_000
"""Characters of the note of an annotation (A3)."""

MAX_PERIOD_MS: Final = 100 * 366 * 24 * 3_600_000
"""How long a period a report may be about (A4)."""

MAX_FORECAST_CYCLES: Final = 1_000
"""Cycles that a forecast lists (A6)."""

MAX_RETARGETED: Final = 100_000
"""Tickets that a bulk retarget names."""

MAX_BATCH: Final = 1_000
"""Commands of a message, and tickets whose status is asked for at once (X4, X5)."""

MAX_LISTED_VALUES: Final = 100
"""Values of an enum in a list, such as the states that a page is to have: more than there are of any."""

MAX_ATTRIBUTE_KEY: Final = 100
DEFAULT_PAGE_SIZE: Final = 100

EARLIEST_START_MS: Final = 946_684_800_000
"""2000-01-01T00:00:00Z: a start before it is a mistake of units or of time zones, not a ticket."""

KIB: Final = 1024
MIB: Final = 1024 * KIB

STREAM_BYTES: Final = 64 * KIB
"""A message of a stream, unless one part of it is larger: slad and gRPC hold one while nobody reads it."""

MAX_REPLY_BYTES: Final = 2 * MIB
"""A reply of many parts is cut here, and goes on in the next: clients take 4 MiB unless told otherwise."""
