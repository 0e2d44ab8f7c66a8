"""How long commands may take, so that no threshold waits for what streams send, and streams not for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from slad.core.instants import MINUTE_MS
from slad.engine.commands import Start
from slad.engine.time_source import WallClock
from slad.engine.turn import HOLD_MS, HURRY_NS, TURN_NS, Pace
from tests.engine.test_engine import promise, rig

LONG_MS = 1_000


def test_single_commands_have_their_time_whatever_falls_due() -> None:
    pace = Pace()
    assert pace.room_ns(0, LONG_MS, 0) == TURN_NS
    assert pace.room_ns(0, 0, 0) == TURN_NS
    assert pace.room_ns(3, 0, 0) == HURRY_NS, "what has fired waits to be told"


def test_streams_have_as_much_as_is_written_before_the_next_threshold() -> None:
    pace = Pace()
    assert pace.room_ns(0, LONG_MS, 64) == TURN_NS
    rooms = [pace.room_ns(0, ahead, 64) for ahead in range(HOLD_MS + 40)]
    assert set(rooms[: HOLD_MS + 1]) == {0}
    assert rooms == sorted(rooms)
    for ahead, room in enumerate(rooms[HOLD_MS + 1 :], HOLD_MS + 1):
        assert 0 < 2 * room < ahead * 1_000_000


def test_a_turn_in_which_something_fires_has_no_commands_of_streams_and_the_next_one_has() -> None:
    pace = Pace()
    assert pace.room_ns(1, LONG_MS, 64) == 0
    assert pace.room_ns(1, 0, 64) == HURRY_NS
    assert pace.room_ns(1, LONG_MS, 64) == 0
    assert pace.room_ns(0, LONG_MS, 64) == TURN_NS


@given(st.lists(st.tuples(st.integers(0, 256), st.integers(-5, 50)), min_size=2))
def test_streams_wait_for_one_turn_that_fires_at_the_most(turns: list[tuple[int, int]]) -> None:
    pace = Pace()
    rooms = [pace.room_ns(wakes, ahead, 64) for wakes, ahead in turns]
    fired_without = [wakes > 0 and not room for (wakes, _), room in zip(turns, rooms, strict=True)]
    for before, room in zip(fired_without, rooms[1:], strict=False):
        assert room > 0 or not before
    for (wakes, ahead), room in zip(turns, rooms, strict=True):
        assert room > 0 or wakes or ahead <= HOLD_MS, "held back for something that is near, or for nothing"


def start(name: str, started_at: int | None = None) -> Start:
    return Start(tenant_id="acme", ticket_id=name, policy_id="p", terms=promise(60), started_at=started_at)


async def test_streams_go_on_beside_a_timer_in_every_millisecond(tmp_path: Path) -> None:
    """On the wall clock: what is held back for the next threshold has its turn after it."""
    clock = WallClock()
    async with rig(tmp_path, clock) as slad, asyncio.timeout(60):
        first = clock.now() + 400 - 30 * MINUTE_MS
        due = [(start(f"D-{n}", first + n), lambda _: b"") for n in range(200)]
        assert set(await slad.engine.put("stream", due)) == {b""}
        for number in range(200):
            assert await slad.engine.put("stream", [(start(f"T-{number}"), lambda _: b"")]) == [b""]
        while slad.told().count("THRESHOLD_REACHED") < 200:
            await slad.engine.put("stream", [(start("T-0"), lambda _: b"")])
