"""Tenants and schedules as one transaction sees them: what is stored, and what it adds."""

from __future__ import annotations

from slad.core.calendar import Calendar, compile_calendar
from slad.core.schedule import Schedule
from slad.core.terms import Terms
from slad.engine.catalog import EVERY_HOUR, Catalog
from slad.engine.commands import ScheduleOffer, TermsOffer
from slad.storage.rows import Batch


class CatalogOverlay:
    """A catalog to which new tenants and schedules can be added; they go into `rows`.

    What was looked up or made is kept in plain mappings: they are cheaper to ask than the catalog.
    """

    def __init__(self, stored: Catalog, rows: Batch, last_tenant: int, last_schedule: int) -> None:
        self._stored = stored
        self._rows = rows
        self.last_tenant = last_tenant
        self.last_schedule = last_schedule
        self._tenant_keys: dict[str, int] = {}
        self._tenant_ids: dict[int, str] = {}
        self._schedule_keys: dict[bytes, int] = {}
        self._calendars: dict[int, Calendar] = {}
        self._new: dict[int, Calendar] = {}
        """The calendars of the schedules that this batch adds."""
        self._terms: dict[tuple[int, str], tuple[TermsOffer, Terms]] = {}
        """By the id of the offer. The offer is kept too, so that no other object gets its id."""

    def tenant_key(self, tenant_id: str) -> int | None:
        """The key of a tenant, if it has one."""
        key = self._tenant_keys.get(tenant_id)
        if key is None:
            key = self._stored.tenant_key(tenant_id)
            if key is not None:
                self._tenant_keys[tenant_id] = key
        return key

    def tenant_id(self, tenant_key: int) -> str:
        """The name of a tenant. Raises LookupError when there is no such key."""
        return self._tenant_ids.get(tenant_key) or self._stored.tenant_id(tenant_key)

    def key_for(self, tenant_id: str) -> int:
        """The key of a tenant, which gets one if it has none."""
        key = self.tenant_key(tenant_id)
        if key is None:
            key = self.last_tenant = self.last_tenant + 1
            self._rows.tenants.append((key, tenant_id))
            self._tenant_keys[tenant_id] = key
            self._tenant_ids[key] = tenant_id
        return key

    def calendar(self, schedule_key: int) -> Calendar:
        """The calendar of a schedule. Raises Unreadable."""
        calendar = self._calendars.get(schedule_key)
        if calendar is None:
            calendar = self._calendars[schedule_key] = self._stored.calendar(schedule_key)
        return calendar

    def schedule(self, schedule_key: int) -> Schedule | None:
        """A stored schedule; None for the one that is always open. Raises Unreadable."""
        return self._stored.schedule(schedule_key)

    def accept(self, offer: TermsOffer, policy_id: str) -> Terms:
        """The terms of an offer, its schedule added if it is new.

        If the command is refused, its schedule stays unused. That does no harm: a schedule is only content.
        """
        # By identity: the reader of requests makes one offer for all requests that state the same terms.
        which = id(offer), policy_id
        if (known := self._terms.get(which)) is None:
            known = self._terms[which] = offer, offer.under(self.schedule_key_of, policy_id)
        return known[1]

    def schedule_key_of(self, schedule: ScheduleOffer | None) -> int:
        """The key of a schedule, which gets one if it has none; None: every hour counts."""
        if schedule is None:
            return EVERY_HOUR
        key = self._schedule_keys.get(schedule.digest)
        if key is None:
            key = self._stored.schedule_key(schedule.digest) or self._add(schedule)
            self._schedule_keys[schedule.digest] = key
        return key

    def _add(self, schedule: ScheduleOffer) -> int:
        key = self.last_schedule = self.last_schedule + 1
        self._rows.schedules.append((key, schedule.digest, schedule.body))
        self._calendars[key] = self._new[key] = schedule.calendar or compile_calendar(schedule.schedule)
        return key

    def committed(self) -> None:
        """What was added is stored: its calendars need not be made again."""
        for key, calendar in self._new.items():
            self._stored.keep(key, calendar)
