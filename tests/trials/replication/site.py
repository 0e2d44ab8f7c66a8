"""Two machines on this one, a place for replicas, and a fence that each machine reaches in its own way."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from slad.core.instants import from_datetime
from tests.system.e2e.slad_process import COMMAND, SladProcess, slad_process
from tests.trials.replication.litestream import (
    BUCKET,
    ENVIRONMENT,
    Process,
    follow,
    replicate,
    restore,
    s3_server,
)
from tests.trials.replication.wire import Wire

LEASE_S = 3


@dataclass
class Site:
    """Where the machines keep what, and what runs there."""

    folder: Path
    replica: str
    fences: dict[str, str]
    """By the name of the machine."""
    cut: Callable[[], object]
    """The first machine does not reach the fence any more."""
    mend: Callable[[], object]
    running: ExitStack

    def data(self, machine: str) -> Path:
        return self.folder / machine

    def options(self, machine: str) -> list[str]:
        fence = ["--fence-at", self.fences[machine], "--fence-lease", f"{LEASE_S}s"]
        return ["--data", str(self.data(machine)), *fence]

    def serve(self, machine: str, *more: str) -> SladProcess:
        storage = ["--storage-checkpoints", "external", "--storage-heartbeat", "1s"]
        options = [*self.options(machine), *storage, "--listen", "127.0.0.1:0", *more]
        return self.running.enter_context(slad_process(*options, env=ENVIRONMENT))

    def replicate(self, machine: str) -> Process:
        process = replicate(self.folder, self.data(machine), self.replica)
        self.running.callback(process.end)
        return process

    def follow(self, machine: str) -> Process:
        process = follow(self.folder, self.replica, self.data(machine) / "slad.db")
        self.running.callback(process.end)
        return process

    def restore(self, machine: str) -> None:
        restore(self.folder, self.replica, self.data(machine) / "slad.db")

    async def slad(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run,
            [COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=ENVIRONMENT,
        )

    async def adopt(self, machine: str, *, epoch: int) -> int:
        """The instant up to which the copy says that it knows, UTC epoch ms."""
        done = await self.slad("adopt", *self.options(machine))
        assert done.returncode == 0, done.stderr
        assert f"as epoch {epoch}\n" in done.stdout
        stated = re.search(r"acknowledged before (\S+)$", done.stdout, re.MULTILINE)
        assert stated, done.stdout
        return from_datetime(datetime.fromisoformat(stated[1]))

    async def refused(self, *arguments: str) -> str:
        """What a command says that cannot do what it is to do."""
        done = await self.slad(*arguments)
        assert done.returncode == 3, done.stdout + done.stderr
        return done.stderr


def bucket_site(folder: Path, running: ExitStack) -> Site:
    """Replicas and the fence in a bucket; the first machine reaches it over a wire of its own."""
    server = running.enter_context(s3_server(folder))
    wire = Wire(server)
    fences = {
        machine: f"s3://{BUCKET}/fence?endpoint=http://{address}&region=us-east-1"
        for machine, address in {"first": wire.address, "second": server, "third": server}.items()
    }
    replica = f"s3://{BUCKET}/epoch-0?endpoint=http://{server}&region=us-east-1"
    return Site(folder, replica, fences, wire.cut, wire.mend, running)


def directory_site(folder: Path, running: ExitStack) -> Site:
    """Replicas and the fence in a directory, which the first machine has mounted elsewhere."""
    shared, mounted = folder / "shared", folder / "mounted-by-first"
    shared.mkdir()
    mounted.symlink_to(shared)
    fences = {
        machine: f"{place}/fence"
        for machine, place in {"first": mounted, "second": shared, "third": shared}.items()
    }
    replica = f"file://{folder}/replica/epoch-0"
    return Site(folder, replica, fences, mounted.unlink, lambda: mounted.symlink_to(shared), running)
