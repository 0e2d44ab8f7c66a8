"""Putting the pass-through to Temporal together, where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slad.config.settings import TemporalSettings
from slad.core.errors import Refused
from slad.engine.outgoing import Outgoing
from slad.storage.store import Lineage
from slad.storage.temporal_store import TemporalStore
from slad.temporal.connection import connect

if TYPE_CHECKING:
    from slad.temporal.passthrough.control import TemporalSide


class PassThroughError(Exception):
    """slad cannot start, as it could never speak to Temporal; the message says why and what to do."""


async def reach_temporal(
    settings: TemporalSettings,
    turns: TemporalStore,
    outbox: TemporalStore,
    lineage: Lineage,
    outgoing: Outgoing,
) -> TemporalSide | None:
    """What the engine needs of Temporal, if any ticket may go there or is there already.

    `turns` reads on the writer's connection, `outbox` on one of its own. That Temporal cannot be reached is
    no reason not to start. Raises PassThroughError.
    """
    if not settings.routing.uses_temporal and not outbox.is_in_use():
        return None
    try:
        client = await connect(settings.connection, lazy=True)
    except Refused as error:
        raise PassThroughError(error.message) from error
    # Only now, as it imports temporalio.
    from slad.temporal.passthrough.control import TemporalSide  # noqa: PLC0415

    return TemporalSide(settings, client, turns, outbox, lineage, outgoing)
