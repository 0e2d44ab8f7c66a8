"""All that works on the pass-through, put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

from temporalio.client import Client

from slad.config.settings import TemporalSettings
from slad.core.tracking import Engine
from slad.engine.engine import SlaEngine
from slad.engine.outgoing import Outgoing
from slad.engine.time_source import TimeSource
from slad.storage.rows import ParkedRow
from slad.storage.store import Lineage, Store
from slad.storage.temporal_store import TemporalStore
from slad.temporal.passthrough.examiner import Examiner
from slad.temporal.passthrough.forwarder import Forwarder
from slad.temporal.passthrough.lanes import Lanes
from slad.temporal.passthrough.link import Link
from slad.temporal.passthrough.mender import Mender
from slad.temporal.passthrough.repair import Moved, hand_over, release
from slad.temporal.passthrough.routing import Routing, Standing
from slad.temporal.passthrough.sender import Sender
from slad.temporal.passthrough.temporal_carrier import TemporalCarrier

log = logging.getLogger(__name__)

SHOWN_PARKED: Final = 100
"""Parked workflows that a view lists."""

RELEASED_AT_ONCE: Final = 100
"""In one transaction."""

RESTART_S: Final = 1.0
"""Pause after an error that nobody foresaw."""

POLL_S: Final = 0.005
"""How often it is looked whether a threshold was reported, while virtual time is moved."""


class PassThroughView(NamedTuple):
    """How things stand between slad and Temporal. Instants in UTC epoch ms."""

    mode: str
    address: str
    namespace: str
    task_queue: str
    reason: str
    """Why Temporal cannot be used; empty: it can."""
    message: str
    waiting: int
    """Messages that Temporal has not taken."""
    oldest_waiting_at: int | None
    carried: int
    """Live trackings that Temporal carries."""
    late: int
    """Those of them with a threshold that is overdue beyond the grace period without a report."""
    parked: int
    parked_first: list[ParkedRow]
    """The longest parked."""


class TemporalSide:
    """What there is of Temporal before there is an engine, and what the engine needs to begin."""

    def __init__(
        self,
        settings: TemporalSettings,
        client: Client,
        turns: TemporalStore,
        outbox: TemporalStore,
        lineage: Lineage,
        outgoing: Outgoing,
    ) -> None:
        self.settings = settings
        self.outbox = outbox
        standing = Standing()
        self.link = Link(Sender(settings.connection, client, standing, lineage, outgoing), standing)
        self.lanes = Lanes(outbox)
        self.carrier = TemporalCarrier(Routing(settings.routing, standing), turns, self.lanes)


class TemporalPassThrough:
    """What keeps slad and Temporal in step, and what an operator can ask of it.

    All methods are for the event loop's thread, but for `view`.
    """

    def __init__(self, side: TemporalSide, engine: SlaEngine, store: Store, clock: TimeSource) -> None:
        self._settings = side.settings
        self._engine = engine
        self._outbox = side.outbox
        self._clock = clock
        self._link = side.link
        self._lanes = side.lanes
        restart = side.settings.repair == "restart"
        mender = Mender(engine, store, side.link, restart=restart)
        self._forwarder = Forwarder(engine, store, side.outbox, side.lanes, side.link, mender)
        self._examiner = Examiner(engine, side.outbox, side.link, mender, clock)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to forward and to look after the workflows."""
        runs: list[Callable[[], Awaitable[None]]] = [self._link.run, self._forwarder.run]
        if not self._clock.is_virtual:
            # Virtual time waits for the reports itself.
            runs.append(self._examiner.run)
        self._tasks = [asyncio.create_task(_kept_going(run)) for run in runs]

    async def stop(self) -> None:
        """Stops; what has not been sent stays in the outbox."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what an operator asks

    def view(self, store: Store) -> PassThroughView:
        """How things stand; counts what `store` holds. For any thread."""
        settings, trouble = self._settings.connection, self._link.standing.trouble
        found = store.temporal()
        waiting, oldest = found.waiting()
        return PassThroughView(
            self._settings.routing.mode,
            settings.address,
            settings.namespace,
            settings.task_queue,
            trouble.reason if trouble else "",
            trouble.message if trouble else "",
            waiting,
            oldest,
            found.carried(),
            found.late(self._clock.now() - self._settings.routing.grace_ms),
            found.count_parked(),
            found.parked(SHOWN_PARKED),
        )

    async def hand_over(self, to: Engine, tracking_keys: list[int]) -> Moved:
        """Gives live trackings to another engine. Raises Refused when it is Temporal, which is away."""
        if to is Engine.TEMPORAL and self._link.standing.trouble is not None:
            raise self._link.standing.trouble
        return await self._engine.write(lambda work: hand_over(work, tracking_keys, to))

    async def release(self, workflow_id: str | None) -> int:
        """Goes on with a parked workflow, or with all; how many there were.

        One that Temporal refuses again meanwhile is parked again, and not released a second time.
        """
        if workflow_id is not None:
            return await self._engine.write(partial(release, [workflow_id]))
        released, last = 0, ""
        while rows := self._outbox.parked_after(last, RELEASED_AT_ONCE):
            names = [row.workflow_id for row in rows]
            released += await self._engine.write(partial(release, names))
            last = names[-1]
        return released

    # --- virtual time

    async def advance(self, target: int) -> int:
        """Moves virtual time to `target`, stopping at every threshold; the number of events committed.

        At a threshold that Temporal carries it waits until that was reported, so somebody has to move
        Temporal's clock along. Raises InvalidField when `target` is behind.
        """
        before = self._engine.sequence
        await self._lanes.drained()
        while (wake_at := self._outbox.earliest_wake()) is not None and wake_at <= target:
            if wake_at > self._clock.now():
                await self._engine.advance(wake_at)
            await self._passed(wake_at)
            await self._lanes.drained()
        await self._engine.advance(target)
        return self._engine.sequence - before

    async def _passed(self, wake_at: int) -> None:
        while (earliest := self._outbox.earliest_wake()) is not None and earliest <= wake_at:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)


async def _kept_going(run: Callable[[], Awaitable[None]]) -> None:
    """Runs what never ends by itself again when it has: whoever waits for it would wait for ever."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("the pass-through to Temporal continues shortly")
        await asyncio.sleep(RESTART_S)
