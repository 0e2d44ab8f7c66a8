"""One life of slad: its own parts put together as the daemon does, on the simulated loop, clock and disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import apsw

from slad.config.settings import RetentionSettings
from slad.core.instants import DAY_MS, MINUTE_MS
from slad.delivery import hub as hub_module
from slad.delivery import retention as retention_module
from slad.delivery.consumers import Consumers
from slad.delivery.hub import EventHub
from slad.delivery.retention import Retention
from slad.engine import engine as engine_module
from slad.engine import timers
from slad.engine import turn as turn_module
from slad.engine.carrier import LocalCarrier
from slad.engine.catalog import Catalog
from slad.engine.engine import SlaEngine
from slad.engine.listeners import Listeners
from slad.engine.queries import Queries
from slad.engine.query_thread import QueryThread
from slad.storage import epoch as epoch_module
from slad.storage import journal as journal_module
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.store import Store
from tests.trials.simulation.actions import Knobs
from tests.trials.simulation.loop import AtOnce, SimulatedClock, SimulatedLoop, WritesAtOnce

EVENTS_MS = 2 * DAY_MS
REQUESTS_MS = 2 * DAY_MS


class Killed(BaseException):
    """The process is gone: what follows is heard by nobody."""


@contextmanager
def turned(knobs: Knobs, at_kill_point: Callable[[str], None]) -> Iterator[None]:
    """slad's sizes as `knobs` say, and its kill points in our hands."""
    settings = (
        (timers, "HORIZON_MS", knobs.horizon_minutes * MINUTE_MS),
        (timers, "REFILL_MS", knobs.horizon_minutes * MINUTE_MS // 2),
        (timers, "PAGE", knobs.timers_page),
        (turn_module, "MAX_TIMERS", knobs.max_timers),
        (turn_module, "MAX_COMMANDS", knobs.max_commands),
        (turn_module, "TURN_NS", 10**12),
        (turn_module, "HOLD_MS", 0),  # the clock stands still while it would wait
        (turn_module, "ROOM_NS_A_MS", 10**12),
        (engine_module, "TRIAL_BYTES", 1024),
        (hub_module, "TAIL", knobs.hub_tail),
        (hub_module, "PAGE", knobs.hub_page),
        (retention_module, "SWEEP_SIZE", knobs.sweep_size),
        (engine_module, "kill_point", at_kill_point),
        (journal_module, "kill_point", at_kill_point),
        (epoch_module, "home_of", lambda database: "simulated"),
    )
    with ExitStack() as stack:
        for module, name, value in settings:
            stack.enter_context(patch.object(module, name, value, create=name == "TRIAL_BYTES"))
        yield


class System:
    """slad from its start to its end."""

    def __init__(self, path: Path, clock: SimulatedClock, loop: SimulatedLoop, knobs: Knobs) -> None:
        self._ended = False
        self._data = DataDirectory(path)
        writer = self._data.writer()
        self.journal, self.store = Journal(writer), Store(self._data.reader())
        self._slow = QueryThread(Store(self._data.reader()))
        self._slow._thread = AtOnce()  # type: ignore[assignment]
        directory = Catalog(self.store)
        self.hub = EventHub(self.journal.counters().sequence, self._slow.events_after)
        listeners = Listeners(self.hub.publish)
        self.engine = SlaEngine(self.journal, directory, clock, LocalCarrier(), listeners)
        self.engine._writer = WritesAtOnce(self.engine._commit)  # type: ignore[assignment]
        self.consumers = Consumers(self.store.consumers(), self.engine, self.hub, clock)
        self.queries = Queries(self.store, directory)
        settings = RetentionSettings(EVENTS_MS, knobs.max_events, REQUESTS_MS)
        self.retention = Retention(settings, self.engine, self._slow, self.consumers, clock)
        self.engine.prepare()
        self.pump = loop.create_task(self.engine.run())

    @property
    def next_wake(self) -> int:
        """The instant for which the pump has set its alarm."""
        return self.engine._timers.next_wake()

    @property
    def in_trouble(self) -> bool:
        """Whether the engine waits for a commit to succeed again."""
        return getattr(self.engine, "_trouble", None) is not None

    async def end(self, *, orderly: bool) -> None:
        """Stops; otherwise what is open is closed, as the end of a process does."""
        if orderly:
            self.hub.close()
            self.engine.stop()
        else:
            self.pump.cancel()
        await asyncio.wait({self.pump})
        if not self.pump.cancelled():
            self.pump.exception()
        if self._ended:
            return  # it died while it stopped
        self._ended = True
        self._slow.close()
        self.store.close()
        try:
            self.journal.close()
        except apsw.Error:
            if orderly:
                raise
        self._data.close()
