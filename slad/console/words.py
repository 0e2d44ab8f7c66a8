"""What the pages say of the contract's values."""

from __future__ import annotations

import json
import shlex
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from slad_client.v1 import types_pb2 as pb

from slad.core.instants import SECOND_MS
from slad.core.picture import threshold_label
from slad.core.status import TimerStatus
from slad.core.time_text import open_span

_NOT_IN_PATHS: Final = frozenset({".", ".."})
"""Browsers take these for directories, however they are written."""


class Word(NamedTuple):
    """A word and the class by which it is coloured."""

    text: str
    kind: str


def word(name: str, prefix: str) -> str:
    """`SLA_EVENT_TYPE_PAUSE_CHANGED` → `pause changed`."""
    return name.removeprefix(prefix).lower().replace("_", " ")


STATUSES: Final = {status: word(status.name, "") for status in TimerStatus}


def state_word(status: pb.SlaStatus) -> Word:
    """How a ticket stands; of an ended one how it ended."""
    if status.state != pb.SLA_TRACKING_STATE_ACTIVE:
        return Word(word(pb.SlaTrackingState.Name(status.state), "SLA_TRACKING_STATE_"), "ended")
    return status_word(TimerStatus(status.status))


def status_word(status: TimerStatus) -> Word:
    """How a live ticket stands."""
    return Word(STATUSES[status], status.name.lower().replace("_", "-"))


def event_kind(event: pb.SlaEvent) -> str:
    """What happened."""
    return word(pb.SlaEventType.Name(event.type), "SLA_EVENT_TYPE_")


def event_details(event: pb.SlaEvent) -> str:
    """What else there is to say."""
    clock = event_clock(event)
    parts = [f"{clock}{f' (cycle {event.cycle})' if event.cycle > 1 else ''}"] if clock else []
    if event.HasField("threshold"):
        parts.append(meaning(event.threshold))
        if event.threshold.superseded:
            parts.append("superseded by a higher one")
    if event.pause_reason:
        named = word(pb.SlaPauseReason.Name(event.pause_reason), "SLA_PAUSE_REASON_")
        parts.append(event.pause_reason_code if event.pause_reason == pb.SLA_PAUSE_REASON_OTHER else named)
    if event.HasField("met"):
        parts.append("met" if event.met else "missed")
    if event.owner:
        parts.append(event.owner)
    return ", ".join(parts)


def event_clock(event: pb.SlaEvent) -> str:
    """The clock that it is about, if it is about one."""
    if event.clock or not event.phase:
        return event.clock
    return word(pb.SlaPhase.Name(event.phase), "SLA_PHASE_")


def meaning(threshold: pb.SlaThreshold) -> str:
    """`90 %, level 2`."""
    return threshold_label(threshold.percent, threshold.escalation_level, breach=threshold.breach)


def clock_words(clock: pb.SlaClock, *, closed: bool) -> Word:
    """`1 h of 4 h, 3 h left`, or how it ended."""
    target, elapsed = clock.target.ToMilliseconds(), clock.elapsed.ToMilliseconds()
    told = f"{open_span(elapsed)} of {open_span(target)}"
    if clock.HasField("met"):
        return Word(f"{told}, {'met' if clock.met else 'missed'}", "on-track" if clock.met else "breached")
    if closed:
        return Word(f"{told}, ended without a verdict", "ended")
    if clock.HasField("breached_at"):
        return Word(f"{told}, over by {open_span(elapsed - target)}", "breached")
    kind = "at-risk" if (target - elapsed) * 4 <= target else "on-track"
    return Word(f"{told}, {open_span(max(0, target - elapsed))} left", kind)


def lateness(event: pb.SlaEvent) -> int:
    """By how much an event was recorded after it happened, ms; 0 when that is under a second."""
    late = event.recorded_at.ToMilliseconds() - event.occurred_at.ToMilliseconds()
    return late if late >= SECOND_MS else 0


def ticket_path(tenant_id: str, ticket_id: str, page: str = "", **query: object) -> str:
    """The address of a ticket's page, or of another `page` about it."""
    asked = {key: value for key, value in query.items() if value not in ("", None)}
    if {tenant_id, ticket_id} & _NOT_IN_PATHS:
        asked = {"tenant": tenant_id, "ticket": ticket_id, **asked}
        path = f"/ticket{f'/{page}' if page else ''}"
    else:
        path = f"/t/{quote(tenant_id, safe='')}/{quote(ticket_id, safe='')}{f'/{page}' if page else ''}"
    return f"{path}?{urlencode(asked)}" if asked else path


def commands(address: str, tenant_id: str, ticket_id: str) -> list[str]:
    """What one can type to see the same."""
    option = [] if address == "127.0.0.1:7523" else ["--address", address]
    request = json.dumps({"tenant_id": tenant_id, "ticket_id": ticket_id, "include_audit": True})
    where = ["-unix", address.removeprefix("unix:")] if address.startswith("unix:") else [address]
    ids, options = [tenant_id, ticket_id], ["--audit", *option]
    is_plain = not any(one.startswith("-") for one in ids)
    return [
        shlex.join(["slad", "explain", *([*ids, *options] if is_plain else [*options, "--", *ids])]),
        shlex.join(["grpcurl", "-plaintext", "-d", request, *where, "slad.v1.SlaBackend/GetSlaTimeline"]),
    ]
