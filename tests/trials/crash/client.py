"""A client: a tenant with a connection of its own, lanes that send commands, and a durable consumer.

Every second one sends its commands through a pipeline.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Protocol

from slad_client.aio import SladClient, SladPipeline
from slad_client.v1 import types_pb2 as pb

from tests.trials.crash.caller import OPTIONS, PIPELINE_TIMEOUT_S, Caller, DownError, PipelinedCaller
from tests.trials.crash.faults import Faults
from tests.trials.crash.gate import Gate
from tests.trials.crash.lane import Lane
from tests.trials.crash.watchers import Consumer

LANES = 4
PIPELINED_LANES = 12
"""More, so that their commands share messages."""


class Worker(Protocol):
    async def work(self, caller: Caller, gate: Gate) -> None:
        """Does what it does until the daemon dies: then it raises DownError."""


class Connected:
    """Workers that share a connection to each run of the daemon."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers
        self._caller: Caller | None = None
        self._number = 0

    def start(self, tasks: asyncio.TaskGroup, gate: Gate) -> list[asyncio.Task[None]]:
        return [tasks.create_task(self._keep_working(worker, gate)) for worker in self._workers]

    async def _keep_working(self, worker: Worker, gate: Gate) -> None:
        number = 0
        while True:
            run = await gate.next_run(number)
            number = run.number
            if self._caller is None or self._number < number:
                former, self._caller, self._number = self._caller, self._connect(run.address), number
                if former is not None:
                    await former.close()
            try:
                await worker.work(self._caller, gate)
            except DownError:
                continue

    def _connect(self, address: str) -> Caller:
        """To a run of the daemon that has just begun."""
        return Caller(address)


class Client(Connected):
    def __init__(self, number: int, seed: int, schedule: pb.BusinessHoursSchedule, faults: Faults) -> None:
        tenant = f"tenant-{number}"
        self._is_pipelined = number % 2 == 1
        self._pipeline: SladPipeline | None = None
        self.lanes = [
            Lane(
                f"c{number}l{lane}",
                tenant,
                Random(f"{seed} {number} {lane}"),
                schedule,
                faults,
                verbatim=not self._is_pipelined,
            )
            for lane in range(PIPELINED_LANES if self._is_pipelined else LANES)
        ]
        self.consumer = Consumer(f"psa-{number}", tenant, Random(f"{seed} {number} consumer"), faults)
        super().__init__([*self.lanes, self.consumer])

    def _connect(self, address: str) -> Caller:
        if not self._is_pipelined:
            return Caller(address)
        if self._pipeline is None:
            client = SladClient(address, options=dict(OPTIONS))
            self._pipeline = client.pipeline(timeout=PIPELINE_TIMEOUT_S)
        return PipelinedCaller(address, self._pipeline)
