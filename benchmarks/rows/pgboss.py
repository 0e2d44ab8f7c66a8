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
from benchmarks.rows.batch import IN_MESSAGE, STREAMS, pushed

HERE = Path(__file__).parents[1] / "pgboss"
IN_FLIGHT = 32
MANY_IN_FLIGHT = 128


def run(options: Options) -> Result:
    """In turn: a round with pg-boss, a round with slad, one by one with 32 in flight; then many at once."""
    figures: dict[str, list[float]] = {}
    if not (HERE / "node_modules").exists():
        subprocess.run(
            ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"], cwd=HERE, check=True
        )
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
        with slad(Path(scratch) / "data") as server, _postgres(options.disk) as connection:
            for _ in range(options.repeats):
                sends = _send(connection, options.seconds, IN_FLIGHT)
                started = load(
                    server, in_flight=IN_FLIGHT, warm_up=0.5, seconds=options.seconds, with_request_id=True
                )
                many = _send(connection, options.seconds, MANY_IN_FLIGHT)
                batched = pushed(server, options.seconds)["rate"]
                inserts = _send(connection, options.seconds, STREAMS, IN_MESSAGE)
                for name, value in (
                    ("ratio", started.rate / sends),
                    ("ratio, batched", batched / many),
                    ("ratio, both batched", batched / inserts),
                    ("slad/s", started.rate),
                    ("slad/s, batched", batched),
                    ("pg-boss/s", sends),
                    ("pg-boss/s, 128 in flight", many),
                    ("pg-boss/s, insert of 64", inserts),
                ):
                    figures.setdefault(name, []).append(value)
    notes = [
        "synchronous_commit is on, as it is by default; one send is one job. Batched: ExecuteSla as in the "
        "row `batch`, against single sends with 128 in flight, and against two at a time of `insert` with 64 "
        "jobs. A start is validated, its ticket and request_id are looked up, its thresholds are computed; a "
        "job of pg-boss is a row.",
    ]
    return Result("pgboss", figures, notes)


def _send(connection: str, seconds: float, in_flight: int, batch: int = 1) -> float:
    command = ["node", "send.mjs", connection, str(in_flight), str(seconds), str(batch)]
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
    (Target("ratio", 1.2, at_least=True), Target("ratio, batched", 2.0, at_least=True)),
    run,
    100,
)
