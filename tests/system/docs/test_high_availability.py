"""The set-ups of docs/high-availability.md, run as they stand: only ports are put in place of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

from tests.paths import ROOT
from tests.ports import own_port
from tests.system.e2e.slad_process import COMMAND
from tests.trials.replication.litestream import ENVIRONMENT, GOFAKES3, LITESTREAM, tool

DOCUMENT = (ROOT / "docs" / "high-availability.md").read_text("utf-8")
PORTS = ("7523", "9000")


def script(title: str) -> str:
    """The `sh` blocks of the section `## title`, one after the other."""
    section = re.split(r"^## ", DOCUMENT.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    return "set -e\n" + "".join(blocks)


@pytest.mark.parametrize("title", ["One machine and a bucket", "Warm standby"])
def test_a_set_up_runs_by_copy_and_paste(title: str) -> None:
    tool("litestream", LITESTREAM)
    tool("gofakes3", GOFAKES3)
    lines = script(title)
    slad, bucket = own_port(), own_port()
    lines = lines.replace("127.0.0.1:9000", f"127.0.0.1:{bucket}")
    env = {
        **ENVIRONMENT,
        "PATH": os.pathsep.join([str(COMMAND.parent), ENVIRONMENT["PATH"]]),
        "SLAD_LISTEN": f"127.0.0.1:{slad}",
        "SLAD_ADDRESS": f"127.0.0.1:{slad}",
    }
    process = subprocess.Popen(
        ["bash", "-c", lines],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        told, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, told
    assert re.search(r"^ok: .* knows everything before \S+Z, \d+ s ago$", told, re.MULTILINE), told
    assert (
        "as epoch 1\nsequences continue above 1000000000\nit knows everything that was acknowledged" in told
    )
    assert "held its lease until" in told
    assert "T-1" in told.split("held its lease until")[1], told
