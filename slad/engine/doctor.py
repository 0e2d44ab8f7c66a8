"""Is what is stored sound, and does every stored wake agree with the facts?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from slad.core import machine
from slad.core.instants import DAY_MS, SECOND_MS, format_instant
from slad.core.settle import next_wake
from slad.core.status import TrackingState
from slad.core.tracking import Engine
from slad.engine.catalog import Catalog
from slad.storage.database import WAKE_MARKS, migrations
from slad.storage.lock import owner_of
from slad.storage.store import Store
from slad.storage.unreadable import Unreadable

PAGE: Final = 512
LATE_MS: Final = 5 * SECOND_MS
"""A running daemon fires within milliseconds; a wake this overdue means that it is stuck, or none runs."""

STUCK_MS: Final = 60 * SECOND_MS
"""Messages for Temporal that have waited longer than this are stuck."""

SOON_MS: Final = 21 * DAY_MS
"""How long before it expires something gets a warning."""

OTHERS: Final = 0o027
"""Permissions that nobody but the owner needs: write for the group, all for others."""

MEBIBYTE: Final = 1024 * 1024
SCARCE_MIB: Final = 1024
"""Free space below this gets a warning. The alert has the same limit (docs/metrics.md)."""

EXAMPLES: Final = 5
NAMED: Final = 100
"""Damaged values that are named one by one."""


class Severity(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class CheckResult(NamedTuple):
    """One check; `text` says what was found and, if something is wrong, what to do."""

    severity: Severity
    check: str
    text: str


def examine(store: Store, now: int) -> Iterator[CheckResult]:
    """Checks a snapshot of the database (see `Store.snapshot`) as at `now`, UTC epoch ms.

    If the schema is not the one of this slad, only integrity and schema are checked: the other checks could
    not read the database.
    """
    yield _integrity(store)
    yield _schema(store)
    if store.schema_version() != migrations()[-1][0]:
        return
    yield from _values(store)
    yield _zones(store)
    yield from _hours(store)
    yield _clock(store, now)
    if store.meta("tzdata") == version("tzdata"):
        yield from _wakes(store, now)
    yield from _tokens(store, now)
    yield from _consumers(store)
    yield from _pass_through(store, now)


def examine_files(database: Path) -> Iterator[CheckResult]:
    """Checks the database file and its directory: owner, permissions and free space."""
    directory = database.parent
    if not (os.access(database, os.W_OK) and os.access(directory, os.W_OK)):
        text = f"this user cannot write {directory}; run slad as a user who can"
        yield CheckResult(Severity.WARNING, "access", text)
    found = {path: path.stat() for path in (directory, database)}
    open_to = [path for path, status in found.items() if status.st_mode & OTHERS]
    if open_to:
        paths = " and ".join(f"{path} (mode {found[path].st_mode & 0o777:04o})" for path in open_to)
        text = f"other users can access {paths}: chmod 0700 the directory, 0600 the file"
        yield CheckResult(Severity.WARNING, "access", text)
    if found[directory].st_uid != found[database].st_uid:
        text = f"{database} belongs to {owner_of(database)}, {directory} to {owner_of(directory)}; chown one"
        yield CheckResult(Severity.WARNING, "access", text)
    disk = os.statvfs(directory)
    free = disk.f_bavail * disk.f_frsize
    text = f"{free // MEBIBYTE} MiB are free"
    if free < SCARCE_MIB * MEBIBYTE:
        yield CheckResult(Severity.WARNING, "space", f"{text}; commands are refused when the disk is full")
    else:
        yield CheckResult(Severity.OK, "space", text)


def expiry(what: str, expires_at: int, now: int) -> CheckResult | None:
    """A warning about something that has expired or soon will."""
    if expires_at > now + SOON_MS:
        return None
    verb = "expired" if expires_at <= now else "expires"
    text = f"{what} {verb} on {format_instant(expires_at)}; replace it"
    return CheckResult(Severity.WARNING, "expiry", text)


def _integrity(store: Store) -> CheckResult:
    complaints = store.complaints()
    if complaints:
        text = f"the database is damaged, restore a backup: {'; '.join(complaints)}"
        return CheckResult(Severity.FAILURE, "integrity", text)
    return CheckResult(Severity.OK, "integrity", "sound")


def _schema(store: Store) -> CheckResult:
    found, known = store.schema_version(), migrations()[-1][0]
    if found > known:
        text = f"schema {found}, this slad knows up to {known}: run the slad that wrote it, or a later one"
        return CheckResult(Severity.FAILURE, "schema", text)
    if found < known:
        text = (
            f"schema {found}, from an earlier slad; the next start upgrades it to {known}. Then check again"
        )
        return CheckResult(Severity.WARNING, "schema", text)
    return CheckResult(Severity.OK, "schema", f"{found}")


def _values(store: Store) -> Iterator[CheckResult]:
    count = 0
    for error in store.unreadable_values():
        count += 1
        if count <= NAMED:
            yield CheckResult(Severity.FAILURE, error.table, f"{error.what} cannot be read: {error.why}")
    if not count:
        yield CheckResult(Severity.OK, "values", "all stored values are intact")
        return
    text = (
        f"{count} stored values cannot be read and are left out; restore a backup, or stop slad and set them "
        "aside: slad doctor --quarantine"
    )
    yield CheckResult(Severity.FAILURE, "values", text)


def _zones(store: Store) -> CheckResult:
    used, installed = store.meta("tzdata"), version("tzdata")
    if used == installed:
        return CheckResult(Severity.OK, "time zones", f"tzdata {installed}")
    text = (
        f"deadlines come from tzdata {used}, but {installed} is installed; the next start derives them again"
    )
    return CheckResult(Severity.WARNING, "time zones", text)


def _hours(store: Store) -> Iterator[CheckResult]:
    short = sum(any(window.loses_a_minute for window in schedule.windows) for schedule in store.schedules())
    if short:
        text = (
            f"{short} schedules have a window from 00:00 to 23:59, a minute short of a whole day; write 24:00"
        )
        yield CheckResult(Severity.WARNING, "hours", text)


def _clock(store: Store, now: int) -> CheckResult:
    newest = store.newest_audit()
    if newest is not None and newest > now + LATE_MS:
        last = format_instant(newest)
        text = f"was it set back? It says {format_instant(now)}, but the newest command is from {last}"
        return CheckResult(Severity.WARNING, "clock", text)
    return CheckResult(Severity.OK, "clock", format_instant(now))


def _wakes(store: Store, now: int) -> Iterator[CheckResult]:
    catalog = Catalog(store)
    live = overdue = 0
    temporal = store.temporal()
    wrong: list[str] = []
    after = 0
    while page := list(store.of_all(after, PAGE)):
        after = page[-1].tracking_key
        for record in page:
            wake_at = None
            live += record.state is TrackingState.ACTIVE
            # An ended tracking may wake once more: its end may be some seconds ahead (M6).
            if record.state is TrackingState.ACTIVE or record.wake_at is not None:
                try:
                    reading = machine.reading_at(record.tracking, catalog.calendar, now)
                except Unreadable:
                    continue  # reported by _values
                wake_at = next_wake(record.tracking, reading)
                overdue += wake_at is not None and wake_at < now - LATE_MS
            stored_at = record.wake_at
            if record.state is TrackingState.ACTIVE and record.tracking.engine == Engine.TEMPORAL:
                ticket = temporal.by_tracking(record.tracking_key)
                stored_at = ticket.wake_at if ticket is not None else None
            if stored_at != wake_at and (stored_at is None or stored_at >= WAKE_MARKS):
                wrong.append(f"{record.ticket_id} (stored {stored_at}, derived {wake_at})")
    if wrong:
        text = f"{len(wrong)} stored wakes differ from the facts, such as {', '.join(wrong[:EXAMPLES])}"
        yield CheckResult(Severity.FAILURE, "timers", text)
    else:
        yield CheckResult(
            Severity.OK, "timers", f"{live} live trackings, every stored wake agrees with the facts"
        )
    if overdue:
        text = f"{overdue} trackings have overdue thresholds; is the daemon running?"
        yield CheckResult(Severity.WARNING, "overdue", text)


def _pass_through(store: Store, now: int) -> Iterator[CheckResult]:
    temporal = store.temporal()
    if not temporal.is_in_use():
        return
    waiting, oldest = temporal.waiting()
    text = f"{temporal.carried()} tickets carried by Temporal"
    if oldest is not None:
        text += f", {waiting} messages wait for it, the oldest for {(now - oldest) // SECOND_MS} s"
    stuck = oldest is not None and oldest < now - STUCK_MS
    yield CheckResult(Severity.WARNING if stuck else Severity.OK, "pass-through", text)
    parked = temporal.parked(EXAMPLES)
    if parked:
        names = ", ".join(f"{row.workflow_id} ({row.reason})" for row in parked)
        text = f"{temporal.count_parked()} workflows are parked, such as {names}; see `slad temporal release`"
        yield CheckResult(Severity.WARNING, "parked workflows", text)


def _tokens(store: Store, now: int) -> Iterator[CheckResult]:
    for token in store.tokens():
        if token.expires_at is not None and token.revoked_at is None:
            result = expiry(f"token {token.token_id} ({token.name})", token.expires_at, now)
            if result is not None:
                yield result


def _consumers(store: Store) -> Iterator[CheckResult]:
    for consumer in store.consumers():
        lag = store.events_owed(consumer.acknowledged)
        parked = len(store.parked_tickets(consumer.name))
        text = f"{lag} events behind" + (
            f", {parked} parked: `slad sinks parked` shows them" if parked else ""
        )
        yield CheckResult(Severity.WARNING if parked else Severity.OK, f"consumer {consumer.name}", text)
