"""The SlaDebug service: what a daemon holds in memory, for people with grpcurl."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Final

import grpc
from slad_client.v1 import debug_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad import __version__
from slad.core.metrics import Histogram
from slad.core.wheel import SLOT_SPANS_MS
from slad.delivery.consumers import Consumers
from slad.delivery.hub import EventHub
from slad.engine.commands import Answer
from slad.engine.engine import SlaEngine
from slad.engine.event_codec import set_instants, set_ms
from slad.engine.giving_way import giving_way
from slad.engine.queries import Queries
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource
from slad.service import replies
from slad.service.access import caller, holder
from slad.service.calls import CallMeter, CallMeters
from slad.service.fields import page_size
from slad.storage.database import SQLITE_VERSION, DataDirectory, StorageError
from slad.storage.store import Store

DEFAULT_TIMERS: Final = 20
MAX_TIMERS: Final = 200

WATCH: Final = "WatchSlaEvents"

NS_PER_US: Final = 1_000


@dataclass(frozen=True, slots=True)
class SlaDebug:
    """The methods of `slad.v1.SlaDebug`, and the parts of the daemon that they look at."""

    engine: SlaEngine
    hub: EventHub
    consumers: Consumers
    queries: QueryThread
    directory: DataDirectory
    clock: TimeSource
    meters: CallMeters
    began: float = field(default_factory=monotonic)
    """When the daemon was made, in seconds of the monotonic clock."""

    async def GetSlaInternals(self, request: rpc.GetSlaInternalsRequest) -> bytes:
        """Everything at once; the disk's part is absent when the disk does not answer."""
        reply = rpc.GetSlaInternalsResponse(calls=map(_call_count, self._called()))
        try:
            usage, free = self.directory.usage(), await self.queries.read(Store.free_bytes)
            reply.database.file_bytes = usage.database
            reply.database.free_bytes = free
            reply.database.wal_bytes = usage.wal
            reply.database.disk_free_bytes = usage.disk_free
        except (StorageError, OSError):
            reply.ClearField("database")
        # From here on without a pause, so that the parts agree.
        self._fill_process(reply.process)
        self._fill_clock(reply.clock)
        self._fill_timers(reply.timers)
        self._fill_writer(reply.writer)
        self._fill_events(reply.events)
        return reply.SerializeToString()

    async def ListSlaTimers(self, request: rpc.ListSlaTimersRequest) -> bytes:
        """The next wakes, in order; overdue ones come first."""
        size, now = page_size(request.page_size, DEFAULT_TIMERS, MAX_TIMERS), self.clock.now()
        tenants = caller().tenants

        def listed(queries: Queries) -> bytes:
            wakes = queries.next_wakes(size, now, tenants)
            return rpc.ListSlaTimersResponse(
                timers=(_timer(*wake) for wake in giving_way(wakes))
            ).SerializeToString()

        return await self.queries.run(listed, holder())

    def _called(self) -> Iterator[CallMeter]:
        return (meter for meter in self.meters.meters.values() if meter.begun)

    def _fill_process(self, process: rpc.SlaProcess) -> None:
        process.version, process.python = __version__, platform.python_version()
        process.grpcio, process.sqlite = grpc.__version__, SQLITE_VERSION
        process.tzdata = version("tzdata")
        process.pid = os.getpid()
        process.uptime.FromMilliseconds(int((monotonic() - self.began) * 1_000))
        process.resident_bytes = _resident_bytes()
        process.threads = threading.active_count()
        process.tasks = len(asyncio.all_tasks())

    def _fill_clock(self, state: rpc.SlaClockState) -> None:
        counts = self.engine.counts
        set_ms(state.now, self.clock.now())
        state.virtual = self.clock.is_virtual
        state.steps_forward = counts.clock_steps_forward
        state.steps_backward = counts.clock_steps_backward

    def _fill_timers(self, wheel: rpc.SlaTimingWheel) -> None:
        view = self.engine.look_at_timers(self.clock.now())
        wheel.armed = self.engine.timers_in_memory
        wheel.overdue, wheel.late = view.overdue, view.late
        if view.next_at is not None:
            set_ms(wheel.next_at, view.next_at)
        set_ms(wheel.loaded_until, view.loaded_until)
        if (p99 := self.engine.counts.lateness.bound_of(0.99)) is not None:
            set_ms(wheel.lateness_p99, p99)
        for level, timers in enumerate(view.levels):
            if timers:
                set_ms(wheel.levels.add(level=level, timers=timers).slot, SLOT_SPANS_MS[level])

    def _fill_writer(self, writer: rpc.SlaWriter) -> None:
        engine, counts = self.engine, self.engine.counts
        writer.queue_depth, writer.queue_limit = engine.waiting, engine.max_waiting
        writer.writable, writer.trouble = engine.writable, engine.trouble or ""
        writer.commits, writer.commit_failures = counts.commit_time.count, counts.commit_failures
        if counts.last_commit_at is not None:
            set_ms(writer.last_commit_at, counts.last_commit_at)
            writer.last_commit_took.FromMicroseconds(counts.last_commit_ns // NS_PER_US)
            writer.mean_commit_took.FromMicroseconds(_mean_us(counts.commit_time))
            writer.mean_commands_per_commit = counts.commit_commands.total / counts.commit_commands.count

    def _fill_events(self, outbox: rpc.SlaOutbox) -> None:
        hub = self.hub
        outbox.head_sequence, outbox.tail_events = hub.head, hub.tail_size
        outbox.watches = self.meters.meter(WATCH).open
        for row, acknowledged, streams in self.consumers.rows():
            consumer = outbox.consumers.add(
                consumer=row.name,
                acknowledged_sequence=acknowledged,
                head_sequence=hub.head,
                lag=hub.owed(acknowledged),
                streams=streams,
            )
            set_instants(consumer, created_at=row.created_at, acknowledged_at=row.acknowledged_at)


def _call_count(meter: CallMeter) -> rpc.SlaCallCount:
    failed = {code: count for code, count in meter.failed.items() if count}
    message = rpc.SlaCallCount(rpc=meter.rpc, open=meter.open, succeeded=meter.succeeded, failed=failed)
    if meter.durations.count:
        message.mean_duration.FromMicroseconds(_mean_us(meter.durations))
    return message


def _mean_us(durations: Histogram) -> int:
    return durations.total // durations.count // NS_PER_US


def _timer(fires_at: int, answer: Answer) -> rpc.SlaTimer:
    timer = rpc.SlaTimer(**answer.ticket._asdict())
    set_ms(timer.fires_at, fires_at)
    for clock in answer.reading.clocks:
        shown = pb.SlaClock.FromString(replies.sla_clock(clock, answer.tracking))
        for threshold in shown.thresholds:
            is_due = threshold.scheduled_at.ToMilliseconds() == fires_at
            if is_due and not threshold.HasField("fired_at") and threshold.HasField("scheduled_at"):
                phase = pb.SlaPhase.ValueType(clock.phase or 0)
                timer.thresholds.add(phase=phase, threshold=threshold, clock=clock.name)
    return timer


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()
