"""One run: calls one by one and in bursts, what must hold after each, and at the end a working daemon."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import fmean
from time import monotonic
from typing import Any, Final

import grpc
from google.protobuf.message_factory import GetMessageClass
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import test_clock_pb2 as clock_rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import HOUR_MS, MINUTE_MS, format_instant
from tests.slad_under_test import target, told
from tests.system.e2e.slad_process import SladProcess, slad_process
from tests.trials.fuzz.checks import Outcome, problems
from tests.trials.fuzz.client import Client, Everything
from tests.trials.fuzz.generator import Call, Generator
from tests.trials.fuzz.world import END_MS, World

BURST: Final = 32
"""Calls at once, so that commands share a transaction."""

REPLAYED: Final = 48
"""Refused calls that are sent once more between two looks at everything."""

MAX_FINDINGS: Final = 50

LAST_HOURS_MS: Final = 6 * HOUR_MS
"""How far time may go when it begins in the last year."""

MEMORY_TOLERANCE: Final = 1.10
MEMORY_ALLOWANCE_KIB: Final = 8 * 1024
"""By how much the memory of the last quarter may exceed that of the second."""


@dataclass
class Report:
    """What a run has seen."""

    seed: int
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """By RPC: how many calls ended with each code."""
    manners: Counter[str] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)
    """What was found, with the first example of it."""
    found: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    """By RPC: seconds of the slowest call."""
    memory_kib: list[int] = field(default_factory=list)
    largest_reply: int = 0
    refused_alone: int = 0
    """Refused calls after each of which nothing had changed."""
    looks: int = 0
    """How often everything was compared before and after refused calls."""
    seconds: float = 0.0
    on_finding: Callable[[str], None] = lambda finding: None
    """Told of each when it is found for the first time."""

    @property
    def calls(self) -> int:
        return sum(counter.total() for counter in self.counts.values())

    def add(self, call: Call, outcome: Outcome) -> None:
        name = f"{call.method.containing_service.name}.{call.method.name}"
        self.counts.setdefault(name, Counter())[outcome.code.name] += 1
        self.manners[call.manner] += 1
        self.slowest[name] = max(self.slowest.get(name, 0.0), outcome.seconds)
        self.largest_reply = max(self.largest_reply, *map(len, outcome.replies), 0)

    def find(self, what: str, example: str = "") -> None:
        self.found[what] += 1
        if what not in self.findings and len(self.findings) < MAX_FINDINGS:
            self.findings[what] = example
            self.on_finding(f"{what}\n    {example}")

    def memory_by_quarter(self) -> list[float]:
        """Mean KiB in each quarter of the run; empty where it cannot be measured."""
        size = len(self.memory_kib) // 4
        return [fmean(self.memory_kib[n * size : (n + 1) * size]) for n in range(4)] if size else []


class Fuzzer:
    """Drives one daemon, which has a virtual clock."""

    def __init__(self, process: SladProcess, client: Client, report: Report, now: int) -> None:
        self._rng = Random(report.seed)
        self._process = process
        self._client = client
        self._report = report
        self._world = World(now, latest=max(END_MS, now + LAST_HOURS_MS))
        self._generator = Generator(self._rng, self._world)
        self._refused: deque[Call] = deque(maxlen=REPLAYED)
        self._head = 0
        self._number = 0

    async def run(self, requests: int, progress: Callable[[str], None]) -> None:
        """Sends at least that many calls."""
        look_every = max(150, requests // 100)
        next_look = look_every
        self._head = await self._client.head()
        while self._number < requests:
            if self._rng.random() < 0.3:
                await self._burst(min(BURST, requests - self._number))
            else:
                for _ in range(min(BURST, requests - self._number)):
                    await self._one()
            self._check_process()
            if self._number >= next_look:
                next_look += look_every
                await self._look()
                self._report.memory_kib += [kib for kib in (memory_kib(self._process.process.pid),) if kib]
                progress(f"{self._number:,} of {requests:,} calls, {len(self._report.findings)} findings")

    async def _one(self) -> None:
        call = self._generator.call()
        outcome = await self._send(call)
        if call.cancelled or call.method.client_streaming:
            # What was read of a stream before it broke may be under way still.
            await self._settle()
            return
        head = await self._client.head()
        if outcome.is_refused:
            self._report.refused_alone += 1
            self._refused.append(call)
            if head != self._head:
                self._find(call, f"refused ({outcome.code.name}), but {head - self._head} events came")
        self._head = head

    async def _burst(self, size: int) -> None:
        calls = [self._generator.call() for _ in range(size)]
        await asyncio.gather(*map(self._send, calls))
        await self._settle()

    async def _send(self, call: Call) -> Outcome:
        self._number += 1
        outcome = await self._client.send(call)
        self._report.add(call, outcome)
        for problem in problems(call, outcome):
            self._find(call, problem)
        kind = GetMessageClass(call.method.output_type)
        for reply in outcome.replies:
            self._world.learn(kind.FromString(reply))
        return outcome

    async def _settle(self) -> None:
        """Waits until what cancelled calls have left in the daemon is done."""
        calm = 0
        while calm < 3:
            await asyncio.sleep(0.002)
            await self._barrier()
            head = await self._client.head()
            calm = calm + 1 if head == self._head else 0
            self._head = head

    async def _barrier(self) -> None:
        """Commands are carried out in order: when this one is refused those before it are done."""
        request = rpc.ResumeSlaRequest(ticket_id="barrier")
        try:
            await self._client.unary("/slad.v1.SlaBackend/ResumeSla", request, rpc.ResumeSlaResponse)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND

    async def _look(self) -> None:
        """Sends calls that were refused once more, at once, between two looks at everything."""
        await self._settle()
        calls = list(self._refused)
        before = await self._client.everything()
        outcomes = await asyncio.gather(*map(self._client.send, calls))
        after = await self._client.everything()
        if all(outcome.is_refused for outcome in outcomes):
            self._report.looks += 1
            if before != after:
                self._report.find("refused calls have changed something", f"call {self._number}")
        self._head = await self._client.head()

    def _check_process(self) -> None:
        code = self._process.process.poll()
        assert code is None, (
            f"the daemon ended with {code} by call {self._number}:\n{self._process.output[-5000:]}"
        )

    def _find(self, call: Call, problem: str) -> None:
        shown = " ".join(message[:200].hex() for message in call.messages[:3])
        self._report.find(f"{call.path}: {problem}", f"call {self._number}, {call.manner}: {shown}")


async def normal_life(client: Client) -> None:
    """A ticket as any other, with the exact events that it must have."""

    async def command(name: str, request: Any, reply: Any) -> Any:
        return await client.unary(f"/slad.v1.SlaBackend/{name}", request, reply)

    async def advance(minutes: int) -> None:
        request = clock_rpc.AdvanceTimeRequest()
        request.by.FromSeconds(minutes * 60)
        await client.unary("/slad.v1.TestClock/AdvanceTime", request, clock_rpc.AdvanceTimeResponse)

    begun = (await client.now()).ToMilliseconds()
    who = {"tenant_id": "the last", "ticket_id": "normal"}
    terms = target(60, 240, (0, 0, 0))
    terms.is_24x7 = True
    started = await command(
        "StartSlaTracking", rpc.StartSlaTrackingRequest(**who, targets=[terms]), rpc.StartSlaTrackingResponse
    )
    assert started.created
    assert started.status.status == pb.SLA_TIMER_STATUS_ON_TRACK
    sequence = await client.head()
    await advance(30)
    pause = rpc.PauseSlaRequest(**who, reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
    assert (await command("PauseSla", pause, rpc.PauseSlaResponse)).status.is_paused
    await advance(60)
    resumed = await command("ResumeSla", rpc.ResumeSlaRequest(**who), rpc.ResumeSlaResponse)
    assert resumed.status.response.due_at.ToMilliseconds() == begun + 120 * MINUTE_MS
    await advance(30)
    for phase in (pb.SLA_PHASE_RESPONSE, pb.SLA_PHASE_RESOLUTION):
        request = rpc.CompleteSlaRequest(**who, phase=phase)
        assert (await command("CompleteSla", request, rpc.CompleteSlaResponse)).met
    mine = [event for event in await client.events(sequence - 1) if event.tenant_id == who["tenant_id"]]
    assert told(mine) == [
        "STARTED",
        "RESPONSE 50 REACHED",
        "PAUSED",
        "RESUMED",
        "RESPONSE 75 REACHED",
        "RESPONSE 90 REACHED",
        "RESPONSE 100 REACHED",
        "RESPONSE PHASE_COMPLETED",
        "RESOLUTION PHASE_COMPLETED",
        "COMPLETED",
    ]


SMALL: Final = (sys.executable, "-m", "tests.trials.fuzz.small_slad")
"""In front of the daemon's command: it has little room for what it keeps at hand."""


def fuzz(
    report: Report,
    requests: int,
    now: int,
    progress: Callable[[str], None] = lambda _: None,
    inside: Sequence[str] = (),
) -> None:
    """A run with a daemon of its own, whose time begins at `now`, and which is started once more at the end."""
    begun = monotonic()
    with tempfile.TemporaryDirectory(prefix="slad-fuzz-") as directory:
        data = Path(directory)
        with daemon(data, now, inside) as process:
            seen = asyncio.run(_drive(process, requests, report, progress, now))
            _check_log(process, report)
            code = process.terminate()
            if code:
                report.find(f"SIGTERM: the daemon ended with {code}")
        with daemon(data, seen.now) as process:
            _compare(seen, asyncio.run(_everything(process)), report)
            _check_log(process, report)
    report.seconds += monotonic() - begun


@contextmanager
def daemon(data: Path, now: int, inside: Sequence[str] = ()) -> Iterator[SladProcess]:
    arguments = ("--listen", f"unix:{data / 'socket'}", "--data", str(data / "data"))
    with slad_process(*arguments, "--virtual-clock", format_instant(now), inside=inside) as process:
        yield process


async def _drive(
    process: SladProcess,
    requests: int,
    report: Report,
    progress: Callable[[str], None],
    now: int,
) -> Everything:
    async with Client(process.addresses[0]) as client:
        await Fuzzer(process, client, report, now).run(requests, progress)
        await normal_life(client)
        return await client.everything()


async def _everything(process: SladProcess) -> Everything:
    async with Client(process.addresses[0]) as client:
        return await client.everything()


def _compare(before: Everything, after: Everything, report: Report) -> None:
    """What must have survived a restart; how far a consumer with a filter has read need not."""
    if before.statuses != after.statuses:
        report.find("after a restart a tracking is not as it was")
    if before.consumers.keys() != after.consumers.keys():
        odd = before.consumers.keys() ^ after.consumers.keys()
        report.find("after a restart other consumers are registered", f"{sorted(odd)[:5]}")


def memory_kib(pid: int) -> int | None:
    """Memory of a process that is not that of files; None where /proc does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), None)


def _check_log(process: SladProcess, report: Report) -> None:
    for entry in process.log:
        if entry.get("level") not in ("info", "warning"):
            error = str(entry.pop("error", "")).strip().splitlines()
            report.find(f"the log has {entry.get('message')}: {error[-1:]}", " / ".join(error[-12:]))
    for line in process.other_output[:20]:
        report.find(f"the daemon printed: {line[:300]}")


def check_memory(report: Report) -> None:
    """Whether memory grew. For a run with `SMALL` that is long enough to fill what slad keeps at hand."""
    quarters = report.memory_by_quarter()
    if quarters and quarters[3] > quarters[1] * MEMORY_TOLERANCE + MEMORY_ALLOWANCE_KIB:
        report.find(f"memory grew from {quarters[1]:,.0f} to {quarters[3]:,.0f} KiB")
