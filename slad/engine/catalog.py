"""What is stored once and referred to by number: tenants by name, schedules by content."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

from slad.core.calendar import Calendar, compile_calendar
from slad.core.schedule import ALWAYS, Schedule
from slad.storage.store import Store
from slad.storage.unreadable import Unreadable

K = TypeVar("K")
V = TypeVar("V")

EVERY_HOUR: Final = 0
"""The key of the schedule that is always open; it has no row."""

MAX_CALENDARS: Final = 512
"""Compiled calendars that are kept, 20 to 50 KB each. The least recently used one is dropped first;
compiling it again takes 0.15 ms."""

MAX_SCHEDULES: Final = 2_048
"""Schedules whose keys are kept."""

MAX_TENANTS: Final = 16_384
"""Tenant names that are kept."""


class LruCache(Generic[K, V]):
    """A mapping of at most `size` items; the least recently used one makes room for a new one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value of `key`, if it is still here."""
        value = self._items.get(key)
        if value is not None:
            try:
                self._items.move_to_end(key)
            except KeyError:  # another thread has just made room
                return value
        return value

    def put(self, key: K, value: V) -> V:
        """Keeps `value` and returns it."""
        self._items[key] = value
        if len(self._items) > self._size:
            self._items.popitem(last=False)
        return value


class Catalog:
    """Looks up committed tenants and schedules, and keeps the recently used ones in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._always = compile_calendar(ALWAYS)
        self._calendars: LruCache[int, Calendar] = LruCache(MAX_CALENDARS)
        self._schedule_keys: LruCache[bytes, int] = LruCache(MAX_SCHEDULES)
        self._tenant_keys: LruCache[str, int] = LruCache(MAX_TENANTS)
        self._tenant_ids: LruCache[int, str] = LruCache(MAX_TENANTS)

    def calendar(self, schedule_key: int) -> Calendar:
        """The compiled calendar of a stored schedule. Raises Unreadable."""
        if schedule_key == EVERY_HOUR:
            return self._always
        calendar = self._calendars.get(schedule_key)
        if calendar is None:
            schedule = self._decoded(schedule_key)
            calendar = self._calendars.put(schedule_key, compile_calendar(schedule))
        return calendar

    def keep(self, schedule_key: int, calendar: Calendar) -> None:
        """Keeps the calendar of a schedule that has just been stored."""
        self._calendars.put(schedule_key, calendar)

    def schedule(self, schedule_key: int) -> Schedule | None:
        """A stored schedule; None for the one that is always open. Raises Unreadable."""
        return None if schedule_key == EVERY_HOUR else self._decoded(schedule_key)

    def schedule_key(self, digest: bytes) -> int | None:
        """The key of the stored schedule with this content, if it is stored."""
        key = self._schedule_keys.get(digest)
        if key is None:
            key = self._store.schedule_key(digest)
            if key is not None:
                self._schedule_keys.put(digest, key)
        return key

    def tenant_key(self, tenant_id: str) -> int | None:
        """The key of a tenant, if it has one."""
        key = self._tenant_keys.get(tenant_id)
        if key is None:
            key = self._store.tenant_key(tenant_id)
            if key is not None:
                self._tenant_keys.put(tenant_id, key)
        return key

    def tenant_id(self, tenant_key: int) -> str:
        """The name of a tenant. Raises LookupError when there is no such row."""
        tenant_id = self._tenant_ids.get(tenant_key)
        if tenant_id is None:
            tenant_id = self._store.tenant_id(tenant_key)
            if tenant_id is None:
                raise LookupError(f"tenant {tenant_key} is not stored")
            self._tenant_ids.put(tenant_key, tenant_id)
        return tenant_id

    def _decoded(self, schedule_key: int) -> Schedule:
        schedule = self._store.schedule(schedule_key)
        if schedule is None:
            raise Unreadable("schedule", schedule_key, f"schedule {schedule_key}", "it is not stored")
        return schedule
