"""SIGHUP: whatever comes of one reload, the next is heard."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from slad.config.settings import Settings
from slad.daemon.daemon import serve
from tests.delivery.sinks.desk import eventually


async def test_an_error_that_nobody_foresaw_is_told_and_the_next_reload_is_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    settings = Settings(listen=("127.0.0.1:0",), data=tmp_path)
    found: list[Settings] = []

    def read_again() -> Settings:
        found.append(settings)
        if len(found) == 1:
            raise RuntimeError("nobody knows why")
        return settings

    serving = asyncio.create_task(serve(settings, read_again))
    await eventually(lambda: "is ready" in caplog.text)
    os.kill(os.getpid(), signal.SIGHUP)
    await eventually(lambda: "the reload failed" in caplog.text)
    assert "nobody knows why" in caplog.text
    os.kill(os.getpid(), signal.SIGHUP)
    await eventually(lambda: "reloaded" in caplog.text)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 60)
    assert len(found) == 2
