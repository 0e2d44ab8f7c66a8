"""A real daemon whose disk is full: it stays up, refuses, answers, and goes on by itself (M8, C5)."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc, test_clock_pb2, test_clock_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from tests.slad_under_test import told
from tests.system.e2e.slad_process import COMMAND, SladProcess, slad_process

DISK_BYTES = 6 * 1024 * 1024
PATIENCE_S = 60
MANY = 20_000
"""Tickets that no such disk holds."""

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Disk:
    """The disk of a running daemon."""

    slad: SladProcess
    data: Path
    """As seen from here."""
    fill: Callable[[], None]
    make_room: Callable[[], None]


@contextmanager
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of its own, in a namespace of its own: ENOSPC."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = f"mount -t tmpfs -o size={DISK_BYTES} tmpfs {place}"
    apart = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "sh", "-c", mount], check=False).returncode:
        pytest.skip("no file system can be mounted in a namespace; allow unprivileged user namespaces")
    inside = [*apart, "sh", "-c", f'{mount} && exec "$@"', "sh"]
    arguments = ("--listen", f"unix:{tmp_path}/s", "--data", str(place / "data"))
    with slad_process(*arguments, *VIRTUAL, inside=inside) as slad:
        seen = Path(f"/proc/{slad.process.pid}/root{place}")
        ballast = seen / "ballast"

        def fill() -> None:
            with ballast.open("wb", buffering=0) as file:
                for size in (65_536, 4_096, 1):
                    while _takes(file, size):
                        pass

        yield Disk(slad, seen / "data", fill, ballast.unlink)


def _takes(file: Any, size: int) -> bool:
    try:
        return bool(file.write(bytes(size)) == size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False


@contextmanager
def short_files(tmp_path: Path) -> Iterator[Disk]:
    """A bound on the length of files: EFBIG, which is what a quota of that kind gives."""
    data = tmp_path / "data"
    with slad_process("--listen", f"unix:{tmp_path}/s", "--data", str(data), *VIRTUAL) as slad:
        pid, no_limit = slad.process.pid, resource.RLIM_INFINITY

        def fill() -> None:
            size = max(path.stat().st_size for path in data.glob("slad.db*"))
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, no_limit))

        yield Disk(
            slad,
            data,
            fill,
            lambda: _ignore(resource.prlimit(pid, resource.RLIMIT_FSIZE, (no_limit, no_limit))),
        )


def _ignore(_: object) -> None:
    pass


VIRTUAL = ("--virtual-clock", "2026-03-02T09:00:00Z")
IDS = {"tenant_id": "acme", "ticket_id": "early"}


def start_request(name: str, filler: str = "") -> rpc.StartSlaTrackingRequest:
    request = rpc.StartSlaTrackingRequest(tenant_id="acme", ticket_id=name, attributes={"filler": filler})
    request.targets.add(response_time_minutes=60, is_24x7=True)
    return request


class Client:
    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self.backend = sla_backend_pb2_grpc.SlaBackendStub(self.channel)
        self.clock = test_clock_pb2_grpc.TestClockStub(self.channel)
        self._health = health_pb2_grpc.HealthStub(self.channel)

    def health(self, service: str = "slad.v1.SlaBackend") -> int:
        return int(self._health.Check(health_pb2.HealthCheckRequest(service=service), timeout=30).status)

    def wait_for(self, status: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.health() != status:
            assert time.monotonic() < deadline, f"health does not become {status}"
            time.sleep(0.01)

    def is_known(self, name: str) -> bool:
        request = rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id=name)
        try:
            self.backend.GetSlaStatus(request, timeout=30)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return False
        return True

    def start_until_refused(self, prefix: str) -> list[str]:
        """Starts tickets until one is refused, which is the last."""
        names: list[str] = []

        def start_many() -> None:
            for number in range(MANY):
                names.append(f"{prefix}{number}")
                self.backend.StartSlaTracking(start_request(names[-1], "x" * 900), timeout=60)

        with pytest.raises(grpc.RpcError) as refused:
            start_many()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        reason, retry_s = _details(refused.value)
        assert reason == "DISK_FULL"
        assert retry_s > 0, "when to come again"
        return names

    def events(self, after: int = 0) -> list[pb.SlaEvent]:
        watch = self.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=after), timeout=60)
        head = int(dict(watch.initial_metadata())["slad-head-sequence"])
        found: list[pb.SlaEvent] = []
        while not found or found[-1].sequence < head:
            found.extend(next(watch).events)
        watch.cancel()
        return found


def _details(error: Any) -> tuple[str, float]:
    """(reason, seconds until another try)."""
    status = rpc_status.from_call(error)
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(retry)
    return info.reason, retry.retry_delay.ToMilliseconds() / 1000


@pytest.mark.parametrize("disk_of", [small_disk, short_files])
def test_a_full_disk_refuses_commands_and_nothing_else_and_what_fell_due_fires_then(
    tmp_path: Path, disk_of: Any
) -> None:
    with disk_of(tmp_path) as disk:
        client = Client(disk.slad.addresses[0])
        client.backend.StartSlaTracking(start_request("early"), timeout=30)
        assert client.health() == SERVING
        for time_of in range(2):  # it is no matter of once
            _once(disk, client, f"T-{time_of}-")
        reached = [event for event in client.events() if event.ticket_id == "early"]
        assert told(reached) == ["STARTED", *(f"RESPONSE {percent} REACHED" for percent in (50, 75, 90, 100))]
        assert len({event.event_id for event in client.events()}) == len(client.events())
        before = client.events()
        client.channel.close()
        assert disk.slad.terminate() == 0
        messages = [entry["message"] for entry in disk.slad.log if entry["level"] == "error"]
        assert all(message.startswith("a commit failed; nothing of it took effect") for message in messages)
        assert len(messages) >= 2
        if disk.data.exists():
            _is_sound_and_holds(disk.data, before, tmp_path)


def _once(disk: Disk, client: Client, prefix: str) -> None:
    disk.fill()
    names = client.start_until_refused(prefix)
    client.wait_for(NOT_SERVING)
    assert client.health("") == SERVING, "the daemon as such is well"
    # Timers fall due meanwhile: half an hour of them, announced when there is room.
    advance = test_clock_pb2.AdvanceTimeRequest()
    advance.by.FromSeconds(30 * 60)
    moving = client.clock.AdvanceTime.future(advance, timeout=PATIENCE_S)
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as refused:
            client.backend.PauseSla(rpc.PauseSlaRequest(reason=1, **IDS), timeout=30)
        assert _details(refused.value)[0] == "DISK_FULL"
        assert client.is_known("early")
        assert not client.is_known(names[-1]), "what was refused has not happened"
        assert client.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest(), timeout=30).trackings
    assert not moving.done()
    assert client.health() == NOT_SERVING
    disk.make_room()
    events = moving.result().events_committed
    assert events >= 1
    client.wait_for(SERVING)
    assert all(map(client.is_known, names[:-1])), "what was acknowledged is in force"
    assert client.backend.StartSlaTracking(start_request(names[-1]), timeout=30).created


def _is_sound_and_holds(data: Path, events: list[pb.SlaEvent], tmp_path: Path) -> None:
    done = subprocess.run([COMMAND, "doctor", "--data", data], capture_output=True, text=True, check=False)
    assert "FAIL" not in done.stdout, done.stdout
    with slad_process("--listen", f"unix:{tmp_path}/s", "--data", str(data), *VIRTUAL) as slad:
        again = Client(slad.addresses[0])
        assert again.events() == events
        again.channel.close()


def test_a_disk_that_is_full_at_the_start_is_one_line(tmp_path: Path) -> None:
    """EFBIG again, from the first byte on; the exit code says that the data directory cannot be used."""
    script = f'ulimit -f 0; exec "{COMMAND}" serve --data "{tmp_path}/data" --listen "unix:{tmp_path}/s"'
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False, env={**os.environ}
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "cannot be" in done.stderr
