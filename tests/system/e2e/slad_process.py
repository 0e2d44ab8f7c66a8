"""The installed command as a process, and grpcurl to talk to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.paths import TOOLS

COMMAND = Path(sys.executable).parent / "slad"
START_TIMEOUT_S = 30


class SladProcess:
    """One run of `slad serve`; its log is read as JSON lines.

    `inside` is a command that runs the one which follows it, in its own place.
    """

    def __init__(
        self, *arguments: str, env: dict[str, str] | None = None, inside: Sequence[str] = ()
    ) -> None:
        self.process = subprocess.Popen(
            [*inside, COMMAND, "serve", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SLAD_LOG_FORMAT": "json", **(env or {})},
        )
        self.log: list[dict[str, Any]] = []
        self.other_output: list[str] = []
        self.addresses: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_ready(self) -> SladProcess:
        assert self._ready.wait(START_TIMEOUT_S), self.output
        assert self.addresses, self.output
        return self

    def wait(self, timeout_s: float = 30) -> int:
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        return code

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    @property
    def output(self) -> str:
        return "\n".join([*map(json.dumps, self.log), *self.other_output])

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                self.other_output.append(line.rstrip())
                continue
            self.log.append(entry)
            message = entry["message"]
            if message.startswith("listening on "):
                self.addresses.append(message.removeprefix("listening on "))
            if message.endswith(" is ready"):
                self._ready.set()
        self._ready.set()


@contextmanager
def slad_process(
    *arguments: str, env: dict[str, str] | None = None, inside: Sequence[str] = ()
) -> Iterator[SladProcess]:
    """A process that is serving; killed at the end if it is still there."""
    process = SladProcess(*arguments, env=env, inside=inside)
    try:
        yield process.wait_ready()
    finally:
        if process.process.poll() is None:
            process.kill()


def is_serving(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        reply = stub.Check(
            health_pb2.HealthCheckRequest(service="slad.v1.SlaBackend"), timeout=60, wait_for_ready=True
        )
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def grpcurl(address: str, *arguments: str, data: dict[str, Any] | None = None) -> Any:
    """Runs grpcurl by reflection; its JSON, or its text where that is what it prints."""
    done = run_grpcurl(address, *arguments, data=data)
    assert done.returncode == 0, done.stderr
    try:
        return json.loads(done.stdout)
    except ValueError:
        return done.stdout


def run_grpcurl(
    address: str, *arguments: str, data: dict[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [find_grpcurl(), "-plaintext"]
    if address.startswith("unix:"):
        command.append("-unix")
        address = address.removeprefix("unix:")
    if data is not None:
        command += ["-d", json.dumps(data)]
    return subprocess.run(
        [*command, address, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def find_grpcurl() -> str:
    tools = TOOLS
    path = shutil.which("grpcurl", path=os.pathsep.join([str(tools), os.environ["PATH"]]))
    if path is None:
        pytest.skip(
            "grpcurl is missing; install it: "
            "GOBIN=$PWD/.tools/bin go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest"
        )
    return path
