"""A real terminal: a tmux of its own, typed into and read from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.system.e2e.slad_process import COMMAND

PATIENCE_S: Final = 60
"""For output that is sure to come, on a machine that may be slow."""

PROMPT: Final = "ready>"


class Terminal:
    """One screen with a bash in it."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._tmux = [find_tmux(), "-S", str(folder / "tmux.sock"), "-f", os.devnull]
        environment = {
            "HOME": str(folder),
            "PATH": os.pathsep.join([str(COMMAND.parent), "/usr/local/bin", "/usr/bin", "/bin"]),
            "TERM": "screen-256color",
            "LANG": "C.UTF-8",
            "TZ": "Asia/Kolkata",
            "PS1": f"{PROMPT} ",
            "SLAD_LOG_FORMAT": "json",
        }
        words = " ".join(f"'{name}={value}'" for name, value in environment.items())
        shell = f"cd '{folder}' && exec env -i {words} bash --noprofile --norc"
        self._run("new-session", "-d", "-x", str(width), "-y", str(height), shell)
        self.wait_for(f"^{PROMPT}")

    def type(self, text: str, *keys: str) -> None:
        """Types, and then presses keys by their names in tmux."""
        if text:
            self._run("send-keys", "-l", text)
        for key in keys:
            self._run("send-keys", key)

    def run(self, command: str) -> str:
        """What a command leaves on a screen that was cleared before."""
        self.type("", "C-l")
        self.type(command, "Enter")
        return self.wait_for(rf"\A{PROMPT} {re.escape(command[:40])}(.|\n)*\n{PROMPT}\s*\Z")

    def screen(self, *, colours: bool = False) -> str:
        """What is to be seen now."""
        shown = self._run("capture-pane", "-p", *(["-e"] if colours else []))
        return "\n".join(line.rstrip() for line in shown.splitlines()).rstrip() + "\n"

    def wait_for(self, pattern: str) -> str:
        """The screen, once the pattern is found on it."""
        wanted = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + PATIENCE_S
        while not wanted.search(shown := self.screen()):
            assert time.monotonic() < deadline, f"not seen: {pattern}\n{shown}"
            time.sleep(0.02)
        return shown

    def resize(self, width: int, height: int) -> None:
        """Gives the screen another size."""
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def end(self) -> None:
        """Ends the session and what runs in it."""
        self._run("kill-server")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, f"tmux {arguments[0]}: {done.stderr}"
        return done.stdout


@contextmanager
def terminal(folder: Path, width: int, height: int) -> Iterator[Terminal]:
    """A terminal in an empty directory."""
    made = Terminal(folder, width, height)
    try:
        yield made
    finally:
        made.end()


def find_tmux() -> str:
    path = shutil.which("tmux")
    if path is None:
        pytest.skip("tmux is missing; install it: apt-get install tmux")
    return path
