"""What the first page shows: health, what fires next, how tickets stand, what was breached.

All who may see the same share one view. When something has happened it is made anew, every two seconds at
most.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any, Final, NamedTuple

from slad_client.v1 import debug_pb2

from slad.console.breaches import Breach, RecentBreaches
from slad.console.calls import Calls
from slad.console.words import meaning
from slad.core.access import Caller, Role, Tenants
from slad.core.time_text import span
from slad.delivery.hub import EventHub
from slad.engine.census import Census, Tally
from slad.engine.giving_way import giving_way
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource

TIMERS: Final = 50
BREACHES: Final = 20
"""That are listed; all are counted."""

REFRESH_S: Final = 2.0
STALE_S: Final = 10.0
"""What no event tells of, such as a sink that fails, is looked at this often."""

BOARDS: Final = 64
"""Views that are kept, by what their readers may see."""

MOST_COUNTED: Final = 50_000
"""Tickets whose statuses are counted; of more the first are."""

FIRST_COUNT_S: Final = 1.0
"""How long a page waits for the first count."""

LATER_COUNT_S: Final = 0.05
"""How long it waits for a later one."""

WORRYING_P99_MS: Final = 1_000


class TimerView(NamedTuple):
    """What fires next."""

    at: int
    tenant_id: str
    ticket_id: str
    what: str
    is_breach: bool


class HealthView(NamedTuple):
    """One figure of the daemon's health; `kind` is good, warning or bad."""

    name: str
    value: str
    kind: str
    link: str = ""


class NowView(NamedTuple):
    """All of the page."""

    health: tuple[HealthView, ...] | None
    """None: it is not for this reader."""
    timers: tuple[TimerView, ...]
    tally: Tally
    breaches: tuple[Breach, ...]
    breaches_in_all: int
    is_caught_up: bool


class _Board:
    """The view of those who may see the same."""

    def __init__(self, census: Census) -> None:
        self.census = census
        self.lock = asyncio.Lock()
        self.view: NowView | None = None
        self.made_at = -STALE_S
        self.head = -1
        self.used_at = 0.0

    async def tally(self) -> Tally:
        """How many tickets are in each status."""
        is_first = self.view is None or not self.view.tally.is_done
        return await self.census.tally(FIRST_COUNT_S if is_first else LATER_COUNT_S)

    def next_at(self) -> int | None:
        """When the first of its timers fires."""
        return self.view.timers[0].at if self.view and self.view.timers else None


class Boards:
    """Views for everybody. For the event loop's thread."""

    def __init__(
        self, calls: Calls, queries: QueryThread, hub: EventHub, breaches: RecentBreaches, clock: TimeSource
    ) -> None:
        self._calls = calls
        self._queries = queries
        self._hub = hub
        self._breaches = breaches
        self._clock = clock
        self._boards: dict[tuple[Role, Tenants], _Board] = {}

    async def view(self, who: Caller) -> NowView:
        """How things stand for `who`, not more than two seconds ago. Raises Refused."""
        board = self._board(who)
        async with board.lock:
            now, then = self._clock.now(), monotonic()
            fires_at = board.next_at()
            moved = board.head != self._hub.head or (fires_at is not None and fires_at <= now)
            moved = moved or (board.view is not None and not board.view.tally.is_done)
            age_s = then - board.made_at
            if board.view is None or age_s >= (REFRESH_S if moved else STALE_S):
                board.head, board.made_at = self._hub.head, then
                board.view = await self._look(who, board, now)
            return board.view

    async def changes(self, who: Caller) -> AsyncIterator[NowView]:
        """The view now, and again whenever it changes."""
        known: tuple[NowView, int] | None = None
        while True:
            view = await self.view(who)
            # Virtual time moves in steps, which a page cannot foresee.
            shown = view, self._clock.now() if self._clock.is_virtual else 0
            if shown != known:
                known = shown
                yield view
            await asyncio.sleep(REFRESH_S)

    def stop(self) -> None:
        """Stops what is counted."""
        for board in self._boards.values():
            board.census.stop()

    def _board(self, who: Caller) -> _Board:
        key = who.role, who.tenants
        board = self._boards.get(key)
        if board is None:
            if len(self._boards) >= BOARDS:
                oldest = min(self._boards, key=lambda known: self._boards[known].used_at)
                self._boards.pop(oldest).census.stop()
            census = Census(self._queries, who.tenants, self._clock.now, most=MOST_COUNTED)
            board = self._boards[key] = _Board(census)
        board.used_at = monotonic()
        return board

    async def _look(self, who: Caller, board: _Board, now: int) -> NowView:
        timers = await self._calls.call(who, "SlaDebug.ListSlaTimers", page_size=TIMERS)
        shown = await self._queries.run(lambda _: tuple(map(_timer, giving_way(timers.timers))))
        breaches = self._breaches.since(now, who.tenants)
        return NowView(
            await self._health(who) if sees_everything(who) else None,
            shown,
            await board.tally(),
            tuple(breaches[:BREACHES]),
            len(breaches),
            self._breaches.is_caught_up or not self._hub.head,
        )

    async def _health(self, who: Caller) -> tuple[HealthView, ...]:
        inside = await self._calls.call(who, "SlaDebug.GetSlaInternals")
        consumers = (await self._calls.call(who, "SlaAdmin.ListSlaConsumers")).consumers
        sinks = (await self._calls.call(who, "SlaAdmin.ListSlaSinks")).sinks
        temporal = await self._calls.call(who, "SlaPassThrough.GetSlaPassThrough")
        figures = [
            _writable(inside.writer),
            _lateness(inside.timers),
            HealthView("overdue timers", str(inside.timers.overdue), _kind(inside.timers.overdue == 0)),
            _furthest_behind(consumers, self._clock.now()),
        ]
        if sinks:
            parked = sum(sink.parked for sink in sinks)
            figures.append(HealthView("parked events", str(parked), _kind(parked == 0), "/delivery"))
        if temporal.enabled:
            figures.append(_temporal(temporal))
        return tuple(figures)


def sees_everything(who: Caller) -> bool:
    """Whether the daemon's own state is for `who`: what goes on inside is of all tenants."""
    return who.role is Role.ADMIN and who.tenants is None


def _kind(good: bool) -> str:
    return "good" if good else "warning"


def _writable(writer: Any) -> HealthView:
    told = "yes" if writer.writable else f"no: {writer.trouble}"
    return HealthView("writable", told, "good" if writer.writable else "bad")


def _lateness(timers: Any) -> HealthView:
    if not timers.HasField("lateness_p99"):
        return HealthView("lateness, p99", "nothing fired yet", "good")
    p99 = timers.lateness_p99.ToMilliseconds()
    told = f"{p99} ms or less" if p99 < WORRYING_P99_MS else f"{span(p99)} or less"
    return HealthView("lateness, p99", told, _kind(p99 <= WORRYING_P99_MS))


def _furthest_behind(consumers: Any, now: int) -> HealthView:
    name = "consumer furthest behind"
    behind = [consumer for consumer in consumers if consumer.HasField("behind_since")]
    if not behind:
        return HealthView(name, "none is behind" if consumers else "no consumers", "good", "/delivery")
    worst = min(behind, key=lambda consumer: consumer.behind_since.ToMilliseconds())
    age = now - worst.behind_since.ToMilliseconds()
    return HealthView(name, f"{worst.consumer}, {span(max(0, age))}", _kind(age < 60_000), "/delivery")


def _temporal(state: Any) -> HealthView:
    told = f"{state.waiting} waiting" + ("" if state.reachable else f", not reachable: {state.message}")
    return HealthView("Temporal", told, "good" if state.reachable else "bad", "/delivery")


def _timer(timer: debug_pb2.SlaTimer) -> TimerView:
    what = [f"{item.clock} {meaning(item.threshold)}" for item in timer.thresholds]
    is_breach = any(item.threshold.breach for item in timer.thresholds)
    at = timer.fires_at.ToMilliseconds()
    return TimerView(at, timer.tenant_id, timer.ticket_id, "; ".join(what) or "looks again", is_breach)
