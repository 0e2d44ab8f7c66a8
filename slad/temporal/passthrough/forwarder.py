"""Store and forward: the messages of the outbox, to Temporal.

Contract
  - Every message is sent at least once, those of a workflow one after the other in their order. It leaves the
    outbox in a commit after Temporal has taken it; a crash in between sends it again, which changes nothing.
  - While Temporal is away, nothing is tried but whether it is back (see `Link`).
  - A message that Temporal will never take parks its workflow, and no other.
  - A workflow that ended or vanished under a live ticket is started again from the facts, or parked.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import partial
from typing import Final

from slad.core.errors import Refused
from slad.engine.catalog import EVERY_HOUR
from slad.engine.engine import SlaEngine
from slad.engine.unit_of_work import UnitOfWork
from slad.storage.database import StorageError
from slad.storage.rows import ParkedRow
from slad.storage.store import Store
from slad.storage.temporal_store import TemporalStore, Waiting
from slad.temporal.faults import GONE, Concern, Fault
from slad.temporal.passthrough.lanes import Lanes
from slad.temporal.passthrough.link import Link
from slad.temporal.passthrough.repair import is_wanted, restart_workflow
from slad.temporal.passthrough.sender import Addressee, Leftover
from slad.temporal.passthrough.temporal_carrier import temporal_turn

log = logging.getLogger(__name__)

LANES: Final = 32
"""Workflows that are served at the same time."""

FIRST_RETRY_S: Final = 0.25
LAST_RETRY_S: Final = 60.0
"""Pauses between two tries of one workflow: doubled from the first up to the last."""

LEFTOVER_PATIENCE: Final = 6
"""After so many tries the workflow of an earlier generation is ended, 16 s after it was found: the facts say
that it is over, and no worker seems to be there to hear of it."""

MAX_REPAIRS: Final = 3
"""How often a workflow is started again by one run of the daemon; then something ends it on purpose."""

WRITE_RETRY_S: Final = 1.0
"""Pause after slad could not note that a message was sent."""


class Forwarder:
    """Serves the outbox. All methods are for the event loop's thread."""

    def __init__(
        self,
        engine: SlaEngine,
        store: Store,
        outbox: TemporalStore,
        lanes: Lanes,
        link: Link,
        *,
        restart: bool,
    ) -> None:
        self._engine = engine
        self._store = store
        self._outbox = outbox
        self._lanes = lanes
        self._sender = link.sender
        self._link = link
        self._restart = restart
        self._tries: Counter[str] = Counter()
        self._repairs: Counter[str] = Counter()
        self.sent = 0
        """Messages that Temporal has taken from this run of the daemon."""
        self.repaired = 0
        """Workflows that were started again."""

    async def run(self) -> None:
        """Serves until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(LANES):
                group.create_task(self._serve_lane())

    async def _serve_lane(self) -> None:
        while True:
            name = await self._lanes.take(self._link.up)
            pause = 0.0
            try:
                pause = await self._serve(name)
            except (Refused, StorageError) as error:
                log.warning("what Temporal was sent cannot be recorded yet: %s", error)
                pause = WRITE_RETRY_S
            except Exception:
                # One ticket that cannot be read must not stop all others.
                log.exception("workflow %s cannot be served; its messages wait until slad restarts", name)
            finally:
                self._lanes.give_back(name, pause)

    async def _serve(self, name: str) -> float:
        """Sends what there is for a workflow; the pause after which to go on, 0 when there is no more."""
        while (waiting := self._outbox.next_of(name)) is not None:
            if self._outbox.is_parked(name):
                return 0.0
            try:
                await self._sender.send(waiting, self._addressee(waiting))
            except Leftover as leftover:
                return await self._outwait(name, leftover)
            except Fault as fault:
                if fault.concern is Concern.LINK:
                    self._link.lost(fault)
                    return self._pause(name)
                if fault.concern is Concern.MESSAGE:
                    log.exception("workflow %s is parked", name)
                    await self._engine.write(partial(_park, waiting, fault.refused.reason))
                    return 0.0
                await self.mend(waiting)
                continue
            self.sent += 1
            self._tries.pop(name, None)
            await self._engine.write(partial(_delivered, waiting.message_key))
        return 0.0

    async def _outwait(self, name: str, leftover: Leftover) -> float:
        pause = self._pause(name)
        if self._tries[name] > LEFTOVER_PATIENCE:
            log.warning("the workflow %s of an earlier generation does not end by itself; slad ends it", name)
            await self._sender.end(name, leftover.run_id, "its ticket has a new tracking")
        return pause

    def _pause(self, name: str) -> float:
        pause = min(FIRST_RETRY_S * 2.0 ** self._tries[name], LAST_RETRY_S)
        self._tries[name] += 1
        return pause

    async def mend(self, waiting: Waiting) -> None:
        """The workflow of a message is gone."""
        name = waiting.workflow_id
        record = self._store.by_key(waiting.tracking_key)
        if not is_wanted(record):
            # It ended as it should, before it was told.
            await self._engine.write(partial(_delivered, waiting.message_key))
        elif not self.may_restart(name):
            log.error("workflow %s has ended or vanished under a live ticket; it is parked", name)
            await self._engine.write(partial(_park, waiting, GONE))
        else:
            await self.restart(name, waiting.tracking_key)

    def may_restart(self, name: str) -> bool:
        """Whether a workflow that is gone is to be started again."""
        return self._restart and self._repairs[name] < MAX_REPAIRS

    async def restart(self, name: str, tracking_key: int) -> None:
        """Lets a workflow that is gone start again from the journaled facts."""
        log.warning("workflow %s has ended or vanished under a live ticket; it is started again", name)
        self._repairs[name] += 1
        self.repaired += 1
        await self._engine.write(partial(restart_workflow, name=name, tracking_key=tracking_key))

    def _addressee(self, waiting: Waiting) -> Addressee:
        record = self._store.by_key(waiting.tracking_key)
        if record is None:
            raise LookupError(f"tracking {waiting.tracking_key} is not stored")
        tenant_id = self._store.tenant_id(record.tenant_key)
        assert tenant_id is not None
        tracking = waiting.message.tracking or record.tracking
        schedule = None
        if tracking.terms.schedule_key != EVERY_HOUR:
            schedule = self._store.schedule(tracking.terms.schedule_key)
        return Addressee(tenant_id, record.ticket_id, schedule)


def _delivered(message_key: int, work: UnitOfWork) -> None:
    temporal_turn(work).delivered(message_key)


def _park(waiting: Waiting, reason: str, work: UnitOfWork) -> None:
    temporal_turn(work).park(ParkedRow(waiting.workflow_id, waiting.tracking_key, work.now, reason))
