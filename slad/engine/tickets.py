"""Tickets as one transaction sees them: what is stored, with its own changes laid over it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from slad.core.errors import Refusal, Refused
from slad.core.status import TrackingState
from slad.engine.catalog_overlay import CatalogOverlay
from slad.storage.checksums import tracking_checksum
from slad.storage.codec import encode
from slad.storage.row_reader import Record
from slad.storage.rows import Batch, TrackingChange, TrackingRow
from slad.storage.store import Store


class Tickets:
    """The trackings of all tickets, by key and by ticket. `store` must not see newer commits meanwhile.

    All get the present `epoch` of the database, whatever epoch they were written in.
    """

    def __init__(self, store: Store, catalog: CatalogOverlay, epoch: int) -> None:
        self._store = store
        self._catalog = catalog
        self._epoch = epoch
        self._foreseen: dict[tuple[int, str], Record | None] = {}
        self._foreseen_by_key: dict[int, Record] = {}
        self._put: dict[int, Record] = {}
        self._new: set[int] = set()
        """Those that were put and have no row yet."""
        self._latest: dict[tuple[int, str], int] = {}
        """Keys of the latest generations that are new, by (tenant_key, ticket_id)."""

    def foresee(self, tickets: Iterable[tuple[str, str]]) -> None:
        """Looks up at once the (tenant_id, ticket_id) that `latest` will be asked for one by one."""
        wanted: dict[tuple[int, str], None] = {}
        for tenant_id, ticket_id in tickets:
            if tenant_id and (tenant_key := self._catalog.tenant_key(tenant_id)) is not None:
                wanted[tenant_key, ticket_id] = None
        self._foreseen |= self._store.latest_of(list(wanted))

    def foresee_keys(self, tracking_keys: Sequence[int]) -> None:
        """Looks up at once the trackings that `by_key` will be asked for."""
        self._foreseen_by_key |= self._store.by_keys(tracking_keys)

    def latest(self, tenant_id: str, ticket_id: str) -> Record | None:
        """The latest generation of a ticket."""
        tenant_key = self._catalog.tenant_key(tenant_id)
        if tenant_key is None:
            return None
        ticket = tenant_key, ticket_id
        tracking_key = self._latest.get(ticket)
        if tracking_key is not None:
            return self._put[tracking_key]
        stored = self._foreseen[ticket] if ticket in self._foreseen else self._store.latest(*ticket)
        return stored and (self._put.get(stored.tracking_key) or self._of_epoch(stored))

    def by_key(self, tracking_key: int) -> Record | None:
        """One tracking by its key."""
        put = self._put.get(tracking_key)
        if put is not None:
            return put
        stored = self._foreseen_by_key.get(tracking_key) or self._store.by_key(tracking_key)
        return stored and self._of_epoch(stored)

    def locate(self, tenant_id: str, ticket_id: str) -> tuple[str, Record]:
        """(tenant_id, latest generation) of a ticket; an empty `tenant_id` is looked for (M7).

        Raises Refused: NOT_FOUND, or FAILED_PRECONDITION when several tenants have it.
        """
        if not tenant_id:
            tenant_id = self._sole_tenant(ticket_id)
        record = self.latest(tenant_id, ticket_id)
        if record is None:
            raise not_found(ticket_id, tenant_id)
        return tenant_id, record

    def generation(self, tenant_id: str, ticket_id: str, generation: int | None) -> Record:
        """One generation of a ticket, by default the latest. Raises Refused (NOT_FOUND)."""
        _, record = self.locate(tenant_id, ticket_id)
        if generation is None or generation == record.generation:
            return record
        stored = self._store.generation(record.tenant_key, ticket_id, generation)
        if stored is None:
            raise generation_not_found(ticket_id, generation)
        return self._put.get(stored.tracking_key, stored)

    def put(self, record: Record, *, is_new: bool) -> None:
        """Lays a tracking over what is stored. `is_new`: it has no row yet."""
        self._put[record.tracking_key] = record
        if is_new:
            self._latest[record.tenant_key, record.ticket_id] = record.tracking_key
            self._new.add(record.tracking_key)

    def write_to(self, rows: Batch) -> None:
        """Adds the rows of all that was put."""
        for record in self._put.values():
            body, state = encode(record.tracking), int(record.state)
            key, tenant_key, ticket_id = record.tracking_key, record.tenant_key, record.ticket_id
            generation, wake_at = record.generation, record.wake_at
            checksum = tracking_checksum(key, tenant_key, ticket_id, generation, state, body)
            if key in self._new:
                new = TrackingRow(key, tenant_key, ticket_id, generation, state, wake_at, body, checksum)
                rows.created.append(new)
            else:
                change = TrackingChange(state, wake_at, body, checksum, key)
                rows.changed.append(change)

    @property
    def wakes(self) -> dict[int, int | None]:
        """The new wake of every tracking that was put, by key."""
        return {key: record.wake_at for key, record in self._put.items()}

    def _of_epoch(self, record: Record) -> Record:
        if record.tracking.epoch == self._epoch:
            return record
        return msgspec.structs.replace(
            record, tracking=msgspec.structs.replace(record.tracking, epoch=self._epoch)
        )

    def _sole_tenant(self, ticket_id: str) -> str:
        holders = self._store.holders(ticket_id)
        for record in self._put.values():
            if record.ticket_id == ticket_id:
                holders[record.tenant_key] = record.state is TrackingState.ACTIVE
        return self._catalog.tenant_id(sole_holder(holders, ticket_id))


def sole_holder(holders: dict[int, bool], ticket_id: str) -> int:
    """The one tenant under which a ticket is live or, if it is live nowhere, the one that has it (M7).

    Raises Refused.
    """
    if not holders:
        raise not_found(ticket_id)
    candidates = [key for key, live in holders.items() if live] or list(holders)
    if len(candidates) > 1:
        raise Refused(
            Refusal.FAILED_PRECONDITION,
            "TENANT_AMBIGUOUS",
            f"several tenants have a ticket {ticket_id!r}; name one in tenant_id",
        )
    return candidates[0]


def not_found(ticket_id: str, tenant_id: str = "") -> Refused:
    """What is said of a ticket that has no tracking, or none under the tenant that was asked."""
    whose = f" of tenant {tenant_id!r}" if tenant_id else ""
    text = f"no tracking of ticket {ticket_id!r}{whose}"
    return Refused(Refusal.NOT_FOUND, "TRACKING_NOT_FOUND", text, field="ticket_id")


def generation_not_found(ticket_id: str, generation: int) -> Refused:
    """What is said of a generation that a ticket does not have."""
    text = f"ticket {ticket_id!r} has no generation {generation}"
    return Refused(Refusal.NOT_FOUND, "GENERATION_NOT_FOUND", text, field="generation")


def clock_not_found(ticket_id: str, clock: str) -> Refused:
    """What is said of a clock that a ticket does not have (K1)."""
    text = f"ticket {ticket_id!r} has no clock {clock!r}"
    return Refused(Refusal.NOT_FOUND, "CLOCK_NOT_FOUND", text, field="clock")
