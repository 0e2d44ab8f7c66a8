"""Litestream and an S3 server, as processes on this machine; each is ended by its own pid."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.paths import ROOT, TOOLS
from tests.ports import own_port

LITESTREAM: Final = "github.com/benbjohnson/litestream/cmd/litestream@v0.5.18"
GOFAKES3: Final = "github.com/johannesboyne/gofakes3/cmd/gofakes3@v1.2.0"
CONFIGURATION: Final = ROOT / "ops" / "litestream" / "litestream.yml"
"""The one that is shipped: the trials run with what users get."""

KEYS: Final = {"AWS_ACCESS_KEY_ID": "slad", "AWS_SECRET_ACCESS_KEY": "a-secret"}
BUCKET: Final = "acme-slad"

ENVIRONMENT: Final = {
    **{name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"},
    **KEYS,
    "PATH": os.pathsep.join([str(TOOLS), os.environ["PATH"]]),
}
"""Litestream 0.5.18 cannot reach any S3 where AWS_CA_BUNDLE is set."""


def tool(name: str, package: str) -> str:
    """The path of a Go program; skips when it is not there."""
    path = shutil.which(name, path=ENVIRONMENT["PATH"])
    if path is None:
        pytest.skip(f"{name} is missing; install it: GOBIN=$PWD/.tools/bin go install {package}")
    return path


class Process:
    """A process whose output goes into a file."""

    def __init__(self, log: Path, *command: str, env: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**ENVIRONMENT, **(env or {})}
            )

    def end(self) -> None:
        """As when the machine is lost."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As an operator stops it."""
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def process(log: Path, *command: str, env: dict[str, str] | None = None) -> Iterator[Process]:
    """One that is killed at the end if it is still there."""
    running = Process(log, *command, env=env)
    try:
        yield running
    finally:
        running.end()


def replicate(folder: Path, data: Path, replica: str) -> Process:
    """Litestream with the configuration that is shipped, from `data` to `replica`, a URL."""
    env = {"SLAD_DATABASE": str(data / "slad.db"), "SLAD_REPLICA": replica}
    command = tool("litestream", LITESTREAM), "replicate", "-config", str(CONFIGURATION)
    return Process(folder / "replicate.log", *command, env=env)


def restore(folder: Path, replica: str, target: Path) -> None:
    """What an operator types who restores."""
    target.parent.mkdir(mode=0o700, exist_ok=True)
    command = [tool("litestream", LITESTREAM), "restore", "-o", str(target), replica]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr


def follow(folder: Path, replica: str, target: Path) -> Process:
    """Litestream that keeps a copy warm."""
    target.parent.mkdir(mode=0o700, exist_ok=True)
    command = tool("litestream", LITESTREAM), "restore", "-f", "-o", str(target), replica
    return Process(folder / "follow.log", *command)


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """The host:port of an S3 server with one bucket, which heeds conditional writes."""
    port = own_port()
    address = f"127.0.0.1:{port}"
    command = tool("gofakes3", GOFAKES3), "-backend", "memory", "-host", address, "-initialbucket", BUCKET
    with process(folder / "s3.log", *command):
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until, (folder / "s3.log").read_text()
                time.sleep(0.05)
        yield address
