"""Events as JSON: CloudEvents for everybody, and the form of AlgaPSA's own event bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from slad_client.v1 import types_pb2 as pb

from slad.core.events import EventType, Phase
from slad.core.instants import format_instant
from slad.storage.store import Lineage

CLOUD_EVENTS_TYPE: Final = "slad.v1."
"""A CloudEvents type is this and the name of the event type in small letters."""

EVENT_TYPE: Final = "application/cloudevents+json"
BATCH_TYPE: Final = "application/cloudevents-batch+json"
"""The media types of a CloudEvent, and of a list of them."""

NOMINAL_PERCENT: Final = 100
"""The highest percent that AlgaPSA's schema of a threshold takes."""

encode = msgspec.json.Encoder().encode
"""Any value of dicts, lists, texts and numbers → JSON."""

_PHASES: Final = {phase.value: phase.name.lower() for phase in Phase}
_TYPES: Final = {kind.value: kind.name for kind in EventType}


def type_name(event: pb.SlaEvent) -> str:
    """`THRESHOLD_REACHED`."""
    return _TYPES.get(event.type) or pb.SlaEventType.Name(event.type).removeprefix("SLA_EVENT_TYPE_")


def instant(timestamp: Timestamp) -> str:
    """RFC 3339 in UTC, always with milliseconds, as JavaScript writes it."""
    return format_instant(timestamp.seconds * 1_000 + timestamp.nanos // 1_000_000, with_ms=True)


# --- CloudEvents


def cloud_event(event: pb.SlaEvent, source: str, lineage: Lineage) -> dict[str, Any]:
    """`event` as a CloudEvent 1.0 of JSON.

    `id` is the event's id and `data` its JSON by protobuf's rules, with the names of the contract. `subject`
    is the ticket; the extensions are `tenantid`, `sequence`, `partitionkey`, which all events of a ticket
    share, and whose `sequence` it is: the database's `instance` and `epoch`.
    """
    return {
        "specversion": "1.0",
        "id": event.event_id,
        "source": source,
        "type": CLOUD_EVENTS_TYPE + type_name(event).lower(),
        "subject": event.ticket_id,
        "time": instant(event.occurred_at),
        "datacontenttype": "application/json",
        "tenantid": event.tenant_id,
        "partitionkey": f"{event.tenant_id}/{event.ticket_id}",
        "sequence": str(event.sequence),
        "instance": lineage.instance,
        "epoch": lineage.epoch,
        "data": MessageToDict(event, preserving_proto_field_name=True),
    }


# --- AlgaPSA

PAYLOAD: Final = {
    "tenantId": "tenant_id",
    "occurredAt": "occurred_at",
    "ticketId": "ticket_id",
    "phase": "phase",
    "thresholdPercent": "threshold_percent",
}
"""The payload of AlgaPSA's TICKET_SLA_THRESHOLD_REACHED: its names, and where each value comes from."""

ATTRIBUTE: Final = "attributes."
"""`attributes.NAME` is an attribute of the tracking."""


def _of_threshold(field: str) -> Callable[[pb.SlaEvent], Any]:
    return lambda event: getattr(event.threshold, field) if event.HasField("threshold") else None


_SOURCES: Final[Mapping[str, Callable[[pb.SlaEvent], Any]]] = {
    "event_id": lambda event: event.event_id,
    "sequence": lambda event: event.sequence,
    "tenant_id": lambda event: event.tenant_id,
    "ticket_id": lambda event: event.ticket_id,
    "policy_id": lambda event: event.policy_id,
    "generation": lambda event: event.generation,
    "phase": lambda event: _PHASES.get(event.phase),
    "clock": lambda event: event.clock or None,
    "cycle": lambda event: event.cycle or None,
    "threshold_percent": _of_threshold("percent"),
    "escalation_level": lambda event: event.threshold.escalation_level or None,
    "breach": _of_threshold("breach"),
    "superseded": _of_threshold("superseded"),
    "notification_superseded": _of_threshold("notification_superseded"),
    "met": lambda event: event.met if event.HasField("met") else None,
    "occurred_at": lambda event: instant(event.occurred_at),
    "recorded_at": lambda event: instant(event.recorded_at),
}

SOURCES: Final = frozenset(_SOURCES)
"""What a value of a payload may come from, besides attributes."""


def alga_event(event: pb.SlaEvent, event_type: str, payload: Mapping[str, str]) -> dict[str, Any]:
    """`event` as AlgaPSA's bus carries it. `payload` maps names to SOURCES; absent values are left out."""
    values = {name: _value(event, source) for name, source in payload.items()}
    return {
        "id": event.event_id,
        "eventType": event_type,
        "timestamp": instant(event.recorded_at),
        "payload": {name: value for name, value in values.items() if value is not None},
    }


def alga_workflow_fields(event: pb.SlaEvent, body: Mapping[str, Any]) -> dict[str, str]:
    """`body`, made by `alga_event`, as the flat fields that AlgaPSA's workflow engine reads."""
    return {
        "event_id": body["id"],
        "execution_id": "",
        "workflow_correlation_key": "",
        "event_name": body["eventType"],
        "event_type": body["eventType"],
        "tenant": event.tenant_id,
        "timestamp": body["timestamp"],
        "user_id": "",
        "from_state": "",
        "to_state": "",
        "payload_json": encode(body["payload"]).decode(),
    }


def _value(event: pb.SlaEvent, source: str) -> Any:
    if source.startswith(ATTRIBUTE):
        return event.attributes.get(source.removeprefix(ATTRIBUTE))
    return _SOURCES[source](event)
