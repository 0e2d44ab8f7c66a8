"""Queries of one iteration of the loop share a read transaction, which outlives it by nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from slad.core.events import PauseReason
from slad.core.facts import Life
from slad.engine.catalog import Catalog
from slad.engine.commands import Pause, Start
from slad.engine.queries import LoopQueries
from slad.engine.time_source import VirtualClock
from slad.storage.database import DataDirectory
from slad.storage.store import Store
from tests.engine.test_engine import NOW, Rig, promise


async def test_a_query_sees_all_that_its_caller_was_told_of(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    slad, reading = Rig(data, VirtualClock(NOW)), data.reader()
    queries = LoopQueries(Store(reading), Catalog(slad.store))
    running = asyncio.create_task(slad.engine.run())

    def life(ticket_id: str) -> Life:
        answer = queries.status("acme", ticket_id, None, NOW)
        assert answer is not None
        return answer.reading.history.life

    try:
        await slad.ask(Start(tenant_id="acme", ticket_id="T-1", policy_id="p", terms=promise(60)))
        for _ in range(3):
            assert life("T-1") is Life.RUNNING
        assert reading.in_transaction
        await slad.ask(Pause(tenant_id="acme", ticket_id="T-1", reason=PauseReason.STATUS_PAUSE))
        assert not reading.in_transaction, "it would keep the WAL from being reset"
        assert life("T-1") is Life.PAUSED
    finally:
        slad.engine.stop()
        await running
        reading.close()
        data.close()
