"""File descriptors: callers get most of them, and never the last ones."""

from __future__ import annotations

import logging
import resource
from contextlib import suppress
from typing import Final

import msgspec

from slad.config.settings import LimitSettings

log = logging.getLogger(__name__)

RESERVE: Final = 192
"""For the database, the control socket, sinks, logs and what else is slad's own."""

PER_BULK_CALL: Final = 2
"""A reconciliation has a view of the database, with a file and its WAL."""

FEWEST: Final = 16
"""Connections of an address that are taken in any case."""


def within_descriptors(limits: LimitSettings, addresses: int) -> LimitSettings:
    """`limits` with as many connections as the process may have descriptors for, on each of its addresses.

    Raises the process's own limit as far as the system lets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = RESERVE + PER_BULK_CALL * limits.bulk_calls
    wanted = addresses * limits.connections + others
    if 0 <= soft < wanted:
        most = wanted if hard < 0 else min(wanted, hard)
        # systemd's unit lets no process change its limits; there it is high enough.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not 0 <= soft < wanted:
        return limits
    connections = max(FEWEST, (soft - others) // addresses)
    log.warning(
        "the system allows %d open files: %d connections on each address instead of %d",
        soft,
        connections,
        limits.connections,
    )
    return msgspec.structs.replace(limits, connections=connections)
