"""Store and forward: the messages of the outbox, to Temporal.

Contract
  - Every message is sent at least once, those of a workflow one after the other in their order. It leaves the
    outbox in a commit after Temporal has taken it; a crash in between sends it again, which changes nothing.
  - While Temporal is away, nothing is tried but whether it is back (see `Link`).
  - A message that Temporal will never take parks its workflow, and no other.
  - What becomes of a workflow that ended or vanished under a live ticket is for `Mender` to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import partial
from typing import Any, Final

from slad.core.backoff import Backoff
from slad.core.errors import Refused
from slad.engine.catalog import EVERY_HOUR
from slad.engine.engine import SlaEngine
from slad.engine.unit_of_work import UnitOfWork
from slad.storage.database import StorageError
from slad.storage.row_reader import Waiting
from slad.storage.rows import ParkedRow
from slad.storage.store import Store
from slad.storage.temporal_store import TemporalStore
from slad.storage.unreadable import Unreadable
from slad.temporal.faults import Concern, TemporalFault
from slad.temporal.passthrough.lanes import Lanes
from slad.temporal.passthrough.link import Link
from slad.temporal.passthrough.mender import Mender
from slad.temporal.passthrough.messages import START
from slad.temporal.passthrough.repair import tell_anew
from slad.temporal.passthrough.sender import Addressee, EarlierWorkflowRuns, NobodyAnswers, NotTakenOver
from slad.temporal.passthrough.temporal_carrier import temporal_turn
from slad.temporal.workflow import documents

log = logging.getLogger(__name__)

LANES: Final = 32
"""Workflows that are served at the same time."""

RETRIES: Final = Backoff(0.25, 60.0)
"""Of one workflow."""

LAST_QUESTION_S: Final = 15.0
"""The longest pause between two questions whether a workflow has taken over what was announced: well below
the minute before which no worker tells anything."""

LEFTOVER_PATIENCE: Final = 6
"""After so many tries the workflow of an earlier generation is ended, 16 s after it was found: the facts say
that it is over, and no worker seems to be there to hear of it."""

AT_ONCE_S: Final = 0.001
"""Pause before the next message of a workflow, when there is one."""

WRITE_RETRY_S: Final = 1.0
"""Pause after slad could not note that a message was sent, or read the next one."""


class Forwarder:
    """Serves the outbox. All methods are for the event loop's thread."""

    def __init__(
        self,
        engine: SlaEngine,
        store: Store,
        outbox: TemporalStore,
        lanes: Lanes,
        link: Link,
        mender: Mender,
    ) -> None:
        self._engine = engine
        self._store = store
        self._outbox = outbox
        self._lanes = lanes
        self._sender = link.sender
        self._link = link
        self._mender = mender
        self._tries: Counter[str] = Counter()

    async def run(self) -> None:
        """Serves until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(LANES):
                group.create_task(self._serve_lane())

    async def _serve_lane(self) -> None:
        while True:
            try:
                name = await self._lanes.take(self._link.up)
            except StorageError as error:
                log.warning("messages for Temporal cannot be read yet: %s", error)
                await asyncio.sleep(WRITE_RETRY_S)
                continue
            pause = 0.0
            try:
                pause = await self._serve(name)
            except (Refused, StorageError) as error:
                log.warning("messages sent to Temporal cannot be recorded yet: %s", error)
                pause = WRITE_RETRY_S
            except TemporalFault as fault:
                # It came while something was done about another one.
                if fault.concern is Concern.LINK:
                    self._link.lost(fault)
                pause = self._pause(name)
            except Exception:
                # One ticket that cannot be served must not stop all others.
                log.exception("workflow %s cannot be served; it is tried again", name)
                pause = self._pause(name)
            finally:
                self._lanes.give_back(name, pause)

    async def _serve(self, name: str) -> float:
        """Sends what there is for a workflow; the pause after which to go on, 0 when there is no more."""
        while True:
            try:
                waiting = self._outbox.next_of(name)
            except Unreadable as error:
                return await self._replace(name, error)
            if waiting is None or self._outbox.parked_of(name):
                return 0.0
            try:
                await self._send(waiting)
            except EarlierWorkflowRuns as earlier:
                return await self._outwait(name, earlier)
            except NobodyAnswers:
                return min(self._pause(name), LAST_QUESTION_S)
            except NotTakenOver:
                log.warning(
                    "the worker of %s would announce everything again; slad takes over the ticket", name
                )
                if not await self._mender.carry_on(waiting.tracking_key):
                    # It has ended meanwhile, of which its workflow hears next.
                    await self._engine.write(partial(_taken, waiting.message_key))
            except TemporalFault as fault:
                if await self._has_to_pause(waiting, fault):
                    return self._pause(name)
            else:
                self._tries.pop(name, None)
                await self._engine.write(partial(_taken, waiting.message_key))

    async def _replace(self, name: str, damaged: Unreadable) -> float:
        """Tells a workflow how its ticket stands now instead of what a damaged message said; the pause then.

        The facts are here, so nothing is missed. The workflow of a ticket that has ended is ended.
        """
        if not await self._engine.write(partial(tell_anew, name)):
            try:
                await self._sender.end(name, None, "its ticket has ended")
            except TemporalFault as fault:
                if fault.concern is Concern.LINK:
                    self._link.lost(fault)
                return self._pause(name)
            await self._engine.write(partial(_taken, damaged.key))
        return AT_ONCE_S

    async def _has_to_pause(self, waiting: Waiting, fault: TemporalFault) -> bool:
        """Does something about a message that was not taken; whether to pause before there is another try."""
        name = waiting.workflow_id
        if fault.concern is Concern.LINK:
            self._link.lost(fault)
            return True
        if fault.concern is Concern.MESSAGE:
            log.exception("workflow %s is parked", name)
            await self._engine.write(partial(_park, waiting, fault.refused.reason))
            return False
        if await self._mender.mend(name, waiting.tracking_key):
            return True
        # It ended as it should, before it was told.
        await self._engine.write(partial(_taken, waiting.message_key))
        return False

    async def _send(self, waiting: Waiting) -> None:
        tracking = waiting.message.tracking
        if waiting.message.kind == START and tracking is not None and documents.announced(tracking):
            # What was announced depends on who goes on with it.
            await self._link.look_at_workers()
        await self._sender.send(waiting, self._addressee(waiting))

    async def _outwait(self, name: str, earlier: EarlierWorkflowRuns) -> float:
        pause = self._pause(name)
        if self._tries[name] > LEFTOVER_PATIENCE:
            log.warning("the workflow %s of an earlier generation does not end by itself; slad ends it", name)
            await self._sender.end(name, earlier.run_id, "its ticket has a new tracking")
        return pause

    def _pause(self, name: str) -> float:
        self._tries[name] += 1
        return RETRIES.pause_s(self._tries[name])

    def _addressee(self, waiting: Waiting) -> Addressee:
        record = self._store.by_key(waiting.tracking_key)
        if record is None:
            raise LookupError(f"tracking {waiting.tracking_key} is not stored")
        tenant_id = self._store.tenant_id(record.tenant_key)
        assert tenant_id is not None
        terms = (waiting.message.tracking or record.tracking).terms
        keys = terms.schedule_keys - {EVERY_HOUR}
        schedules = {key: schedule for key in keys if (schedule := self._store.schedule(key))}
        return Addressee(tenant_id, record.ticket_id, schedules.pop(terms.schedule_key, None), schedules)


def _taken(message_key: Any, work: UnitOfWork) -> None:
    temporal_turn(work).taken(message_key)


def _park(waiting: Waiting, reason: str, work: UnitOfWork) -> None:
    temporal_turn(work).park(ParkedRow(waiting.workflow_id, waiting.tracking_key, work.now, reason))
