"""Rows as values: what is not as it was written is named (see `Unreadable`), and not told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from slad.core.instants import format_instant
from slad.core.schedule import Schedule
from slad.core.status import TrackingState
from slad.core.tracking import Tracking
from slad.storage.checksums import (
    audit_checksum,
    digest_of,
    event_checksum,
    message_checksum,
    parked_event_checksum,
    request_checksum,
    tracking_checksum,
)
from slad.storage.codec import (
    AuditEntry,
    Message,
    decode_audit,
    decode_message,
    decode_schedule,
    decode_tracking,
)
from slad.storage.rows import ParkedEventRow
from slad.storage.unreadable import Key, Unreadable, UnreadableValues

T = TypeVar("T")

CHECKSUM_DIFFERS: Final = "its checksum differs"


class Record(msgspec.Struct, frozen=True):
    """One generation as it is stored."""

    tracking_key: int
    tenant_key: int
    ticket_id: str
    generation: int
    state: TrackingState
    wake_at: int | None
    tracking: Tracking


class StoredEvent(NamedTuple):
    """One event of the event log; `body` is a serialized `slad.v1.SlaEvent`."""

    sequence: int
    tenant_key: int
    type: int
    body: bytes


class Waiting(NamedTuple):
    """A message that Temporal has not taken."""

    message_key: int
    workflow_id: str
    tracking_key: int
    recorded_at: int
    message: Message


class StoredAnswer(NamedTuple):
    """The first answer to a request id."""

    fingerprint: bytes
    answer: bytes


class RowReader:
    """Reads rows with the columns of `slad.storage.select`. Each method raises Unreadable.

    `tenant_id` names a tenant by its key, for what is said.
    """

    def __init__(self, tenant_id: Callable[[int], str | None], unreadable: UnreadableValues) -> None:
        self._tenant_id = tenant_id
        self._unreadable = unreadable

    def tracking(self, row: Any) -> Record:
        """A generation of a ticket."""
        key, tenant_key, ticket_id, generation, state, wake_at, body, checksum = row
        if checksum is None or checksum == tracking_checksum(
            key, tenant_key, ticket_id, generation, state, body
        ):
            try:
                tracking = decode_tracking(body)
                return Record(key, tenant_key, ticket_id, generation, TrackingState(state), wake_at, tracking)
            except (msgspec.DecodeError, ValueError) as error:
                why = str(error)
        else:
            why = CHECKSUM_DIFFERS
        what = f"generation {generation} of ticket {ticket_id!r} of tenant {self._tenant_id(tenant_key)!r}"
        raise self.failure("tracking", key, what, why)

    def event(self, row: Any) -> StoredEvent:
        """An event, as bytes."""
        sequence, tenant_key, kind, body, tracking_key, checksum = row
        if checksum not in (None, event_checksum(sequence, tracking_key, tenant_key, kind, body)):
            what = f"event {sequence} of tenant {self._tenant_id(tenant_key)!r}"
            raise self.failure("event", sequence, what, CHECKSUM_DIFFERS)
        return StoredEvent(sequence, tenant_key, kind, body)

    def answer(self, row: Any) -> StoredAnswer:
        """The first answer to a request id."""
        tenant_id, request_id, fingerprint, answer, key, checksum = row
        if checksum not in (None, request_checksum(tenant_id, request_id, fingerprint, answer)):
            what = f"the answer to request_id {request_id!r} of tenant {tenant_id!r}"
            raise self.failure("request", key, what, CHECKSUM_DIFFERS)
        return StoredAnswer(fingerprint, answer)

    def schedule(self, row: Any) -> Schedule:
        """A schedule; its digest is its checksum."""
        key, body, digest = row
        why = CHECKSUM_DIFFERS
        if digest_of(body) == digest:
            try:
                return decode_schedule(body)
            except (msgspec.DecodeError, ValueError) as error:
                why = str(error)
        raise self.failure("schedule", key, f"schedule {key}", why)

    def audit(self, row: Any) -> tuple[int, AuditEntry]:
        """(recorded_at, entry) of the audit."""
        recorded_at, body, key, tracking_key, checksum = row
        why = CHECKSUM_DIFFERS
        if checksum in (None, audit_checksum(tracking_key, recorded_at, body)):
            try:
                return recorded_at, decode_audit(body)
            except (msgspec.DecodeError, ValueError) as error:
                why = str(error)
        raise self.failure("audit", key, f"an entry of {format_instant(recorded_at)} in the audit", why)

    def parked_event(self, row: Any) -> ParkedEventRow:
        """An event that is parked for a sink."""
        parked = ParkedEventRow(*row)
        if parked.checksum not in (None, parked_event_checksum(parked)):
            what = f"event {parked.sequence}, parked for {parked.consumer!r},"
            raise self.failure("parked_event", (parked.consumer, parked.sequence), what, CHECKSUM_DIFFERS)
        return parked

    def message(self, row: Any) -> Waiting:
        """A message for Temporal."""
        key, workflow_id, tracking_key, recorded_at, body, checksum = row
        why = CHECKSUM_DIFFERS
        if checksum in (None, message_checksum(workflow_id, tracking_key, recorded_at, body)):
            try:
                return Waiting(key, workflow_id, tracking_key, recorded_at, decode_message(body))
            except (msgspec.DecodeError, ValueError) as error:
                why = str(error)
        raise self.failure("temporal_outbox", key, f"message {key} for workflow {workflow_id!r}", why)

    def failure(self, table: str, key: Key, what: str, why: str) -> Unreadable:
        """What is to be raised of a row; noted."""
        unreadable = Unreadable(table, key, what, why)
        self._unreadable.note(unreadable)
        return unreadable


def readable(read: Callable[[Any], T], rows: Iterable[Any]) -> Iterator[T]:
    """The values of those rows that can be read."""
    for row in rows:
        try:
            yield read(row)
        except Unreadable:
            continue
