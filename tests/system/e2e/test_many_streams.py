"""A hundred streams of commands, a part of which does not read, or breaks off: memory is flat (X4).

A real daemon on real time. Streams that behave are answered in full beside the others.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc

from tests.system.e2e.slad_process import slad_process
from tests.trials.fuzz.fuzzer import memory_kib

GOOD, DEAF, BROKEN = 60, 20, 20
"""Streams that read what they are told, that never do, and that break off in the middle again and again."""

IN_MESSAGE = 32
ANSWERED = 24_000
"""Commands after which it is over; by two thirds of them, what the daemon keeps at hand of what is newest has
been filled.
"""

MEMORY_ALLOWANCE_KIB = 8 * 1024

ALL_IN_ALL_KIB = 160 * 1024
"""Of the daemon, half of it what it takes without such streams."""


@dataclass
class Crowd:
    backend: sla_backend_pb2_grpc.SlaBackendStub
    pid: int
    numbers: count[int] = field(default_factory=count)
    answered: int = 0
    memory: list[int] = field(default_factory=list)
    breaks: int = 0

    def message(self) -> rpc.ExecuteSlaRequest:
        message = rpc.ExecuteSlaRequest()
        for number in (next(self.numbers) for _ in range(IN_MESSAGE)):
            start = message.commands.add().start
            start.tenant_id, start.ticket_id, start.request_id = "acme", f"T-{number}", f"r-{number}"
            start.targets.add(response_time_minutes=60, is_24x7=True)
        return message

    async def good(self) -> None:
        call = self.backend.ExecuteSla()
        while self.answered < ANSWERED:
            message = self.message()
            await call.write(message)
            results = (await call.read()).results
            told = [result.start.status.ticket_id for result in results if result.start.created]
            assert told == [command.start.ticket_id for command in message.commands]
            self.answered += IN_MESSAGE
            self.memory.append(memory_kib(self.pid) or 0)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF

    async def deaf(self) -> None:
        call = self.backend.ExecuteSla()
        try:
            while True:
                await call.write(self.message())
        finally:
            call.cancel()

    async def broken(self) -> None:
        while True:
            call = self.backend.ExecuteSla()
            await call.write(self.message())
            await call.write(self.message())
            await call.read()
            call.cancel()
            self.breaks += 1


async def test_memory_stays_flat_whatever_streams_do(tmp_path: Path) -> None:
    arguments = ("--listen", f"unix:{tmp_path}/s", "--data", str(tmp_path / "data"))
    # Of a stream that breaks off, the daemon hears a moment later.
    with slad_process(*arguments, "--limits-command-streams-per-caller", "200") as slad:
        async with grpc.aio.insecure_channel(slad.addresses[0]) as channel:
            crowd = Crowd(sla_backend_pb2_grpc.SlaBackendStub(channel), slad.process.pid)
            others = [asyncio.create_task(crowd.deaf()) for _ in range(DEAF)]
            others += [asyncio.create_task(crowd.broken()) for _ in range(BROKEN)]
            await asyncio.gather(*(crowd.good() for _ in range(GOOD)))
            for other in others:
                assert not other.done(), other.exception()
                other.cancel()
                with suppress(asyncio.CancelledError):
                    await other
            call = crowd.backend.ExecuteSla()
            await call.write(crowd.message())
            assert len((await call.read()).results) == IN_MESSAGE, "it goes on as before"
            await call.done_writing()
        assert crowd.breaks > BROKEN
        memory = crowd.memory
        third = len(memory) // 3
        assert max(memory[2 * third :]) < memory[2 * third] + MEMORY_ALLOWANCE_KIB, memory[:: third // 8]
        assert max(memory) < ALL_IN_ALL_KIB, memory[:: third // 8]
        assert slad.terminate() == 0
        assert not [entry for entry in slad.log if entry["level"] in ("error", "critical")]
