"""The examples of README.md, run as they stand: only addresses are put in place of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.paths import ROOT
from tests.system.e2e.slad_process import SladProcess, find_grpcurl, slad_process

README = (ROOT / "README.md").read_text("utf-8")

ADDRESS, SOCKET = "127.0.0.1:7523", "/tmp/slad.sock"
"""Where the examples find their daemons."""

PATIENCE_S = 120
"""For output that is sure to come, on a machine that may be slow."""


def blocks(title: str, language: str) -> list[str]:
    """The fenced blocks of a language in the section `### title`."""
    section = re.split(r"^#{1,3} ", README.split(f"\n### {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def served(title: str) -> tuple[str, str]:
    """(the block that starts the daemon, all the others as one script) of a section."""
    start, *others = blocks(title, "sh")
    return start.strip(), "\n".join(others)


class Running:
    """A process whose output is read while it runs."""

    def __init__(self, *command: str | Path, env: dict[str, str]) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def wait_for(self, *patterns: str) -> str:
        """The output, once it has all of `patterns` in this order."""
        wanted = re.compile(".*?".join(patterns), re.DOTALL)
        deadline = time.monotonic() + PATIENCE_S
        while not wanted.search(self.output):
            assert time.monotonic() < deadline, f"not seen: {patterns}\n{self.output}"
            if self.process.poll() is not None:
                self._reader.join(PATIENCE_S)
                assert wanted.search(self.output), f"ended without {patterns}\n{self.output}"
            time.sleep(0.02)
        return self.output

    def end(self) -> None:
        """Ctrl-C for it and its children."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._reader.join(10)


@contextmanager
def running(*command: str | Path, **environment: str) -> Iterator[Running]:
    path = f"{Path(find_grpcurl()).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **environment}
    process = Running(*command, env=env)
    try:
        yield process
    finally:
        process.end()


@contextmanager
def virtual_daemon(tmp_path: Path) -> Iterator[SladProcess]:
    """The daemon of the section on the virtual clock, its command line as it stands there."""
    words = served("On the virtual clock")[0].split()
    assert words[:2] == [".venv/bin/slad", "serve"]
    arguments = " ".join(words[2:]).replace(SOCKET, f"{tmp_path}/slad.sock")
    assert arguments.endswith('--data "$(mktemp -d)"')
    arguments = arguments.replace('"$(mktemp -d)"', str(tmp_path / "data"))
    with slad_process(*arguments.split()) as slad:
        yield slad


def event(kind: str, *details: str) -> list[str]:
    return [rf'"type": "SLA_EVENT_TYPE_{kind}"', *details]


@contextmanager
def real_daemon(tmp_path: Path) -> Iterator[str]:
    """The address of a daemon in real time, in place of `make run`'s."""
    with slad_process("--listen", "127.0.0.1:0", "--data", str(tmp_path)) as slad:
        yield slad.addresses[0]


def test_in_real_time(tmp_path: Path) -> None:
    """Up to the first threshold, which is due after six seconds."""
    start, script = served("In real time")
    assert start == "make run"
    with real_daemon(tmp_path) as address, running("bash", "-euc", script, SLAD_ADDRESS=address) as shell:
        shell.wait_for("T-1: started", r"response +1 min ", "acme T-1  started", "response 10 %")


def test_with_grpcurl(tmp_path: Path) -> None:
    """The same."""
    find_grpcurl()
    (script,) = blocks("With grpcurl", "sh")
    with (
        real_daemon(tmp_path) as address,
        running("bash", "-euc", script.replace(ADDRESS, address)) as shell,
    ):
        output = shell.wait_for(
            '"created": true',
            *event("STARTED"),
            *event("THRESHOLD_REACHED", '"percent": 10', '"fired_at"'),
        )
    percents = re.findall(r'"percent": (\d+)', output[: output.index('"next_threshold"')])
    assert percents == ["10", "50", "100"]
    assert '"breach": true' in output, "100 % is announced in the reply to the start"


def test_on_the_virtual_clock(tmp_path: Path) -> None:
    find_grpcurl()
    script = served("On the virtual clock")[1].replace(SOCKET, f"{tmp_path}/slad.sock")
    with virtual_daemon(tmp_path), running("bash", "-euc", script) as shell:
        breach = ['"percent": 100', '"breach": true', '"fired_at": "2026-03-03T13:00:00Z"']
        shell.wait_for(
            *event("STARTED"),
            *event("PAUSED", '"occurred_at": "2026-03-02T16:00:00Z"'),
            *event("RESUMED", '"occurred_at": "2026-03-03T10:00:00Z"'),
            *event("THRESHOLD_REACHED", '"occurred_at": "2026-03-03T13:00:00Z"', *breach),
        )


def test_from_python(tmp_path: Path) -> None:
    (example,) = blocks("From Python", "python")
    program = tmp_path / "example.py"
    program.write_text(example.replace(SOCKET, f"{tmp_path}/slad.sock"), "utf-8")
    with virtual_daemon(tmp_path):
        done = subprocess.run(
            [sys.executable, program], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "T-2 STARTED 0 2026-03-02T09:00:00Z",
        "T-2 THRESHOLD_REACHED 50 2026-03-02T09:15:00Z",
        "T-2 THRESHOLD_REACHED 75 2026-03-02T09:22:30Z",
        "T-2 THRESHOLD_REACHED 90 2026-03-02T09:27:00Z",
        "T-2 THRESHOLD_REACHED 100 2026-03-02T09:30:00Z",
    ]


def test_the_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    assert {"run", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
