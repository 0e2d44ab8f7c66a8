"""All that works on the pass-through, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from temporalio.client import Client

from slad.core.tracking import Engine
from slad.engine.catalog import Catalog
from slad.engine.engine import SlaEngine
from slad.engine.time_source import TimeSource
from slad.engine.unit_of_work import UnitOfWork
from slad.storage.codec import Message
from slad.storage.store import Store
from slad.storage.temporal_store import TemporalStore
from slad.temporal.connection import ConnectionSettings
from slad.temporal.passthrough.examiner import Examiner
from slad.temporal.passthrough.forwarder import Forwarder
from slad.temporal.passthrough.link import Link
from slad.temporal.passthrough.messages import LEAVE
from slad.temporal.passthrough.repair import Moved, hand_over, is_wanted, restart_workflow
from slad.temporal.passthrough.sender import Sender
from slad.temporal.passthrough.view import PassThroughView

SHOWN_PARKED: Final = 100
"""Parked workflows that a view lists."""

RELEASED_AT_ONCE: Final = 500

POLL_S: Final = 0.005
"""How often it is looked whether a threshold was reported, while virtual time is moved."""


class TemporalPassThrough:
    """See `slad.temporal.passthrough.view.PassThrough`. All methods are for the event loop's thread."""

    def __init__(
        self,
        settings: ConnectionSettings,
        client: Client,
        engine: SlaEngine,
        store: Store,
        outbox: TemporalStore,
        clock: TimeSource,
        *,
        restart: bool,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._outbox = outbox
        routing = engine.routing
        assert routing is not None
        self._routing = routing
        self._clock = clock
        catalog = Catalog(store)
        sender = Sender(settings, client)
        self.link = Link(sender)
        self.forwarder = Forwarder(engine, store, outbox, sender, self.link, restart=restart)
        self.examiner = Examiner(
            engine,
            store,
            outbox,
            catalog,
            sender,
            self.link,
            self.forwarder,
            clock,
            routing.settings.grace_ms,
        )
        self._tasks: list[asyncio.Task[None]] = []
        routing.is_reachable = lambda: self.link.is_reachable
        engine.on_messages = self.forwarder.notice

    def start(self) -> None:
        """Begins to forward and to look after the workflows."""
        runs: list[Callable[[], Awaitable[None]]] = [self.link.run, self.forwarder.run]
        if not self._clock.is_virtual:
            # Virtual time waits for the reports itself.
            runs.append(self.examiner.run)
        self._tasks = [asyncio.ensure_future(run()) for run in runs]

    async def stop(self) -> None:
        """Stops; what has not been sent stays in the outbox."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what an operator asks

    def view(self, store: TemporalStore) -> PassThroughView:
        """How things stand; counts what `store` holds. For any thread."""
        settings, trouble = self._settings, self.link.trouble
        waiting, oldest = store.waiting()
        return PassThroughView(
            self._routing.settings.mode,
            settings.address,
            settings.namespace,
            settings.task_queue,
            trouble.reason if trouble else "",
            trouble.message if trouble else "",
            waiting,
            oldest,
            store.carried(),
            store.late(self._clock.now() - self._routing.settings.grace_ms),
            store.count_parked(),
            store.parked(SHOWN_PARKED),
        )

    async def hand_over(self, to: Engine, tracking_keys: list[int]) -> Moved:
        """Gives live trackings to another engine. Raises Refused when it is Temporal, which is away."""
        if to is Engine.TEMPORAL and self.link.trouble is not None:
            raise self.link.trouble
        if to is Engine.LOCAL and self.link.up.is_set():
            await self.examiner.catch_up(tracking_keys)
        return await self._engine.write(lambda work: hand_over(work, tracking_keys, to))

    async def release(self, workflow_id: str | None) -> int:
        """Goes on with a parked workflow, or with all; how many there were."""
        released = 0
        while rows := self._outbox.parked(RELEASED_AT_ONCE):
            wanted = [row for row in rows if workflow_id in (None, row.workflow_id)]
            for row in wanted:
                await self._engine.write(partial(_release, row.workflow_id, row.tracking_key))
            released += len(wanted)
            if workflow_id is not None or not wanted:
                break
        return released

    # --- virtual time

    async def advance(self, target: int) -> int:
        """Moves virtual time to `target`, stopping at every threshold; the number of events committed.

        At a threshold that Temporal carries it waits until that was reported, so somebody has to move
        Temporal's clock along. Raises InvalidField when `target` is behind.
        """
        before = self._engine.sequence
        await self.forwarder.drained()
        while (wake_at := self._outbox.earliest_wake()) is not None and wake_at <= target:
            if wake_at > self._clock.now():
                await self._engine.advance(wake_at)
            await self._passed(wake_at)
            await self.forwarder.drained()
        await self._engine.advance(target)
        return self._engine.sequence - before

    async def _passed(self, wake_at: int) -> None:
        while (earliest := self._outbox.earliest_wake()) is not None and earliest <= wake_at:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)


def _release(name: str, tracking_key: int, work: UnitOfWork) -> None:
    """What it was parked for may be mended by other terms, so it is told how things stand now."""
    record = work.tickets.by_key(tracking_key)
    if is_wanted(record):
        restart_workflow(work, name=name, tracking_key=tracking_key)
    else:
        work.temporal.withdraw(name)
        work.temporal.release(name)
        generation = record.generation if record is not None else 0
        work.temporal.tell(name, tracking_key, Message(LEAVE, generation), work.now)
