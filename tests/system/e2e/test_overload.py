"""More commands than the disk takes: the excess is refused at once, timers are on time, memory is flat (M8).

A real daemon on real time; it may hold so few commands that any flood is more than it takes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from tests.system.e2e.slad_process import slad_process
from tests.trials.fuzz.fuzzer import memory_kib

WAITING = 32
"""Commands that the daemon may hold."""

IN_FLIGHT = 400
"""Calls of the flood at any time, each followed by the next as soon as it is answered."""

WATCHED = 20
PERCENTS = [2, 4, 6, 8, 10]
"""Of a minute: a threshold every 1.2 s."""

LATE_S = 10.0
"""Far more than a turn takes on any machine."""

PATIENCE_S = 120

OK, OVERLOADED = "OK", "UNAVAILABLE OVERLOADED"
"""What comes of a call."""

MEMORY_ALLOWANCE_KIB = 24 * 1024
"""For what the daemon keeps at hand of what is newest, filled only once."""


@dataclass
class Flood:
    """Starts tickets as fast as they are answered, until it is told to stop."""

    backend: sla_backend_pb2_grpc.SlaBackendStub
    stopping: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    hints: set[float] = field(default_factory=set)
    numbers: int = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._lane() for _ in range(IN_FLIGHT)))

    async def _lane(self) -> None:
        while not self.stopping:
            self.numbers += 1
            request = start_request(f"flood-{self.numbers}")
            try:
                await self.backend.StartSlaTracking(request, timeout=120)
            except grpc.aio.AioRpcError as error:
                self._refused(error)
            else:
                self.outcomes[OK] += 1

    def _refused(self, error: grpc.aio.AioRpcError) -> None:
        status = rpc_status.from_call(error)
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        for detail in status.details if status else ():
            _ = detail.Unpack(info) or detail.Unpack(retry)
        self.outcomes[f"{error.code().name} {info.reason}"] += 1
        self.hints.add(retry.retry_delay.ToMilliseconds() / 1000)


def start_request(name: str, percents: list[int] | None = None) -> rpc.StartSlaTrackingRequest:
    request = rpc.StartSlaTrackingRequest(tenant_id="acme", ticket_id=name)
    request.targets.add(response_time_minutes=1 if percents else 60, is_24x7=True)
    request.notification_thresholds.extend(percents or [50])
    return request


async def test_a_flood_is_refused_at_once_and_thresholds_are_on_time(tmp_path: Path) -> None:
    arguments = ("--listen", f"unix:{tmp_path}/s", "--data", str(tmp_path / "data"))
    with slad_process(*arguments, "--limits-waiting-commands", str(WAITING)) as slad:
        pid, memory = slad.process.pid, []
        async with grpc.aio.insecure_channel(slad.addresses[0]) as channel:
            backend = sla_backend_pb2_grpc.SlaBackendStub(channel)
            for number in range(WATCHED):
                await backend.StartSlaTracking(start_request(f"watched-{number}", PERCENTS), timeout=60)
            flood = Flood(backend)
            flooding = asyncio.create_task(flood.run())
            watch = backend.WatchSlaEvents(
                rpc.WatchSlaEventsRequest(after_sequence=0, types=[pb.SLA_EVENT_TYPE_THRESHOLD_REACHED]),
                timeout=120,
            )
            reached: list[pb.SlaEvent] = []
            while len(reached) < WATCHED * len(PERCENTS):
                reply = await watch.read()
                reached.extend(event for event in reply.events if event.ticket_id.startswith("watched"))
                memory.append(memory_kib(pid) or 0)
            watch.cancel()
            # Where both share a core the flood is little faster than the daemon, which refuses few.
            async with asyncio.timeout(PATIENCE_S):
                while min(flood.outcomes[OK], flood.outcomes[OVERLOADED]) <= WAITING:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            flood.stopping = True
            await flooding
            after = await backend.StartSlaTracking(start_request("after"), timeout=60)
            assert after.created, "when the flood is over it goes on as before"
        assert set(flood.outcomes) == {OK, OVERLOADED}, flood.outcomes
        assert flood.hints == {1.0}, "when to come again"
        late = [event.recorded_at.ToMilliseconds() - event.occurred_at.ToMilliseconds() for event in reached]
        assert min(late) >= 0
        assert max(late) / 1000 < LATE_S, f"late by {median(late)} ms, at most {max(late)} ms"
        assert memory[-1] < memory[len(memory) // 4] + MEMORY_ALLOWANCE_KIB, memory
        assert slad.terminate() == 0
        assert not [entry for entry in slad.log if entry["level"] == "error"]
