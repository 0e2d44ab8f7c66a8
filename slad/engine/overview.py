"""Queries about many tickets at once, for people who look."""

from __future__ import annotations

from collections.abc import Callable

from slad.core.access import Tenants
from slad.core.status import TimerStatus, TrackingState, timer_status
from slad.engine.catalog import Catalog
from slad.engine.commands import Answer
from slad.engine.giving_way import giving_way
from slad.storage.row_reader import Record
from slad.storage.store import Store

Place = tuple[int, int]
"""(tenant_key, tracking_key): the order in which live trackings are counted. (0, 0) is before all."""


class Overview:
    """Used by one thread at a time. `readable` is how a ticket stands at an instant; None: nobody can say."""

    def __init__(
        self, store: Store, catalog: Catalog, readable: Callable[[Record, int], Answer | None]
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._readable = readable

    def tickets_like(self, prefix: str, tenants: Tenants, limit: int) -> list[tuple[str, str]]:
        """(tenant_id, ticket_id) of the first tickets whose ids begin with `prefix`, in the order of ids."""
        keys = None if tenants is None else tenant_keys(self._catalog, tenants)
        found = self._store.tickets_like(prefix, keys, limit)
        return [(self._catalog.tenant_id(tenant_key), ticket_id) for ticket_id, tenant_key in found]

    def live_statuses(
        self, tenants: Tenants, place: Place, size: int, now: int
    ) -> tuple[list[TimerStatus], Place | None]:
        """(statuses (T1) of the next live trackings after a place, where to go on from, None at the end).

        Looks at `size` tickets or tenants together, at most: many tenants have no live ticket.
        """
        if tenants is None:
            keys = self._store.tenant_keys(place[0], size)
        else:
            keys = sorted(key for key in tenant_keys(self._catalog, tenants) if key >= place[0])
        found: list[TimerStatus] = []
        looked = 0
        for tenant_key in keys:
            after = place[1] if tenant_key == place[0] else 0
            records = self._store.of_tenant(tenant_key, TrackingState.ACTIVE, after, size - looked)
            for record in giving_way(records):
                if answer := self._readable(record, now):
                    found.append(timer_status(answer.reading))
                looked += 1
                if looked == size:
                    return found, (tenant_key, record.tracking_key)
            looked += 1
            if looked == size:
                return found, (tenant_key + 1, 0)
        return found, None


def tenant_keys(catalog: Catalog, tenants: frozenset[str]) -> list[int]:
    """The keys of those that have, or had, a ticket."""
    keys = (catalog.tenant_key(tenant_id) for tenant_id in tenants)
    return [key for key in keys if key is not None]
