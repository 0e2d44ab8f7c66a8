"""Rows of an import or a reconciliation as commands: a start with what has happened since."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter

import msgspec
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.errors import InvalidField
from slad.core.events import Phase
from slad.core.facts import Fact, FactKind, reported_code
from slad.core.instants import MAX_INSTANT_MS
from slad.core.tracking import Fired
from slad.engine.commands import Start
from slad.service.fields import at_most, enum, instant, not_ahead, percent
from slad.service.limits import MAX_FIRED
from slad.service.requests import RequestReader


def tracking_import(requests: RequestReader, row: rpc.SlaTrackingImport, tenant_id: str, now: int) -> Start:
    """One row. `tenant_id`, when given, stands in for the row's own, and must not contradict it.

    Raises InvalidField with the path within the row.
    """
    stated = row.start
    if tenant_id and stated.tenant_id not in ("", tenant_id):
        raise InvalidField("start.tenant_id", "OTHER_TENANT", f"the list is of tenant {tenant_id!r}")
    if tenant_id and not stated.tenant_id:
        stated = rpc.StartSlaTrackingRequest()
        stated.CopyFrom(row.start)
        stated.tenant_id = tenant_id
    try:
        command = requests.start(stated, now)
    except InvalidField as error:
        raise error.under("start") from None
    # Without a start the clocks begin now, and nothing can have happened to them before.
    earliest = now if command.started_at is None else command.started_at
    facts = requests.pauses(row.pauses, earliest, now)
    if row.closed:
        at_most("closed", row.closed, requests.fields.limits.pauses)
        facts = _with_closed_time(facts, row.closed, earliest, now)
    response_at = instant(row, "response_completed_at")
    if response_at is not None:
        if response_at < earliest:
            raise InvalidField(
                "response_completed_at", "BEFORE_START", "before start.started_at, or before now"
            )
        met = row.response_met if row.HasField("response_met") else None
        at = not_ahead("response_completed_at", response_at, now)
        # Before what is of the same instant: a ticket that was closed then had been answered.
        place = bisect_left(facts, at, key=attrgetter("at"))
        facts = (*facts[:place], Fact(at, FactKind.RESPOND, reported_code(met)), *facts[place:])
    fired = tuple(_fired(row.fired, earliest, now))
    if not facts and not fired:
        return command
    # What a request_id stands for is the whole row.
    request = requests.fields.identity(row, stated.tenant_id, stated.request_id)
    return msgspec.structs.replace(command, facts=facts, fired=fired, request=request)


def _with_closed_time(
    pauses: tuple[Fact, ...], items: Sequence[rpc.SlaClosedTime], earliest: int, now: int
) -> tuple[Fact, ...]:
    """The facts of pauses and closed stretches in the order of time, which must not overlap."""
    stretches = _stretches_of(pauses)
    for index, item in enumerate(items):
        path = f"closed[{index}]"
        closed_at = instant(item, "closed_at", path)
        reopened_at = instant(item, "reopened_at", path)
        if closed_at is None or reopened_at is None:
            missing = "closed_at" if closed_at is None else "reopened_at"
            raise InvalidField(
                f"{path}.{missing}", "REQUIRED", "a closed stretch needs a beginning and an end"
            )
        if closed_at < earliest:
            raise InvalidField(f"{path}.closed_at", "BEFORE_START", "before the start of the tracking")
        if reopened_at < closed_at:
            raise InvalidField(f"{path}.reopened_at", "OUT_OF_ORDER", "before closed_at")
        closed_at = not_ahead(f"{path}.closed_at", closed_at, now)
        reopened_at = not_ahead(f"{path}.reopened_at", reopened_at, now)
        facts = (Fact(closed_at, FactKind.CANCEL), Fact(reopened_at, FactKind.REOPEN))
        if any(closed_at < to_ms and from_ms < reopened_at for from_ms, to_ms, _ in stretches):
            raise InvalidField(path, "OVERLAPS", "overlaps a pause, or another closed stretch")
        stretches.append((closed_at, reopened_at, facts))
    stretches.sort(key=lambda stretch: stretch[:2])
    return tuple(fact for *_, facts in stretches for fact in facts)


def _stretches_of(pauses: tuple[Fact, ...]) -> list[tuple[int, int, tuple[Fact, ...]]]:
    """(from, to, facts) of pauses, UTC epoch ms; a running one has no end."""
    stretches: list[tuple[int, int, tuple[Fact, ...]]] = []
    for fact in pauses:
        if fact.kind == FactKind.PAUSE:
            stretches.append((fact.at, MAX_INSTANT_MS, (fact,)))
        else:
            from_ms, _, begun = stretches[-1]
            stretches[-1] = (from_ms, fact.at, (*begun, fact))
    return stretches


def _fired(items: Sequence[rpc.SlaFiredThreshold], earliest: int, now: int) -> Iterator[Fired]:
    at_most("fired", items, MAX_FIRED)
    seen: set[tuple[int, int]] = set()
    for index, item in enumerate(items):
        path = f"fired[{index}]"
        phase = enum(f"{path}.phase", item.phase, Phase)
        percent(f"{path}.percent", item.percent)
        if (phase, item.percent) in seen:
            raise InvalidField(f"{path}.percent", "LISTED_TWICE", "this threshold is in the list already")
        seen.add((phase, item.percent))
        scheduled_at = instant(item, "scheduled_at", path)
        fired_at = instant(item, "fired_at", path)
        if scheduled_at is None:
            raise InvalidField(
                f"{path}.scheduled_at", "REQUIRED", "a threshold needs the instant at which it fired"
            )
        if scheduled_at < earliest:
            raise InvalidField(f"{path}.scheduled_at", "BEFORE_START", "before the start of the tracking")
        if item.retractions < 0:
            raise InvalidField(f"{path}.retractions", "NEGATIVE", "must be a number of retractions")
        if fired_at is None and not item.retractions:
            raise InvalidField(
                f"{path}.fired_at", "REQUIRED", "only a retracted threshold has no instant of firing"
            )
        yield Fired(
            phase,
            item.percent,
            scheduled_at,
            0 if fired_at is None else not_ahead(f"{path}.fired_at", fired_at, now),
            item.superseded,
            item.silent,
            item.retractions,
        )
