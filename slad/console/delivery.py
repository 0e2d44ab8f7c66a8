"""What the page of sinks and consumers shows."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from slad_client.v1 import admin_pb2

from slad.console.calls import Calls
from slad.console.now import sees_everything
from slad.console.words import Word, event_details, event_kind, word
from slad.core.access import Caller

PARKED: Final = 50
"""Parked events of a sink that are listed."""

_SINK_KINDS: Final = {1: "on-track", 2: "at-risk", 3: "breached"}


class ParkedView(NamedTuple):
    """A parked event."""

    sequence: int
    tenant_id: str
    ticket_id: str
    what: str
    parked_at: int
    attempts: int
    reason: str
    is_replaying: bool


class SinkView(NamedTuple):
    """A sink, with the first of what it has parked."""

    sink: Any
    """SlaSink."""
    state: Word
    parked: list[ParkedView]


class DeliveryView(NamedTuple):
    """All of the page."""

    consumers: Any
    """SlaConsumers that the reader may see."""
    sinks: list[SinkView] | None
    """None: sinks are not for this reader."""
    temporal: Any
    """GetSlaPassThroughResponse; None: not for this reader."""


async def delivery(calls: Calls, who: Caller) -> DeliveryView:
    """Consumers, sinks and Temporal, as far as `who` may see them. Raises Refused."""
    consumers = (await calls.call(who, "SlaAdmin.ListSlaConsumers")).consumers
    if not sees_everything(who):
        return DeliveryView(consumers, None, None)
    sinks = []
    for sink in (await calls.call(who, "SlaAdmin.ListSlaSinks")).sinks:
        parked = []
        if sink.parked:
            reply = await calls.call(who, "SlaAdmin.ListParkedSlaEvents", sink=sink.sink, page_size=PARKED)
            parked = [_parked(event) for event in reply.events]
        name = word(admin_pb2.SlaSinkState.Name(sink.state), "SLA_SINK_STATE_")
        state = Word(name, _SINK_KINDS.get(sink.state, ""))
        sinks.append(SinkView(sink, state, parked))
    return DeliveryView(consumers, sinks, await calls.call(who, "SlaPassThrough.GetSlaPassThrough"))


def _parked(parked: Any) -> ParkedView:
    event = parked.event
    return ParkedView(
        event.sequence,
        event.tenant_id,
        event.ticket_id,
        ", ".join(filter(None, (event_kind(event), event_details(event)))),
        parked.parked_at.ToMilliseconds(),
        parked.attempts,
        parked.reason,
        parked.replaying,
    )
