"""ReconcileSlaTrackings: one consistent view while the list is streaming; lists that are refused."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.errors import InvalidField
from slad.service import bulk
from slad.storage.store import Store
from tests.service.importing import FRIDAY_9, RESOLUTION, pause_of, row, status_of, tracked
from tests.service.reconciling import MISSING, TARGET, Row, complete, pause, requests, seen
from tests.service.test_bad_input import everything, schedule
from tests.slad_under_test import MONDAY_9, OFFICE, Slad, refused, slad_running, stamp, target

# --- one consistent view


@pytest.fixture
def viewed(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Is set when the view has been taken."""
    taken = asyncio.Event()
    snapshot = Store.snapshot

    def noticed(store: Store) -> Store:
        view = snapshot(store)
        taken.set()
        return view

    monkeypatch.setattr(Store, "snapshot", noticed)
    return taken


async def pauses_now(slad: Slad) -> None:
    await pause(slad, "T-1", MONDAY_9)


async def completes_now(slad: Slad) -> None:
    await complete(slad, "T-1", RESOLUTION)


async def retargets_now(slad: Slad) -> None:
    request = rpc.RetargetSlaRequest(ticket_id="T-1", targets=[target(7, 7)], schedule=OFFICE)
    await slad.backend.RetargetSla(request)


async def threshold_passes(slad: Slad) -> None:
    await slad.advance(minutes=30)


@pytest.mark.parametrize("change", [pauses_now, completes_now, retargets_now, threshold_passes])
@pytest.mark.parametrize("listed_first", [True, False])
async def test_what_changes_while_the_list_is_streaming_is_not_undone(
    tmp_path: Path, viewed: asyncio.Event, change: Callable[[Slad], Any], listed_first: bool
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("T-1")
        await slad.start("orphan")
        psa = [row("T-1", policy_id="silver")]
        first, then = (psa, []) if listed_first else ([], psa)
        call = slad.backend.ReconcileSlaTrackings()
        await call.write(requests(first, apply=True)[0])
        await viewed.wait()
        await change(slad)
        changed = await status_of(slad, "T-1")
        await call.write(requests(then)[0])
        await call.done_writing()
        found = (await call).differences
        assert seen(found)[0] == ("T-1", TARGET, "start.policy_id", "silver", "gold"), "as it was at first"
        assert [(d.ticket_id, d.mended) for d in found] == [
            ("T-1", False), ("orphan", change is not threshold_passes)
        ]  # fmt: skip
        assert await status_of(slad, "T-1") == changed


async def test_a_caller_learns_that_the_view_has_been_taken(tmp_path: Path, viewed: asyncio.Event) -> None:
    """By initial metadata, as with a watch: a list that is read after them misses no command."""
    async with slad_running(tmp_path) as slad:
        await slad.start("T-1")
        call = slad.backend.ReconcileSlaTrackings()
        await call.write(requests([], apply=True)[0])
        learning = asyncio.create_task(call.initial_metadata())
        await viewed.wait()
        for _ in range(3):
            # On the same connection: what slad sent before its answer has arrived with it.
            await status_of(slad)
        learned = learning.done()
        await call.write(requests([row("T-1")])[0])
        await call.done_writing()
        assert (await call).differences == []
        await learning
        assert learned


async def test_a_ticket_that_starts_while_the_list_is_streaming_is_no_orphan_and_stays(
    tmp_path: Path, viewed: asyncio.Event
) -> None:
    async with slad_running(tmp_path) as slad:
        call = slad.backend.ReconcileSlaTrackings()
        await call.write(requests([], apply=True)[0])
        await viewed.wait()
        for ticket in ("listed", "unlisted"):
            await slad.start(ticket)
        before = await tracked(slad)
        await call.write(requests([row("listed", policy_id="silver")])[0])
        await call.done_writing()
        found = (await call).differences
        assert [(d.ticket_id, d.kind, d.mended) for d in found] == [("listed", MISSING, False)]
        assert await tracked(slad) == before


async def test_apply_and_tenant_are_those_of_the_first_message(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        stream = [*requests([row("A")]), *requests([row("B")], apply=True), *requests([row("C")], tenant="")]
        found = (await slad.backend.ReconcileSlaTrackings(iter(stream))).differences
        assert [(d.ticket_id, d.mended) for d in found] == [("A", False), ("B", False), ("C", False)]
        assert await tracked(slad) == {}


# --- what is refused


def good(number: int) -> list[Row]:
    return [row(f"T-{n}") for n in range(number)]


@pytest.mark.parametrize(
    ("stream", "field", "reason"),
    [
        ([], "tenant_id", "REQUIRED"),
        (requests(good(3), tenant="", apply=True), "tenant_id", "REQUIRED"),
        (requests(good(3), tenant="x" * 201, apply=True), "tenant_id", "TOO_LONG"),
        (
            requests([*good(5), row("")], apply=True, size=2),
            "trackings[5].start.ticket_id",
            "REQUIRED",
        ),
        (
            requests(
                [*good(5), row("T-9", schedule=schedule(lambda s: setattr(s, "timezone", "Mars")))],
                apply=True,
                size=5,
            ),
            "trackings[5].start.schedule.timezone",
            "UNKNOWN_TIME_ZONE",
        ),
        (
            requests([*good(5), row("T-9", pauses=[pause_of(MONDAY_9 - 1)])], apply=True, size=1),
            "trackings[5].pauses[0].paused_at",
            "OUT_OF_ORDER",
        ),
        (
            requests([*good(5), row("T-9", response_at=MONDAY_9 - 5_001)], apply=True),
            "trackings[5].response_completed_at",
            "BEFORE_START",
        ),
        (
            # Without a start nothing can have happened before now; slad's own start is not taken for it.
            requests([*good(5), row("live", started_at=None, response_at=MONDAY_9 - 5_001)], apply=True),
            "trackings[5].response_completed_at",
            "BEFORE_START",
        ),
        (
            requests([*good(5), row("T-9", tenant_id="globex")], apply=True),
            "trackings[5].start.tenant_id",
            "OTHER_TENANT",
        ),
        (
            requests([*good(5), row("T-3")], apply=True, size=4),
            "trackings[5].start.ticket_id",
            "LISTED_TWICE",
        ),
        (
            requests([row("live"), *good(4), row("live", policy_id="silver")], apply=True, size=4),
            "trackings[5].start.ticket_id",
            "LISTED_TWICE",
        ),
    ],
)
async def test_a_list_that_is_wrong_is_refused_by_its_field_and_nothing_is_mended(
    tmp_path: Path, stream: list[rpc.ReconcileSlaTrackingsRequest], field: str, reason: str
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("live", started_at=stamp(FRIDAY_9))
        before = await everything(slad)
        got = await refused(slad.backend.ReconcileSlaTrackings(iter(stream)))
        assert (got.code, got.fields, got.reason) == (grpc.StatusCode.INVALID_ARGUMENT, [field], reason)
        assert await everything(slad) == before


async def test_a_client_that_leaves_in_the_middle_has_mended_nothing(
    tmp_path: Path, viewed: asyncio.Event
) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("orphan")
        before = await everything(slad)
        call = slad.backend.ReconcileSlaTrackings()
        await call.write(requests(good(50), apply=True)[0])
        await viewed.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await everything(slad) == before


@pytest.mark.parametrize("is_wrong", [False, True])
async def test_a_client_that_leaves_while_its_list_is_compared_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_wrong: bool
) -> None:
    loop, compares, goes_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold() -> None:
        loop.call_soon_threadsafe(compares.set)
        goes_on.wait(30)

    def held(_: object, reconciliation: Any, *rest: object) -> list[Any]:
        connection = reconciliation._store._connection
        connection.create_scalar_function("hold", hold)
        connection.execute("SELECT hold()").fetchall()
        if is_wrong:
            raise InvalidField("end", "REQUIRED", "the list is wrong")
        return []

    closed = asyncio.Event()
    close = Store.close
    monkeypatch.setattr(bulk.Bulk, "_compare", held)
    async with slad_running(tmp_path) as slad:
        monkeypatch.setattr(Store, "close", lambda store: (close(store), closed.set())[0])
        call = slad.backend.ReconcileSlaTrackings()
        await call.write(requests([row("T-1")])[0])
        await compares.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await slad.start("another")  # by then slad knows that the caller is gone
        assert not closed.is_set()
        goes_on.set()
        await asyncio.wait_for(closed.wait(), 30)
    gc.collect()  # asyncio tells of an error that nobody has asked for when its task goes
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_list_that_falls_silent_holds_the_view_no_longer_and_mends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Store] = []
    close = Store.close
    monkeypatch.setattr(bulk, "MAX_SILENCE_S", 0.05)
    async with slad_running(tmp_path) as slad:
        await slad.start("orphan")
        before = await everything(slad)
        with monkeypatch.context() as patched:
            patched.setattr(Store, "close", lambda store: (closed.append(store), close(store))[1])
            call = slad.backend.ReconcileSlaTrackings()
            await call.write(requests(good(50), apply=True)[0])
            got = await refused(call)
        assert (got.code, got.reason) == (grpc.StatusCode.UNAVAILABLE, "LIST_SILENT")
        assert len(closed) == 1
        assert await everything(slad) == before


async def test_a_list_that_stops_before_its_explicit_end_mends_nothing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("orphan")
        before = await everything(slad)
        first = rpc.ReconcileSlaTrackingsRequest(tenant_id="acme", apply=True, explicit_end=True)
        rows = rpc.ReconcileSlaTrackingsRequest(trackings=good(50))
        for messages in ([first], [first, rows]):
            got = await refused(slad.backend.ReconcileSlaTrackings(iter(messages)))
            assert got.code is grpc.StatusCode.INVALID_ARGUMENT
            assert (got.fields, got.reason) == (["end"], "REQUIRED")
            assert await everything(slad) == before
        end = rpc.ReconcileSlaTrackingsRequest(end=True)
        reply = await slad.backend.ReconcileSlaTrackings(iter([first, rows, end]))
        assert all(difference.mended for difference in reply.differences)
        assert await everything(slad) != before


async def test_apply_without_an_explicit_end_is_refused(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await slad.start("orphan")
        before = await everything(slad)
        request = rpc.ReconcileSlaTrackingsRequest(tenant_id="acme", apply=True, end=True)
        got = await refused(slad.backend.ReconcileSlaTrackings(iter([request])))
        assert got.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (got.fields, got.reason) == (["explicit_end"], "REQUIRED")
        assert await everything(slad) == before
