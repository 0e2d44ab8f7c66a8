"""The lease of the one that serves: who holds it, for how long, and who may take it.

A lease is of an epoch. Only `adopt` begins an epoch, so that of two copies of a database one is the newer; a
daemon takes and renews the lease of its own epoch, or none.

How long a lease is good is measured by two clocks that need not agree. The holder counts from before its
last renewal, by its own clocks. Who wants to take it counts from when the renewal arrived, by the clock of
the place, and waits for MARGIN_MS more.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from slad.config.settings import FenceSettings
from slad.core.instants import SECOND_MS, format_instant
from slad.daemon.fence.places import Changed, Place, Seen, Unreachable, place_at
from slad.engine.time_source import TimeSource
from slad.storage.epoch import holder_of
from slad.storage.journal import Fenced
from slad.storage.store import Lineage

log = logging.getLogger(__name__)

RENEWALS: Final = 3
"""Attempts to renew within the time that a lease is good."""

MARGIN_MS: Final = 5 * SECOND_MS
"""For a commit that was under way when the lease ended, and for clocks that tell whole seconds."""

APART_MS: Final = 5 * SECOND_MS
"""Clocks that differ by more are apart: thresholds would fire that much too early or too late."""

CALL_S: Final = 5.0
"""How long the place may take to answer."""


class FenceError(Exception):
    """The lease cannot be had; the message says why and what to do."""


class Holding(msgspec.Struct, frozen=True):
    """The document in the place: who serves."""

    instance: str
    epoch: int
    holder: str
    """The data directory."""
    run: str
    """The process."""
    host: str
    renewed_at: int
    """By the holder's clock, UTC epoch ms."""
    lease_ms: int
    """How long it is good from its renewal; 0: it was given back."""


class Lease:
    """The lease as one process sees it. `lineage` is of the database, `holder` of its directory.

    `check` may be called by any thread.
    """

    def __init__(
        self,
        settings: FenceSettings,
        place: Place,
        lineage: Lineage,
        holder: str,
        clock: TimeSource,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._place = place
        self._lineage = lineage
        self._holder = holder
        self._host = os.uname().nodename
        self._clock = clock
        self._sleep = sleep
        self._run = uuid4().hex
        self._version: str | None = None
        self._renewed = (0, 0)
        """By the monotonic clock and by the wall clock: a machine that slept is told of by the second."""
        self._lost = ""
        self._trouble = ""

    def check(self) -> None:
        """Raises Fenced unless this process may write and fire."""
        if self._lost:
            raise Fenced(self._lost)
        if self._settings.prefer == "twice":
            return
        since, since_wall = self._renewed
        if (
            self._clock.monotonic() - since >= self._settings.lease_ms
            or self._clock.now() - since_wall >= self._settings.lease_ms
        ):
            raise Fenced(
                f"the lease could not be renewed since {format_instant(since_wall)}: "
                f"{self._trouble or 'the process stood still'}"
            )

    async def take(self) -> None:
        """Takes the lease of the database's own epoch. Raises FenceError."""
        try:
            async with asyncio.timeout(CALL_S):
                await self._claim()
        except Changed:
            raise FenceError("another slad takes the lease at the same time; stop one of the two") from None
        except (Unreachable, TimeoutError) as error:
            problem = f"{self._settings.at} cannot be reached: {error or 'no answer'}"
            if self._settings.prefer == "late":
                raise FenceError(f"{problem}; without it slad does not serve (fence.prefer = late)") from None
            log.warning("%s; slad serves nevertheless (fence.prefer = twice)", problem)

    async def keep(self) -> None:
        """Renews the lease, until cancelled or lost."""
        while not self._lost:
            await self._sleep(self._settings.lease_ms / SECOND_MS / RENEWALS)
            try:
                async with asyncio.timeout(CALL_S):
                    await self._renew()
            except (Unreachable, Changed, TimeoutError) as error:
                told = str(error) or "no answer"
                if told != self._trouble:
                    log.warning("the lease at %s cannot be renewed: %s", self._settings.at, told)
                self._trouble = told
            except FenceError as error:
                self._lost = str(error)
                log.error("fenced: %s; nothing is written, fired or delivered any more", error)  # noqa: TRY400
            except Exception as error:
                # Without another attempt it would end for good.
                log.exception("the lease at %s cannot be renewed", self._settings.at)
                self._trouble = f"unexpected error ({type(error).__name__}); the log says where"
            else:
                self._trouble = ""

    async def release(self) -> None:
        """Gives the lease back, so that the next holder need not wait for its end."""
        if self._version is None or self._lost:
            return
        try:
            async with asyncio.timeout(CALL_S):
                await self._write(lease_ms=0)
        except (Unreachable, Changed, TimeoutError) as error:
            log.warning("the lease could not be released; it ends by itself: %s", error or "no answer")

    async def adopt(self) -> Holding | None:
        """Makes the next epoch the one that serves, once the lease of the last has ended; who held that.

        Raises FenceError; then nothing has changed.
        """
        try:
            async with asyncio.timeout(CALL_S):
                await self._clocks_must_agree()
            seen = await self._wait_for_end()
            former = _holding(seen) if seen is not None else None
            self._version = seen.version if seen is not None else None
            self._lineage = self._lineage._replace(epoch=self._next_epoch(former))
            async with asyncio.timeout(CALL_S):
                await self._write()
        except Changed:
            raise FenceError("another copy was adopted, or renewed its lease, at this moment") from None
        except (Unreachable, TimeoutError) as error:
            raise FenceError(f"{self._settings.at} cannot be reached: {error or 'no answer'}") from None
        return former

    @property
    def is_good(self) -> bool:
        """Whether this process may write and fire."""
        try:
            self.check()
        except Fenced:
            return False
        return True

    @property
    def epoch(self) -> int:
        """The epoch that it is of."""
        return self._lineage.epoch

    # --- serving

    def _must_be_own(self, found: Holding) -> None:
        self._must_be_of_this_database(found)
        if found.epoch > self._lineage.epoch:
            raise FenceError(
                f"epoch {found.epoch} was adopted on {found.host}; this copy is of epoch"
                f" {self._lineage.epoch} and must not serve any more"
            )
        if found.epoch < self._lineage.epoch or found.holder != self._holder:
            raise FenceError(
                f"epoch {found.epoch} is served on {found.host}; to serve this copy instead: slad adopt"
            )

    def _must_be_of_this_database(self, found: Holding) -> None:
        if found.instance != self._lineage.instance:
            raise FenceError(
                f"the lease at {self._settings.at} is of another database ({found.instance}, served on "
                f"{found.host}; this one is {self._lineage.instance}): every database needs its own fence.at"
            )

    async def _claim(self) -> None:
        seen = await self._place.read()
        if seen is not None:
            self._must_be_own(_holding(seen))
            self._version = seen.version
        await self._write()

    async def _renew(self) -> None:
        try:
            if self._version is None:  # it could not be reached before
                await self._claim()
            else:
                await self._write()
        except Changed:
            seen = await self._place.read()
            found = _holding(seen) if seen is not None else None
            if seen is None or found is None:  # somebody removed it
                self._version = None
            elif found.run == self._run:  # it is ours; the answer was lost
                self._version = seen.version
            else:
                self._must_be_own(found)
                text = f"another process renews the lease of epoch {found.epoch}, on {found.host}"
                raise FenceError(text) from None
            await self._write()

    async def _write(self, lease_ms: int | None = None) -> None:
        before = self._clock.monotonic(), self._clock.now()
        holding = Holding(
            self._lineage.instance,
            self._lineage.epoch,
            self._holder,
            self._run,
            self._host,
            before[1],
            self._settings.lease_ms if lease_ms is None else lease_ms,
        )
        self._version = await self._place.write(msgspec.json.encode(holding), self._version)
        self._renewed = before

    # --- adopting

    def _next_epoch(self, former: Holding | None) -> int:
        if former is None:
            return self._lineage.epoch + 1
        self._must_be_of_this_database(former)
        if former.epoch > self._lineage.epoch and former.holder != self._holder:
            raise FenceError(
                f"epoch {former.epoch} was adopted on {former.host}; this copy ends in epoch "
                f"{self._lineage.epoch}, and lacks what came after. To go back to it on purpose, remove "
                f"{self._settings.at} first"
            )
        # An adoption that was broken off has taken the lease, but not begun the epoch.
        return max(self._lineage.epoch + 1, former.epoch)

    async def _wait_for_end(self) -> Seen | None:
        """Watches the lease until it is over. Raises FenceError when it is renewed."""
        first: Seen | None = None
        began = self._clock.monotonic()
        while True:
            async with asyncio.timeout(CALL_S):
                seen, now = await self._place.read(), await self._place.now()
            if seen is None:
                return None
            found = _holding(seen)
            self._next_epoch(found)
            first = first or seen
            if seen.version != first.version and found.lease_ms:
                raise FenceError(
                    f"epoch {found.epoch} is served on {found.host}, which renews its lease; stop it first"
                )
            if now is not None and seen.modified_at is not None:
                age = now - seen.modified_at
            else:
                age = self._clock.monotonic() - began
            left = found.lease_ms + MARGIN_MS - age
            if (
                left <= 0
                or not found.lease_ms
                or found.holder == self._holder
                or self._settings.prefer == "twice"
            ):
                return seen
            await self._sleep(min(left, SECOND_MS) / SECOND_MS)

    async def _clocks_must_agree(self) -> None:
        there = await self._place.now()
        apart = self._clock.now() - there if there is not None else 0
        if abs(apart) > APART_MS:
            direction = "ahead of" if apart > 0 else "behind"
            raise FenceError(
                f"this machine's clock is {abs(apart) // SECOND_MS} s {direction} that of "
                f"{self._settings.at}, so thresholds would fire at the wrong time; correct the clock first"
            )


def _holding(seen: Seen) -> Holding:
    try:
        return msgspec.json.decode(seen.content, type=Holding)
    except msgspec.MsgspecError as error:
        raise FenceError(f"the content of fence.at is not a lease of slad: {error}") from None


def lease_of(settings: FenceSettings, data: Path, lineage: Lineage, clock: TimeSource) -> Lease:
    """The lease for the database in `data`, not taken yet; `settings.at` is given. Raises FenceError."""
    assert settings.at is not None
    try:
        return Lease(settings, place_at(settings.at), lineage, holder_of(data), clock)
    except (Unreachable, OSError) as error:
        raise FenceError(str(error)) from None


async def look_at(where: str) -> Holding | None:
    """What the lease at the place `where` says, if there is one. Raises FenceError."""
    try:
        async with asyncio.timeout(CALL_S):
            seen = await place_at(where).read()
    except (Unreachable, TimeoutError) as error:
        raise FenceError(f"{where} cannot be reached: {error or 'no answer'}") from None
    return _holding(seen) if seen is not None else None
