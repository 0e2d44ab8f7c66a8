"""Everything at once, under load: the daemon is SIGKILLed, Redis is killed, the endpoint fails in every way.

In the end every event has arrived at every sink, each ticket's in its order, and what came twice came under
the same id.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from slad_client.v1 import admin_pb2, admin_pb2_grpc, sla_backend_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from tests.delivery.sinks.endpoint import Endpoint, Received, Reply
from tests.delivery.sinks.redis_process import RedisServer, redis_server
from tests.ports import own_port
from tests.system.e2e.slad_process import SladProcess, slad_process

ROUNDS = 10
COMMANDS = 60
"""A trouble lasts for about as many; everything has to be right however far it got by then."""

LANES = 8
TICKETS = 10
"""Of each lane."""

PATIENCE_S = 120

RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 300)]

CONFIG = """
[sinks.bus]
type = "redis"
url = "redis://127.0.0.1:{redis}"
timeout = "300ms"
max_length = 0
backoff_min = "5ms"
backoff_max = "100ms"

[sinks.hook]
type = "webhook"
url = "http://127.0.0.1:{endpoint}/"
allow_http = true
allow_networks = ["127.0.0.0/8"]
timeout = "300ms"
backoff_min = "5ms"
backoff_max = "100ms"
attempts = 4

[sinks.bulk]
type = "webhook"
url = "http://127.0.0.1:{endpoint}/bulk"
allow_http = true
allow_networks = ["127.0.0.0/8"]
timeout = "300ms"
backoff_min = "5ms"
backoff_max = "100ms"
attempts = 4
parallel = 3
batch = 20

[sinks.file]
type = "jsonl"
path = "{folder}/events.jsonl"
"""

HANG = Reply(hang=True)
TROUBLES = (
    Reply(500),
    Reply(503, {"Retry-After": "0"}),
    Reply(429, {"Retry-After": "0"}),
    Reply(302, {"Location": "/elsewhere"}),
    Reply(401),
    Reply(404),
    Reply(400),
    Reply(raw=b""),
    Reply(raw=b"\x00garbage\r\n\r\n"),
    HANG,
)


class Told(NamedTuple):
    """An event as a sink was given it."""

    ticket: str
    sequence: int
    event_id: str


def told(event: dict[str, Any]) -> Told:
    return Told(event["partitionkey"], int(event["sequence"]), event["id"])


class Load:
    """A desk that goes on whatever happens: it sends each command until it is answered."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.answered = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), daemon=True) for lane in range(LANES)
        ]
        for thread in self._threads:
            thread.start()

    def goes_on(self, count: int) -> None:
        """Waits until so many more commands are answered."""
        enough, deadline = self.answered + count, time.monotonic() + PATIENCE_S
        while self.answered < enough:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def _run(self, lane: int) -> None:
        draw = random.Random(lane)
        with grpc.insecure_channel(self._address, RECONNECT) as channel:
            stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
            while not self._stop.is_set():
                ids = {"tenant_id": "acme", "ticket_id": f"T-{lane}-{draw.randrange(TICKETS)}"}
                start = rpc.StartSlaTrackingRequest(**ids, on_existing=pb.ON_EXISTING_REPLACE)
                start.targets.add(response_time_minutes=60, resolution_time_minutes=90, is_24x7=True)
                # So long ago that several thresholds fire at once.
                start.started_at.FromSeconds(int(time.time()) - 60 * draw.randrange(100))
                self._send(stub.StartSlaTracking, start)
                self._send(stub.PauseSla, rpc.PauseSlaRequest(**ids, reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE))

    def _send(self, call: Any, request: Any) -> None:
        while not self._stop.is_set():
            try:
                call(request, timeout=5, wait_for_ready=True)
            except grpc.RpcError:
                time.sleep(0.02)
            else:
                self.answered += 1
                return


class Site:
    """The daemon, Redis and the endpoint, each of which can be taken away and brought back."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.folder = folder
        self.redis = server
        self.endpoint_port = own_port()
        self.accepted: list[Received] = []
        self.endpoint: Endpoint | None = None
        self.open_endpoint()
        self.address = f"127.0.0.1:{own_port()}"
        self.config = folder / "slad.toml"
        fields = {"redis": server.port, "endpoint": self.endpoint_port, "folder": folder}
        self.config.write_text(CONFIG.format(**fields), "utf-8")

    @contextmanager
    def daemon(self) -> Iterator[SladProcess]:
        arguments = [
            "--listen",
            self.address,
            "--data",
            str(self.folder / "data"),
            "--config",
            str(self.config),
        ]
        with slad_process(*arguments) as process:
            yield process

    def open_endpoint(self) -> None:
        self.endpoint = Endpoint(port=self.endpoint_port)
        self.endpoint.accepted = self.accepted

    def close_endpoint(self) -> None:
        if self.endpoint is not None:
            self.endpoint.close()
            self.endpoint = None

    def behave(self, reply: Reply) -> None:
        if self.endpoint is not None:
            self.endpoint.behaviour = lambda request: reply

    def outbox(self) -> list[Told]:
        """Every event there is, as a watch without a name tells it."""
        found: list[Told] = []
        with grpc.insecure_channel(self.address) as channel:
            stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
            watch = stub.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=0), timeout=PATIENCE_S)
            head = int(dict(watch.initial_metadata())["slad-head-sequence"])
            for reply in watch:
                found += [Told(f"{e.tenant_id}/{e.ticket_id}", e.sequence, e.event_id) for e in reply.events]
                if found[-1].sequence >= head:
                    watch.cancel()
                    return found
        raise AssertionError("the watch ended early")

    def settle(self) -> dict[str, admin_pb2.SlaSink]:
        """Waits until every sink has everything; what is parked for good by then is replayed."""
        with grpc.insecure_channel(self.address) as channel:
            stub = admin_pb2_grpc.SlaAdminStub(channel)
            deadline = time.monotonic() + PATIENCE_S
            while True:
                sinks = stub.ListSlaSinks(admin_pb2.ListSlaSinksRequest(), timeout=30).sinks
                if not any(sink.lag or sink.parked for sink in sinks):
                    return {sink.sink: sink for sink in sinks}
                assert time.monotonic() < deadline, sinks
                for sink in sinks:
                    if sink.parked and not sink.lag:
                        request = admin_pb2.ReplayParkedSlaEventsRequest(sink=sink.sink, all=True)
                        stub.ReplayParkedSlaEvents(request, timeout=30)
                time.sleep(0.1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with redis_server(tmp_path / "redis") as server:
        site = Site(tmp_path, server)
        yield site
        site.close_endpoint()


@pytest.mark.slow
def test_every_event_arrives_in_order_whatever_is_killed(site: Site) -> None:
    draw = random.Random(11)
    load = Load(site.address)
    try:
        for number in range(ROUNDS):
            # Each time the daemon finds other troubles, and is killed in the middle of them.
            with site.daemon() as daemon:
                load.goes_on(COMMANDS)
                site.behave(TROUBLES[number % len(TROUBLES)])
                load.goes_on(draw.randrange(COMMANDS))
                if number % 3 == 0:
                    site.redis.kill()
                elif number % 3 == 1:
                    site.close_endpoint()
                    site.redis.freeze()
                load.goes_on(draw.randrange(COMMANDS))
                if number % 2:
                    bring_back(site)
                    load.goes_on(draw.randrange(COMMANDS))
                daemon.kill()
                nothing_unforeseen(daemon)
            bring_back(site)
    finally:
        load.stop()
    with site.daemon() as daemon:
        site.behave(Reply())
        site.settle()
        expected = site.outbox()
        daemon.terminate()
    assert len(expected) > COMMANDS * ROUNDS
    bus = [told(json.loads(fields["event"])) for _, fields in site.redis.client().xrange("slad:events")]  # type: ignore[union-attr]
    file = (site.folder / "events.jsonl").read_text("utf-8").splitlines()
    arrived("redis", expected, bus)
    hook = [told(request.event) for request in site.accepted if request.path == "/"]
    bulk = [told(event) for request in site.accepted if request.path == "/bulk" for event in request.events]
    arrived("webhook", expected, hook)
    arrived("webhook in batches", expected, bulk)
    arrived("file", expected, [told(json.loads(line)) for line in file])


def bring_back(site: Site) -> None:
    if site.redis.process is None:
        site.redis.start()
    site.redis.thaw()
    if site.endpoint is None:
        site.open_endpoint()
    site.behave(Reply())


def arrived(sink: str, expected: Sequence[Told], got: Sequence[Told]) -> None:
    """All of it, each ticket's in order once doubles are dropped, and doubles are true doubles."""
    assert not set(expected) - set(got), f"{sink}: lost"
    assert not set(got) - set(expected), f"{sink}: not of the outbox, or another id for the same event"
    in_order: dict[str, list[Told]] = {}
    for event in dict.fromkeys(got):
        in_order.setdefault(event.ticket, []).append(event)
    for ticket, events in in_order.items():
        assert events == sorted(events), f"{sink}: {ticket} out of order"
    print(f"{sink}: {len(expected)} events, {len(got) - len(expected)} doubles")


def nothing_unforeseen(daemon: SladProcess) -> None:
    assert "unforeseen" not in daemon.output, daemon.output
    assert "Traceback" not in daemon.output, daemon.output
