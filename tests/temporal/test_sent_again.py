"""Starts and signals that Temporal has had before, or that meet a workflow which is there already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import SECOND_MS
from slad.engine.time_source import WallClock
from slad.storage.row_reader import Waiting
from slad.temporal.passthrough.sender import Addressee, Sender
from tests.slad_under_test import stamp
from tests.temporal.alga import AlgaClient
from tests.temporal.dev_server import DevServer, Tried, dev_server, eventually, pass_through
from tests.temporal.test_documents import ALGA_INPUT, alga_target

MINUTE = pb.SlaPolicyTarget(response_time_minutes=1, resolution_time_minutes=1_000, is_24x7=True)
"""1 % of the response are 600 ms."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as running:
        yield running


async def overdue(tried: Tried) -> None:
    """Starts the ticket with 50 % behind it and 90 % a few seconds ahead."""
    await tried.slad.start(
        tried.ticket,
        targets=[MINUTE],
        schedule=None,
        notification_thresholds=[50, 90],
        started_at=stamp(WallClock().now() - 50 * SECOND_MS),
    )


async def has_announced_all(tried: Tried) -> bool:
    return await tried.reached(tried.ticket) == [50, 90, 100]


async def test_every_message_sent_twice_changes_nothing(
    server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if slad had died each time between sending a message and noting it."""
    send, sent = Sender.send, 0

    async def send_twice(self: Sender, waiting: Waiting, addressee: Addressee) -> None:
        nonlocal sent
        await send(self, waiting, addressee)
        await send(self, waiting, addressee)
        sent += 1

    monkeypatch.setattr(Sender, "send", send_twice)
    ids: dict[str, Any] = {"tenant_id": "acme", "ticket_id": "twice"}
    async with pass_through(server, tmp_path, "twice") as tried:
        assert tried.client
        await overdue(tried)
        await tried.slad.backend.PauseSla(
            rpc.PauseSlaRequest(reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT, **ids)
        )
        await tried.drained()
        state = await AlgaClient(tried.client).get_sla_status("twice")
        assert state["currentStatus"] == "paused"
        await tried.slad.backend.ResumeSla(rpc.ResumeSlaRequest(**ids))
        await eventually(lambda: has_announced_all(tried))
        await tried.drained()
        assert sent == 3
        # The start that met its own workflow is told as an update, which is known there.
        assert await tried.signals("twice") == ["sladUpdate", "pause", "pause", "resume", "resume"]
        runs = [run.run_id async for run in tried.client.list_workflows("TaskQueue = 'twice'")]
        assert len(runs) <= 1  # The list may lag behind; a second run would be in it too.
        history = await tried.client.get_workflow_handle("sla-ticket-acme-twice").fetch_history()
        # Each report is a marker, and has one threshold or several: no more reports than thresholds.
        reports = sum(event.HasField("marker_recorded_event_attributes") for event in history.events)
        assert 1 <= reports <= 3


async def test_a_workflow_that_algapsa_has_started_is_taken_over(server: DevServer, tmp_path: Path) -> None:
    """AlgaPSA's client went to Temporal itself before it was moved behind slad."""
    async with pass_through(server, tmp_path, "taken-over") as tried:
        assert tried.client
        alga = AlgaClient(tried.client, task_queue="taken-over")
        schedule = {**ALGA_INPUT["businessHoursSchedule"], "is_24x7": True}
        handle = await alga.start_sla_tracking("taken-over", alga_target(), schedule)
        await overdue(tried)
        await eventually(lambda: has_announced_all(tried))
        await tried.drained()
        view = await tried.view()
        assert view.parked == 0
        assert (await handle.describe()).run_id == handle.first_execution_run_id
        state = await alga.get_sla_status("taken-over")
        # slad's terms, no longer those that the workflow began with.
        assert state["notifiedThresholds"] == {"response": [50, 90, 100], "resolution": []}
