"""Messages of the contract as commands. What is wrong raises InvalidField with the path in the request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Sized
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.access import Caller, Tenants
from slad.core.errors import InvalidField
from slad.core.events import EventType, PauseReason, Phase
from slad.core.facts import Fact, FactKind
from slad.core.instants import MINUTE_MS, SECOND_MS
from slad.core.machine import MAX_AHEAD_MS, ReopenMode
from slad.core.schedule import build_schedule
from slad.core.status import TimerStatus, TrackingState
from slad.core.terms import DEFAULT_NOTIFICATION_PERCENTS, MAX_PERCENT
from slad.core.tracking import PauseAccounting
from slad.delivery.consumers import SINK_PREFIX
from slad.engine.catalog import LruCache
from slad.engine.commands import (
    Cancel,
    Complete,
    OnExisting,
    Pause,
    Reopen,
    RequestIdentity,
    Resume,
    Retarget,
    ScheduleOffer,
    Start,
    TermsOffer,
)
from slad.service import limits
from slad.storage.codec import encode_schedule

E = TypeVar("E", bound=int)

REMEMBERED: Final = 512
"""Schedules, and terms, that are kept for the next request that states the same."""

MAX_REMEMBERED_BYTES: Final = 8 * 1024
"""A larger schedule, and the terms of a larger request, are not kept: a hundred holidays are some 6 KB."""

NANOS_PER_MS: Final = 1_000_000


_TermsRequest = rpc.StartSlaTrackingRequest | rpc.RetargetSlaRequest | rpc.PreviewSlaRequest
"""The messages that state terms."""


# --- commands


def start(request: rpc.StartSlaTrackingRequest, now: int) -> Start:
    """StartSlaTracking (M1)."""
    started_at = instant(request, "started_at")
    if started_at is not None:
        if started_at < limits.EARLIEST_START_MS:
            raise InvalidField("started_at", "TOO_FAR_IN_THE_PAST", "before the year 2000")
        if started_at > now + MAX_AHEAD_MS:
            raise InvalidField(
                "started_at",
                "IN_THE_FUTURE",
                f"more than {MAX_AHEAD_MS // SECOND_MS} s ahead of slad's clock",
            )
    within = duration_ms(request, "continue_within")
    return Start(
        tenant_id=required_id("tenant_id", request.tenant_id),
        ticket_id=required_id("ticket_id", request.ticket_id),
        request=identity(request, request.tenant_id, request.request_id),
        policy_id=checked_id("policy_id", request.policy_id),
        terms=terms(request),
        started_at=started_at,
        on_existing=enum("on_existing", request.on_existing, OnExisting, OnExisting.KEEP),
        suppress_past=request.suppress_past,
        accounting=enum(
            "pause_accounting", request.pause_accounting, PauseAccounting, PauseAccounting.BUSINESS_TIME
        ),
        attributes=_attributes(request.attributes),
        continue_within_ms=within,
    )


def pause(request: rpc.PauseSlaRequest) -> Pause:
    """PauseSla (M2)."""
    return Pause(
        tenant_id=checked_id("tenant_id", request.tenant_id),
        ticket_id=required_id("ticket_id", request.ticket_id),
        request=identity(request, request.tenant_id, request.request_id),
        reason=enum("reason", request.reason, PauseReason),
        effective_at=instant(request, "effective_at"),
    )


def resume(request: rpc.ResumeSlaRequest) -> Resume:
    """ResumeSla (M2)."""
    return Resume(
        tenant_id=checked_id("tenant_id", request.tenant_id),
        ticket_id=required_id("ticket_id", request.ticket_id),
        request=identity(request, request.tenant_id, request.request_id),
        effective_at=instant(request, "effective_at"),
    )


def complete(request: rpc.CompleteSlaRequest) -> Complete:
    """CompleteSla (M3)."""
    return Complete(
        tenant_id=checked_id("tenant_id", request.tenant_id),
        ticket_id=required_id("ticket_id", request.ticket_id),
        request=identity(request, request.tenant_id, request.request_id),
        phase=enum("phase", request.phase, Phase),
        reported_met=request.met if request.HasField("met") else None,
        effective_at=instant(request, "effective_at"),
    )


def cancel(request: rpc.CancelSlaRequest) -> Cancel:
    """CancelSla (M4)."""
    return Cancel(
        tenant_id=checked_id("tenant_id", request.tenant_id),
        ticket_id=required_id("ticket_id", request.ticket_id),
        request=identity(request, request.tenant_id, request.request_id),
        effective_at=instant(request, "effective_at"),
    )


def retarget(request: rpc.RetargetSlaRequest) -> Retarget:
    """RetargetSla (M5)."""
    return Retarget(
        tenant_id=checked_id("tenant_id", request.tenant_id),
        ticket_id=required_id("ticket_id", request.ticket_id),
        request=identity(request, request.tenant_id, request.request_id),
        policy_id=checked_id("policy_id", request.policy_id),
        terms=terms(request),
        suppress_past=request.suppress_past,
    )


def reopen(request: rpc.ReopenSlaRequest) -> Reopen:
    """ReopenSla (M5)."""
    return Reopen(
        tenant_id=checked_id("tenant_id", request.tenant_id),
        ticket_id=required_id("ticket_id", request.ticket_id),
        request=identity(request, request.tenant_id, request.request_id),
        mode=enum("mode", request.mode, ReopenMode),
        effective_at=instant(request, "effective_at"),
    )


# --- queries


class TicketQuery(NamedTuple):
    """Which generation of which ticket; None: the latest."""

    tenant_id: str
    ticket_id: str
    generation: int | None


def ticket_query(request: rpc.GetSlaStatusRequest | rpc.GetSlaTimelineRequest) -> TicketQuery:
    """GetSlaStatus, GetSlaTimeline."""
    generation = request.generation if request.HasField("generation") else None
    if generation is not None and generation < 1:
        raise InvalidField("generation", "NOT_POSITIVE", "generations are counted from 1")
    return TicketQuery(
        checked_id("tenant_id", request.tenant_id), required_id("ticket_id", request.ticket_id), generation
    )


class ListQuery(NamedTuple):
    """What ListSlaTrackings asks for; empty sets: all. `due_before` in UTC epoch ms."""

    tenants: Tenants
    states: frozenset[TrackingState]
    statuses: frozenset[TimerStatus]
    due_before: int | None
    after_key: int
    size: int


def list_query(request: rpc.ListSlaTrackingsRequest, who: Caller) -> ListQuery:
    """ListSlaTrackings; of all tenants: those of `who`."""
    size = page_size(request.page_size)
    return ListQuery(
        who.narrowed(checked_id("tenant_id", request.tenant_id)),
        frozenset(enum(f"states[{i}]", s, TrackingState) for i, s in enumerate(request.states)),
        frozenset(enum(f"statuses[{i}]", s, TimerStatus) for i, s in enumerate(request.statuses)),
        instant(request, "due_before"),
        page_key(request.page_token),
        size,
    )


def page_token(key: int) -> str:
    """The token that leads to the page after `key`."""
    return f"{key:x}"


class Preview(NamedTuple):
    """A ticket that is only thought of. Instants in UTC epoch ms."""

    terms: TermsOffer
    started_at: int
    facts: tuple[Fact, ...]
    as_of: int
    accounting: PauseAccounting


def preview(request: rpc.PreviewSlaRequest, now: int) -> Preview:
    """PreviewSla."""
    started_at = instant(request, "started_at")
    if started_at is None:
        started_at = now
    if started_at < limits.EARLIEST_START_MS:
        raise InvalidField("started_at", "TOO_FAR_IN_THE_PAST", "before the year 2000")
    as_of = instant(request, "as_of")
    if as_of is not None and as_of < started_at:
        raise InvalidField("as_of", "BEFORE_START", "before started_at")
    return Preview(
        terms(request),
        started_at,
        pauses(request.pauses, started_at),
        started_at if as_of is None else as_of,
        enum("pause_accounting", request.pause_accounting, PauseAccounting, PauseAccounting.BUSINESS_TIME),
    )


def pauses(items: Sequence[pb.SlaPause], started_at: int, now: int | None = None) -> tuple[Fact, ...]:
    """Pauses as facts; they must be in order and apart, only the last may be running.

    With `now` none may lie ahead; without, they are only thought of.
    """
    at_most("pauses", items, limits.in_force().pauses)
    facts: list[Fact] = []
    earliest: int | None = started_at
    for index, item in enumerate(items):
        path = f"pauses[{index}]"
        paused_at = instant(item, "paused_at", path)
        resumed_at = instant(item, "resumed_at", path)
        if paused_at is None:
            raise InvalidField(f"{path}.paused_at", "REQUIRED", "a pause has a beginning")
        if earliest is None:
            raise InvalidField(path, "OVERLAPS", "the pause before it is still running")
        if paused_at < earliest:
            raise InvalidField(
                f"{path}.paused_at", "OUT_OF_ORDER", "before the start, or before the end of the last pause"
            )
        if resumed_at is not None and resumed_at < paused_at:
            raise InvalidField(f"{path}.resumed_at", "OUT_OF_ORDER", "before paused_at")
        if now is not None:
            paused_at = not_ahead(f"{path}.paused_at", paused_at, now)
            if resumed_at is not None:
                resumed_at = not_ahead(f"{path}.resumed_at", resumed_at, now)
        reason = enum(f"{path}.reason", item.reason, PauseReason, PauseReason.STATUS_PAUSE)
        facts.append(Fact(paused_at, FactKind.PAUSE, reason.value))
        if resumed_at is not None:
            facts.append(Fact(resumed_at, FactKind.RESUME))
        earliest = resumed_at
    return tuple(facts)


def not_ahead(field: str, at: int, now: int) -> int:
    """A caller's clock may be a little ahead of slad's; then it means now, as with commands (M6)."""
    if at > now + MAX_AHEAD_MS:
        raise InvalidField(
            field, "IN_THE_FUTURE", f"more than {MAX_AHEAD_MS // SECOND_MS} s ahead of slad's clock"
        )
    return min(at, now)


class Watch(NamedTuple):
    """What a watch asks for; empty: all. `after` is a sequence, None: not given."""

    consumer: str
    after: int | None
    tenants: Tenants
    types: frozenset[int]


def watch(request: rpc.WatchSlaEventsRequest, who: Caller) -> Watch:
    """WatchSlaEvents (E2); of all tenants: those of `who`."""
    after = request.after_sequence if request.HasField("after_sequence") else None
    if after is not None and after < 0:
        raise InvalidField("after_sequence", "NEGATIVE", "0 is the beginning")
    return Watch(
        consumer(request.consumer),
        after,
        who.narrowed(checked_id("tenant_id", request.tenant_id)),
        frozenset(enum(f"types[{i}]", kind, EventType).value for i, kind in enumerate(request.types)),
    )


# --- terms (C1, C4)


def terms(request: _TermsRequest) -> TermsOffer:
    """The terms that a request states, its target chosen by priority."""
    return _terms.of(request)


def _read_terms(request: _TermsRequest) -> TermsOffer:
    index, target = _choose(request)
    path = f"targets[{index}]"
    schedule: ScheduleOffer | None = None
    if not target.is_24x7:
        if not request.HasField("schedule"):
            raise InvalidField("schedule", "REQUIRED", "a target that is not 24x7 needs a schedule")
        schedule = _schedules.of(request.schedule)
    response_ms = target.response_time_minutes * MINUTE_MS
    resolution_ms = target.resolution_time_minutes * MINUTE_MS
    if not response_ms and not resolution_ms:
        raise InvalidField(path, "NO_TARGET", "neither response_time_minutes nor resolution_time_minutes")
    at_most("notification_thresholds", request.notification_thresholds, limits.in_force().thresholds)
    for place, percent in enumerate(request.notification_thresholds):
        check_percent(f"notification_thresholds[{place}]", percent)
    return TermsOffer(
        priority_id=request.priority_id or target.priority_id,
        response_ms=response_ms,
        resolution_ms=resolution_ms,
        notification_percents=tuple(sorted(set(request.notification_thresholds)))
        or DEFAULT_NOTIFICATION_PERCENTS,
        escalation_percents=(
            target.escalation_1_percent,
            target.escalation_2_percent,
            target.escalation_3_percent,
        ),
        schedule=schedule,
        target_path=path,
    )


def _choose(request: _TermsRequest) -> tuple[int, pb.SlaPolicyTarget]:
    targets = request.targets
    checked_id("priority_id", request.priority_id)
    if not targets:
        raise InvalidField("targets", "NO_TARGET", "at least one target is needed")
    at_most("targets", targets, limits.in_force().targets)
    for index, target in enumerate(targets):
        _check_target(f"targets[{index}]", target)
    if not request.priority_id:
        return 0, targets[0]
    # A target without a priority stands for any that is not listed.
    for wanted in (request.priority_id, ""):
        for index, target in enumerate(targets):
            if target.priority_id == wanted:
                return index, target
    raise InvalidField("priority_id", "NO_TARGET", f"no target has priority_id {request.priority_id!r}")


def _check_target(path: str, target: pb.SlaPolicyTarget) -> None:
    checked_id(f"{path}.target_id", target.target_id)
    checked_id(f"{path}.sla_policy_id", target.sla_policy_id)
    checked_id(f"{path}.priority_id", target.priority_id)
    minutes_of: tuple[Literal["response_time_minutes", "resolution_time_minutes"], ...]
    minutes_of = ("response_time_minutes", "resolution_time_minutes")
    for name in minutes_of:
        if target.HasField(name):
            minutes = getattr(target, name)
            if minutes <= 0:
                raise InvalidField(
                    f"{path}.{name}", "NOT_POSITIVE", "a target is at least one minute; leave it out for none"
                )
            if minutes > limits.MAX_MINUTES:
                raise InvalidField(
                    f"{path}.{name}", "DEADLINE_OUT_OF_RANGE", "the deadline would fall past the year 9999"
                )
    for level in (1, 2, 3):
        percent = getattr(target, f"escalation_{level}_percent")
        if percent:
            check_percent(f"{path}.escalation_{level}_percent", percent)


def check_percent(path: str, percent: int) -> None:
    """A percent of a target (C4)."""
    if not 1 <= percent <= MAX_PERCENT:
        raise InvalidField(
            path, "PERCENT_OUT_OF_RANGE", f"{percent} is not a percent from 1 to {MAX_PERCENT}"
        )


class _Schedules(LruCache[bytes, ScheduleOffer]):
    """Schedules lately seen, by their bytes: most requests name one that others have named before."""

    def of(self, message: pb.BusinessHoursSchedule) -> ScheduleOffer | None:
        """The schedule of a message; None when it is 24x7. Raises InvalidField."""
        if message.is_24x7:
            return None
        key = message.SerializeToString(deterministic=True)
        offer = self.get(key)
        if offer is None:
            try:
                offer = _read_schedule(message)
            except InvalidField as error:
                raise error.under("schedule") from None
            if len(key) <= MAX_REMEMBERED_BYTES:
                self.put(key, offer)
        return offer


class _Terms(LruCache[tuple[object, ...], TermsOffer]):
    """The same for whole terms, which a desk has few of."""

    def of(self, request: _TermsRequest) -> TermsOffer:
        """The terms of a request. Raises InvalidField."""
        targets = [target.SerializeToString() for target in request.targets]
        schedule = request.schedule.SerializeToString() if request.HasField("schedule") else b""
        key = (request.priority_id, *request.notification_thresholds, *targets, schedule)
        offer = self.get(key)
        if offer is None:
            offer = _read_terms(request)
            if sum(map(len, targets), len(schedule)) <= MAX_REMEMBERED_BYTES:
                self.put(key, offer)
        return offer


def _read_schedule(message: pb.BusinessHoursSchedule) -> ScheduleOffer:
    most = limits.in_force()
    at_most("entries", message.entries, most.entries)
    at_most("holidays", message.holidays, most.holidays)
    for index, holiday in enumerate(message.holidays):
        if len(holiday.holiday_name) > most.id_length:
            text = f"at most {most.id_length} characters"
            raise InvalidField(f"holidays[{index}].holiday_name", "TOO_LONG", text)
    schedule = build_schedule(
        timezone=message.timezone,
        is_24x7=False,
        entries=[(e.day_of_week, e.start_time, e.end_time, e.is_enabled) for e in message.entries],
        holidays=[(h.holiday_date, h.is_recurring, h.holiday_name) for h in message.holidays],
    )
    return ScheduleOffer(schedule, *encode_schedule(schedule))


_schedules: Final = _Schedules(REMEMBERED)
_terms: Final = _Terms(REMEMBERED)


# --- fields


def required_id(field: str, value: str) -> str:
    """An id that must be given."""
    if not value:
        raise InvalidField(field, "REQUIRED", "must not be empty")
    return checked_id(field, value)


def consumer(name: str) -> str:
    """The name of a consumer that a caller may use, or nothing."""
    if name.startswith(SINK_PREFIX):
        raise InvalidField("consumer", "RESERVED", f"names with {SINK_PREFIX} are those of slad's own sinks")
    return checked_id("consumer", name)


def page_size(asked: int, default: int = limits.DEFAULT_PAGE_SIZE) -> int:
    """How many items a page is to have; 0: that is left to slad."""
    most = limits.in_force().page_size
    size = asked or min(default, most)
    if not 1 <= size <= most:
        raise InvalidField("page_size", "OUT_OF_RANGE", f"1 to {most}")
    return size


def checked_id(field: str, value: str) -> str:
    """An id that may be empty."""
    if len(value) > limits.in_force().id_length:
        raise InvalidField(
            field, "TOO_LONG", f"{len(value)} characters, at most {limits.in_force().id_length} are allowed"
        )
    if value and not value.isprintable():
        raise InvalidField(field, "NOT_PRINTABLE", "must not hold control characters")
    return value


def identity(request: Message, scope: str, request_id: str) -> RequestIdentity | None:
    """What tells whether a request has been sent before (M6); None without a request_id."""
    if not request_id:
        return None
    checked_id("request_id", request_id)
    body = request.SerializeToString(deterministic=True)
    kind = request.DESCRIPTOR.name.encode()[: blake2b.PERSON_SIZE]
    return RequestIdentity(scope, request_id, blake2b(body, digest_size=16, person=kind).digest())


def enum(field: str, value: int, kind: type[E], default: E | None = None) -> E:
    """An enum value; zero, unspecified, is `default`, or an error when there is none."""
    if value == 0:
        if default is None:
            raise InvalidField(field, "REQUIRED", "must be specified")
        return default
    try:
        return kind(value)
    except ValueError:
        raise InvalidField(field, "UNKNOWN_ENUM_VALUE", f"{value} is not one of its values") from None


def instant(message: Message, name: str, path: str = "") -> int | None:
    """A Timestamp field in UTC epoch ms, floored; None when it is absent."""
    if not message.HasField(name):
        return None
    value: Timestamp = getattr(message, name)
    epoch_ms = value.seconds * 1_000 + value.nanos // NANOS_PER_MS
    if (
        not 0 <= value.nanos < 1_000_000_000
        or not -62_135_596_800_000 <= epoch_ms <= limits.LATEST_INSTANT_MS
    ):
        raise InvalidField(
            f"{path}.{name}" if path else name, "MALFORMED_TIMESTAMP", "not an instant of the years 1 to 9999"
        )
    return epoch_ms


def duration_ms(message: Message, name: str) -> int | None:
    """A Duration field in ms, not negative; None when it is absent."""
    if not message.HasField(name):
        return None
    value: Duration = getattr(message, name)
    span_ms = value.seconds * 1_000 + value.nanos // NANOS_PER_MS
    if not 0 <= span_ms <= limits.LATEST_INSTANT_MS or not 0 <= value.nanos < 1_000_000_000:
        raise InvalidField(name, "MALFORMED_DURATION", "not a duration of zero or more")
    return span_ms


def _attributes(items: Mapping[str, str]) -> dict[str, str]:
    attributes = dict(items)
    at_most("attributes", attributes, limits.in_force().attributes)
    for key, value in attributes.items():
        if not 0 < len(key) <= limits.MAX_ATTRIBUTE_KEY:
            raise InvalidField(
                "attributes", "KEY_LENGTH", f"keys have 1 to {limits.MAX_ATTRIBUTE_KEY} characters"
            )
        if len(value) > limits.in_force().attribute_length:
            raise InvalidField(
                f"attributes[{key!r}]", "TOO_LONG", f"at most {limits.in_force().attribute_length} characters"
            )
    return attributes


def at_most(field: str, items: Sized, limit: int) -> None:
    """Bounds a repeated field."""
    if len(items) > limit:
        raise InvalidField(field, "TOO_MANY", f"{len(items)} items, at most {limit} are allowed")


def page_key(token: str) -> int:
    """The key that a page token holds; an empty one is the beginning."""
    if not token:
        return 0
    # 15 digits keep it within SQLite's integers.
    if not re.fullmatch("[0-9a-f]{1,15}", token):
        raise InvalidField("page_token", "MALFORMED_TOKEN", "not a token that slad gave out")
    return int(token, 16)
