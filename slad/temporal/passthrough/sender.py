"""One message of the outbox as one call to Temporal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from slad.config.settings import ConnectionSettings
from slad.core.errors import InvalidField
from slad.core.events import PauseReason
from slad.core.facts import REPORTED, FactKind
from slad.core.schedule import Schedule
from slad.core.tracking import Tracking
from slad.engine.outgoing import Outgoing
from slad.storage.row_reader import Waiting
from slad.storage.store import Lineage
from slad.temporal.connection import RPC_TIMEOUT
from slad.temporal.faults import Concern, TemporalFault, fault_of
from slad.temporal.passthrough.messages import LEAVE, START, UPDATE
from slad.temporal.passthrough.routing import Standing
from slad.temporal.workflow.documents import (
    NO_SCHEDULES,
    Schedules,
    announced,
    carried_state,
    ticket_input,
    update_signal,
)
from slad.temporal.workflow.names import (
    EPOCH_MEMO,
    EXECUTION_TIMEOUT,
    GENERATION_MEMO,
    INSTANCE_MEMO,
    PAUSE_REASONS,
    QUERY_STATE,
    WORKFLOW_TYPE,
    Signal,
)
from slad.temporal.workflow.wire import (
    CompleteSignal,
    NotifiedThresholds,
    PauseSignal,
    PlainSignal,
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
    """The ticket that a message is about, with the schedule of its tracking (None: every hour counts).

    `of_clocks` are the schedules that its named clocks have of their own.
    """

    tenant_id: str
    ticket_id: str
    schedule: Schedule | None
    of_clocks: Schedules = NO_SCHEDULES


class EarlierWorkflowRuns(Exception):  # noqa: N818 - what is in the way
    """The workflow of an earlier generation has not ended yet."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


class NotTakenOver(Exception):  # noqa: N818 - what is the case
    """Another worker than slad's announced everything again, instead of taking it over."""


class NobodyAnswers(Exception):  # noqa: N818 - what is the case
    """What was announced cannot be handed to a worker, as none says that it has taken it over."""


class Sender:
    """Calls Temporal. Everything that goes wrong there raises TemporalFault.

    What changes something there waits until it may leave (see `Outgoing`).
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        client: Client,
        standing: Standing,
        lineage: Lineage = Lineage(),  # noqa: B008 - a value
        outgoing: Outgoing = Outgoing(),  # noqa: B008 - a value
    ) -> None:
        self.settings = settings
        self._lineage = lineage
        self._outgoing = outgoing
        self._client = client
        self._standing = standing
        self._send: dict[int, Callable[[Waiting, Addressee], Awaitable[None]]] = {
            START: self._start,
            UPDATE: self._update,
            LEAVE: self._leave,
        }

    async def send(self, waiting: Waiting, addressee: Addressee) -> None:
        """Sends a message. Sending it twice is as sending it once.

        Raises TemporalFault, EarlierWorkflowRuns, NotTakenOver, NobodyAnswers.
        """
        await self._send.get(waiting.message.kind, self._signal_fact)(waiting, addressee)

    async def probe(self) -> None:
        """Raises TemporalFault unless the namespace can be used."""
        request = DescribeNamespaceRequest(namespace=self.settings.namespace)
        await self.called(self._client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT))

    async def workers(self) -> set[str]:
        """Who has lately taken workflows from the task queue, by name."""
        request = DescribeTaskQueueRequest(
            namespace=self.settings.namespace,
            task_queue=TaskQueue(name=self.settings.task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        call = self._client.workflow_service.describe_task_queue(request, timeout=RPC_TIMEOUT)
        return {poller.identity for poller in (await self.called(call)).pollers}

    async def status(self, workflow_id: str) -> WorkflowExecutionStatus | None:
        """How the latest workflow of that id stands; None: there is none."""
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            return (await self.called(handle.describe(rpc_timeout=RPC_TIMEOUT))).status
        except TemporalFault as fault:
            if fault.concern is Concern.WORKFLOW_GONE:
                return None
            raise

    async def end(self, workflow_id: str, run_id: str | None, reason: str) -> None:
        """Ends a workflow without letting it do anything more; one that has ended is fine."""
        handle = self._client.get_workflow_handle(workflow_id, run_id=run_id)
        await self._outgoing.allowed()
        try:
            await self.called(handle.terminate(reason=reason, rpc_timeout=RPC_TIMEOUT))
        except TemporalFault as fault:
            if fault.concern is not Concern.WORKFLOW_GONE:
                raise

    async def _start(self, waiting: Waiting, addressee: Addressee) -> None:
        tracking, generation = waiting.message.tracking, waiting.message.generation
        assert tracking is not None
        carried = None
        # Only slad's own workers are sure to go on where another left off.
        to_others = not self._standing.is_slads_alone
        by_slad = announced(tracking)
        if to_others:
            carried = carried_state(tracking, await self._told(waiting.workflow_id, by_slad), generation)
        tenant_id, ticket_id, schedule, of_clocks = addressee
        state = _state(waiting, tracking)
        given = ticket_input(tenant_id, ticket_id, state, schedule, carried, of_clocks=of_clocks)
        await self._outgoing.allowed()
        try:
            await self.called(
                self._client.start_workflow(
                    WORKFLOW_TYPE,
                    to_json(given),
                    id=waiting.workflow_id,
                    task_queue=self.settings.task_queue,
                    execution_timeout=EXECUTION_TIMEOUT,
                    memo={
                        GENERATION_MEMO: generation,
                        INSTANCE_MEMO: self._lineage.instance,
                        EPOCH_MEMO: self._lineage.epoch,
                    },
                    rpc_timeout=RPC_TIMEOUT,
                )
            )
        except WorkflowAlreadyStartedError:
            if not await self._join(waiting, addressee):
                return
        # None tells anything in its first minute: AlgaPSA's worker counts in whole ones.
        if to_others and by_slad:
            echo = (await self._ask(waiting.workflow_id)).slad
            if echo is None or echo.generation != generation:
                raise NotTakenOver

    async def _told(self, workflow_id: str, by_slad: NotifiedThresholds) -> NotifiedThresholds:
        """What has been told of a ticket that is to go on: by its last workflow, or else by slad.

        Raises NobodyAnswers when there is nobody who could say so, or go on.
        """
        if not by_slad:
            return by_slad
        if not self._standing.is_served:
            raise NobodyAnswers
        if await self.status(workflow_id) in (None, WorkflowExecutionStatus.RUNNING):
            return by_slad
        return (await self._ask(workflow_id)).notified_thresholds

    async def _join(self, waiting: Waiting, addressee: Addressee) -> bool:
        """Brings a workflow up to date that is there already; whether slad started it.

        One that AlgaPSA started goes on as it is. Raises EarlierWorkflowRuns.
        """
        handle = self._client.get_workflow_handle(waiting.workflow_id)
        description = await self.called(handle.describe(rpc_timeout=RPC_TIMEOUT))
        generation = await description.memo_value(GENERATION_MEMO, None)
        if generation not in (None, waiting.message.generation):
            raise EarlierWorkflowRuns(description.run_id)
        # slad's worker takes over what is journaled, unless it has it already.
        await self._update(waiting, addressee)
        return generation is not None

    async def _ask(self, workflow_id: str) -> TicketState:
        """What the latest workflow of that id says, running or not. Raises NobodyAnswers."""
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            return read(await self.called(handle.query(QUERY_STATE, rpc_timeout=QUERY_TIMEOUT)), TicketState)
        except (TemporalFault, InvalidField) as error:
            raise NobodyAnswers from error

    async def _update(self, waiting: Waiting, addressee: Addressee) -> None:
        state = _state(waiting, waiting.message.tracking)
        signal = update_signal(addressee.tenant_id, state, addressee.schedule, addressee.of_clocks)
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
        await self._outgoing.allowed()
        await self.called(handle.signal(signal.value, to_json(message), rpc_timeout=RPC_TIMEOUT))

    async def called(self, call: Awaitable[T]) -> T:
        """The answer to a call. Raises TemporalFault, WorkflowAlreadyStartedError."""
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
