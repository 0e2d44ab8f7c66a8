"""Durable starts through ExecuteSla against a bare gRPC echo, and single ones in the same run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from benchmarks.clients import MESSAGES_UNDER_WAY, started, told
from benchmarks.processes import Server, echo, load, slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from benchmarks.start_request import StartRequests

STREAMS: Final = 2
IN_MESSAGE: Final = 64
IN_FLIGHT: Final = 32
"""Of the echo, and of single starts."""


def run(options: Options) -> Result:
    """In turn: a round with the echo, one of single starts, one of streams, one of streams with statuses."""
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
        with slad(Path(scratch) / "data") as server:
            reply = server.call(StartRequests().next())
            with echo(len(reply)) as peer:
                for _ in range(options.repeats):
                    echoed, single = (_calls(one, options) for one in (peer, server))
                    brief = pushed(server, options.seconds)
                    whole = pushed(server, options.seconds, "--status")
                    for name, value in (
                        ("ratio", brief["rate"] / echoed),
                        ("ratio, with statuses", whole["rate"] / echoed),
                        ("ratio, single", single / echoed),
                        ("echo/s", echoed),
                        ("starts/s", brief["rate"]),
                        ("starts/s, with statuses", whole["rate"]),
                        ("starts/s, single", single),
                        ("server CPU us", brief["server_cpu_us"]),
                        ("server CPU us, with statuses", whole["server_cpu_us"]),
                    ):
                        figures.setdefault(name, []).append(value)
    notes = [
        f"{STREAMS} streams, {IN_MESSAGE} starts in a message, {MESSAGES_UNDER_WAY} messages of each under "
        "way; the echo and "
        f"single starts with {IN_FLIGHT} in flight. Every start has a request_id and its whole schedule. "
        "Without statuses: `omit_status`."
    ]
    return Result("batch", figures, notes)


def pushed(server: Server, seconds: float, *options: str) -> dict[str, float]:
    """One round of streams: starts a second, and CPU of the server for each, in us."""
    arguments = ("--seconds", str(seconds), "--in-flight", str(STREAMS), "--in-message", str(IN_MESSAGE))
    pid = ("--server-pid", str(server.pid))
    found: dict[str, float] = told(started("push", server.target, *arguments, *pid, *options), seconds + 60)
    return found | {"rate": found["calls"] / found["seconds"]}


def _calls(server: Server, options: Options) -> float:
    return load(server, in_flight=IN_FLIGHT, warm_up=0.5, seconds=options.seconds, with_request_id=True).rate


ROW = Row(
    "batch",
    "durable starts through ExecuteSla, 2 streams, 64 in a message",
    "a bare grpc.aio echo, 32 in flight",
    (
        Target("ratio", 1.3, at_least=True),
        Target("ratio, single", 0.43, at_least=True),
    ),
    run,
    60,
)
