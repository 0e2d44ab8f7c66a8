"""Views of the database are let go when the WAL grows while they are held."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from slad.core.errors import Refused
from slad.service import views
from slad.service.views import Views

MOST = 100


class Store:
    """Counts how many views are open."""

    open = 0

    def snapshot(self) -> Store:
        Store.open += 1
        return self

    def close(self) -> None:
        Store.open -= 1


class Wal:
    size = 0


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Views:
    monkeypatch.setattr(views, "LOOK_S", 0.001)
    monkeypatch.setattr(Wal, "size", 0)
    connect: Any = Store
    return Views(connect, lambda: Wal.size, MOST)


async def hold(views: Views, taken: asyncio.Event) -> None:
    async with views.view():
        taken.set()
        await asyncio.Event().wait()


async def held(views: Views) -> asyncio.Task[None]:
    taken = asyncio.Event()
    task = asyncio.create_task(hold(views, taken))
    await taken.wait()
    return task


async def test_a_view_ends_when_the_wal_has_grown_since_it_was_taken(made: Views) -> None:
    early = await held(made)
    Wal.size = MOST
    late = await held(made)
    Wal.size = MOST + 1
    with pytest.raises(Refused) as caught:
        await early
    assert (caught.value.reason, caught.value.details) == ("VIEW_TOO_OLD", {"limit": "limits.wal_bytes"})
    assert not late.done(), "since it was taken the WAL has hardly grown"
    assert Store.open == 1
    Wal.size = 2 * MOST + 1
    with pytest.raises(Refused):
        async with made.view():
            pass
    with pytest.raises(Refused):
        await late
    assert Store.open == 0
    async with made.view():
        assert Store.open == 1, (
            "when nobody holds one, the WAL can begin anew: nobody is refused for its size"
        )
    assert Store.open == 0


async def test_a_caller_who_goes_is_no_refusal(made: Views) -> None:
    task = await held(made)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Store.open == 0
