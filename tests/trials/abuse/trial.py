"""One attack on a daemon of its own: who attacks with what, what goes on beside it, and what is noticed."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import trustme
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc, tokens_pb2, tokens_pb2_grpc

from tests.paths import ROOT
from tests.system.e2e.slad_process import slad_process
from tests.trials.abuse.attacks import Target
from tests.trials.abuse.victim import Notes, Victim

QUIET_S: Final = 1.0
"""Before and after the attack."""

LANES: Final = 32


@dataclass(frozen=True)
class Attack:
    """An attack of some size. `role`: of the attacker's token; none: without one."""

    name: str
    what: str
    seconds: float
    connections: int = 1
    streams: int = 1
    role: str = ""
    large_events: int = 0
    """Events of 34 KB that there are before it begins."""
    with_writes: bool = False
    """Whether others write as fast as they can meanwhile."""
    options: Sequence[str] = ()


@dataclass
class Outcome:
    """What was noticed, and how the daemon ended."""

    attack: Attack
    met: dict[str, Any]
    notes: Notes
    memory_after_mib: float = 0
    stopped_in_s: float = 0
    exit_code: int = 0
    errors: list[str] = field(default_factory=list)


async def run(attack: Attack) -> Outcome:
    """Makes the attack and looks."""
    with tempfile.TemporaryDirectory(prefix="slad-abuse-") as folder:
        return await _run(attack, Path(folder))


async def _run(attack: Attack, folder: Path) -> Outcome:
    ca, certificate = trustme.CA(), folder / "server.pem"
    leaf = ca.issue_cert("localhost")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = ("--tls-cert", str(certificate), "--tls-key", str(certificate))
    listen, data = ("--listen", "127.0.0.1:0", "--listen", f"unix:{folder}/s"), folder / "data"
    with slad_process(*listen, "--data", str(data), *tls, *attack.options) as slad:
        address = f"localhost:{slad.addresses[0].rpartition(':')[2]}"
        async with grpc.aio.insecure_channel(f"unix:{folder}/s") as channel:
            backend: Any = sla_backend_pb2_grpc.SlaBackendStub(channel)
            tokens = {role: await _token(channel, role) for role in ("write", attack.role) if role}
            await _large_events(backend, attack.large_events)
            victim = Victim(
                slad.process.pid, address, data, ca.cert_pem.bytes(), await _token(channel, "write", "modest")
            )
            target = Target(
                address,
                str(folder / "ca.pem"),
                attack.seconds,
                tokens.get(attack.role, ""),
                attack.connections,
                attack.streams,
            )
            async with victim.watching():
                await asyncio.sleep(QUIET_S)
                async with _writes(backend, attack.with_writes):
                    met = await _attack(attack.name, target)
                await asyncio.sleep(QUIET_S)
        outcome = Outcome(attack, met, victim.notes, victim.notes.memory_mib[-1])
        began = time.monotonic()
        outcome.exit_code = await asyncio.to_thread(slad.terminate)
        outcome.stopped_in_s = time.monotonic() - began
        outcome.errors = [
            f"{entry['message']}: {entry.get('error', '')}" for entry in slad.log if entry["level"] == "error"
        ]
        outcome.errors += slad.other_output
    return outcome


async def _attack(name: str, target: Target) -> dict[str, Any]:
    order = json.dumps({"attack": name, **asdict(target)})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.trials.abuse.attacks", order, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), target.seconds + 120)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    found: dict[str, Any] = json.loads(out)
    return found


async def _token(channel: grpc.aio.Channel, role: str, tenant: str = "") -> str:
    stub: Any = tokens_pb2_grpc.SlaTokensStub(channel)
    request = tokens_pb2.CreateSlaTokenRequest(
        name=role,
        role=tokens_pb2.SlaRole.Value(f"SLA_ROLE_{role.upper()}"),
        tenant_ids=[tenant or {"write": "greedy", "read": "curious"}[role]],
    )
    return str((await stub.CreateSlaToken(request)).secret)


async def _large_events(backend: Any, count: int) -> None:
    attributes = {f"key-{number}": "x" * 1_000 for number in range(32)}

    async def lane(first: int) -> None:
        for number in range(first, count, LANES):
            request = rpc.StartSlaTrackingRequest(
                tenant_id="curious", ticket_id=f"L-{number}", attributes=attributes
            )
            request.targets.add(response_time_minutes=100_000)
            request.schedule.timezone = "Europe/Berlin"
            for day in range(7):
                request.schedule.entries.add(
                    day_of_week=day, start_time="09:00", end_time="17:00", is_enabled=True
                )
            await backend.StartSlaTracking(request)

    await asyncio.gather(*map(lane, range(LANES)))


@asynccontextmanager
async def _writes(backend: Any, wanted: bool) -> AsyncIterator[None]:
    async def lane(name: int) -> None:
        number = 0
        while True:
            number += 1
            request = rpc.StartSlaTrackingRequest(tenant_id="busy", ticket_id=f"B-{name}-{number}")
            request.targets.add(response_time_minutes=100_000, is_24x7=True)
            with suppress(grpc.aio.AioRpcError):
                await backend.StartSlaTracking(request)

    tasks = [asyncio.create_task(lane(name)) for name in range(LANES if wanted else 0)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
