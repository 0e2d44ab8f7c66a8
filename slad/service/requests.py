"""Messages of the contract as commands and queries.

What is wrong raises InvalidField with the path in the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.access import Caller, Tenants
from slad.core.errors import InvalidField
from slad.core.events import PHASES, RESOLUTION, EventType, PauseReason, Phase
from slad.core.facts import Fact, insert
from slad.core.machine import ReopenMode
from slad.core.status import TimerStatus, TrackingState
from slad.core.tracking import PauseAccounting
from slad.engine.commands import (
    Assign,
    Cancel,
    Complete,
    MessageSender,
    OnExisting,
    Pause,
    RecordMessage,
    Reopen,
    RequestIdentity,
    ResponseOnResolution,
    Resume,
    Retarget,
    Start,
    TermsOffer,
)
from slad.engine.terms_change import Selection, TermsChange
from slad.service.fields import (
    Fields,
    at_most,
    duration_ms,
    enum,
    enums,
    instant,
    not_ahead,
    page_key,
    reason_code,
    sequence,
)
from slad.service.limits import EARLIEST_START_MS, MAX_ATTRIBUTE_KEY, MAX_BATCH, MAX_RETARGETED
from slad.service.terms import TermsReader, TermsRequest
from slad.service.ticket_facts import read_facts, read_pauses


class TicketQuery(NamedTuple):
    """Which generation of which ticket; None: the latest."""

    tenant_id: str
    ticket_id: str
    generation: int | None


class ListQuery(NamedTuple):
    """What ListSlaTrackings asks for; empty sets: all. `due_before` in UTC epoch ms."""

    tenants: Tenants
    states: frozenset[TrackingState]
    statuses: frozenset[TimerStatus]
    due_before: int | None
    after_key: int
    size: int


class RetargetQuery(NamedTuple):
    """What RetargetSlaTrackings asks for."""

    tenant_id: str
    selection: Selection
    change: TermsChange
    request: RequestIdentity | None
    suppress_past: bool
    dry_run: bool


class PreviewQuery(NamedTuple):
    """A ticket that does not exist, as PreviewSla describes it. Instants in UTC epoch ms."""

    terms: TermsOffer
    started_at: int
    facts: tuple[Fact, ...]
    as_of: int
    accounting: PauseAccounting


class WatchQuery(NamedTuple):
    """What a watch asks for; empty: all. `after` is a sequence, None: not given."""

    consumer: str
    after: int | None
    tenants: Tenants
    types: frozenset[int]


class RequestReader:
    """Reads the requests of SlaBackend, within the limits of `fields`."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self._terms = TermsReader(fields)

    # --- commands

    def start(self, request: rpc.StartSlaTrackingRequest, now: int) -> Start:
        """StartSlaTracking (M1)."""
        started_at = _started_at(request)
        if started_at is not None:
            not_ahead("started_at", started_at, now)
        within = duration_ms(request, "continue_within")
        return Start(
            tenant_id=self.fields.required_id("tenant_id", request.tenant_id),
            ticket_id=self.fields.required_id("ticket_id", request.ticket_id),
            request=self.fields.identity(request, request.tenant_id, request.request_id),
            policy_id=self.fields.optional_id("policy_id", request.policy_id),
            terms=self._terms.read(request),
            started_at=started_at,
            on_existing=enum("on_existing", request.on_existing, OnExisting, OnExisting.KEEP),
            suppress_past=request.suppress_past,
            accounting=_accounting(request),
            attributes=self._attributes(request.attributes),
            unjudged_response=_is_unjudged(request),
            continue_within_ms=within,
        )

    def pause(self, request: rpc.PauseSlaRequest) -> Pause:
        """PauseSla (M2)."""
        return Pause(
            tenant_id=self.fields.optional_id("tenant_id", request.tenant_id),
            ticket_id=self.fields.required_id("ticket_id", request.ticket_id),
            request=self.fields.identity(request, request.tenant_id, request.request_id),
            reason=enum("reason", request.reason, PauseReason),
            reason_code=reason_code("reason_code", request.reason, request.reason_code),
            effective_at=instant(request, "effective_at"),
        )

    def resume(self, request: rpc.ResumeSlaRequest) -> Resume:
        """ResumeSla (M2, K5)."""
        return Resume(
            tenant_id=self.fields.optional_id("tenant_id", request.tenant_id),
            ticket_id=self.fields.required_id("ticket_id", request.ticket_id),
            request=self.fields.identity(request, request.tenant_id, request.request_id),
            reason=enum("reason", request.reason, PauseReason) if request.reason else None,
            reason_code=reason_code("reason_code", request.reason, request.reason_code),
            effective_at=instant(request, "effective_at"),
        )

    def complete(self, request: rpc.CompleteSlaRequest) -> Complete:
        """CompleteSla (M3, K3): a phase, or a clock by its name."""
        clock = self.fields.optional_id("clock", request.clock)
        if not clock:
            clock = enum("phase", request.phase, Phase).name.lower()
        elif request.phase and PHASES.get(clock, 0) != int(request.phase):
            raise InvalidField("phase", "CONTRADICTORY", "give either phase or clock")
        if request.discard and clock == RESOLUTION:
            text = "the resolution ends the ticket: to end it without a verdict, cancel it"
            raise InvalidField("discard", "NOT_FOR_THIS_CLOCK", text)
        if request.discard and request.HasField("met"):
            raise InvalidField("met", "CONTRADICTORY", "what is discarded has no verdict")
        return Complete(
            tenant_id=self.fields.optional_id("tenant_id", request.tenant_id),
            ticket_id=self.fields.required_id("ticket_id", request.ticket_id),
            request=self.fields.identity(request, request.tenant_id, request.request_id),
            clock=clock,
            discard=request.discard,
            reported_met=request.met if request.HasField("met") else None,
            effective_at=instant(request, "effective_at"),
        )

    def message(self, request: rpc.RecordSlaMessageRequest) -> RecordMessage:
        """RecordSlaMessage (K2)."""
        return RecordMessage(
            tenant_id=self.fields.optional_id("tenant_id", request.tenant_id),
            ticket_id=self.fields.required_id("ticket_id", request.ticket_id),
            request=self.fields.identity(request, request.tenant_id, request.request_id),
            sender=enum("sender", request.sender, MessageSender),
            effective_at=instant(request, "effective_at"),
        )

    def assign(self, request: rpc.AssignSlaRequest) -> Assign:
        """AssignSla (K2)."""
        return Assign(
            tenant_id=self.fields.optional_id("tenant_id", request.tenant_id),
            ticket_id=self.fields.required_id("ticket_id", request.ticket_id),
            request=self.fields.identity(request, request.tenant_id, request.request_id),
            owner=self.fields.optional_id("owner", request.owner),
            effective_at=instant(request, "effective_at"),
        )

    def cancel(self, request: rpc.CancelSlaRequest) -> Cancel:
        """CancelSla (M4)."""
        return Cancel(
            tenant_id=self.fields.optional_id("tenant_id", request.tenant_id),
            ticket_id=self.fields.required_id("ticket_id", request.ticket_id),
            request=self.fields.identity(request, request.tenant_id, request.request_id),
            effective_at=instant(request, "effective_at"),
        )

    def retarget(self, request: rpc.RetargetSlaRequest, now: int) -> Retarget:
        """RetargetSla (M5)."""
        started_at = _started_at(request)
        if started_at is not None:
            not_ahead("started_at", started_at, now)
        return Retarget(
            tenant_id=self.fields.optional_id("tenant_id", request.tenant_id),
            ticket_id=self.fields.required_id("ticket_id", request.ticket_id),
            request=self.fields.identity(request, request.tenant_id, request.request_id),
            policy_id=self.fields.optional_id("policy_id", request.policy_id),
            terms=self._terms.read(request),
            started_at=started_at,
            suppress_past=request.suppress_past,
        )

    def retarget_trackings(self, request: rpc.RetargetSlaTrackingsRequest) -> RetargetQuery:
        """RetargetSlaTrackings (M9)."""
        which = request.which
        given = [bool(which.schedule_id), bool(which.policy_id), bool(which.ticket_ids)]
        if sum(given) != 1:
            raise InvalidField("which", "NOT_ONE", "give one of schedule_id, policy_id and ticket_ids")
        at_most("which.ticket_ids", which.ticket_ids, MAX_RETARGETED)
        ticket_ids = [
            self.fields.required_id(f"which.ticket_ids[{index}]", ticket_id)
            for index, ticket_id in enumerate(which.ticket_ids)
        ]
        change = self._terms.change(request)
        return RetargetQuery(
            self.fields.required_id("tenant_id", request.tenant_id),
            Selection(
                change.of_schedule,
                self.fields.optional_id("which.policy_id", which.policy_id),
                tuple(dict.fromkeys(ticket_ids)),
            ),
            change,
            self.fields.identity(request, request.tenant_id, request.request_id),
            request.suppress_past,
            request.dry_run,
        )

    def reopen(self, request: rpc.ReopenSlaRequest) -> Reopen:
        """ReopenSla (M5)."""
        return Reopen(
            tenant_id=self.fields.optional_id("tenant_id", request.tenant_id),
            ticket_id=self.fields.required_id("ticket_id", request.ticket_id),
            request=self.fields.identity(request, request.tenant_id, request.request_id),
            mode=enum("mode", request.mode, ReopenMode),
            effective_at=instant(request, "effective_at"),
        )

    # --- queries

    def ticket_query(self, request: rpc.GetSlaStatusRequest | rpc.GetSlaTimelineRequest) -> TicketQuery:
        """GetSlaStatus, GetSlaTimeline."""
        generation = request.generation if request.HasField("generation") else None
        if generation is not None and generation < 1:
            raise InvalidField("generation", "NOT_POSITIVE", "generations are counted from 1")
        return TicketQuery(
            self.fields.optional_id("tenant_id", request.tenant_id),
            self.fields.required_id("ticket_id", request.ticket_id),
            generation,
        )

    def batch_query(self, request: rpc.BatchGetSlaStatusRequest) -> tuple[str, list[str]]:
        """BatchGetSlaStatus (X5): (tenant_id, ticket_ids)."""
        at_most("ticket_ids", request.ticket_ids, MAX_BATCH)
        return self.fields.required_id("tenant_id", request.tenant_id), [
            self.fields.required_id(f"ticket_ids[{index}]", ticket_id)
            for index, ticket_id in enumerate(request.ticket_ids)
        ]

    def list_query(self, request: rpc.ListSlaTrackingsRequest, who: Caller) -> ListQuery:
        """ListSlaTrackings; of all tenants: those of `who`."""
        return ListQuery(
            who.narrowed(self.fields.optional_id("tenant_id", request.tenant_id)),
            frozenset(enums("states", request.states, TrackingState)),
            frozenset(enums("statuses", request.statuses, TimerStatus)),
            instant(request, "due_before"),
            page_key(request.page_token),
            self.fields.page_size(request.page_size),
        )

    def preview(self, request: rpc.PreviewSlaRequest, now: int) -> PreviewQuery:
        """PreviewSla; without a start the clocks begin at `now`."""
        stated = _started_at(request)
        started_at = now if stated is None else stated
        as_of = instant(request, "as_of")
        if as_of is not None and as_of < started_at:
            raise InvalidField("as_of", "BEFORE_START", "before started_at")
        terms = self._terms.read(request)
        facts = read_pauses(request.pauses, started_at, self.fields.limits.pauses)
        for fact in read_facts(request.facts, terms, started_at, self.fields):
            facts = insert(facts, fact)
        return PreviewQuery(
            terms,
            started_at,
            facts,
            started_at if as_of is None else as_of,
            _accounting(request),
        )

    def watch(self, request: rpc.WatchSlaEventsRequest, who: Caller) -> WatchQuery:
        """WatchSlaEvents (E2); of all tenants: those of `who`."""
        after = request.after_sequence if request.HasField("after_sequence") else None
        return WatchQuery(
            self.fields.consumer(request.consumer),
            None if after is None else sequence("after_sequence", after),
            who.narrowed(self.fields.optional_id("tenant_id", request.tenant_id)),
            frozenset(kind.value for kind in enums("types", request.types, EventType)),
        )

    # --- what they hold

    def _attributes(self, items: Mapping[str, str]) -> dict[str, str]:
        if not items:
            return {}
        limits = self.fields.limits
        attributes = dict(items)
        at_most("attributes", attributes, limits.attributes)
        for key, value in attributes.items():
            if not 0 < len(key) <= MAX_ATTRIBUTE_KEY:
                raise InvalidField(
                    "attributes", "KEY_LENGTH", f"keys have 1 to {MAX_ATTRIBUTE_KEY} characters"
                )
            if len(value) > limits.attribute_length:
                raise InvalidField(
                    f"attributes[{key!r}]", "TOO_LONG", f"at most {limits.attribute_length} characters"
                )
        return attributes


def _started_at(request: TermsRequest) -> int | None:
    started_at = instant(request, "started_at")
    if started_at is not None and started_at < EARLIEST_START_MS:
        raise InvalidField("started_at", "TOO_FAR_IN_THE_PAST", "before the year 2000")
    return started_at


def _is_unjudged(request: rpc.StartSlaTrackingRequest) -> bool:
    name, counts = "response_on_resolution", ResponseOnResolution.COUNTS
    chosen = enum(name, request.response_on_resolution, ResponseOnResolution, counts)
    return chosen is ResponseOnResolution.UNJUDGED


def _accounting(request: rpc.StartSlaTrackingRequest | rpc.PreviewSlaRequest) -> PauseAccounting:
    return enum("pause_accounting", request.pause_accounting, PauseAccounting, PauseAccounting.BUSINESS_TIME)
