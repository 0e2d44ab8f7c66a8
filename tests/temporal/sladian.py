"""The daemon's side of the wire: starts and signals as slad sends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from slad.core.instants import MINUTE_MS
from slad.core.schedule import Schedule
from slad.core.terms import Terms
from slad.core.tracking import Tracking
from slad.temporal.workflow import documents, names, wire
from slad.temporal.workflow.names import Signal
from slad.temporal.workflow.wire import (
    CompleteSignal,
    PauseSignal,
    PlainSignal,
    SignalExtension,
    StateExtension,
)
from tests.core.tickets import terms

QUEUE = "slad-test"


@dataclass
class Ticket:
    """One ticket, as the daemon holds it. Instants are given in minutes after `started_at`."""

    client: Client
    started_at: int
    ticket_id: str = "T-1"
    tenant_id: str = "acme"
    generation: int = 1
    queue: str = QUEUE
    numbers: Any = field(default_factory=lambda: count(1))

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(names.workflow_id(self.tenant_id, self.ticket_id))

    async def start(
        self, promised: Terms | None = None, schedule: Schedule | None = None, **options: Any
    ) -> WorkflowHandle[Any, Any]:
        """Starts a workflow; by default 100 minutes to respond, 1,000 to resolve, round the clock."""
        state = StateExtension(
            generation=self.generation, tracking=Tracking(promised or terms(), self.started_at)
        )
        given = wire.to_json(documents.ticket_input(self.tenant_id, self.ticket_id, state, schedule))
        return await self.client.start_workflow(
            names.WORKFLOW_TYPE,
            {**given, **options},
            id=names.workflow_id(self.tenant_id, self.ticket_id),
            task_queue=self.queue,
            execution_timeout=names.EXECUTION_TIMEOUT,
            memo={names.GENERATION_MEMO: self.generation},
        )

    async def pause(self, minute: float) -> SignalExtension:
        return await self._send(Signal.PAUSE, PauseSignal, minute)

    async def resume(self, minute: float) -> SignalExtension:
        return await self._send(Signal.RESUME, PlainSignal, minute)

    async def respond(self, minute: float) -> SignalExtension:
        return await self._send(Signal.COMPLETE_RESPONSE, CompleteSignal, minute)

    async def resolve(self, minute: float) -> SignalExtension:
        return await self._send(Signal.COMPLETE_RESOLUTION, CompleteSignal, minute)

    async def update(self, tracking: Tracking, schedule: Schedule | None = None) -> StateExtension:
        state = StateExtension(generation=self.generation, revision=next(self.numbers), tracking=tracking)
        message = documents.update_signal(self.tenant_id, state, schedule)
        await self.handle.signal(Signal.UPDATE.value, wire.to_json(message))
        return state

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = await self.handle.query(names.QUERY_STATE)
        return state

    async def events(self) -> list[str]:
        """The history of the latest run, as names of event types."""
        history = await self.handle.fetch_history()
        return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]

    def at(self, minute: float) -> int:
        return self.started_at + round(minute * MINUTE_MS)

    async def _send(self, signal: Signal, kind: type[Any], minute: float) -> SignalExtension:
        number = next(self.numbers)
        extension = SignalExtension(request_id=f"r{number}", effective_at=self.at(minute), revision=number)
        await self.handle.signal(signal.value, wire.to_json(kind(slad=extension)))
        return extension
