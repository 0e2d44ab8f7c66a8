"""Random lives of tickets through the wire: commands late, twice and out of order, and a consumer listening.

The real service (virtual clock) against a ticket counted minute by minute, which is told everything and
sorts it by when it took effect (tests/core/naive_ticket.py). After every step both have the same state,
owner, reasons, elapsed times and verdicts of every clock, and what a durable consumer was told and not taken
back is the same set of thresholds.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import grpc
from google.protobuf.message import Message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from slad_client.v1 import admin_pb2, admin_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import MINUTE_MS
from slad.core.terms import ClockTerms
from tests.core.naive_ticket import Announced, NaiveTicket
from tests.core.test_machine_stateful import NAMED, PROMISES, instant, promised
from tests.service.importing import Held, held_slad, status_of
from tests.slad_under_test import OFFICE, Slad, refusal, stamp, target

Promise = tuple[int | None, int, set[int]]
CONSUMER = "psa"
RESPONSE, RESOLUTION = pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION
PHASES = {"response": RESPONSE, "resolution": RESOLUTION}

PAUSES = (pb.SLA_EVENT_TYPE_PAUSED, pb.SLA_EVENT_TYPE_PAUSE_CHANGED, pb.SLA_EVENT_TYPE_RESUMED)
VENDOR = {"reason": pb.SLA_PAUSE_REASON_OTHER, "reason_code": "vendor"}
REQUESTS: dict[str, tuple[type[Message], dict[str, Any]]] = {
    "pause": (rpc.PauseSlaRequest, {"reason": pb.SLA_PAUSE_REASON_AWAITING_CLIENT}),
    "pause for vendor": (rpc.PauseSlaRequest, VENDOR),
    "resume": (rpc.ResumeSlaRequest, {}),
    "resume from vendor": (rpc.ResumeSlaRequest, VENDOR),
    "respond": (rpc.CompleteSlaRequest, {"phase": RESPONSE}),
    "resolve": (rpc.CompleteSlaRequest, {"phase": RESOLUTION}),
    "cancel": (rpc.CancelSlaRequest, {}),
    "customer": (rpc.RecordSlaMessageRequest, {"sender": pb.SLA_MESSAGE_SENDER_CUSTOMER}),
    "agent": (rpc.RecordSlaMessageRequest, {"sender": pb.SLA_MESSAGE_SENDER_AGENT}),
    "to a": (rpc.AssignSlaRequest, {"owner": "a"}),
    "to b": (rpc.AssignSlaRequest, {"owner": "b"}),
    "to nobody": (rpc.AssignSlaRequest, {}),
    "complete fix": (rpc.CompleteSlaRequest, {"clock": "fix"}),
    "discard next": (rpc.CompleteSlaRequest, {"clock": "next", "discard": True}),
    "discard response": (rpc.CompleteSlaRequest, {"clock": "response", "discard": True}),
}
LIVES = {
    "running": (pb.SLA_TRACKING_STATE_ACTIVE, False),
    "paused": (pb.SLA_TRACKING_STATE_ACTIVE, True),
    "completed": (pb.SLA_TRACKING_STATE_COMPLETED, False),
    "cancelled": (pb.SLA_TRACKING_STATE_CANCELLED, False),
}


class Listener:
    """A durable consumer as a PSA has one: at least once, in order, what it has seen is dropped."""

    def __init__(self, slad: Slad) -> None:
        self._slad = slad
        self._admin = admin_pb2_grpc.SlaAdminStub(slad.channel)
        self._ids: dict[int, str] = {}
        self.heard = 0
        """The newest sequence."""
        self.thresholds: defaultdict[str, dict[Announced, int]] = defaultdict(dict)
        """By ticket the thresholds that were told and not taken back, with their instants."""
        self._pauses: defaultdict[str, list[tuple[int, int, bool]]] = defaultdict(list)

    async def listen(self) -> None:
        """Opens the stream; what was not acknowledged comes again."""
        self._call = self._slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer=CONSUMER))
        await self._call.initial_metadata()

    async def lose(self) -> None:
        """Ends the stream, as a replica that dies."""
        self._call.cancel()

    async def catch_up(self) -> int:
        """Hears all that has happened; the number of events that are new."""
        before = self.heard
        head = await self._head()
        while self.heard < head:
            for event in (await self._call.read()).events:
                self._hear(event)
        return self.heard - before

    async def acknowledge(self) -> None:
        await self._slad.backend.AckSlaEvents(rpc.AckSlaEventsRequest(consumer=CONSUMER, sequence=self.heard))

    def believes_paused(self, ticket: str) -> bool:
        """What the PAUSED, PAUSE_CHANGED or RESUMED says that occurred last."""
        return max(self._pauses[ticket], default=(0, 0, False))[2]

    async def _head(self) -> int:
        while True:
            reply = await self._admin.ListSlaConsumers(admin_pb2.ListSlaConsumersRequest())
            for consumer in reply.consumers:
                return int(consumer.head_sequence)

    def _hear(self, event: pb.SlaEvent) -> None:
        if event.sequence <= self.heard:
            assert self._ids[event.sequence] == event.event_id, "the same however often it is delivered"
            return
        assert event.sequence == self.heard + 1
        assert event.event_id not in self._ids.values()
        self.heard, self._ids[event.sequence] = event.sequence, event.event_id
        at = event.occurred_at.ToMilliseconds()
        if event.type in PAUSES:
            is_pause = event.type != pb.SLA_EVENT_TYPE_RESUMED
            self._pauses[event.ticket_id].append((at, event.sequence, is_pause))
        if event.HasField("threshold"):
            opened = (event.cycle_opened_at.ToMilliseconds() - instant(0)) // MINUTE_MS
            key, told_of = (event.clock, opened, event.threshold.percent), self.thresholds[event.ticket_id]
            scheduled_at = event.threshold.scheduled_at.ToMilliseconds()
            if event.type == pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
                assert key not in told_of, "told twice"
                assert at == scheduled_at <= event.recorded_at.ToMilliseconds()
                told_of[key] = at
            else:
                assert told_of.pop(key) == scheduled_at, "taken back what was not told"


class Sent(NamedTuple):
    """A command that was carried out under a request_id, and its answer."""

    request: Message
    answer: Message


class TicketLife(RuleBasedStateMachine):
    """One ticket of the daemon that all examples share."""

    held: ClassVar[Held]
    listener: ClassVar[Listener]
    numbers: ClassVar[count[int]]

    @initialize(
        promise=PROMISES,
        named=NAMED,
        late=st.just(0) | st.integers(1, 3 * 24 * 60),
        wait=st.integers(0, 900),
        unjudged=st.booleans(),
    )
    def begin(
        self, promise: Promise, named: tuple[ClockTerms, ...], late: int, wait: int, unjudged: bool
    ) -> None:
        self.run(self.slad.advance(minutes=wait))
        self.ticket = f"T-{next(self.numbers)}"
        self.start = self.minute - late
        self.model = NaiveTicket(self.start, promised(promise, named), unjudged)
        self.sent: list[Sent] = []
        terms = wire_terms(promise, named)
        if unjudged:
            terms["response_on_resolution"] = pb.SLA_RESPONSE_ON_RESOLUTION_UNJUDGED
        reply = self.run(self.slad.start(self.ticket, started_at=stamp(instant(self.start)), **terms))
        assert reply.created

    @rule(
        op=st.sampled_from(list(REQUESTS)),
        late=st.just(0) | st.integers(0, 2_000),
        twice=st.booleans(),
        with_id=st.booleans(),
    )
    def command(self, op: str, late: int, twice: bool, with_id: bool) -> None:
        """A command, perhaps late, perhaps sent twice: by a request_id or without one."""
        minute = max(self.start, self.minute - late)
        kind, fields = REQUESTS[op]
        request = kind(ticket_id=self.ticket, effective_at=stamp(instant(minute)), **fields)
        if with_id:
            request.request_id = f"{self.ticket}/{next(self.numbers)}"  # type: ignore[attr-defined]
        answer = self.send(request)
        if isinstance(answer, Message):
            # What was refused had no effect: the ticket had ended by then, or has no such clock.
            self.model.happened.append((minute, op))
            if with_id:
                self.sent.append(Sent(request, answer))
        if twice:
            again = self.send(request, is_new=not with_id)
            if with_id:
                assert again == answer
            elif isinstance(again, Message):
                self.model.happened.append((minute, op))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """A command of long ago: it gets its first answer, whatever has happened since."""
        sent = data.draw(st.sampled_from(self.sent), "sent")
        assert self.send(sent.request, is_new=False) == sent.answer

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def use_an_id_for_something_else(self, data: st.DataObject) -> None:
        sent = data.draw(st.sampled_from(self.sent), "sent")
        other = type(sent.request).FromString(sent.request.SerializeToString())
        other.effective_at.FromMilliseconds(instant(self.minute) + 1)  # type: ignore[attr-defined]
        assert self.send(other, is_new=False) == "REQUEST_ID_REUSED"

    @precondition(lambda self: not self.model.walk(self.minute).ended)
    @rule(promise=PROMISES, named=NAMED)
    def retarget(self, promise: Promise, named: tuple[ClockTerms, ...]) -> None:
        self.model.settle(self.minute)
        self.model.terms = promised(promise, named)
        terms = wire_terms(promise, named)
        request = rpc.RetargetSlaRequest(ticket_id=self.ticket, schedule=OFFICE, **terms)
        self.send(request)

    @rule(minutes=st.integers(1, 1_000))
    def pass_time(self, minutes: int) -> None:
        self.run(self.slad.advance(minutes=minutes))

    @rule()
    def acknowledge(self) -> None:
        self.run(self.listener.catch_up())
        self.run(self.listener.acknowledge())

    @rule()
    def lose_the_stream(self) -> None:
        self.run(self.listener.lose())
        self.run(self.listener.listen())

    @invariant()
    def agrees(self) -> None:
        self.run(self.listener.catch_up())
        naive = self.model.settle(self.minute)
        status = self.run(status_of(self.slad, self.ticket))
        assert (status.state, status.is_paused) == LIVES[naive.life]
        assert (status.owner, len(status.pause_reasons)) == (naive.owner, len(naive.held))
        named = {clock.name: clock for clock in status.clocks}
        for terms in self.model.terms.clocks:
            cycles = [cycle for cycle in naive.cycles if cycle.clock.name == terms.name]
            last = max(cycles, key=lambda cycle: cycle.opened, default=None)
            if terms.is_unnamed:
                clock: pb.SlaClock = getattr(status, terms.name)
            else:
                assert named[terms.name].cycle == len(cycles)
                clock = named[terms.name].clock
            if last is not None:
                assert clock.elapsed.ToMilliseconds() == last.counted * MINUTE_MS
                assert clock.HasField("met") == (last.met is not None)
                assert clock.met == bool(last.met)
        assert status.HasField("ended_at") == (naive.ended_at is not None)
        if naive.ended_at is not None:
            assert status.ended_at.ToMilliseconds() == instant(naive.ended_at)
        else:
            assert self.listener.believes_paused(self.ticket) == status.is_paused
        assert self.listener.thresholds[self.ticket].keys() == self.model.announced

    def teardown(self) -> None:
        if hasattr(self, "ticket"):
            self.run(self.slad.advance(minutes=5_000))
            self.agrees()
            # Out of the way of the examples to come.
            self.send(rpc.CancelSlaRequest(ticket_id=self.ticket))

    # --- inside

    @property
    def slad(self) -> Slad:
        return self.held.slad

    @property
    def minute(self) -> int:
        return (self.slad.now - instant(0)) // MINUTE_MS

    def run(self, work: Any) -> Any:
        return self.held.run(work)

    def send(self, request: Message, *, is_new: bool = True) -> Any:
        """The reply, or the reason of the refusal. Events come when something new changed, and only then."""
        self.run(self.listener.catch_up())
        answer = self.run(self._answer(request))
        changed = is_new and isinstance(answer, Message) and answer.changed  # type: ignore[attr-defined]
        heard = self.run(self.listener.catch_up())
        assert changed or not heard
        # A response that no clock waits for is recorded, and nobody is told.
        assert heard or not changed or not self.model.terms.response_ms
        return answer

    async def _answer(self, request: Message) -> Message | str:
        call = getattr(self.slad.backend, type(request).__name__.removesuffix("Request"))
        try:
            return await call(request)
        except grpc.aio.AioRpcError as error:
            return refusal(error).reason


def wire_terms(promise: Promise, named: tuple[ClockTerms, ...]) -> dict[str, Any]:
    response, resolution, percents = promise
    return {
        "targets": [target(response, resolution, (0, 0, 0))],
        "notification_thresholds": sorted(percents),
        "clocks": map(_wire_clock, named),
    }


def _wire_clock(clock: ClockTerms) -> pb.SlaClockTerms:
    message = pb.SlaClockTerms(name=clock.name)
    if clock.paused_by is not None:
        message.paused_by.reasons.extend(clock.paused_by)
        message.paused_by.never = not clock.paused_by
    if not clock.is_unnamed:
        message.kind = pb.SlaClockKind.ValueType(clock.kind)
        message.target_minutes = clock.target_ms // MINUTE_MS
        message.notification_thresholds.extend(clock.notification_percents)
        message.owner = clock.owner
    return message


def test_commands_late_twice_and_out_of_order_end_as_in_the_order_of_their_instants(tmp_path: Path) -> None:
    with held_slad(tmp_path) as held:
        TicketLife.held, TicketLife.numbers = held, count()
        TicketLife.listener = Listener(held.slad)
        held.run(TicketLife.listener.listen())
        try:
            run_state_machine_as_test(TicketLife, settings=settings(max_examples=40, stateful_step_count=12))
        finally:
            held.run(TicketLife.listener.lose())
