"""What can be dear runs beside the event loop, its reply included; each caller waits in a line apart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import DAY_MS
from slad.engine import queries as engine_queries
from slad.engine.queries import Queries
from slad.engine.query_thread import QueryThread
from slad.service import replies
from slad.storage.database import DataDirectory
from slad.storage.store import Store
from tests.slad_under_test import MONDAY_9, Slad, slad_running, stamp

DEAR = pb.BusinessHoursSchedule(timezone="Europe/Berlin")
for day in range(7):
    DEAR.entries.add(day_of_week=day, start_time="09:00", end_time="09:01", is_enabled=True)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """On which threads the dear parts ran."""
    found: dict[str, set[str]] = {}

    def noted(owner: Any, name: str) -> None:
        whole: Callable[..., Any] = getattr(owner, name)

        def note(*args: Any, **kwargs: Any) -> Any:
            found.setdefault(name, set()).add(threading.current_thread().name)
            return whole(*args, **kwargs)

        monkeypatch.setattr(owner, name, note)

    noted(replies, "timeline_segment")
    noted(replies, "sla_status")
    noted(replies, "preview")
    return found


async def test_previews_timelines_and_lists_run_beside_the_loop(
    tmp_path: Path, threads: dict[str, set[str]]
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("T-1", schedule=DEAR)
        threads.clear()
        target = pb.SlaPolicyTarget(resolution_time_minutes=100_000)
        await slad.backend.PreviewSla(rpc.PreviewSlaRequest(targets=[target], schedule=DEAR))
        await slad.backend.GetSlaTimeline(
            rpc.GetSlaTimelineRequest(tenant_id="acme", ticket_id="T-1", until=stamp(MONDAY_9 + DAY_MS))
        )
        await slad.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest())
    assert threads.keys() == {"timeline_segment", "sla_status", "preview"}
    assert {name for names in threads.values() for name in names} == {"slad-reader_0"}


async def test_a_ticket_that_holds_much_is_not_read_on_the_loop(
    tmp_path: Path, threads: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_queries, "LIGHT", 20)
    located: list[str] = []
    locate = Queries.locate

    def noted(queries: Queries, *ticket: Any) -> Any:
        located.append(threading.current_thread().name)
        return locate(queries, *ticket)

    async def status(slad: Slad, ticket: str) -> pb.SlaStatus:
        found = await slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id=ticket))
        return found.status

    async with slad_running(tmp_path) as slad:
        for ticket in ("light", "heavy"):
            await slad.start(ticket)
        for _ in range(11):
            pause = rpc.PauseSlaRequest(ticket_id="heavy", reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE)
            await slad.backend.PauseSla(pause)
            await slad.advance(minutes=1)
            await slad.backend.ResumeSla(rpc.ResumeSlaRequest(ticket_id="heavy"))
        monkeypatch.setattr(Queries, "locate", noted)
        threads.clear()
        for _ in range(2):
            assert (await status(slad, "heavy")).total_pause_minutes == 11
        assert located == ["MainThread", "slad-reader_0", "slad-reader_0"], "the second time it is known"
        assert threads["sla_status"] == {"slad-reader_0"}
        threads.clear()
        assert (await status(slad, "light")).ticket_id == "light"
        assert threads["sla_status"] == {"MainThread"}


async def test_who_asks_for_much_waits_for_himself(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.writer().close()
    queries = QueryThread(Store(directory.reader()))
    order: list[str] = []
    held = threading.Event()

    def ask(name: str) -> asyncio.Task[None]:
        return asyncio.create_task(queries.run(lambda _: order.append(name), name))

    first = asyncio.create_task(queries.run(lambda _: held.wait(10), "greedy"))
    greedy = [ask("greedy") for _ in range(20)]
    modest = [ask("modest") for _ in range(2)]
    gone = [ask("gone") for _ in range(3)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(first, *greedy, *modest)
    assert order[:4] == ["greedy", "modest", "greedy", "modest"]
    assert order[4:] == ["greedy"] * 18, "what nobody waits for is not begun"
    queries.close()
    directory.close()


async def test_what_a_query_raises_is_its_callers_and_the_next_goes_on(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        unknown = slad.backend.GetSlaTimeline(rpc.GetSlaTimelineRequest(tenant_id="acme", ticket_id="no"))
        listed = slad.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest())
        found = await asyncio.gather(unknown, listed, return_exceptions=True)
    assert isinstance(found[0], Exception)
    assert isinstance(found[1], rpc.ListSlaTrackingsResponse)
