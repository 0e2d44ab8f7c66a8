"""Rows of an import or a reconciliation as commands: a start with what has happened since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.errors import InvalidField
from slad.core.events import PHASES, Phase
from slad.core.terms import ClockKind, check_percent
from slad.core.tracking import CycleKey, Fired
from slad.engine.commands import Start, TermsOffer
from slad.service.fields import at_most, enum, instant, not_ahead
from slad.service.limits import EARLIEST_START_MS, MAX_FIRED
from slad.service.requests import RequestReader
from slad.service.ticket_facts import facts_of_row


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
    facts = facts_of_row(row, command.terms, earliest, now, requests.fields)
    fired = tuple(_fired(row.fired, command.terms, now)) if row.fired else ()
    if not facts and not fired:
        return command
    # What a request_id stands for is the whole row.
    request = requests.fields.identity(row, stated.tenant_id, stated.request_id)
    return msgspec.structs.replace(command, facts=facts, fired=fired, request=request)


def _fired(items: Sequence[rpc.SlaFiredThreshold], terms: TermsOffer, now: int) -> Iterator[Fired]:
    at_most("fired", items, MAX_FIRED)
    seen: set[tuple[CycleKey, int]] = set()
    for index, item in enumerate(items):
        path = f"fired[{index}]"
        cycle = _cycle_of(path, item, terms)
        check_percent(f"{path}.percent", item.percent)
        if (cycle, item.percent) in seen:
            raise InvalidField(f"{path}.percent", "LISTED_TWICE", "this threshold is in the list already")
        seen.add((cycle, item.percent))
        scheduled_at = instant(item, "scheduled_at", path)
        fired_at = instant(item, "fired_at", path)
        if scheduled_at is None:
            raise InvalidField(
                f"{path}.scheduled_at", "REQUIRED", "a threshold needs the instant at which it fired"
            )
        # Perhaps before the start, which may have been moved since: what is still true stays as it was (M5).
        if scheduled_at < EARLIEST_START_MS:
            raise InvalidField(f"{path}.scheduled_at", "TOO_FAR_IN_THE_PAST", "before the year 2000")
        if item.retractions < 0:
            raise InvalidField(f"{path}.retractions", "NEGATIVE", "must be a number of retractions")
        if fired_at is None and not item.retractions:
            raise InvalidField(
                f"{path}.fired_at", "REQUIRED", "only a retracted threshold has no instant of firing"
            )
        yield Fired(
            cycle[0],
            item.percent,
            scheduled_at,
            0 if fired_at is None else min(not_ahead(f"{path}.fired_at", fired_at, now), now),
            item.superseded,
            item.silent,
            item.retractions,
            cycle[1],
        )


def _cycle_of(path: str, item: rpc.SlaFiredThreshold, terms: TermsOffer) -> CycleKey:
    """The cycle whose threshold fired (K4)."""
    if item.clock and item.phase and PHASES.get(item.clock, 0) != int(item.phase):
        raise InvalidField(f"{path}.phase", "CONTRADICTORY", "give either phase or clock")
    if not item.clock:
        return enum(f"{path}.phase", item.phase, Phase).value, 0
    if phase := PHASES.get(item.clock):
        return phase.value, 0
    clock = terms.clock(item.clock)
    if clock is None:
        raise InvalidField(f"{path}.clock", "CLOCK_NOT_FOUND", f"the start has no clock {item.clock!r}")
    if clock.kind <= ClockKind.FROM_START:
        return clock.name, 0
    opened_at = instant(item, "cycle_opened_at", path)
    if opened_at is None:
        text = "a clock of this kind has several cycles, which their openings tell apart"
        raise InvalidField(f"{path}.cycle_opened_at", "REQUIRED", text)
    return clock.name, opened_at
