"""Those who listen: one that sees every event, and durable consumers that acknowledge at random."""

from __future__ import annotations

from random import Random

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc

from tests.trials.crash.caller import Caller, RefusedError
from tests.trials.crash.faults import FaultError, FaultKind, Faults
from tests.trials.crash.gate import Gate
from tests.trials.crash.journal import Counts
from tests.trials.crash.log import EventLog, Reading, Session, content_of

OVERLAP = 400
"""How far back the observer may begin again, to see events a second time."""


class Observer:
    """Sees every event as soon as it is told, and after each restart some of the last ones again."""

    def __init__(self, log: EventLog, rng: Random, faults: Faults) -> None:
        self._log = log
        self._rng = rng
        self._faults = faults

    async def work(self, caller: Caller, gate: Gate) -> None:
        """Raises DownError, when the daemon dies."""
        try:
            after = max(0, self._log.last - self._rng.randrange(OVERLAP))
            reading = Reading(self._log, after)
            async for events in caller.watch(rpc.WatchSlaEventsRequest(after_sequence=after)):
                for event in events:
                    reading.take(event)
        except FaultError as error:
            self._log.broken = True
            self._faults.append(error.fault)
        except RefusedError as refused:
            # after_sequence lies beyond the newest event: what was seen is gone.
            self._log.broken = True
            self._faults.add(FaultKind.LOST, "observer", f"cannot go on from {self._log.last}: {refused}")


class Consumer:
    """A durable consumer, of all events or of one tenant's."""

    def __init__(self, name: str, tenant_id: str, rng: Random, faults: Faults) -> None:
        self.name = name
        self.tenant_id = tenant_id
        self.counts = Counts()
        self.confirmed = 0
        """The highest acknowledgement that was answered."""
        self.sessions: list[Session] = []
        """Streams that are to be checked."""
        self.streaming = False
        """A stream of it is open, or about to be."""
        self.may_be_away = True
        self._uncertain: list[int] = []
        """Acknowledgements whose answer was lost."""
        self._rng = rng
        self._faults = faults

    async def work(self, caller: Caller, gate: Gate) -> None:
        """Raises DownError, when the daemon dies."""
        self.streaming = not self.may_be_away or self._rng.random() > 0.2
        if not self.streaming:
            return
        session = Session(self.name, self.tenant_id, (self.confirmed, *self._uncertain))
        self.sessions.append(session)
        request = rpc.WatchSlaEventsRequest(consumer=self.name, tenant_id=self.tenant_id)
        async for events in caller.watch(request):
            if not session.delivered:
                self._learn(events[0].sequence)
            session.delivered.extend((event.sequence, hash(content_of(event))) for event in events)
            if self._rng.random() < 0.3:
                await self._acknowledge(caller, session)

    def _learn(self, first: int) -> None:
        """What the first event tells of acknowledgements that were not answered."""
        taken = [sequence for sequence in self._uncertain if sequence < first]
        self.confirmed = max([self.confirmed, *taken])
        self._uncertain.clear()

    async def _acknowledge(self, caller: Caller, session: Session) -> None:
        recent = [sequence for sequence, _ in session.delivered[-100:] if sequence > self.confirmed]
        if not recent or self._rng.random() < 0.1:
            await self._acknowledge_again(caller)
            return
        sequence = self._rng.choice(recent)
        self._uncertain.append(sequence)
        try:
            await caller.ask(rpc.AckSlaEventsRequest(consumer=self.name, sequence=sequence))
        except RefusedError as refused:
            self._faults.add(FaultKind.WRONG_ANSWER, self.name, f"acknowledged {sequence}: {refused}")
        else:
            self.counts.acks += 1
            self.confirmed = sequence
        self._uncertain.clear()

    async def _acknowledge_again(self, caller: Caller) -> None:
        """What is behind is refused, or is the last one again; either way nothing goes back."""
        sequence = max(0, self.confirmed - self._rng.randrange(3))
        try:
            await caller.ask(rpc.AckSlaEventsRequest(consumer=self.name, sequence=sequence))
        except RefusedError as refused:
            if refused.code is not grpc.StatusCode.OUT_OF_RANGE:
                self._faults.add(FaultKind.WRONG_ANSWER, self.name, f"acknowledged {sequence}: {refused}")

    def is_behind(self, log: EventLog) -> bool:
        """Whether its open stream owes it an event that others have seen."""
        if not self.streaming or not self.sessions:
            return False
        session = self.sessions[-1]
        wanted = log.by_tenant[self.tenant_id] if self.tenant_id else log.sequences
        brought = max([*session.starts, *(sequence for sequence, _ in session.delivered[-1:])])
        return bool(wanted) and wanted[-1] > brought

    def check(self, log: EventLog) -> None:
        """Holds the streams that the log has caught up with against it. Raises FaultError."""
        kept = []
        for session in self.sessions:
            caught_up = not session.delivered or session.delivered[-1][0] <= log.last
            if caught_up:
                session.check(log)
            if not caught_up or session is self.sessions[-1]:  # the last may go on
                kept.append(session)
        self.sessions = kept
