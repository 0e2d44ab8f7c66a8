"""Who fires the thresholds of a ticket: slad's own timers, or somebody outside the daemon.

The engine asks at every start. Whoever carries tickets writes rows of its own in the engine's transactions,
so that a command and what has to be told of it are committed together. What carries them outside, and how,
is known only to the floors above.
"""

from __future__ import annotations

from typing import Protocol

from slad.core.tracking import Engine
from slad.engine.commands import TermsOffer
from slad.storage.row_reader import Record
from slad.storage.rows import Batch


class CarrierTurn(Protocol):
    """What a carrier adds to one unit of work."""

    def choose(self, tenant_id: str, ticket_id: str, live: Record | None, offer: TermsOffer | None) -> Engine:
        """The engine of a ticket that starts now; `live` is the tracking that it replaces.

        Raises InvalidField for a ticket that its engine cannot carry.
        """
        ...

    def check(self, record: Record, offer: TermsOffer) -> None:
        """Raises InvalidField for new terms that the engine of a tracking cannot carry."""
        ...

    def expect(self, record: Record, tenant_id: str) -> Record:
        """Takes over the next wake of a tracking whose engine is not slad's; the row that is to be stored.

        With a `wake_at` in that row slad's own timers wake it.
        """
        ...

    def tell(self, before: Record | None, record: Record, tenant_id: str, now: int) -> None:
        """A command has changed such a tracking, from `before` (None: it is new) to `record`."""
        ...

    def finish(self, batch: Batch) -> None:
        """Puts the carrier's own rows into `batch`."""
        ...

    def committed(self) -> None:
        """The unit of work is durable."""
        ...


class Carrier(Protocol):
    """Somebody who carries tickets."""

    def turn(self) -> CarrierTurn:
        """What it adds to a unit of work that begins."""
        ...


class LocalCarrier:
    """slad carries every ticket; also its own part of each turn, as there is nothing to keep."""

    def turn(self) -> LocalCarrier:
        """What it adds to a unit of work: nothing."""
        return self

    def choose(self, tenant_id: str, ticket_id: str, live: Record | None, offer: TermsOffer | None) -> Engine:
        """slad's own engine, which carries whatever a request can say."""
        return Engine.LOCAL

    def check(self, record: Record, offer: TermsOffer) -> None:
        """slad carries whatever a request can say."""

    def expect(self, record: Record, tenant_id: str) -> Record:
        """The row as it is: nobody else will wake this tracking."""
        return record

    def tell(self, before: Record | None, record: Record, tenant_id: str, now: int) -> None:
        """Nobody has to be told."""

    def finish(self, batch: Batch) -> None:
        """There are no rows beside the engine's."""

    def committed(self) -> None:
        """Nothing waits for it."""
