"""Putting the pass-through to Temporal together, where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slad.core.errors import Refused
from slad.daemon.settings import TemporalSettings
from slad.engine.engine import SlaEngine
from slad.engine.time_source import TimeSource
from slad.storage.store import Store
from slad.storage.temporal_store import TemporalStore
from slad.temporal.connection import connect

if TYPE_CHECKING:
    from slad.temporal.passthrough.control import TemporalPassThrough


class PassThroughError(Exception):
    """slad cannot start, as it could never speak to Temporal; the message says why and what to do."""


class RunningPassThrough:
    """A pass-through with its beginning and end; without one, nothing."""

    def __init__(self, control: TemporalPassThrough | None, outbox: TemporalStore) -> None:
        self.control = control
        """What can be asked of it; None: slad runs without Temporal."""
        self._outbox = outbox

    def start(self) -> None:
        """Begins to forward."""
        if self.control is not None:
            self.control.start()

    async def stop(self) -> None:
        """Ends it; what has not been sent stays in the outbox."""
        if self.control is not None:
            await self.control.stop()
        self._outbox.close()


async def open_pass_through(
    settings: TemporalSettings,
    engine: SlaEngine,
    store: Store,
    outbox: TemporalStore,
    clock: TimeSource,
) -> RunningPassThrough:
    """The pass-through, if any ticket may go to Temporal or is there already.

    That Temporal cannot be reached is no reason not to start. Raises PassThroughError.
    """
    if not settings.routing.uses_temporal and not outbox.is_in_use():
        return RunningPassThrough(None, outbox)
    try:
        client = await connect(settings.connection, lazy=True)
    except Refused as error:
        outbox.close()
        raise PassThroughError(error.message) from error
    # Only now, as it imports temporalio.
    from slad.temporal.passthrough.control import TemporalPassThrough  # noqa: PLC0415

    restart = settings.repair == "restart"
    control = TemporalPassThrough(settings.connection, client, engine, store, outbox, clock, restart=restart)
    return RunningPassThrough(control, outbox)
