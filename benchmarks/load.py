"""The client: a closed loop of StartSlaTracking requests over one channel, measured and told as JSON.

So many calls are in flight all the time; when one is answered, the next is sent. Requests are serialized
already and replies stay bytes, so that the client costs the same whichever server it talks to. A call that
fails ends the run: a figure that holds failures says nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles

import grpc
import uvloop

from benchmarks.start_request import StartRequests


@dataclass(frozen=True, slots=True)
class Measurement:
    """One round with one server, its warm-up left out."""

    calls: int
    seconds: float
    p50_ms: float
    p99_ms: float
    server_cpu_seconds: float
    client_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    @property
    def server_cpu_us(self) -> float:
        """Microseconds of CPU that the server spent on a call, all its threads together."""
        return self.server_cpu_seconds / self.calls * 1e6

    @property
    def client_cpu_us(self) -> float:
        """The same of the client."""
        return self.client_cpu_seconds / self.calls * 1e6


class ClosedLoop:
    """Calls in flight, one after the other in each lane."""

    def __init__(self, call: Callable[[bytes], Awaitable[bytes]], requests: StartRequests) -> None:
        self._call = call
        self._requests = requests
        self._latencies: list[float] = []
        self._stopping = False

    async def run_lane(self) -> None:
        """One call after the other until `stop`."""
        while not self._stopping:
            request = self._requests.next()
            begun = time.perf_counter()
            await self._call(request)
            self._latencies.append(time.perf_counter() - begun)

    def take(self) -> list[float]:
        """The latencies in seconds of the calls answered since the last `take`."""
        taken, self._latencies = self._latencies, []
        return taken

    def stop(self) -> None:
        """Lets the lanes end with the calls that they are in."""
        self._stopping = True


async def measure(
    target: str,
    method: str,
    requests: StartRequests,
    *,
    in_flight: int,
    warm_up: float,
    seconds: float,
    server_pid: int,
) -> Measurement:
    """Loads `method` at `target` for `warm_up` and then `seconds` seconds. Raises grpc.RpcError."""
    async with grpc.aio.insecure_channel(target) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        loop = ClosedLoop(call, requests)
        async with asyncio.TaskGroup() as lanes:
            for _ in range(in_flight):
                lanes.create_task(loop.run_lane())
            await asyncio.sleep(warm_up)
            loop.take()
            begun, server, client = time.perf_counter(), cpu_seconds(server_pid), time.process_time()
            await asyncio.sleep(seconds)
            latencies = loop.take()
            ended = time.perf_counter()
            server, client = cpu_seconds(server_pid) - server, time.process_time() - client
            loop.stop()
    percentiles = quantiles(latencies, n=100)
    return Measurement(
        calls=len(latencies),
        seconds=ended - begun,
        p50_ms=percentiles[49] * 1e3,
        p99_ms=percentiles[98] * 1e3,
        server_cpu_seconds=server,
        client_cpu_seconds=client,
    )


def cpu_seconds(pid: int) -> float:
    """User and system time that all threads of a process have spent so far (Linux; to 10 ms)."""
    # The name of the command, in parentheses, may hold anything; utime and stime are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="host:port of the server")
    parser.add_argument("method", help="the full name, /package.Service/Method")
    parser.add_argument("--server-pid", type=int, required=True, help="whose CPU time is counted")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--warm-up", type=float, default=0.5, metavar="SECONDS")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--no-request-id", action="store_true", help="leave request_id out of the requests")
    options = parser.parse_args()
    measurement = uvloop.run(
        measure(
            options.target,
            options.method,
            StartRequests(with_request_id=not options.no_request_id),
            in_flight=options.in_flight,
            warm_up=options.warm_up,
            seconds=options.seconds,
            server_pid=options.server_pid,
        )
    )
    print(json.dumps(asdict(measurement)))


if __name__ == "__main__":
    main()
