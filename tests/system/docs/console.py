"""Runs the ```console blocks of a document, command by command, and holds their output against the document.

A line that begins with `$ ` is a command, one that begins with `> ` goes on with it; what follows is its
output, standard error included. A line `…` stands for any lines, a `…` in a line for any text. All commands
of a document run in one shell, in an empty directory, with slad and grpcurl on the PATH and in UTC.

`python -m tests.system.docs.console FILE...` writes the output of today into the documents; what matches is
left as it is.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.system.e2e.slad_process import find_grpcurl

BIN: Final = Path(sys.executable).parent
TIMEOUT_S: Final = 120
ANYTHING: Final = "…"

_BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Command(NamedTuple):
    """A command of a document, and the output that it shows."""

    text: str
    expected: str
    start: int
    """Where the output stands in the document."""
    end: int


def commands(document: str) -> Iterator[Command]:
    """The commands of all console blocks, in order."""
    for block in _BLOCK.finditer(document):
        at = block.start(1)
        text, output_at = "", at
        for line in block[1].splitlines(keepends=True):
            goes_on = line.startswith("> ") and text and output_at == at
            if line.startswith("$ ") or goes_on:
                if line.startswith("$ "):
                    if text:
                        yield Command(text, document[output_at:at], output_at, at)
                    text = ""
                text += line[2:]
                output_at = at + len(line)
            at += len(line)
        if text:
            yield Command(text, document[output_at:at], output_at, at)


def matches(expected: str, output: str) -> bool:
    """Whether an output is what the document shows."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == ANYTHING else ".*".join(map(re.escape, line.split(ANYTHING))) + "\n"
        for line in expected.splitlines()
    )
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in output.splitlines())) is not None


class Shell:
    """One bash, in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        path = [str(BIN), str(Path(find_grpcurl()).parent), os.environ["PATH"]]
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={
                "PATH": os.pathsep.join(path),
                "HOME": str(folder),
                "LANG": "C.UTF-8",
                "TZ": "UTC",
                "SLAD_LOG_FORMAT": "json",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> str:
        """The output of a command."""
        assert self._bash.stdin
        assert self._bash.stdout
        mark = secrets.token_hex(8)
        self._bash.stdin.write(f"{command}\necho; echo {mark}\n")
        self._bash.stdin.flush()
        lines: list[str] = []
        for line in self._bash.stdout:
            if line.strip() == mark:
                return "".join(lines).removesuffix("\n")
            lines.append(line)
        raise AssertionError(f"the shell ended in {command!r}: {''.join(lines)}")

    def kill(self) -> None:
        """Ends it at once; `run` then finds it gone."""
        os.killpg(self._bash.pid, signal.SIGKILL)

    def end(self) -> None:
        """Ends it and all that it has started."""
        for number, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            try:
                os.killpg(self._bash.pid, number)
                self._bash.communicate(timeout=patience_s)
            except (subprocess.TimeoutExpired, ProcessLookupError):
                continue
            return


@contextmanager
def shell() -> Iterator[Shell]:
    """A shell in an empty directory; a command that hangs is ended with it."""
    with tempfile.TemporaryDirectory(prefix="slad-docs-") as folder:
        made = Shell(Path(folder))
        previous = signal.signal(signal.SIGALRM, lambda *_: made.kill())
        signal.alarm(TIMEOUT_S)
        try:
            yield made
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
            made.end()


def update(path: Path) -> None:
    """Writes the output of today into a document."""
    document = path.read_text("utf-8")
    updated, done = "", 0
    with shell() as running:
        for command in commands(document):
            output = running.run(command.text)
            if not matches(command.expected, output):
                updated += document[done : command.start]
                updated += "".join(f"{line.rstrip()}\n" for line in output.splitlines())
                done = command.end
    path.write_text(updated + document[done:], "utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        update(Path(name))
