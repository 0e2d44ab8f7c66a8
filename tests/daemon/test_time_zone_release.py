"""A start with another time-zone database derives all pending wakes anew, and tells how many moved (B5)."""

from __future__ import annotations

import logging
from pathlib import Path

import apsw
import pytest

from slad.core.instants import HOUR_MS
from tests.slad_under_test import slad_running, target


async def test_a_start_with_another_release_tells_how_many_wakes_moved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with slad_running(tmp_path) as slad:
        for number in range(300):
            await slad.start(f"T-{number}", targets=[target(60, None, (0, 0, 0))])
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    connection.execute("UPDATE meta SET value = 'former' WHERE name = 'tzdata'")
    # As a release would have it that has the clocks of two tickets an hour later.
    connection.execute(
        "UPDATE tracking SET wake_at = wake_at + ? WHERE ticket_id IN ('T-7', 'T-8')", (HOUR_MS,)
    )
    stored = dict(connection.execute("SELECT ticket_id, wake_at FROM tracking"))
    connection.close()
    caplog.set_level(logging.INFO, "slad.engine.engine")
    async with slad_running(tmp_path) as slad:
        await slad.start("after")
        await slad.start("later")
    assert "300 pending wakes were derived again; 2 have moved" in caplog.text
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    derived = dict(connection.execute("SELECT ticket_id, wake_at FROM tracking"))
    connection.close()
    assert {ticket for ticket, wake_at in stored.items() if derived[ticket] != wake_at} == {"T-7", "T-8"}
    assert derived["T-7"] == derived["T-1"]
