"""What those who ask for metrics may take: anybody who reaches the address may ask."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from slad.daemon import metrics_server
from slad.daemon.metrics_server import MOST, MetricsServer


@pytest.fixture
async def server() -> Iterator[MetricsServer]:
    registry = CollectorRegistry()
    Counter("asked", "So often.", registry=registry)
    server = MetricsServer(registry, "127.0.0.1:0")
    yield server
    await server.stop()


def connected(server: MetricsServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def is_closed_after_another_byte(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x")
        return is_closed(connection)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def scraped(server: MetricsServer) -> str:
    with urlopen(f"http://{server.address}/metrics", timeout=30) as answer:
        return str(answer.read(), "utf-8")


def test_so_many_ask_at_once_and_the_next_is_closed(server: MetricsServer) -> None:
    with ExitStack() as held:
        for _ in range(MOST):
            held.enter_context(connected(server)).sendall(b"GET /metrics HTTP/1.1\r\n")
        with connected(server) as another:
            assert is_closed(another), "threads and descriptors are not all theirs"
    while True:  # until the server has noticed that they are gone
        with suppress(OSError):
            assert "asked_total" in scraped(server)
            break


def test_a_connection_has_its_time_however_it_uses_it(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "SCRAPE_S", 0.2)
    with connected(server) as slow:
        slow.settimeout(0.02)
        assert any(is_closed_after_another_byte(slow) for _ in range(1_000))
    monkeypatch.undo()
    assert "asked_total" in scraped(server)
