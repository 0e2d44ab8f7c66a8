"""A schedule of thousands of holidays is read and compiled beside the event loop, once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.engine import catalog, catalog_overlay
from slad.service import terms
from tests.slad_under_test import OFFICE, slad_running, start_request


def with_holidays(number: int, ticket: str) -> rpc.StartSlaTrackingRequest:
    request = start_request(ticket)
    request.schedule.CopyFrom(OFFICE)
    for place in range(number):
        year, month, day = 2030 + place // 336, 1 + place // 28 % 12, 1 + place % 28
        request.schedule.holidays.add(holiday_date=f"{year}-{month:02}-{day:02}", holiday_name=ticket)
    return request


async def test_the_loop_neither_reads_nor_compiles_a_large_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, bool]] = []

    def watched(module: Any, name: str) -> None:
        does: Callable[..., Any] = getattr(module, name)

        def do(*arguments: Any, **named: Any) -> Any:
            done.append((name, threading.current_thread() is threading.main_thread()))
            return does(*arguments, **named)

        monkeypatch.setattr(module, name, do)

    watched(terms, "build_schedule")
    for module in (terms, catalog, catalog_overlay):
        watched(module, "compile_calendar")
    async with slad_running(tmp_path) as slad:
        done.clear()  # the schedule that is always open
        started = await slad.backend.StartSlaTracking(with_holidays(5_000, "T-1"))
        assert started.created
        pause = rpc.PauseSlaRequest(tenant_id="acme", ticket_id="T-1", reason="SLA_PAUSE_REASON_STATUS_PAUSE")
        assert (await slad.backend.PauseSla(pause)).changed
        assert done == [("build_schedule", False), ("compile_calendar", False)]
        done.clear()
        row = rpc.SlaTrackingImport(start=with_holidays(5_000, "T-2"))
        requests = [rpc.ImportSlaTrackingsRequest(trackings=[row])]
        assert (await slad.backend.ImportSlaTrackings(iter(requests))).created == 1
        assert done == [("build_schedule", False), ("compile_calendar", False)]
        done.clear()
        batch = rpc.ExecuteSlaRequest()
        for ticket, holidays in (("T-4", 3), ("T-5", 5_000), ("T-6", 5_001), ("T-7", 4)):
            batch.commands.add(start=with_holidays(holidays, ticket))
        batch.commands.add(pause=pause).pause.ticket_id = "T-5"
        results = (await slad.backend.ExecuteSla(iter([batch])).read()).results
        assert [result.WhichOneof("result") for result in results] == ["start"] * 4 + ["pause"]
        assert [result.start.status.ticket_id for result in results[:4]] == ["T-4", "T-5", "T-6", "T-7"]
        large = [("build_schedule", False), ("compile_calendar", False)]
        assert [one for one in done if not one[1]] == large * 2, "two large ones beside, two small ones not"
        done.clear()
        assert (await slad.backend.StartSlaTracking(with_holidays(3, "T-3"))).created
        assert done == [("build_schedule", True), ("compile_calendar", True)], "a small one is no matter"
