"""Adopting: making a copy of the database the one that serves."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from slad.config.settings import FenceSettings
from slad.core.instants import format_instant
from slad.daemon.fence.lease import APART_MS, FenceError, Holding, lease_of
from slad.engine.time_source import TimeSource
from slad.storage.adoption import open_copy


class Adopted(NamedTuple):
    """What has become of a copy; instants in UTC epoch ms."""

    epoch: int
    sequence_floor: int
    """Sequences go on above it."""
    known_until: int | None
    """Whatever was acknowledged before this instant is there; None: there was nothing yet."""
    former: Holding | None
    """Who served before, if there is a fence and it knows."""


async def adopt(data: Path, settings: FenceSettings, clock: TimeSource) -> Adopted:
    """Makes the database in `data` the one that serves; `slad serve` then does.

    Waits until the lease of the one that served has ended. Raises DatabaseError, FenceError; then the copy is
    as it was.
    """
    with open_copy(data) as copy:
        lineage, known_until = copy.store.lineage(), copy.store.known_until()
        if known_until is not None and known_until > clock.now() + APART_MS:
            raise FenceError(
                f"this machine's clock says {format_instant(clock.now())}, but the copy knows of "
                f"{format_instant(known_until)}; correct the clock first"
            )
        epoch, former = lineage.epoch + 1, None
        if settings.at is not None:
            lease = lease_of(settings, data, lineage, clock)
            former = await lease.adopt()
            epoch = lease.epoch
        return Adopted(epoch, copy.begin_epoch(epoch), known_until, former)
