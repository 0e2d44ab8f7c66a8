"""A client's own journal: what it sent, and what it was told. Instants in UTC epoch ms, by its own clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from slad_client.v1 import types_pb2 as pb

from tests.trials.crash.caller import METHODS, REPLIES
from tests.trials.crash.ticket import Ticket, Told


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Attempt:
    """One sending of a command that was not answered: the daemon died."""

    sent_at: int
    failed_at: int

    def covers(self, instant: int) -> bool:
        return self.sent_at <= instant <= self.failed_at


@dataclass(slots=True)
class Entry:
    """One command, however often it was sent."""

    kind: type[Message]
    request: bytes
    unknown: list[Attempt] = field(default_factory=list)
    reply: bytes | None = None
    carried_out_at: int = 0
    """slad's time of it, from the reply, or from its events where the reply was lost."""

    @property
    def message(self) -> Any:
        return self.kind.FromString(self.request)

    @property
    def request_id(self) -> str:
        return str(self.message.request_id)

    @property
    def answer(self) -> Any:
        return None if self.reply is None else REPLIES[self.kind].FromString(self.reply)

    def __str__(self) -> str:
        text = " ".join(str(self.message).split())
        return f"{METHODS[self.kind].name} ({text[:300]})"


@dataclass(slots=True)
class TicketJournal:
    """All commands of one ticket that are in force, in order, and the one whose fate is unknown."""

    ticket: Ticket
    """What the ticket must be."""
    entries: list[Entry] = field(default_factory=list)
    pending: Entry | None = None
    told: list[Told] = field(default_factory=list)
    """The events that its commands have made, crossings apart."""
    touched: bool = False
    """It was changed since it was last compared with what slad says."""

    @property
    def name(self) -> str:
        return self.ticket.ticket_id

    def accept(self, entry: Entry, ticket: Ticket, told: tuple[Told, ...]) -> None:
        """`entry` is in force: the ticket is now `ticket`."""
        self.entries.append(entry)
        self.ticket = ticket
        self.told.extend(told)
        self.touched = True


def status_of(reply: Any) -> pb.SlaStatus:
    """The status in a reply to a command or a query."""
    status: pb.SlaStatus = reply.status
    return status


@dataclass
class Counts:
    """What the clients did."""

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    took_effect: int = 0
    """Of the unknown ones: found to have happened."""
    no_effect: int = 0
    carried_over: int = 0
    """Through pipelines: sent to one run of the daemon, and answered by a later one."""
    repeated: int = 0
    """Acknowledged requests sent again."""
    acks: int = 0
