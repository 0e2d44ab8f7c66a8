"""Whether Temporal can be used, and who serves the task queue: asked again and again."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from slad.core.backoff import Backoff
from slad.temporal.faults import DENIED, Concern, TemporalFault
from slad.temporal.passthrough.routing import Standing
from slad.temporal.passthrough.sender import Sender
from slad.temporal.workflow.names import is_slads

log = logging.getLogger(__name__)

RETRIES: Final = Backoff(0.25, 15.0)
"""While Temporal is away."""

PROBE_EVERY_S: Final = 10.0
"""How often Temporal is asked while all is well, so that a fallback is not decided on old news."""

UNSERVED_PROBE_EVERY_S: Final = 1.0
"""As long as nobody serves the task queue."""


class Link:
    """Keeps asking. Whoever has something to send waits for `up`, and says when it turns out to be `lost`."""

    def __init__(self, sender: Sender, standing: Standing) -> None:
        self.sender = sender
        self.standing = standing
        self._troubled = asyncio.Event()
        self.up = asyncio.Event()
        """Set while messages can be sent."""

    def lost(self, fault: TemporalFault) -> None:
        """A call has failed, and others would too."""
        former = self.standing.trouble
        if former is None or former.reason != fault.refused.reason:
            log.warning("%s", fault.refused.message, extra={"reason": fault.refused.reason})
        self.standing.trouble = fault.refused
        self.up.clear()
        self._troubled.set()

    async def run(self) -> None:
        """Asks, less and less often while there is no answer."""
        failures = 0
        while True:
            try:
                await self.sender.probe()
                await self.look_at_workers()
            except TemporalFault as fault:
                self.lost(fault)
                failures += 1
                await asyncio.sleep(RETRIES.pause_s(failures))
                continue
            if self.standing.trouble is not None:
                log.info("Temporal can be used again")
            self.standing.trouble = None
            failures = 0
            self._troubled.clear()
            self.up.set()
            try:
                every_s = PROBE_EVERY_S if self.standing.is_served else UNSERVED_PROBE_EVERY_S
                await asyncio.wait_for(self._troubled.wait(), every_s)
            except TimeoutError:
                continue
            # Somebody's call has failed: not at once again.
            await asyncio.sleep(RETRIES.first_s)

    async def look_at_workers(self) -> None:
        """Asks who takes workflows from the task queue. Raises TemporalFault when the link is down."""
        served_by_slad = self.standing.is_slads_alone
        try:
            workers = await self.sender.workers()
        except TemporalFault as fault:
            if fault.concern is Concern.LINK and fault.refused.reason != DENIED:
                raise
            if self.standing.tells_workers:
                log.warning("Temporal does not say who takes workflows; slad assumes its own workers")
            self.standing.tells_workers = False
            return
        self.standing.tells_workers = True
        self.standing.slad_workers = frozenset(filter(is_slads, workers))
        self.standing.other_workers = frozenset(workers) - self.standing.slad_workers
        if served_by_slad and self.standing.other_workers:
            log.warning(
                "workers other than slad's take workflows from the same task queue",
                extra={"workers": sorted(self.standing.other_workers)},
            )
