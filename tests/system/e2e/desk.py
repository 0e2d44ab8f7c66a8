"""A daemon of its own on the virtual clock, and the command line that talks to it."""

from __future__ import annotations

import json
from typing import Any

import grpc
from click.testing import CliRunner, Result
from slad_client.v1 import test_clock_pb2, test_clock_pb2_grpc

from slad.cli.main import main

MONDAY_9 = "2026-03-02T09:00:00Z"
BERLIN = ["--hours", "Mon-Fri 09:00-17:00", "--tz", "Europe/Berlin"]
OFFICE = ["--hours", "Mon-Fri 09:00-17:00", "--tz", "UTC"]


class Desk:
    """A daemon of its own, and the command line that talks to it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.channel = grpc.insecure_channel(address)
        self._clock = test_clock_pb2_grpc.TestClockStub(self.channel)

    def run(self, *arguments: str, tz: str = "UTC", stdin: str | None = None) -> Result:
        env = {"SLAD_ADDRESS": self.address, "TZ": tz}
        return CliRunner().invoke(main, arguments, env=env, input=stdin, prog_name="slad")

    def __call__(self, *arguments: str, **options: Any) -> str:
        result = self.run(*arguments, **options)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))

    def fails(self, code: int, *arguments: str, **options: Any) -> str:
        """The one line that a command ends with."""
        result = self.run(*arguments, **options)
        assert (result.exit_code, result.stdout) == (code, ""), result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith("slad: ")
        return line.removeprefix("slad: ")

    def advance(self, seconds: int) -> None:
        self._clock.AdvanceTime(test_clock_pb2.AdvanceTimeRequest(by={"seconds": seconds}), timeout=60)
