"""What becomes of a workflow that has ended or vanished under a live ticket.

Contract
  - slad's own workers go on where another left off: the workflow starts again with all that has happened.
  - Another worker, such as AlgaPSA's, tells its PSA by itself. Its workflow ends by itself after its last
    threshold, and beginning anew would tell everything again. So one that completed is over, and one that was
    lost starts again only if the worker takes over what was announced (see `Sender`). In all other cases slad
    carries the ticket on by itself.
  - One that vanishes again and again is parked: something ends it on purpose.
"""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import Final

from temporalio.client import WorkflowExecutionStatus

from slad.core.tracking import Engine
from slad.engine.engine import SlaEngine
from slad.engine.unit_of_work import UnitOfWork
from slad.storage.rows import ParkedRow
from slad.storage.store import Store
from slad.temporal.faults import GONE
from slad.temporal.passthrough.link import Link
from slad.temporal.passthrough.repair import hand_over, is_wanted, restart_workflow
from slad.temporal.passthrough.temporal_carrier import temporal_turn

log = logging.getLogger(__name__)

MAX_REPAIRS: Final = 3
"""How often a workflow is started again by one run of the daemon; then something ends it on purpose."""


class Mender:
    """Mends what the forwarder and the examiner find. All methods are for the event loop's thread."""

    def __init__(self, engine: SlaEngine, store: Store, link: Link, *, restart: bool) -> None:
        self._engine = engine
        self._store = store
        self._link = link
        self._restart = restart
        self._repairs: Counter[str] = Counter()

    async def mend(self, name: str, tracking_key: int) -> bool:
        """Looks at the workflow of a ticket, and does something about it if it does not run.

        Returns whether the ticket wants it. Raises TemporalFault, Refused, StorageError.
        """
        if not is_wanted(self._store.by_key(tracking_key)):
            return False
        status = await self._link.sender.status(name)
        if status is WorkflowExecutionStatus.RUNNING:
            return True
        if status is WorkflowExecutionStatus.COMPLETED and not self._link.standing.is_slads_alone:
            log.info("workflow %s has finished its work; slad takes over the ticket", name)
            await self.carry_on(tracking_key)
        elif self._restart and self._repairs[name] < MAX_REPAIRS:
            log.warning("workflow %s has ended or vanished under a live ticket; it is started again", name)
            self._repairs[name] += 1
            await self._engine.write(partial(restart_workflow, name=name, tracking_key=tracking_key))
        else:
            log.error("workflow %s has ended or vanished under a live ticket; it is parked", name)
            await self._engine.write(partial(_park, name, tracking_key))
        return True

    async def carry_on(self, tracking_key: int) -> bool:
        """Lets slad's own engine have a ticket, with all that has happened; whether it is live.

        Raises Refused.
        """
        moved = await self._engine.write(lambda work: hand_over(work, [tracking_key], Engine.LOCAL))
        return moved.moved == 1


def _park(name: str, tracking_key: int, work: UnitOfWork) -> None:
    temporal_turn(work).park(ParkedRow(name, tracking_key, work.now, GONE))
