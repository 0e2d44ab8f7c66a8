"""The pass-through as the floors above see it; what is behind it imports `temporalio`."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from slad.core.tracking import Engine
from slad.storage.rows import ParkedRow
from slad.storage.temporal_store import TemporalStore
from slad.temporal.passthrough.repair import Moved


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
    """Those of them with a threshold overdue beyond the grace, and no report."""
    parked: int
    parked_first: list[ParkedRow]
    """The longest parked."""


class PassThrough(Protocol):
    """What an operator can ask of the pass-through."""

    def view(self, store: TemporalStore) -> PassThroughView:
        """How things stand; counts what `store` holds. For any thread."""
        ...

    async def hand_over(self, to: Engine, tracking_keys: list[int]) -> Moved:
        """Gives live trackings to another engine. Raises Refused."""
        ...

    async def release(self, workflow_id: str | None) -> int:
        """Goes on with a parked workflow, or with all; how many there were."""
        ...
