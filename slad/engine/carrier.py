"""Who fires the thresholds of a ticket: slad's own timers, or somebody outside the daemon.

The engine asks at every start. A carrier writes its own rows in the engine's transactions,
so that a command and the message about it are committed together. Only the floors above know
what carries tickets outside, and how.
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
        """Takes over the next wake of a tracking that slad does not carry. Returns the row to store.

        If that row has a `wake_at`, slad's own timers wake it.
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
    """Something that fires the thresholds of tickets."""

    def turn(self) -> CarrierTurn:
        """The carrier's part of a unit of work that begins."""
        ...


class LocalCarrier:
    """slad carries every ticket. This is its own `CarrierTurn`, as it keeps no state."""

    def turn(self) -> LocalCarrier:
        """Itself: it adds nothing to a unit of work."""
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
        """Does nothing: there is nobody to notify."""

    def finish(self, batch: Batch) -> None:
        """Adds nothing: there are only the engine's rows."""

    def committed(self) -> None:
        """Does nothing: nothing waits for the commit."""
