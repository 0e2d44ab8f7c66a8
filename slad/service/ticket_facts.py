"""What has happened to a ticket, as messages of the contract tell it, as facts in the order of time.

What is wrong raises InvalidField with the path in the request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Final, NamedTuple

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.errors import InvalidField
from slad.core.events import RESOLUTION, RESPONSE, PauseReason
from slad.core.facts import MAX_AHEAD_MS, Fact, FactKind, instant_of, reported_code
from slad.core.instants import MAX_INSTANT_MS
from slad.engine.commands import TermsOffer
from slad.service.fields import Fields, at_most, enum, instant, not_ahead, reason_code


class _Stretch(NamedTuple):
    """A pause, or a time in which the ticket was closed; UTC epoch ms, a running pause has no end."""

    from_ms: int
    to_ms: int
    facts: tuple[Fact, ...]

    @property
    def is_empty(self) -> bool:
        return self.from_ms == self.to_ms


def facts_of_row(
    row: rpc.SlaTrackingImport, terms: TermsOffer, earliest: int, now: int, fields: Fields
) -> tuple[Fact, ...]:
    """What a row of an import says. Nothing may lie before `earliest` or after `now`.

    Of one instant, a reopening comes first and an end last: an agent may answer and close at once.
    """
    most = fields.limits.pauses
    pauses = _pauses(row.pauses, earliest, now, most)
    at_most("closed", row.closed, most)
    closed = _all_closed(row.closed, pauses, earliest, now)
    told = list(read_facts(row.facts, terms, earliest, fields, now))
    facts = [
        fact
        for stretch in closed
        for fact in stretch.facts
        if stretch.is_empty or fact.kind == FactKind.REOPEN
    ]
    response_at = instant(row, "response_completed_at")
    if response_at is not None:
        if response_at < earliest - MAX_AHEAD_MS:
            text = "before start.started_at, or before now"
            raise InvalidField("response_completed_at", "BEFORE_START", text)
        met = row.response_met if row.HasField("response_met") else None
        at = max(not_ahead("response_completed_at", response_at, now), earliest)
        facts.append(Fact(at, FactKind.RESPOND, reported_code(met)))
    facts += [fact for stretch in pauses for fact in stretch.facts]
    facts += told
    facts += [stretch.facts[0] for stretch in closed if not stretch.is_empty]
    return tuple(sorted(facts, key=instant_of))


def read_pauses(items: Sequence[pb.SlaPause], started_at: int, most: int) -> tuple[Fact, ...]:
    """The pauses of a preview, which may lie ahead."""
    facts = [fact for stretch in _pauses(items, started_at, None, most) for fact in stretch.facts]
    return tuple(sorted(facts, key=instant_of))


def _pauses(items: Sequence[pb.SlaPause], started_at: int, now: int | None, most: int) -> list[_Stretch]:
    """Pauses in their order; those for one reason must be apart, and only the last may be running (K5)."""
    at_most("pauses", items, most)
    several = len(items) > 1 and len({(item.reason, item.reason_code) for item in items}) > 1
    stretches: list[_Stretch] = []
    latest = started_at
    ends: dict[str, int | None] = {}
    for index, item in enumerate(items):
        path = f"pauses[{index}]"
        begun = _pause_fact(path, item)
        paused_at, resumed_at = begun.at, instant(item, "resumed_at", path)
        earliest = ends.get(begun.reason, latest)
        if earliest is None:
            raise InvalidField(path, "OVERLAPS", "the pause before it is still running")
        if paused_at < max(earliest, latest):
            text = "before the start, or before the end of the last pause"
            raise InvalidField(f"{path}.paused_at", "OUT_OF_ORDER", text)
        if resumed_at is not None and resumed_at < paused_at:
            raise InvalidField(f"{path}.resumed_at", "OUT_OF_ORDER", "before paused_at")
        if now is not None:
            paused_at = not_ahead(f"{path}.paused_at", paused_at, now)
            if resumed_at is not None:
                resumed_at = not_ahead(f"{path}.resumed_at", resumed_at, now)
        ends[begun.reason], latest = resumed_at, paused_at
        facts = [Fact(paused_at, FactKind.PAUSE, begun.detail, begun.text)]
        if resumed_at is not None:
            named = (begun.detail, begun.text) if several else (0, "")
            facts.append(Fact(resumed_at, FactKind.RESUME, *named))
        end = MAX_INSTANT_MS if resumed_at is None else resumed_at
        stretches.append(_Stretch(paused_at, end, tuple(facts)))
    return stretches


def _pause_fact(path: str, item: pb.SlaPause) -> Fact:
    paused_at = instant(item, "paused_at", path)
    if paused_at is None:
        raise InvalidField(f"{path}.paused_at", "REQUIRED", "a pause needs a beginning")
    reason = enum(f"{path}.reason", item.reason, PauseReason, PauseReason.STATUS_PAUSE)
    code = reason_code(f"{path}.reason_code", reason, item.reason_code)
    return Fact(paused_at, FactKind.PAUSE, reason.value, code)


def _all_closed(
    items: Sequence[rpc.SlaClosedTime], pauses: Sequence[_Stretch], earliest: int, now: int
) -> list[_Stretch]:
    """The times in which the ticket was closed; none overlaps a pause, or another such time."""
    begins = [pause.from_ms for pause in pauses]
    until = list(accumulate((pause.to_ms for pause in pauses), max))
    closed: list[_Stretch] = []
    for index, item in enumerate(items):
        path = f"closed[{index}]"
        stretch = _closed(path, item, earliest, now)
        paused = bisect_left(begins, stretch.to_ms)
        place = bisect_left(closed, stretch.to_ms, key=attrgetter("from_ms"))
        if (paused and until[paused - 1] > stretch.from_ms) or (
            place and closed[place - 1].to_ms > stretch.from_ms
        ):
            raise InvalidField(path, "OVERLAPS", "overlaps a pause, or another closed stretch")
        closed.insert(place, stretch)
    return closed


def _closed(path: str, item: rpc.SlaClosedTime, earliest: int, now: int) -> _Stretch:
    closed_at = instant(item, "closed_at", path)
    reopened_at = instant(item, "reopened_at", path)
    if closed_at is None or reopened_at is None:
        missing = "closed_at" if closed_at is None else "reopened_at"
        raise InvalidField(f"{path}.{missing}", "REQUIRED", "a closed stretch needs a beginning and an end")
    if closed_at < earliest:
        raise InvalidField(f"{path}.closed_at", "BEFORE_START", "before the start of the tracking")
    if reopened_at < closed_at:
        raise InvalidField(f"{path}.reopened_at", "OUT_OF_ORDER", "before closed_at")
    closed_at = not_ahead(f"{path}.closed_at", closed_at, now)
    reopened_at = not_ahead(f"{path}.reopened_at", reopened_at, now)
    ended = FactKind.RESOLVE if item.resolved else FactKind.CANCEL
    return _Stretch(closed_at, reopened_at, (Fact(closed_at, ended), Fact(reopened_at, FactKind.REOPEN)))


_KINDS: Final = {
    rpc.SLA_FACT_KIND_CUSTOMER_MESSAGE: FactKind.CUSTOMER_MESSAGE,
    rpc.SLA_FACT_KIND_AGENT_MESSAGE: FactKind.AGENT_MESSAGE,
    rpc.SLA_FACT_KIND_ASSIGNED: FactKind.ASSIGN,
    rpc.SLA_FACT_KIND_CLOCK_COMPLETED: FactKind.COMPLETE,
    rpc.SLA_FACT_KIND_CLOCK_DISCARDED: FactKind.DISCARD,
}


def read_facts(
    items: Sequence[rpc.SlaFact], terms: TermsOffer, earliest: int, fields: Fields, now: int | None = None
) -> Iterator[Fact]:
    """Messages, owners and named completions, in order (K2). With `now` none may lie ahead of it."""
    at_most("facts", items, fields.limits.pauses)
    for index, item in enumerate(items):
        path = f"facts[{index}]"
        at = instant(item, "at", path)
        if at is None:
            raise InvalidField(f"{path}.at", "REQUIRED", "a fact needs its instant")
        if at < earliest:
            raise InvalidField(f"{path}.at", "OUT_OF_ORDER", "before the start, or before the fact before it")
        earliest = at
        at = at if now is None else not_ahead(f"{path}.at", at, now)
        kind = _KINDS.get(item.kind)
        if not item.kind:
            raise InvalidField(f"{path}.kind", "REQUIRED", "must be specified")
        if kind is None:
            raise InvalidField(f"{path}.kind", "UNKNOWN_ENUM_VALUE", f"{item.kind} is not one of its values")
        _check_kind(path, item, kind)
        met = item.met if item.HasField("met") else None
        text = fields.optional_id(f"{path}.owner", item.owner) if kind is FactKind.ASSIGN else ""
        if kind in (FactKind.COMPLETE, FactKind.DISCARD):
            text = _clock_name(f"{path}.clock", item.clock, kind, terms)
        yield Fact(at, kind, reported_code(met), text)


def _check_kind(path: str, item: rpc.SlaFact, kind: FactKind) -> None:
    """Refuses what goes with a fact of another kind."""
    for name, is_given, kinds in (
        ("owner", bool(item.owner), (FactKind.ASSIGN,)),
        ("clock", bool(item.clock), (FactKind.COMPLETE, FactKind.DISCARD)),
        ("met", item.HasField("met"), (FactKind.COMPLETE,)),
    ):
        if is_given and kind not in kinds:
            text = f"a fact of the kind {rpc.SlaFactKind.Name(item.kind)} has none"
            raise InvalidField(f"{path}.{name}", "CONTRADICTORY", text)


def _clock_name(path: str, name: str, kind: FactKind, terms: TermsOffer) -> str:
    may_be_response = kind is FactKind.DISCARD and name == RESPONSE
    if name == RESOLUTION or (terms.clock(name) is None and not may_be_response):
        raise InvalidField(path, "CLOCK_NOT_FOUND", f"the start has no clock {name!r} that this could close")
    return name
