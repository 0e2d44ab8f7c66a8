"""One message of the outbox as one call to Temporal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from slad.config.settings import ConnectionSettings
from slad.core.events import PauseReason
from slad.core.facts import REPORTED, FactKind
from slad.core.schedule import Schedule
from slad.core.tracking import Tracking
from slad.storage.temporal_store import Waiting
from slad.temporal.connection import RPC_TIMEOUT
from slad.temporal.faults import Concern, Fault, fault_of
from slad.temporal.passthrough.messages import LEAVE, START, UPDATE
from slad.temporal.workflow import documents
from slad.temporal.workflow.wire import (
    EXECUTION_TIMEOUT,
    GENERATION_MEMO,
    PAUSE_REASONS,
    QUERY_STATE,
    WORKFLOW_TYPE,
    CompleteSignal,
    PauseSignal,
    PlainSignal,
    Signal,
    SignalExtension,
    StateExtension,
    TicketState,
    read,
    to_json,
)

QUERY_TIMEOUT: Final = timedelta(seconds=5)
"""How long a worker may take to say how a ticket stands."""

T = TypeVar("T")


class Addressee(NamedTuple):
    """The ticket that a message is about, with the schedule of its tracking (None: every hour counts)."""

    tenant_id: str
    ticket_id: str
    schedule: Schedule | None


class Leftover(Exception):  # noqa: N818 - what is in the way
    """The workflow of an earlier generation has not ended yet."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


class Sender:
    """Calls Temporal. Everything that goes wrong there raises Fault."""

    def __init__(self, settings: ConnectionSettings, client: Client) -> None:
        self.settings = settings
        self._client = client
        self._send: dict[int, Callable[[Waiting, Addressee], Awaitable[None]]] = {
            START: self._start,
            UPDATE: self._update,
            LEAVE: self._leave,
        }

    async def send(self, waiting: Waiting, addressee: Addressee) -> None:
        """Sends a message. Sending it twice is as sending it once. Raises Fault, Leftover."""
        await self._send.get(waiting.message.kind, self._signal_fact)(waiting, addressee)

    async def probe(self) -> None:
        """Raises Fault unless the namespace can be used."""
        request = DescribeNamespaceRequest(namespace=self.settings.namespace)
        await self.called(self._client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT))

    async def is_running(self, workflow_id: str) -> bool:
        """Whether a workflow is there and has not ended."""
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            description = await self.called(handle.describe(rpc_timeout=RPC_TIMEOUT))
        except Fault as fault:
            if fault.concern is Concern.WORKFLOW_GONE:
                return False
            raise
        return description.status is WorkflowExecutionStatus.RUNNING

    async def state(self, workflow_id: str) -> TicketState:
        """What the worker says of a ticket. Raises Fault also when no worker answers, InvalidField."""
        handle = self._client.get_workflow_handle(workflow_id)
        return read(await self.called(handle.query(QUERY_STATE, rpc_timeout=QUERY_TIMEOUT)), TicketState)

    async def end(self, workflow_id: str, run_id: str | None, reason: str) -> None:
        """Ends a workflow without letting it do anything more; one that has ended is fine."""
        handle = self._client.get_workflow_handle(workflow_id, run_id=run_id)
        try:
            await self.called(handle.terminate(reason=reason, rpc_timeout=RPC_TIMEOUT))
        except Fault as fault:
            if fault.concern is not Concern.WORKFLOW_GONE:
                raise

    async def _start(self, waiting: Waiting, addressee: Addressee) -> None:
        tenant_id, ticket_id, schedule = addressee
        generation = waiting.message.generation
        given = documents.ticket_input(
            tenant_id, ticket_id, _state(waiting, waiting.message.tracking), schedule
        )
        try:
            await self.called(
                self._client.start_workflow(
                    WORKFLOW_TYPE,
                    to_json(given),
                    id=waiting.workflow_id,
                    task_queue=self.settings.task_queue,
                    execution_timeout=EXECUTION_TIMEOUT,
                    memo={GENERATION_MEMO: generation},
                    rpc_timeout=RPC_TIMEOUT,
                )
            )
        except WorkflowAlreadyStartedError:
            await self._meet(waiting, addressee)

    async def _meet(self, waiting: Waiting, addressee: Addressee) -> None:
        """A workflow of that id is there: this one, one that AlgaPSA started, or an earlier generation's."""
        handle = self._client.get_workflow_handle(waiting.workflow_id)
        description = await self.called(handle.describe(rpc_timeout=RPC_TIMEOUT))
        generation = await description.memo_value(GENERATION_MEMO, None)
        if generation not in (None, waiting.message.generation):
            raise Leftover(description.run_id)
        # slad's worker takes over what is journaled, unless it has it already; AlgaPSA's goes on as it is.
        await self._update(waiting, addressee)

    async def _update(self, waiting: Waiting, addressee: Addressee) -> None:
        state = _state(waiting, waiting.message.tracking)
        signal = documents.update_signal(addressee.tenant_id, state, addressee.schedule)
        await self._signal(waiting, Signal.UPDATE, signal)

    async def _leave(self, waiting: Waiting, _: Addressee) -> None:
        await self.end(waiting.workflow_id, None, "slad carries the ticket on")

    async def _signal_fact(self, waiting: Waiting, _: Addressee) -> None:
        kind, at, detail = FactKind(waiting.message.kind), waiting.message.at, waiting.message.detail
        extension = SignalExtension(
            request_id=f"slad-{waiting.message_key}", effective_at=at, revision=waiting.message_key
        )
        if kind is FactKind.PAUSE:
            message: msgspec.Struct = PauseSignal(reason=PAUSE_REASONS[PauseReason(detail)], slad=extension)
        elif kind in (FactKind.RESPOND, FactKind.RESOLVE):
            message = CompleteSignal(met=REPORTED[detail], slad=extension)
        else:
            message = PlainSignal(slad=extension)
        await self._signal(waiting, _SIGNALS[kind], message)

    async def _signal(self, waiting: Waiting, signal: Signal, message: msgspec.Struct) -> None:
        handle = self._client.get_workflow_handle(waiting.workflow_id)
        await self.called(handle.signal(signal.value, to_json(message), rpc_timeout=RPC_TIMEOUT))

    async def called(self, call: Awaitable[T]) -> T:
        """The answer to a call. Raises Fault, WorkflowAlreadyStartedError."""
        try:
            return await call
        except WorkflowAlreadyStartedError:
            raise
        except (RPCError, RuntimeError, OSError) as error:
            raise fault_of(self.settings, error) from error


_SIGNALS: Final[dict[Any, Signal]] = {
    FactKind.PAUSE: Signal.PAUSE,
    FactKind.RESUME: Signal.RESUME,
    FactKind.RESPOND: Signal.COMPLETE_RESPONSE,
    FactKind.RESOLVE: Signal.COMPLETE_RESOLUTION,
    FactKind.CANCEL: Signal.CANCEL,
}


def _state(waiting: Waiting, tracking: Tracking | None) -> StateExtension:
    return StateExtension(
        generation=waiting.message.generation, revision=waiting.message_key, tracking=tracking
    )
