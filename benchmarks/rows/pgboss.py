"""Durable StartSlaTracking against delayed sends of pg-boss on a local PostgreSQL."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from benchmarks.processes import load, slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row

HERE = Path(__file__).parents[1] / "pgboss"
IN_FLIGHT = 32


def run(options: Options) -> Result:
    """In turn: a round with pg-boss, a round with slad; 32 in flight with both."""
    figures: dict[str, list[float]] = {"ratio": [], "slad/s": [], "pg-boss/s": []}
    if not (HERE / "node_modules").exists():
        subprocess.run(
            ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"], cwd=HERE, check=True
        )
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
        with slad(Path(scratch) / "data") as server, _postgres(options.disk) as connection:
            for _ in range(options.repeats):
                sends = _send(connection, options.seconds)
                started = load(
                    server, in_flight=IN_FLIGHT, warm_up=0.5, seconds=options.seconds, with_request_id=True
                )
                figures["pg-boss/s"].append(sends)
                figures["slad/s"].append(started.rate)
                figures["ratio"].append(started.rate / sends)
    return Result("pgboss", figures, ["synchronous_commit is on, as it is by default; one send is one job."])


def _send(connection: str, seconds: float) -> float:
    command = ["node", "send.mjs", connection, str(IN_FLIGHT), str(seconds)]
    done = subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE, timeout=seconds + 60)
    rate: float = json.loads(done.stdout.splitlines()[-1])["rate"]
    return rate


@contextmanager
def _postgres(disk: Path) -> Iterator[str]:
    """A server with its defaults, on loopback, for one use; of another user where root would start it."""
    binaries = _binaries()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-pg-", dir=disk) as scratch:
        user = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(scratch, entry.pw_uid, entry.pw_gid)
            user = {"user": entry.pw_uid, "group": entry.pw_gid}
        data = Path(scratch) / "data"
        initdb = [binaries / "initdb", "-D", data, "-U", "slad", "--auth=trust"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=scratch, **user)  # type: ignore[call-overload]
        command = [binaries / "postgres", "-D", data, "-p", str(port), "-k", scratch, "-h", "127.0.0.1"]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=scratch, **user)  # type: ignore[call-overload]
        try:
            _wait_for(port)
            yield f"postgres://slad@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(30)


def _binaries() -> Path:
    if found := which("postgres"):
        return Path(found).parent
    for place in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        return place
    raise RuntimeError("PostgreSQL is missing: install the package postgresql")


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            time.sleep(1)  # it listens before it answers
            return
    raise TimeoutError("PostgreSQL does not answer")


ROW = Row(
    "pgboss",
    "durable StartSlaTracking, 32 in flight",
    "pg-boss 10 delayed sends on a local PostgreSQL, as many in flight",
    (Target("ratio", 1.2, at_least=True),),
    run,
    60,
)
