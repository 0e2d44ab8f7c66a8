"""The commands of a simulated world as slad's own."""

from __future__ import annotations

from typing import Any

import msgspec

from slad.core.events import PauseReason
from slad.core.instants import MINUTE_MS
from slad.core.machine import ReopenMode
from slad.engine import commands as slad
from slad.storage.codec import encode_schedule
from tests.core.tickets import OFFICE
from tests.trials.simulation.actions import (
    CLOCKS,
    EVERY_HOUR,
    NIGHTS,
    Command,
    Fact,
    Promise,
    Reopen,
    Retarget,
    Start,
)
from tests.trials.simulation.loop import instant
from tests.trials.simulation.nights import SCHEDULE_OF_NIGHTS

SCHEDULE = slad.ScheduleOffer(OFFICE, *encode_schedule(OFFICE))
OWN_SCHEDULES = {
    EVERY_HOUR: ("", None),
    NIGHTS: ("nights", slad.ScheduleOffer(SCHEDULE_OF_NIGHTS, *encode_schedule(SCHEDULE_OF_NIGHTS))),
}
"""(id, schedule) of clocks that do not count by the ticket's."""


def told_to_slad(command: Command, now: int) -> slad.Command:
    whose: dict[str, Any] = {"tenant_id": command.tenant, "ticket_id": command.ticket}
    if command.request_id:
        fingerprint = repr(command).encode()
        whose["request"] = slad.RequestIdentity(command.tenant, command.request_id, fingerprint)
    match command.what:
        case Start() as start:
            return slad.Start(
                **whose,
                policy_id="policy",
                terms=_offer(start.promise),
                started_at=_at(start.ago, now),
                on_existing=slad.OnExisting[start.existing.name],
                suppress_past=start.suppress_past,
                unjudged_response=start.unjudged_response,
            )
        case Retarget() as retarget:
            terms, silent = _offer(retarget.promise), retarget.suppress_past
            started_at = _at(retarget.started, now)
            return slad.Retarget(
                **whose, policy_id="policy", terms=terms, started_at=started_at, suppress_past=silent
            )
        case Reopen() as reopen:
            mode = ReopenMode.RESTART if reopen.restart else ReopenMode.RESUME
            return slad.Reopen(**whose, mode=mode, effective_at=_at(reopen.ago, now))
        case Fact() as fact:
            return _fact(fact, whose, now)


def _fact(fact: Fact, whose: dict[str, Any], now: int) -> slad.Command:
    whose["effective_at"] = _at(fact.ago, now)
    match fact.kind.split():
        case ["pause"]:
            return slad.Pause(**whose, reason=PauseReason.AWAITING_CLIENT)
        case ["pause", "for", code]:
            return slad.Pause(**whose, reason=PauseReason.OTHER, reason_code=code)
        case ["resume"]:
            return slad.Resume(**whose)
        case ["resume", "from", code]:
            return slad.Resume(**whose, reason=PauseReason.OTHER, reason_code=code)
        case ["cancel"]:
            return slad.Cancel(**whose)
        case ["customer" | "agent" as sender]:
            return slad.RecordMessage(**whose, sender=slad.MessageSender[sender.upper()])
        case ["to", owner]:
            return slad.Assign(**whose, owner="" if owner == "nobody" else owner)
        case ["complete" | "discard" as how, clock]:
            return slad.Complete(**whose, clock=clock, discard=how == "discard")
        case [end]:
            return slad.Complete(**whose, clock={"respond": "response", "resolve": "resolution"}[end])
        case _:
            raise AssertionError(fact)


def _offer(promise: Promise) -> slad.TermsOffer:
    return slad.TermsOffer(
        "",
        promise.response * MINUTE_MS,
        promise.resolution * MINUTE_MS,
        promise.notify,
        promise.escalate,
        SCHEDULE if promise.office else None,
        "targets[0]",
        tuple(_clock(name) for name in promise.clocks),
    )


def _clock(name: str) -> slad.ClockOffer:
    clock = CLOCKS[name]
    own, schedule = OWN_SCHEDULES.get(clock.schedule_key, (None, None))
    return slad.ClockOffer(msgspec.structs.replace(clock, schedule_id=own), schedule, name)


def _at(ago: int | None, now: int) -> int | None:
    return None if ago is None else instant(now - ago)
