"""The process: Ctrl-C before there is a command, and terminals that do not speak UTF-8."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTED = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


def slad(*arguments: str, given: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "slad", *arguments],
        input=given, env=os.environ | variables, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("module", ["click", "msgspec"])
def test_ctrl_c_while_slad_is_imported_is_no_traceback(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text(INTERRUPTED)
    # Tests that run in the background ignore Ctrl-C, and what they start inherits that.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = slad("config", "check", PYTHONPATH=str(tmp_path))
    finally:
        signal.signal(signal.SIGINT, usual)
    assert done.returncode in (-signal.SIGINT, 130)
    assert done.stderr == b""


def test_what_a_terminal_cannot_show_is_shown_by_its_number() -> None:
    given = ("preview", "--hours", "Mon-Fri 09:00-17:00", "--tz", "UTC", "--response", "9h")
    closed = (*given, "--start", "2026-04-02T10:00", "--holiday", "2026-04-03 = Ж-é")
    done = slad(*closed, PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "holiday: \\u0416-é\n" in done.stdout.decode("latin-1")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
@pytest.mark.parametrize("arguments", [("--help",), ("preview", "--24x7", "--response", "1h")])
def test_output_that_cannot_be_written_is_no_unexpected_error(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "slad", *arguments],
            stdout=full, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, b"slad: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("name", ["desk.csv", "desk.jsonl"])
def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes("tenant_id,ticket_id\nacme,Störung\n".encode("latin-1"))
    done = slad("import", str(tmp_path / name), "--check")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"slad: the file is not UTF-8; save it as UTF-8\n"


def test_tickets_are_utf_8_and_json_is_json_whatever_the_terminal_speaks() -> None:
    row = '{"start": {"tenant_id": "acme", "ticket_id": "Ж-é", "targets": [{"is_24x7": true}]}}\n'.encode()
    given = ("import", "-", "--check", "--json")
    for encoding in ("utf-8", "latin-1", "ascii"):
        told = json.loads(slad(*given, given=row, PYTHONIOENCODING=encoding).stdout.decode(encoding))
        assert told["rejected"][0]["ticket_id"] == "Ж-é"
