"""Whether Temporal can be used, and since when not."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from slad.core.errors import Refused
from slad.temporal.faults import Fault
from slad.temporal.passthrough.sender import Sender

log = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 0.25
LAST_RETRY_S: Final = 15.0
"""Pauses between two tries while Temporal is away: doubled from the first up to the last."""

PROBE_EVERY_S: Final = 10.0
"""How often Temporal is asked while all is well, so that a fallback is not decided on old news."""


class Link:
    """Keeps asking. Whoever has something to send waits for `up`, and says when it turns out to be `lost`."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self._troubled = asyncio.Event()
        self.up = asyncio.Event()
        """Set while messages can be sent."""
        self.trouble: Refused | None = None
        """What is the matter; None: nothing, or not known yet."""

    @property
    def is_reachable(self) -> bool:
        """Whether Temporal could be used when it was last asked; one that is only busy can."""
        return self.trouble is None or self.trouble.reason == "TEMPORAL_BUSY"

    def lost(self, fault: Fault) -> None:
        """A call has failed, and others would too."""
        if self.trouble is None or self.trouble.reason != fault.refused.reason:
            log.warning("%s", fault.refused.message, extra={"reason": fault.refused.reason})
        self.trouble = fault.refused
        self.up.clear()
        self._troubled.set()

    async def run(self) -> None:
        """Asks, less and less often while there is no answer."""
        pause = FIRST_RETRY_S
        while True:
            try:
                await self.sender.probe()
            except Fault as fault:
                self.lost(fault)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_RETRY_S)
                continue
            if self.trouble is not None:
                log.info("Temporal can be used again")
            self.trouble = None
            pause = FIRST_RETRY_S
            self._troubled.clear()
            self.up.set()
            try:
                await asyncio.wait_for(self._troubled.wait(), PROBE_EVERY_S)
            except TimeoutError:
                continue
            # Somebody's call has failed: not at once again.
            await asyncio.sleep(pause)
