"""A real process whose wall clock is stepped under it, by libfaketime (C5)."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from tests.system.e2e.slad_process import slad_process

IDS = {"tenant_id": "acme", "ticket_id": "T-1"}


def find_libfaketime() -> str:
    for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"):
        return str(path)
    pytest.skip("libfaketime is missing; install it: apt-get install faketime")


class SteppedTime:
    """The wall clock of a process, this far from the real one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "faketime"
        self.env = {
            "LD_PRELOAD": find_libfaketime(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.step_to(0)

    def step_to(self, seconds: int) -> None:
        incoming = self._file.with_suffix(".new")
        incoming.write_text(f"{seconds:+d}s\n")
        incoming.rename(self._file)


def test_a_stepped_clock_fires_what_is_overdue_at_once_and_nothing_twice(tmp_path: Path) -> None:
    time = SteppedTime(tmp_path)
    arguments = ("--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
    with slad_process(*arguments, env=time.env) as slad, grpc.insecure_channel(slad.addresses[0]) as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        request = rpc.StartSlaTrackingRequest(**IDS, notification_thresholds=[50, 75])
        request.targets.add(response_time_minutes=60, is_24x7=True)
        stub.StartSlaTracking(request, timeout=30)
        watch = stub.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"), timeout=120)
        heard: list[pb.SlaEvent] = []

        def hear(count: int) -> list[int]:
            while len(heard) < count:
                heard.extend(next(watch).events)
            return [event.threshold.percent for event in heard]

        def steps(count: int) -> list[str]:
            """Waits until slad has noticed so many steps; a call in between costs it nothing."""
            while len(found := [e["message"] for e in slad.log if "stepped" in e["message"]]) < count:
                stub.GetSlaStatus(rpc.GetSlaStatusRequest(**IDS), timeout=30)
            return found

        assert hear(1) == [0]
        time.step_to(31 * 60)
        assert hear(2) == [0, 50]
        time.step_to(-3600 * 24 * 400)
        steps(2)
        time.step_to(46 * 60)
        assert hear(3) == [0, 50, 75], "50 not again"
        assert len(steps(3)) == 3
        stub.CompleteSla(rpc.CompleteSlaRequest(phase=pb.SLA_PHASE_RESPONSE, **IDS), timeout=30)
        assert hear(4)[3] == 0
        assert heard[3].type == pb.SLA_EVENT_TYPE_PHASE_COMPLETED
        watch.cancel()
        for event in heard[1:3]:
            assert event.recorded_at.ToMilliseconds() >= event.occurred_at.ToMilliseconds(), "early"
        start = heard[0].occurred_at.ToMilliseconds()
        assert [e.occurred_at.ToMilliseconds() - start for e in heard[1:3]] == [1_800_000, 2_700_000]


def test_a_start_with_the_clock_before_the_last_commit_loses_and_doubles_nothing(tmp_path: Path) -> None:
    time = SteppedTime(tmp_path)
    arguments = ("--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
    with slad_process(*arguments, env=time.env) as slad, grpc.insecure_channel(slad.addresses[0]) as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        request = rpc.StartSlaTrackingRequest(**IDS, notification_thresholds=[1])
        request.targets.add(response_time_minutes=60, is_24x7=True)
        stub.StartSlaTracking(request, timeout=30)
        time.step_to(60)
        watch = stub.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=0), timeout=60)
        heard = []
        while len(heard) < 2:
            heard.extend(next(watch).events)
        watch.cancel()
        slad.kill()
    time.step_to(-3600)
    with slad_process(*arguments, env=time.env) as slad, grpc.insecure_channel(slad.addresses[0]) as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        paused = stub.PauseSla(rpc.PauseSlaRequest(reason=1, **IDS), timeout=30)
        assert paused.changed
        resumed = stub.ResumeSla(rpc.ResumeSlaRequest(**IDS), timeout=30)
        assert resumed.changed
        life = stub.GetSlaTimeline(rpc.GetSlaTimelineRequest(**IDS), timeout=30)
        kinds = [pb.SlaEventType.Name(e.type).removeprefix("SLA_EVENT_TYPE_") for e in life.events]
        assert kinds == ["STARTED", "THRESHOLD_REACHED", "PAUSED", "RESUMED"]
