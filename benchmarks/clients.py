"""Client processes: what watches, what sends commands at their time, what asks in a closed loop.

Each is started as `python -m benchmarks.clients KIND ADDRESS …` and tells its measurements as one JSON line,
so that the measured daemon shares neither interpreter nor core with its load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import grpc
import uvloop
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from benchmarks.load import cpu_seconds
from benchmarks.start_request import StartRequests
from slad.engine.protobuf_bytes import embedded, tag_of

SERVICE: Final = "/slad.v1.SlaBackend/"
NS_PER_MS: Final = 1e6


def started(*arguments: str) -> subprocess.Popen[str]:
    """A client process; its JSON line is on its standard output when it ends."""
    command = [sys.executable, "-m", "benchmarks.clients", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def told(client: subprocess.Popen[str], timeout_s: float) -> Any:
    """What a client measured. Raises RuntimeError when it failed."""
    out, _ = client.communicate(timeout=timeout_s)
    if client.returncode:
        raise RuntimeError(f"a client ended with exit code {client.returncode}")
    return json.loads(out)


async def watch_lateness(channel: grpc.aio.Channel, options: argparse.Namespace) -> dict[str, Any]:
    """Receipt minus scheduled instant, in ms, of every threshold that comes in so many seconds."""
    watch: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(f"{SERVICE}WatchSlaEvents")
    # Those that are meant to fall due: tickets of the load do so too, when it lasts.
    request = rpc.WatchSlaEventsRequest(tenant_id="due", types=[pb.SLA_EVENT_TYPE_THRESHOLD_REACHED])
    late: list[tuple[float, float]] = []
    call = watch(request.SerializeToString())
    await call.initial_metadata()
    print("watching", file=sys.stderr, flush=True)

    async def read() -> None:
        async for body in call:
            now = time.time_ns() / NS_PER_MS
            for event in rpc.WatchSlaEventsResponse.FromString(body).events:
                scheduled = event.threshold.scheduled_at
                late.append((now / 1e3, now - scheduled.seconds * 1e3 - scheduled.nanos / NS_PER_MS))

    reading = asyncio.create_task(read())
    await asyncio.wait({reading}, timeout=options.seconds)
    call.cancel()
    return {"late": late}


async def count_events(channel: grpc.aio.Channel, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds until so many events after a sequence were received and parsed, from the request on."""
    watch: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(f"{SERVICE}WatchSlaEvents")
    begun, count = time.perf_counter(), 0
    call = watch(rpc.WatchSlaEventsRequest(after_sequence=options.after).SerializeToString())
    async for body in call:
        count += len(rpc.WatchSlaEventsResponse.FromString(body).events)
        if count >= options.events:
            break
    seconds = time.perf_counter() - begun
    call.cancel()
    return {"events": count, "seconds": seconds}


async def open_loop(channel: grpc.aio.Channel, options: argparse.Namespace) -> dict[str, Any]:
    """Commands at a fixed rate, whether or not earlier ones are answered; latencies in ms.

    A third are starts; each is followed by a pause and a resume of its ticket, which wait for its answer.
    """
    lives = _Lives(channel)
    running: set[asyncio.Task[None]] = set()
    begun = time.perf_counter()
    for number in range(int(options.rate * options.seconds / COMMANDS_OF_A_LIFE)):
        due = begun + number * COMMANDS_OF_A_LIFE / options.rate
        await _until(due)
        task = asyncio.create_task(lives.live(due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return {"latencies": lives.latencies, "seconds": time.perf_counter() - begun}


COMMANDS_OF_A_LIFE: Final = 3
BETWEEN_S: Final = 0.05
"""From one command of a ticket to the next."""


async def _until(moment: float) -> None:
    delay = moment - time.perf_counter()
    if delay > 0:
        await asyncio.sleep(delay)


class _Lives:
    """Tickets that are started, paused and resumed."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call: dict[str, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {
            name: channel.unary_unary(f"{SERVICE}{name}")
            for name in ("StartSlaTracking", "PauseSla", "ResumeSla")
        }
        self._starts = StartRequests(with_request_id=True)
        self.latencies: list[float] = []

    async def live(self, due: float) -> None:
        """One ticket, whose start is due at `due`. Raises grpc.RpcError."""
        body = self._starts.next()
        start = rpc.StartSlaTrackingRequest.FromString(body)
        tenant_id, ticket_id = start.tenant_id, start.ticket_id
        pause = rpc.PauseSlaRequest(
            tenant_id=tenant_id, ticket_id=ticket_id, reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT
        )
        resume = rpc.ResumeSlaRequest(tenant_id=tenant_id, ticket_id=ticket_id)
        for name, request in (
            ("StartSlaTracking", body),
            ("PauseSla", pause.SerializeToString()),
            ("ResumeSla", resume.SerializeToString()),
        ):
            await _until(due)
            await self._call[name](request)
            # From when it should have been sent: waiting is not hidden.
            self.latencies.append((time.perf_counter() - due) * 1e3)
            due += BETWEEN_S


MESSAGES_UNDER_WAY: Final = 4
"""Of a stream of commands: a pipeline sends on while results are under way."""


async def push(channel: grpc.aio.Channel, options: argparse.Namespace) -> dict[str, Any]:
    """Starts through ExecuteSla: so many streams, each with some messages under way; starts a second.

    Raises RuntimeError when one is refused.
    """
    starts, counts, stopping = StartRequests(), [0], False
    execute: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"{SERVICE}ExecuteSla")

    async def stream() -> None:
        call = execute()
        for _ in range(MESSAGES_UNDER_WAY - 1):
            await call.write(starts_message(starts, options.in_message, omit_status=not options.status))
        while not stopping:
            await call.write(starts_message(starts, options.in_message, omit_status=not options.status))
            answered = 0
            while answered < options.in_message:
                body = await call.read()
                assert isinstance(body, bytes)
                results = rpc.ExecuteSlaResponse.FromString(body).results
                if not all(result.start.created for result in results):
                    raise RuntimeError(f"a command was refused: {results[0]}")
                answered += len(results)
            counts[0] += answered
        await call.done_writing()

    async with asyncio.TaskGroup() as streams:
        for _ in range(options.in_flight):
            streams.create_task(stream())
        await asyncio.sleep(0.5)
        counts[0], begun, cpu = 0, time.perf_counter(), _cpu_seconds(options.server_pid)
        await asyncio.sleep(options.seconds)
        answered, seconds = counts[0], time.perf_counter() - begun
        cpu = _cpu_seconds(options.server_pid) - cpu
        stopping = True
    return {"calls": answered, "seconds": seconds, "server_cpu_us": cpu / answered * 1e6}


def starts_message(starts: StartRequests, number: int, *, omit_status: bool) -> bytes:
    """A serialized ExecuteSlaRequest with so many starts."""
    body = b"".join([embedded(_COMMANDS, embedded(_START, starts.next())) for _ in range(number)])
    return body + rpc.ExecuteSlaRequest(omit_status=omit_status).SerializeToString()


_COMMANDS: Final = tag_of(rpc.ExecuteSlaRequest, "commands")
_START: Final = tag_of(rpc.SlaCommand, "start")


async def ask_statuses(channel: grpc.aio.Channel, options: argparse.Namespace) -> dict[str, Any]:
    """In turn, pages of random tickets: in one call, and in one call for each ticket; ms of each page."""
    random = Random(1)
    one: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"{SERVICE}GetSlaStatus")
    many: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"{SERVICE}BatchGetSlaStatus")
    took: dict[str, list[float]] = {"batch": [], "together": [], "in turn": []}
    ends = time.perf_counter() + options.seconds
    while time.perf_counter() < ends:
        for kind, times in took.items():
            page = [f"P-{random.randrange(options.tickets)}" for _ in range(options.in_message)]
            request = rpc.BatchGetSlaStatusRequest(tenant_id="pending", ticket_ids=page).SerializeToString()
            requests = [
                rpc.GetSlaStatusRequest(tenant_id="pending", ticket_id=ticket).SerializeToString()
                for ticket in page
            ]
            begun = time.perf_counter()
            if kind == "batch":
                await many(request)
            elif kind == "together":
                await asyncio.gather(*map(one, requests))
            else:
                for single in requests:
                    await one(single)
            times.append((time.perf_counter() - begun) * 1e3)
    return took


async def ask_status(channel: grpc.aio.Channel, options: argparse.Namespace) -> dict[str, Any]:
    """GetSlaStatus of random tickets, so many in flight; calls a second."""
    random = Random(1)

    def request() -> bytes:
        ticket_id = f"P-{random.randrange(options.tickets)}"
        return rpc.GetSlaStatusRequest(tenant_id="pending", ticket_id=ticket_id).SerializeToString()

    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"{SERVICE}GetSlaStatus")
    return await closed_loop(call, request, options)


async def echo(channel: grpc.aio.Channel, options: argparse.Namespace) -> dict[str, Any]:
    """The same against the echo server."""
    body = rpc.GetSlaStatusRequest(tenant_id="pending", ticket_id="P-100000").SerializeToString()
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/benchmarks.Echo/Echo")
    return await closed_loop(call, lambda: body, options)


async def closed_loop(
    call: Callable[[bytes], Awaitable[bytes]], request: Callable[[], bytes], options: argparse.Namespace
) -> dict[str, Any]:
    """So many calls in flight for so many seconds, after half a second of warm-up."""
    count, stopping = 0, False

    async def lane() -> None:
        nonlocal count
        while not stopping:
            await call(request())
            count += 1

    async with asyncio.TaskGroup() as lanes:
        for _ in range(options.in_flight):
            lanes.create_task(lane())
        await asyncio.sleep(0.5)
        count, begun, cpu = 0, time.perf_counter(), _cpu_seconds(options.server_pid)
        await asyncio.sleep(options.seconds)
        answered, seconds = count, time.perf_counter() - begun
        cpu = _cpu_seconds(options.server_pid) - cpu
        stopping = True
    return {"calls": answered, "seconds": seconds, "server_cpu_us": cpu / answered * 1e6}


def _cpu_seconds(server_pid: int) -> float:
    return cpu_seconds(server_pid) if server_pid else 0.0


KINDS: Final[dict[str, Callable[..., Awaitable[dict[str, Any]]]]] = {
    "lateness": watch_lateness,
    "replay": count_events,
    "commands": open_loop,
    "push": push,
    "statuses": ask_statuses,
    "status": ask_status,
    "echo": echo,
}


async def run(options: argparse.Namespace) -> None:
    """One client."""
    channel_options = [("grpc.max_receive_message_length", 8 * 2**20)]
    async with grpc.aio.insecure_channel(options.address, channel_options) as channel:
        print(json.dumps(await KINDS[options.kind](channel, options)))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("address")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--in-message", type=int, default=64, help="commands, or tickets of a page")
    parser.add_argument("--status", action="store_true", help="let replies have the status")
    parser.add_argument("--rate", type=float, default=500.0, help="commands a second")
    parser.add_argument("--after", type=int, default=0, help="sequence")
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--tickets", type=int, default=0)
    parser.add_argument("--server-pid", type=int, default=0, help="whose CPU time is counted")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
