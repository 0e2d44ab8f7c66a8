"""The installed command: starts, serves, refuses to share, survives SIGKILL, ends cleanly."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from tests.system.e2e.slad_process import SladProcess, grpcurl, is_serving, run_grpcurl, slad_process

BACKEND = "slad.v1.SlaBackend"
MINUTE = {
    "tenant_id": "acme",
    "ticket_id": "T-1",
    "targets": [{"response_time_minutes": 1, "is_24x7": True}],
    "notification_thresholds": [1, 5, 8],
}


def watch(address: str, count: int, **fields: Any) -> list[pb.SlaEvent]:
    """The next `count` events; the test's own deadline is generous, as the machine may be slow."""
    found: list[pb.SlaEvent] = []
    with grpc.insecure_channel(address) as channel:
        call = sla_backend_pb2_grpc.SlaBackendStub(channel).WatchSlaEvents(
            rpc.WatchSlaEventsRequest(**fields), timeout=60, wait_for_ready=True
        )
        try:
            for reply in call:
                found.extend(reply.events)
                if len(found) >= count:
                    return found
        finally:
            call.cancel()
    return found


def test_a_real_time_threshold_arrives_with_a_sigkill_in_between(tmp_path: Path) -> None:
    """The product in one test: durable, exact, delivered, over grpcurl and over the client."""
    arguments = ("--listen", f"unix:{tmp_path}/slad.sock", "--data", str(tmp_path / "data"))
    address = f"unix:{tmp_path}/slad.sock"
    with slad_process(*arguments) as slad:
        started = grpcurl(address, f"{BACKEND}/StartSlaTracking", data=MINUTE)
        assert started["created"] is True
        first = watch(address, 2, consumer="psa")
        assert [e.threshold.percent for e in first] == [0, 1]
        slad.kill()
    with slad_process(*arguments):
        assert is_serving(address)
        again = watch(address, 4, consumer="psa")
        assert [e.threshold.percent for e in again] == [0, 1, 5, 8]
        assert [e.event_id for e in again[:2]] == [e.event_id for e in first], "the same, delivered again"
        start = again[0].occurred_at.ToMilliseconds()
        assert [e.occurred_at.ToMilliseconds() - start for e in again] == [0, 600, 3000, 4800]
        for event in again[1:]:
            assert event.recorded_at.ToMilliseconds() >= event.occurred_at.ToMilliseconds(), "early"
        status = grpcurl(address, f"{BACKEND}/GetSlaStatus", data={"ticket_id": "T-1"})["status"]
        assert status["status"] == "SLA_TIMER_STATUS_ON_TRACK"
        assert [t.get("fired_at") is not None for t in status["response"]["thresholds"]] == [
            True, True, True, False
        ]  # fmt: skip


def test_grpcurl_finds_everything_by_reflection(tmp_path: Path) -> None:
    with slad_process("--listen", "127.0.0.1:0", "--data", str(tmp_path)) as slad:
        (address,) = slad.addresses
        services = grpcurl(address, "list").split()
        assert services == [
            "grpc.channelz.v1.Channelz",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "slad.v1.SlaAdmin",
            BACKEND,
            "slad.v1.SlaDebug",
            "slad.v1.SlaPassThrough",
            "slad.v1.SlaTokens",
            "slad.v1.SlaWorker",
        ]
        described = grpcurl(address, "describe", f"{BACKEND}.PauseSla")
        assert "PauseSlaRequest" in described
        health = grpcurl(address, "grpc.health.v1.Health/Check", data={"service": BACKEND})
        assert health == {"status": "SERVING"}
        refused = run_grpcurl(address, f"{BACKEND}/StartSlaTracking", data={"tenant_id": "acme"})
        assert refused.returncode != 0
        assert "InvalidArgument" in refused.stderr
        assert '"field": "ticket_id"' in refused.stderr
        # No --virtual-clock: no TestClock.
        assert "slad.v1.TestClock" not in services
        assert "Unimplemented" in run_grpcurl(address, "slad.v1.TestClock/GetTime").stderr


def test_the_virtual_clock_by_grpcurl(tmp_path: Path) -> None:
    env = {
        "SLAD_VIRTUAL_CLOCK": "2026-03-02T09:00:00Z",
        "SLAD_DATA": str(tmp_path),
        "SLAD_LISTEN": f"127.0.0.1:0 unix:{tmp_path}/s",
    }
    with slad_process(env=env) as slad:
        address = slad.addresses[0]
        assert grpcurl(f"unix:{tmp_path}/s", "slad.v1.TestClock/GetTime") == {"now": "2026-03-02T09:00:00Z"}
        grpcurl(address, f"{BACKEND}/StartSlaTracking", data=MINUTE)
        moved = grpcurl(address, "slad.v1.TestClock/AdvanceTime", data={"by": "60s"})
        assert moved == {"now": "2026-03-02T09:01:00Z", "events_committed": "4"}


def test_sigterm_ends_it_cleanly_with_a_stream_open(tmp_path: Path) -> None:
    with slad_process("--listen", "127.0.0.1:0", "--data", str(tmp_path)) as slad:
        with grpc.insecure_channel(slad.addresses[0]) as channel:
            stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
            call = stub.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"), timeout=60)
            call.initial_metadata()
            assert slad.terminate() == 0
            with pytest.raises(grpc.RpcError) as caught:
                next(call)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert slad.log[-1]["message"] == "stopped"
        assert not [entry for entry in slad.log if entry["level"] in ("error", "warning")]
        took = _seconds(slad.log[-1]) - _seconds(slad.log[-2])
        assert took < 4, "it must not wait out the grace period for a stream"


def test_a_port_and_a_directory_are_not_shared(tmp_path: Path) -> None:
    with slad_process("--listen", "127.0.0.1:0", "--data", str(tmp_path / "a")) as slad:
        (address,) = slad.addresses
        for arguments, complaint in (
            (("--listen", address, "--data", str(tmp_path / "b")), f"cannot listen on {address}"),
            (("--listen", "127.0.0.1:0", "--data", str(tmp_path / "a")), "held by another slad"),
        ):
            second = SladProcess(*arguments)
            assert second.wait() == 3
            assert complaint in second.output
            assert "Traceback" not in second.output
        assert is_serving(address)


def test_a_socket_left_behind_is_taken_over_a_live_one_is_not(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/slad.sock"
    with slad_process("--listen", address, "--data", str(tmp_path / "a")) as slad:
        second = SladProcess("--listen", address, "--data", str(tmp_path / "b"))
        assert second.wait() == 3
        assert "another server answers there" in second.output
        assert is_serving(address)
        slad.kill()
    assert (tmp_path / "slad.sock").exists()
    with slad_process("--listen", address, "--data", str(tmp_path / "a")):
        assert is_serving(address)
        assert (tmp_path / "slad.sock").stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--listen", "nonsense"), "neither host:port nor unix:PATH"),
        (("--listen", "127.0.0.1:99999"), "neither host:port nor unix:PATH"),
        (("--listen", "http://127.0.0.1:7523"), "neither host:port nor unix:PATH"),
        (("--listen", "unix:/none/slad.sock"), "there is no directory /none"),
        (("--listen", f"unix:/{'x' * 107}"), "it is longer than 107 bytes"),
        (("--console-listen", "unix:/none/console.sock"), "there is no directory /none"),
        (("--data", __file__), f"data directory {__file__} cannot be used: it is not a directory"),
        (("--virtual-clock", "soon"), "not an ISO 8601 instant"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    process = SladProcess("--listen", f"unix:{tmp_path}/slad.sock", "--data", str(tmp_path), *arguments)
    assert process.wait() in (2, 3)
    assert complaint in process.output
    assert "Traceback" not in process.output


def test_ready_is_told_to_systemd_when_it_is(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with slad_process("--listen", "127.0.0.1:0", "--data", str(tmp_path), env=env) as slad:
            ready = listener.recv(4096).decode()
            assert ready.startswith(
                "READY=1\nSTATUS=serving; 0 timers due soon, last event 0; listening on 127."
            )
            slad.terminate()
            while (told := listener.recv(4096)) != b"STOPPING=1":
                assert told.startswith(b"STATUS=")


def _seconds(entry: dict[str, Any]) -> float:
    moment, fraction = entry["time"].rstrip("Z").split(".")
    return time.mktime(time.strptime(moment, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction}")
