"""The lease: who may serve, for how long, and who may take over. Time is the rig's; nothing sleeps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from slad.config.settings import FenceSettings
from slad.daemon.fence.lease import APART_MS, MARGIN_MS, FenceError, Lease
from slad.daemon.fence.places import Changed, Seen, Unreachable
from slad.storage.journal import Fenced
from slad.storage.store import Lineage

LEASE_MS = 15_000
NOW = 1_800_000_000_000
LINEAGE = Lineage("1b671a64-40d5-491e-99b0-da01ff1f3341", 1)


class World:
    """Time, and a place that behaves as an object store: it has versions, and a clock of its own."""

    def __init__(self) -> None:
        self.ms = 0
        self.seen: Seen | None = None
        self.count = 0
        self.clock_ahead = 0
        self.has_clock = True
        self.is_reachable = True
        self.error: Exception | None = None
        """Of the place's own code."""
        self.loses_answers = 0

    async def read(self) -> Seen | None:
        self._must_answer()
        return self.seen

    async def write(self, content: bytes, version: str | None) -> str:
        self._must_answer()
        if (self.seen and self.seen.version) != version:
            raise Changed
        self.count += 1
        self.seen = Seen(content, f"v{self.count}", await self.now())
        if self.loses_answers:
            self.loses_answers -= 1
            raise Unreachable("connection reset")
        return self.seen.version

    async def now(self) -> int | None:
        self._must_answer()
        return NOW + self.ms + self.clock_ahead if self.has_clock else None

    def _must_answer(self) -> None:
        if self.error is not None:
            raise self.error
        if not self.is_reachable:
            raise Unreachable("no route to host")

    async def sleep(self, seconds: float) -> None:
        self.ms += round(seconds * 1_000)
        await asyncio.sleep(0)


class Machine:
    """A machine's clock. One that sleeps loses monotonic time, not the time of day."""

    is_virtual = False

    def __init__(self, world: World) -> None:
        self._world = world
        self.ahead = 0
        self.slept = 0

    def now(self) -> int:
        return NOW + self._world.ms + self.ahead

    def monotonic(self) -> int:
        return self._world.ms - self.slept

    def reach(self, instant: int) -> None: ...


@pytest.fixture
def world() -> World:
    return World()


def lease(
    world: World, holder: str, epoch: int = 1, *, machine: Machine | None = None, **settings: Any
) -> Lease:
    fence = FenceSettings(at="/fence", lease_ms=LEASE_MS, **settings)
    clock = machine or Machine(world)
    return Lease(fence, world, LINEAGE._replace(epoch=epoch), holder, clock, world.sleep)


async def keep(one: Lease, world: World, until: int) -> None:
    """Lets a lease be kept up to an instant."""
    task = asyncio.create_task(one.keep())
    while world.ms < until and not task.done():  # noqa: ASYNC110 - time is the rig's
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_who_holds_it_may_serve_and_nobody_else(world: World) -> None:
    first = lease(world, "a")
    await first.take()
    first.check()
    with pytest.raises(FenceError, match=r"epoch 1 is served on .*; to serve this copy instead: slad adopt"):
        await lease(world, "b").take()
    await keep(first, world, 60_000)
    first.check()


async def test_the_same_directory_takes_it_again_at_once_after_a_crash(world: World) -> None:
    await lease(world, "a").take()
    again = lease(world, "a")
    await again.take()
    again.check()


async def test_a_second_process_on_the_same_directory_ends_the_first(world: World) -> None:
    first, second = lease(world, "a"), lease(world, "a")
    await first.take()
    await second.take()
    await keep(first, world, 10_000)
    with pytest.raises(Fenced, match=r"another process renews the lease of epoch 1"):
        first.check()
    second.check()


async def test_it_ends_when_it_cannot_be_renewed_and_not_before(world: World) -> None:
    one = lease(world, "a")
    await one.take()
    world.is_reachable = False
    await keep(one, world, LEASE_MS - 1)
    world.ms = LEASE_MS - 1
    one.check()
    world.ms = LEASE_MS
    with pytest.raises(Fenced, match=r"could not be renewed since 2027-01-15T08:00:00Z: no route to host"):
        one.check()
    world.is_reachable = True
    await keep(one, world, world.ms + LEASE_MS)
    one.check()


async def test_an_error_that_nobody_foresaw_is_told_and_it_is_renewed_after_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    one = lease(world, "a")
    await one.take()
    world.error = RuntimeError("can't start new thread")
    await keep(one, world, LEASE_MS)
    with pytest.raises(Fenced, match=r"unexpected error \(RuntimeError\); the log says where"):
        one.check()
    assert "can't start new thread" in caplog.text
    world.error = None
    await keep(one, world, world.ms + LEASE_MS)
    one.check()


async def test_a_machine_that_slept_does_not_trust_its_lease(world: World) -> None:
    machine = Machine(world)
    one = lease(world, "a", machine=machine)
    await one.take()
    world.ms += 3_600_000
    machine.slept = 3_600_000
    with pytest.raises(Fenced, match=r"the process stood still"):
        one.check()


async def test_twice_goes_on_without_the_place_until_it_sees_another_epoch(world: World) -> None:
    one = lease(world, "a", prefer="twice")
    world.is_reachable = False
    await one.take()
    await keep(one, world, 60_000)
    one.check()
    world.is_reachable = True
    await keep(one, world, 90_000)
    assert world.seen is not None
    assert await lease(world, "b", prefer="twice").adopt() is not None
    one.check()
    await keep(one, world, 120_000)
    with pytest.raises(
        Fenced, match=r"epoch 2 was adopted on .*; this copy is of epoch 1 and must not serve any more"
    ):
        one.check()


async def test_late_does_not_begin_without_the_place(world: World) -> None:
    world.is_reachable = False
    with pytest.raises(
        FenceError, match=r"/fence cannot be reached: no route to host; without it slad does not"
    ):
        await lease(world, "a").take()


async def test_an_answer_that_is_lost_is_no_loss_of_the_lease(world: World) -> None:
    one = lease(world, "a")
    await one.take()
    world.loses_answers = 1
    await keep(one, world, 60_000)
    one.check()


async def test_a_lease_that_was_removed_is_made_again(world: World) -> None:
    one = lease(world, "a")
    await one.take()
    world.seen = None
    await keep(one, world, 60_000)
    one.check()
    assert world.seen is not None


@pytest.mark.parametrize("has_clock", [True, False])
async def test_adopting_waits_for_the_end_of_the_lease(world: World, has_clock: bool) -> None:
    world.has_clock = has_clock
    old = lease(world, "a")
    await old.take()
    world.ms += 4_000
    new = lease(world, "b")
    former = await new.adopt()
    assert former is not None
    assert (former.epoch, former.holder, former.renewed_at) == (1, "a", NOW)
    assert new.epoch == 2
    # With a clock the place tells how old the lease is; without, it is watched for as long as it may be good.
    assert world.ms == LEASE_MS + MARGIN_MS + (0 if has_clock else 4_000)
    with pytest.raises(Fenced):
        old.check()
    await lease(world, "b", 2).take()
    with pytest.raises(FenceError, match=r"epoch 2 was adopted"):
        await lease(world, "a").take()


async def test_adopting_does_not_wait_when_the_lease_is_over_or_was_given_back(world: World) -> None:
    old = lease(world, "a")
    await old.take()
    await old.release()
    await lease(world, "b").adopt()
    assert world.ms == 0
    world.ms = LEASE_MS + MARGIN_MS
    await lease(world, "c", 2).adopt()
    assert world.ms == LEASE_MS + MARGIN_MS


async def test_a_database_without_a_lease_is_adopted_at_once(world: World) -> None:
    new = lease(world, "b")
    assert await new.adopt() is None
    assert new.epoch == 2


@pytest.mark.parametrize("has_clock", [True, False])
async def test_what_is_being_served_is_not_adopted(world: World, has_clock: bool) -> None:
    world.has_clock = has_clock
    old = lease(world, "a")
    await old.take()
    keeping = asyncio.create_task(old.keep())
    with pytest.raises(FenceError, match=r"epoch 1 is served on .*, which renews its lease; stop it first"):
        await lease(world, "b").adopt()
    keeping.cancel()
    old.check()


async def test_a_copy_that_is_older_than_another_adopted_one_is_refused(world: World) -> None:
    await lease(world, "b").adopt()
    world.ms += 60_000
    before = world.seen
    with pytest.raises(
        FenceError, match=r"epoch 2 was adopted on .*; this copy ends in epoch 1, and lacks what"
    ):
        await lease(world, "c").adopt()
    assert world.seen == before


async def test_of_two_that_adopt_at_once_one_does(world: World) -> None:
    await lease(world, "a").take()
    outcomes = await asyncio.gather(
        *(lease(world, holder).adopt() for holder in "bcd"), return_exceptions=True
    )
    assert sorted(isinstance(outcome, FenceError) for outcome in outcomes) == [False, True, True]


async def test_an_adoption_that_was_broken_off_goes_on(world: World) -> None:
    await lease(world, "b").adopt()
    again = lease(world, "b")  # which has not begun its epoch
    await again.adopt()
    assert again.epoch == 2


@pytest.mark.parametrize("ahead", [APART_MS + 1_000, -APART_MS - 1_000])
async def test_a_machine_whose_clock_is_apart_adopts_nothing(world: World, ahead: int) -> None:
    machine = Machine(world)
    machine.ahead = ahead
    with pytest.raises(
        FenceError, match=rf"clock is 6 s {'ahead of' if ahead > 0 else 'behind'} that of /fence"
    ):
        await lease(world, "b", machine=machine).adopt()
    assert world.seen is None


async def test_a_lease_of_another_database_is_left_alone(world: World) -> None:
    await lease(world, "a").take()
    other = Lease(FenceSettings(at="/fence"), world, Lineage("another", 5), "b", Machine(world), world.sleep)
    for attempt in (other.take, other.adopt):
        with pytest.raises(FenceError, match=r"the lease at /fence is of another database"):
            await attempt()


async def test_what_is_no_lease_is_left_alone(world: World) -> None:
    world.seen = Seen(b"my shopping list", "v0", NOW)
    with pytest.raises(FenceError, match=r"the content of fence.at is not a lease of slad"):
        await lease(world, "a").take()
    assert world.seen.content == b"my shopping list"
