"""What a caller does who wants to take what all others need. Each attack is a process of its own.

`python -m tests.trials.abuse.attacks '{"attack": "resets", …}'` makes one, and prints what it met as JSON.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc

from tests.trials.abuse.http2 import DATA, HEADERS, RST_STREAM, Connection, frame, message

BACKEND: Final = "/slad.v1.SlaBackend"
FLOOD_BATCH: Final = 500
DAY_S: Final = 86_400
AT_ONCE: Final = 25
PACE_S: Final = 0.05


@dataclass(frozen=True)
class Target:
    """Whom an attack is for, and for how long."""

    address: str
    ca: str
    seconds: float
    token: str = ""
    connections: int = 1
    streams: int = 1
    """On each connection."""

    @property
    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols(["h2"])
        return context

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(Path(self.ca).read_bytes())

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    async def connect(self, window: int = 65_535) -> list[Connection]:
        opened = []
        for _ in range(self.connections):
            with suppress(OSError):
                opened.append(await Connection.open(self.address, self.tls, window))
        return opened


async def resets(target: Target) -> dict[str, Any]:
    """Streams that are opened and reset at once, without a token."""
    ends, opened = time.monotonic() + target.seconds, 0

    async def flood(connection: Connection) -> None:
        nonlocal opened
        while time.monotonic() < ends and not connection.closed.is_set():
            opening, resetting = connection.open_many(f"{BACKEND}/GetSlaStatus", FLOOD_BATCH)
            await connection.write(opening)
            await connection.write(resetting)
            opened += FLOOD_BATCH

    connections = await target.connect()
    tasks = [asyncio.create_task(flood(connection)) for connection in connections]
    await asyncio.wait(tasks, timeout=target.seconds + 1)
    closed = sum(connection.closed.is_set() for connection in connections)
    refused = sum(connection.received[RST_STREAM] for connection in connections)
    return {"opened": opened, "refused": refused, "closed": closed}


async def health_watches(target: Target) -> dict[str, Any]:
    """`Health.Watch` as often as it goes, without a token."""
    return await _hold(target, "/grpc.health.v1.Health/Watch", b"", end=True)


async def watches(target: Target) -> dict[str, Any]:
    """Watches from the first event on, of which nothing is ever read."""
    body = rpc.WatchSlaEventsRequest(after_sequence=0).SerializeToString()
    return await _hold(target, f"{BACKEND}/WatchSlaEvents", body, end=True, window=0)


async def exports(target: Target) -> dict[str, Any]:
    """Exports of which nothing is ever read."""
    return await _hold(target, f"{BACKEND}/ExportSlaTrackings", b"", end=True, window=0)


async def reconciliations(target: Target) -> dict[str, Any]:
    """Reconciliations that are begun and never ended, and say something now and then."""
    first = rpc.ReconcileSlaTrackingsRequest(tenant_id="curious").SerializeToString()
    return await _hold(target, f"{BACKEND}/ReconcileSlaTrackings", first, drip=message(b""))


async def previews(target: Target) -> dict[str, Any]:
    """Previews and timelines of 50 bytes that reach over centuries, one after the other on each stream."""
    dear = rpc.PreviewSlaRequest()
    dear.targets.add(resolution_time_minutes=400_000)
    dear.schedule.timezone = "Europe/Berlin"
    dear.schedule.entries.add(day_of_week=1, start_time="09:00", end_time="09:01", is_enabled=True)
    far = rpc.GetSlaTimelineRequest(tenant_id="curious", ticket_id="L-0")
    far.until.FromJsonString("9999-01-01T00:00:00Z")
    outcomes: Counter[str] = Counter()

    async def one(backend: Any, call: Callable[[Any], Any]) -> None:
        while True:
            try:
                await call(backend)
                outcomes["answered"] += 1
            except grpc.aio.AioRpcError as error:
                outcomes[error.code().name] += 1
                await asyncio.sleep(0.1)

    async with grpc.aio.secure_channel(target.address, target.credentials) as channel:
        backend: Any = sla_backend_pb2_grpc.SlaBackendStub(channel)
        calls: list[Callable[[Any], Any]] = [
            lambda backend: backend.PreviewSla(dear, metadata=target.metadata),
            lambda backend: backend.GetSlaTimeline(far, metadata=target.metadata),
        ]
        tasks = [asyncio.create_task(one(backend, calls[number % 2])) for number in range(target.streams)]
        await asyncio.wait(tasks, timeout=target.seconds)
        for task in tasks:
            task.cancel()
    return dict(outcomes)


async def bodies(target: Target) -> dict[str, Any]:
    """Messages of almost 4 MiB, without a token, whose last byte never comes."""
    return await _half_messages(target, f"{BACKEND}/StartSlaTracking")


async def health_bodies(target: Target) -> dict[str, Any]:
    """The same for a method that needs no token."""
    return await _half_messages(target, "/grpc.health.v1.Health/Check")


async def _half_messages(target: Target, path: str) -> dict[str, Any]:
    body = b"\0" * (4 * 1024 * 1024 - 8)
    held, connections = Counter[str](), await target.connect()
    half = message(body)[:-1]

    async def one(connection: Connection) -> None:
        stream = connection.call(path)
        await connection.send(stream, half)
        held["whole but for a byte"] += 1

    tasks = [asyncio.create_task(one(c)) for c in connections for _ in range(target.streams)]
    await asyncio.wait(tasks, timeout=target.seconds)
    for task in tasks:
        task.cancel()
    refused = sum(connection.received[HEADERS] for connection in connections)
    return {"opened": len(tasks), "refused": refused, **held}


async def handshakes(target: Target) -> dict[str, Any]:
    """TLS connections of which not a byte is said."""
    host, _, port = target.address.rpartition(":")
    opened = []
    for _ in range(target.connections):
        with suppress(OSError):
            opened.append(await asyncio.wait_for(asyncio.open_connection(host, int(port)), 5))
    began = time.monotonic()
    ended: list[float] = []

    async def until_closed(reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            await reader.read()
        ended.append(time.monotonic() - began)

    tasks = [asyncio.create_task(until_closed(reader)) for reader, _ in opened]
    await asyncio.wait(tasks, timeout=target.seconds)
    return {
        "opened": len(opened),
        "closed": len(ended),
        "last closed after s": round(max(ended, default=0), 1),
    }


async def imports(target: Target) -> dict[str, Any]:
    """Import streams with one message each, of as many pauses as it holds."""
    begin = int(time.time()) - 30 * DAY_S
    options = [("grpc.max_send_message_length", -1)]
    outcomes: Counter[str] = Counter()
    ends = time.monotonic() + target.seconds

    async def one(backend: sla_backend_pb2_grpc.SlaBackendAsyncStub, name: int) -> None:
        while time.monotonic() < ends:
            list_ = _pauses(begin, f"{name}-{time.monotonic_ns()}")
            try:
                reply = await backend.ImportSlaTrackings(iter([list_]), metadata=target.metadata)
                outcomes["created"] += reply.created
            except grpc.aio.AioRpcError as error:
                outcomes[error.code().name] += 1
                await asyncio.sleep(1)

    async with grpc.aio.secure_channel(target.address, target.credentials, options) as channel:
        backend: Any = sla_backend_pb2_grpc.SlaBackendStub(channel)
        tasks = [asyncio.create_task(one(backend, name)) for name in range(target.streams)]
        await asyncio.wait(tasks, timeout=target.seconds + 1)
        for task in tasks:
            task.cancel()
    return dict(outcomes)


def _pauses(begin: int, name: str) -> rpc.ImportSlaTrackingsRequest:
    message = rpc.ImportSlaTrackingsRequest()
    for number in range(128):
        row = message.trackings.add()
        row.start.tenant_id, row.start.ticket_id = "greedy", f"{name}-{number}"
        row.start.targets.add(response_time_minutes=100_000, is_24x7=True)
        row.start.started_at.seconds = begin
        for pause in range(1_000):
            added = row.pauses.add(reason=1)
            added.paused_at.seconds = begin + 60 * (2 * pause + 1)
            added.resumed_at.seconds = begin + 60 * (2 * pause + 2)
    return message


async def _hold(
    target: Target, path: str, body: bytes, *, end: bool = False, window: int = 65_535, drip: bytes = b""
) -> dict[str, Any]:
    """Opens streams, says one thing on each, and holds them."""
    connections = await target.connect(window)
    open_streams: list[tuple[Connection, int]] = []
    for number in range(target.streams):
        if number % AT_ONCE == 0:
            # gRPC refuses what comes faster than it is taken.
            await asyncio.sleep(PACE_S)
        for connection in connections:
            stream = connection.call(path, target.metadata)
            # Flow control is not waited for: these messages are short.
            await connection.write(frame(DATA, int(end), stream, message(body)))
            open_streams.append((connection, stream))
    ends = time.monotonic() + target.seconds
    while (left := ends - time.monotonic()) > 0:
        await asyncio.sleep(min(left, 1))
        if drip:
            for connection, stream in open_streams:
                if connection.is_open(stream):
                    await connection.write(frame(DATA, 0, stream, drip))
    ended = sum(not connection.is_open(stream) for connection, stream in open_streams)
    received = Counter[int]()
    for connection in connections:
        received += connection.received
    return {"opened": len(open_streams), "ended": ended}


ATTACKS: Final[dict[str, Callable[[Target], Awaitable[dict[str, Any]]]]] = {
    attack.__name__: attack
    for attack in (
        resets,
        health_watches,
        watches,
        exports,
        previews,
        reconciliations,
        bodies,
        health_bodies,
        handshakes,
        imports,
    )
}


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    attack = ATTACKS[order.pop("attack")]
    print(json.dumps(asyncio.run(attack(Target(**order)))))
