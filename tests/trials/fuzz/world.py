"""What the fuzzer knows of the daemon: enough to make requests that get far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from google.protobuf.message import Message
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import test_clock_pb2 as clock_rpc
from slad_client.v1 import types_pb2 as pb

TENANTS = ("acme", "globex", "初音", "o'neill & sons", "x" * 200)
RECONCILED_TENANT = "listed"
"""Reconciliations cancel what they do not list, so they mostly have a tenant of their own."""

TICKETS = (*(f"T-{number}" for number in range(120)), "é" * 200, "a.b[3]['c']", "%s", "-1", "T-0 ")
CONSUMERS = ("psa", "notifier", "bi ✓", "x" * 200)
UNKNOWN = "never-started"

END_MS = 253_370_764_800_000
"""9999-01-01T00:00:00Z: a year before the end of time."""


@dataclass
class World:
    """Filled by `learn` from what the daemon answers."""

    now: int
    latest: int = END_MS
    """Virtual time is not to be moved beyond."""
    head: int = 0
    tokens: list[str] = field(default_factory=lambda: ["1", "ff"])
    request_ids: list[str] = field(default_factory=lambda: ["r-0"])
    states: dict[tuple[str, str], int] = field(default_factory=dict)

    def learn(self, reply: Message) -> None:
        for message in _within(reply):
            if isinstance(message, pb.SlaStatus):
                self.states[message.tenant_id, message.ticket_id] = message.state
                self.now = max(self.now, message.as_of.ToMilliseconds())
            elif isinstance(message, pb.SlaEvent):
                self.head = max(self.head, message.sequence)
            elif isinstance(message, rpc.ListSlaTrackingsResponse):
                self._keep(self.tokens, message.next_page_token)
            elif isinstance(message, clock_rpc.GetTimeResponse | clock_rpc.AdvanceTimeResponse):
                self.now = message.now.ToMilliseconds()
        if len(self.states) > 5_000:
            self.states.clear()

    def subject(self, rng: Random) -> tuple[str, str]:
        """(tenant_id, ticket_id): live, ended, or unknown."""
        if self.states and rng.random() < 0.6:
            wanted = pb.SLA_TRACKING_STATE_ACTIVE if rng.random() < 0.8 else 0
            for _ in range(10):
                known = rng.choice(list(self.states))
                if not wanted or self.states[known] == wanted:
                    return known
        return rng.choice(TENANTS), rng.choice(TICKETS) if rng.random() < 0.95 else UNKNOWN

    def request_id(self, rng: Random) -> str:
        if rng.random() < 0.3:
            return rng.choice(self.request_ids)
        self._keep(self.request_ids, f"r-{rng.getrandbits(48):x}")
        return self.request_ids[-1]

    @staticmethod
    def _keep(values: list[str], value: str) -> None:
        if value:
            values.append(value)
            del values[:-20]


def _within(message: Message) -> Iterator[Message]:
    """A message and all messages in it, down to statuses and events."""
    yield message
    if isinstance(message, pb.SlaStatus | pb.SlaEvent):
        return
    for fd, value in message.ListFields():
        if fd.message_type is not None and not fd.message_type.GetOptions().map_entry:
            items: Any = value if fd.is_repeated else (value,)
            for item in items:
                yield from _within(item)
