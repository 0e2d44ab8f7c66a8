"""Servers and clients as processes of their own, on this machine; each is ended by its own pid."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2

from benchmarks import echo_server
from benchmarks.load import Measurement

HEALTH_REQUEST: Final = health_pb2.HealthCheckRequest(service="slad.v1.SlaBackend").SerializeToString()
HEALTH_METHOD: Final = "/grpc.health.v1.Health/Check"
START_METHOD: Final = "/slad.v1.SlaBackend/StartSlaTracking"

READY_S: Final = 20.0
"""How long a server may take to answer."""

STOP_S: Final = 20.0
"""How long it may take to end."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    name: str
    target: str
    method: str
    pid: int

    def call(self, request: bytes) -> bytes:
        """One call, to see what comes back. Raises grpc.RpcError."""
        with grpc.insecure_channel(self.target) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self.method)
            return call(request, timeout=READY_S)


@contextmanager
def slad(data: Path, *options: str, kill: bool = False) -> Iterator[Server]:
    """`slad serve` with all its defaults: every reply is durable. `kill`: it is ended by SIGKILL."""
    target = free_target()
    command = ["-m", "slad", "serve", "--listen", target, "--data", str(data), "--log-level", "error"]
    command += options
    with _running("slad", target, START_METHOD, command, kill=kill) as server:
        yield server


@contextmanager
def echo(reply_bytes: int) -> Iterator[Server]:
    """The peer, with replies of that size."""
    target = free_target()
    command = ["-m", "benchmarks.echo_server", target, "--reply-bytes", str(reply_bytes)]
    method = f"/{echo_server.SERVICE}/{echo_server.METHOD}"
    with _running("echo", target, method, command) as server:
        yield server


def load(
    server: Server, *, in_flight: int, warm_up: float, seconds: float, with_request_id: bool
) -> Measurement:
    """One round of a client process. Raises CalledProcessError when a call fails."""
    command = [sys.executable, "-m", "benchmarks.load", server.target, server.method]
    command += ["--server-pid", str(server.pid), "--in-flight", str(in_flight)]
    command += ["--warm-up", str(warm_up), "--seconds", str(seconds)]
    if not with_request_id:
        command.append("--no-request-id")
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=warm_up + seconds + 60)
    return Measurement(**json.loads(done.stdout))


@contextmanager
def _running(
    name: str, target: str, method: str, command: list[str], *, kill: bool = False
) -> Iterator[Server]:
    process = subprocess.Popen([sys.executable, *command])
    try:
        _wait_until_ready(name, target, process)
        yield Server(name, target, method, process.pid)
    finally:
        if kill:
            process.kill()
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(name: str, target: str, process: subprocess.Popen[bytes]) -> None:
    """Until it answers; slad, until health says SERVING."""
    deadline = time.monotonic() + READY_S
    while not _is_ready(name, target):
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with exit code {process.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} does not answer at {target}")
        time.sleep(0.01)


def _is_ready(name: str, target: str) -> bool:
    # A channel for each try: one that has failed waits before it tries again.
    with grpc.insecure_channel(target) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_METHOD)
        try:
            reply = check(HEALTH_REQUEST, timeout=5)
        except grpc.RpcError as error:
            return name != "slad" and error.code() is grpc.StatusCode.UNIMPLEMENTED
        status = health_pb2.HealthCheckResponse.FromString(reply).status
        return bool(status == health_pb2.HealthCheckResponse.SERVING)


def free_target() -> str:
    """`host:port` that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
