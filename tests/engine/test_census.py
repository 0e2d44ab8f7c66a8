"""Open tickets by status: counted a slice at a time, seldom, and as a list of all of them says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.access import Tenants
from slad.core.instants import MINUTE_MS
from slad.core.metrics import Sample
from slad.core.status import TimerStatus, TrackingState
from slad.engine import census as census_module
from slad.engine.census import REST_S, SELDOM, Census
from slad.engine.query_thread import QueryThread
from slad.engine.ticket_metrics import BY_STATUS, OPEN, TicketMetrics
from slad.storage.database import DataDirectory
from slad.storage.store import Store
from tests.slad_under_test import MONDAY_9, Slad, slad_running

NOW = MONDAY_9 + 50 * MINUTE_MS
TENANTS = ["acme", "bolt", "core", "done", "echo", "gone", "high"]
CLOSED = ("done", "gone")
"""Tenants of which no ticket is open."""

PATIENCE_S = 30


async def ticket(slad: Slad, tenant_id: str, number: int) -> None:
    """One that is, after 50 minutes, on track, at risk, breached twice, paused, closed."""
    ticket_id = f"T-{number}"
    name = {"tenant_id": tenant_id, "ticket_id": ticket_id}
    kind = 5 if tenant_id in CLOSED else number % 6
    response, resolution = [(600, 600), (60, 600), (30, 600), (None, 40), (600, 600), (600, 600)][kind]
    target = pb.SlaPolicyTarget(response_time_minutes=response, resolution_time_minutes=resolution)
    await slad.start(ticket_id, tenant_id=tenant_id, targets=[target])
    if kind == 4:
        await slad.backend.PauseSla(rpc.PauseSlaRequest(**name, reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT))
    elif kind == 5 and number % 2:
        await slad.backend.CancelSla(rpc.CancelSlaRequest(**name))
    elif kind == 5:
        await slad.backend.CompleteSla(
            rpc.CompleteSlaRequest(**name, phase=pb.SLA_PHASE_RESOLUTION, met=True)
        )


async def listed(slad: Slad) -> dict[str, Counter[TimerStatus]]:
    """How many open tickets each tenant has by status, as a list of them tells."""
    request = rpc.ListSlaTrackingsRequest(states=[TrackingState.ACTIVE], page_size=500)
    reply = await slad.backend.ListSlaTrackings(request)
    assert not reply.next_page_token
    found = {tenant_id: Counter[TimerStatus]() for tenant_id in TENANTS}
    for one in reply.trackings:
        found[one.tenant_id][TimerStatus(one.status)] += 1
    return found


class Desk:
    """The tickets of a daemon that has ended, at the instant at which it did."""

    def __init__(
        self, queries: QueryThread, all_told: Counter[TimerStatus], told: Counter[TimerStatus]
    ) -> None:
        self.queries = queries
        self.all_told = all_told
        self.told = told
        """Of the tenants of SOME."""
        self.seconds = 1_000.0

    def census(self, tenants: Tenants = None, **options: Any) -> Census:
        return Census(self.queries, tenants, lambda: NOW, timer=lambda: self.seconds, **options)


SOME = frozenset({"bolt", "done", "high", "nobody"})


@asynccontextmanager
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with slad_running(tmp_path) as slad:
        for number in range(40):
            await ticket(slad, TENANTS[number % len(TENANTS)], number)
        await slad.advance_to(NOW)
        by_tenant = await listed(slad)
    all_told = sum(by_tenant.values(), Counter[TimerStatus]())
    told = sum((by_tenant.get(tenant_id, Counter()) for tenant_id in SOME), Counter[TimerStatus]())
    assert set(all_told) == set(TimerStatus), "of each status there is one"
    data = DataDirectory(tmp_path)
    queries = QueryThread(Store(data.reader()))
    try:
        yield Desk(queries, all_told, told)
    finally:
        queries.close()
        data.close()


async def test_every_open_ticket_is_counted_once_whatever_the_slices(tmp_path: Path) -> None:
    async with desk(tmp_path) as desk_:
        for tenants, told in ((None, desk_.all_told), (SOME, desk_.told), (frozenset[str](), Counter())):
            for size in (1, 2, 3, 5, 7, 8, 64):
                found: list[TimerStatus] = []
                place: tuple[int, int] | None = (0, 0)
                while place is not None:
                    one, place = await desk_.queries.run(
                        lambda queries, place=place, tenants=tenants, size=size: (
                            queries.overview.live_statuses(tenants, place, size, NOW)
                        )
                    )
                    assert len(one) <= size
                    found += one
                assert Counter(found) == told, (tenants, size)


async def test_a_slice_looks_at_no_more_tenants_than_tickets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    of_tenant: Callable[..., Any] = Store.of_tenant

    def noted(store: Store, tenant_key: int, *rest: Any) -> Any:
        looked.append(tenant_key)
        return of_tenant(store, tenant_key, *rest)

    async with desk(tmp_path) as desk_:
        monkeypatch.setattr(Store, "of_tenant", noted)
        place: tuple[int, int] | None = (0, 0)
        while place is not None:
            looked.clear()
            _, place = await desk_.queries.run(
                lambda queries, place=place: queries.overview.live_statuses(None, place, 2, NOW)
            )
            assert len(looked) <= 2


async def test_the_first_count_shows_while_it_grows_and_rests_between_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    go_on = asyncio.Semaphore(0)

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        await go_on.acquire()

    monkeypatch.setattr(census_module, "SLICE", 10)
    async with desk(tmp_path) as desk_:
        with monkeypatch.context() as patch:
            patch.setattr(census_module.asyncio, "sleep", rest)
            census = desk_.census()
            part = await census.tally(0.2)
            while not part.counts:
                part = await census.tally(0.2)
            assert not part.is_done
            assert 0 < sum(part.counts.values()) <= 10
            for _ in range(100):
                go_on.release()
            whole = await census.tally(PATIENCE_S)
        assert (whole.is_done, whole.is_whole, whole.counts) == (True, True, desk_.all_told)
        assert set(rests) == {REST_S}
        assert len(rests) >= desk_.all_told.total() // 10


async def test_the_metric_is_absent_until_every_ticket_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()

    async def rest(_: float) -> None:
        await go_on.wait()

    monkeypatch.setattr(census_module, "SLICE", 10)
    async with desk(tmp_path) as desk_:
        with monkeypatch.context() as patch:
            patch.setattr(census_module.asyncio, "sleep", rest)
            metrics = TicketMetrics(desk_.queries, desk_.census())
            assert [sample.metric for sample in await metrics.samples()] == [OPEN, OPEN]
            go_on.set()
            found: list[Sample] = []
            async with asyncio.timeout(PATIENCE_S):
                while not found:
                    found = [sample for sample in await metrics.samples() if sample.metric is BY_STATUS]
        assert {sample.labels: sample.value for sample in found} == {
            (status.name,): count for status, count in desk_.all_told.items()
        }


async def test_of_more_tickets_than_may_be_counted_the_first_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census_module, "SLICE", 5)
    async with desk(tmp_path) as desk_:
        tally = await desk_.census(most=10).tally(PATIENCE_S)
        assert (tally.is_done, tally.is_whole) == (True, False)
        assert 10 <= sum(tally.counts.values()) < desk_.all_told.total()


async def test_it_counts_again_when_it_is_time_and_somebody_asks(tmp_path: Path) -> None:
    async with desk(tmp_path) as desk_:
        census = desk_.census(every_s=60)
        begun: list[float] = []
        slice_of = census._slice

        async def slow(place: Any) -> Any:
            begun.append(desk_.seconds)
            desk_.seconds += takes
            return await slice_of(place)

        census._slice = slow  # type: ignore[method-assign]
        takes = 1.0
        await census.tally(PATIENCE_S)
        for later in (1, 58):  # the count took one second of the 60
            desk_.seconds += later - 0.5
            await census.tally(PATIENCE_S)
            assert len(begun) == 1
            desk_.seconds += 0.5
        takes = 20.0
        await census.tally(PATIENCE_S)
        assert len(begun) == 2, "60 seconds after the first began"
        desk_.seconds += SELDOM * 20 - 1
        await census.tally(PATIENCE_S)
        assert len(begun) == 2, "one that took long is made less often"
        desk_.seconds += 1
        await census.tally(PATIENCE_S)
        assert len(begun) == 3


async def test_a_count_that_fails_is_told_once_and_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise OSError("no such disk")

    async with desk(tmp_path) as desk_:
        census = desk_.census(every_s=60)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "of_tenant", broken)
            with pytest.raises(OSError, match="no such disk"):
                await census.tally(PATIENCE_S)
            assert not (await census.tally(PATIENCE_S)).is_done
        desk_.seconds += 60
        assert (await census.tally(PATIENCE_S)).counts == desk_.all_told


async def test_after_the_stop_nothing_is_counted(tmp_path: Path) -> None:
    async with desk(tmp_path) as desk_:
        census = desk_.census()
        assert not (await census.tally(0)).is_done
        census.stop()
        desk_.seconds += 1e6
        assert not (await census.tally(PATIENCE_S)).is_done
