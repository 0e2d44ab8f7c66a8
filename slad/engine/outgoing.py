"""Whether this slad may deliver events and send messages to Temporal.

Without the lease, another copy of the database may be the one that serves. That copy delivers the same events
under the same ids, and does not know what was committed here after the last replication. So this slad sends
nothing until it holds the lease again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from slad.core.errors import Refusal, Refused
from slad.storage.journal import Fenced

ASK_EVERY_S: Final = 0.25
"""How often a waiter asks again."""


def _always() -> None:
    pass


class Outgoing:
    """The one gate for everything that leaves. `check` raises Fenced while nothing may leave.

    Ask it right before sending: a lease ends by the clock, without a notification.
    """

    def __init__(self, check: Callable[[], None] = _always) -> None:
        self._check = check

    @property
    def is_open(self) -> bool:
        """Whether something may leave now."""
        try:
            self._check()
        except Fenced:
            return False
        return True

    def require(self) -> None:
        """Raises Refused (FENCED) while nothing may leave."""
        try:
            self._check()
        except Fenced as error:
            raise fenced(error) from None

    async def allowed(self) -> None:
        """Waits until something may leave; does not wait if it may now."""
        while not self.is_open:  # noqa: ASYNC110 - a lease ends, and is renewed, by the clock
            await asyncio.sleep(ASK_EVERY_S)


def fenced(error: Exception) -> Refused:
    """What callers hear from a slad that may not serve; `error` says why."""
    return Refused(Refusal.UNAVAILABLE, "FENCED", f"this slad may not serve: {error}")
