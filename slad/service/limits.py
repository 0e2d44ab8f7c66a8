"""What a request may hold. Beyond a limit it is refused (INVALID_ARGUMENT) with the field named."""

from __future__ import annotations

from typing import Final

MAX_ID_LENGTH: Final = 200
"""Characters of an id."""

MAX_TARGETS: Final = 200
MAX_THRESHOLDS: Final = 50
MAX_ENTRIES: Final = 1_000
"""Weekly windows of a schedule."""

MAX_HOLIDAYS: Final = 10_000
MAX_PAUSES: Final = 1_000
"""Pauses of a preview."""

MAX_FIRED: Final = 1_000
"""Fired thresholds of an imported row."""

MAX_ATTRIBUTES: Final = 32
MAX_ATTRIBUTE_KEY: Final = 100
MAX_ATTRIBUTE_VALUE: Final = 1_000

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1_000

EARLIEST_START_MS: Final = 946_684_800_000
"""2000-01-01T00:00:00Z: a start before it is a mistake of units or of time zones, not a ticket."""

LATEST_INSTANT_MS: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z."""

MAX_MINUTES: Final = 10_000 * 366 * 24 * 60
"""Minutes that no deadline can have; keeps arithmetic within 64 bits."""

MAX_WATCHES: Final = 1_000
"""Streams of events that are open at once."""

MAX_REPLY_BYTES: Final = 2 * 1024 * 1024
"""A reply of many parts is cut here, and goes on in the next: clients take 4 MiB unless told otherwise."""

MAX_RECEIVE_BYTES: Final = 4 * 1024 * 1024
"""A larger message is refused by gRPC itself (RESOURCE_EXHAUSTED)."""
