"""Metrics over HTTP, for Prometheus. Threads of their own serve it, so that a slow reader delays nobody.

Anybody who reaches the address may ask: so there are few threads, and each has its time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from threading import BoundedSemaphore, Thread, Timer
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from slad.config.addresses import AddressError, split_host_port

log = logging.getLogger(__name__)

MOST: Final = 16
"""Scrapes at once; more are closed at once."""

SCRAPE_S: Final = 10.0
"""How long a connection may take to send its request and to read the answer, however it does."""

POLL_S: Final = 0.05
"""How soon the server notices that it is to stop."""


class MetricsServer:
    """`GET /metrics` at an address of its own."""

    def __init__(self, registry: CollectorRegistry, address: str) -> None:
        """Raises AddressError when it cannot listen there."""
        host, port = split_host_port(address)
        try:
            family, *_, where = socket.getaddrinfo(
                host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._server = _Server(family, where)
        except OSError as error:
            raise AddressError(
                f"cannot listen on {address}: {error.strerror or error}; try another --metrics-listen"
            ) from error
        self._server.set_app(_guarded(make_wsgi_app(registry)))
        self.address = f"{host}:{self._server.server_port}"
        """With the port that was chosen."""
        self._thread = Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="slad-metrics", daemon=True
        )
        self._thread.start()

    async def stop(self) -> None:
        """Takes no more scrapes; those under way get what they get."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, family: socket.AddressFamily, where: Any) -> None:
        self.address_family = family
        self._places = BoundedSemaphore(MOST)
        super().__init__(where[:2], _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's, which looks up the host's name and may wait for it.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be made
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # A timeout of the socket would begin anew with every byte.
        end = Timer(SCRAPE_S, _cut_off, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a scrape ended early", exc_info=True)


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Scrapes are no news."""


def _cut_off(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


def _guarded(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """`app`, with 503 instead of a traceback when slad cannot be asked, and 404 for what is not there."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, text = "404 Not Found", b"metrics are at /metrics\n"
        if environ.get("PATH_INFO") in ("/", "/metrics"):
            try:
                return app(environ, start_response)
            except Exception as error:
                log.warning("a scrape failed: %s", type(error).__name__)
                status, text = "503 Service Unavailable", b"slad does not answer\n"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text]

    return answer
