"""A Debian with systemd, booted beside this one: its own processes, its own network, its own init."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.packages.wheelhouse import TOOLS, run

SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv"
PATIENCE_S = 600
"""For what takes a second or two, on a machine that is busy."""


def need_tools() -> None:
    if os.geteuid() != 0:
        pytest.skip("booting a machine needs root")
    for command, package in (("debootstrap", "debootstrap"), ("systemd-nspawn", "systemd-container")):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is missing; install it: apt-get install {package}")


def base() -> Path:
    """A Debian that nobody has touched; made once, and kept in .tools."""
    root = TOOLS / f"debian-{SUITE}"
    if not root.exists():
        TOOLS.mkdir(exist_ok=True)
        incoming = TOOLS / f"debian-{SUITE}.{os.getpid()}"
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, incoming, timeout_s=1_200)
        incoming.rename(root)
    return root


def python_version(root: Path) -> str:
    """Such as `3.11`."""
    return (root / "usr/bin/python3").readlink().name.removeprefix("python")


class Machine:
    """One that has been booted."""

    def __init__(self, leader: int) -> None:
        self.leader = leader

    def try_run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in it, as root."""
        return subprocess.run(
            ["nsenter", "--target", str(self.leader), "--all", "--", *command],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *command: str) -> str:
        """What a command prints that must not fail."""
        done = self.try_run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def path(self, path: str) -> Path:
        """A path of the machine, as it is seen from outside."""
        return Path(f"/proc/{self.leader}/root{path}")

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").strip()

    def journal(self, unit: str) -> str:
        return self.run("journalctl", f"--unit={unit}", "--no-pager")

    def wait(self, condition: Callable[[], bool], what: str, unit: str = "slad") -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"{what}: not so\n{self.journal(unit)}"
            time.sleep(0.1)

    def is_up(self) -> bool:
        return self.try_run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")


@contextmanager
def booted(folder: Path, prepare: str, wheels: Path, *, shared: Path | None = None) -> Iterator[Machine]:
    """A machine on a copy of the base (an overlay); `prepare` is a shell script that runs in it first.

    `shared` is a folder that it finds at /srv.
    """
    root = folder / "root"
    for part in ("root", "changes", "work"):
        (folder / part).mkdir()
    layers = f"lowerdir={base()},upperdir={folder}/changes,workdir={folder}/work"
    run("mount", "-t", "overlay", "overlay", "-o", layers, root)
    nspawn = [
        "systemd-nspawn",
        "--quiet",
        f"--directory={root}",
        "--register=no",
        "--keep-unit",
        "--private-network",
        *([f"--bind={shared}:/srv"] if shared is not None else []),
    ]
    try:
        run(*nspawn, f"--bind-ro={wheels}:/wheels", "sh", "-euc", prepare)
        with (folder / "console").open("wb") as console:
            process = subprocess.Popen(
                [*nspawn, "--boot"], stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )
        try:
            machine = Machine(_leader(process, folder / "console"))
            machine.wait(machine.is_up, "it is up")
            yield machine
        finally:
            # SIGRTMIN+4 to an init that is systemd: power off.
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        run("umount", "--lazy", root)


def _leader(process: subprocess.Popen[bytes], console: Path) -> int:
    """The process that is number 1 there."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
        for child in children:
            status = Path(f"/proc/{child}/status").read_text("ascii")
            if re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE) and "Name:\tsystemd\n" in status:
                return int(child)
        time.sleep(0.05)
    raise AssertionError(f"it does not boot: {console.read_text('utf-8', 'replace')}")
