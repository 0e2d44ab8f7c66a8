"""A real HTTP server of the test's own, in a thread, that answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One POST."""

    headers: dict[str, str]
    body: bytes
    path: str
    at: float = field(default_factory=time.monotonic)

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        """Of a batch."""
        found: list[dict[str, Any]] = json.loads(self.body)
        return found

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = self.event["data"]
        return found


@dataclass
class Reply:
    """How to answer: a status and headers, or something rougher."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    raw: bytes | None = None
    """Sent as it is instead, and the connection closed."""
    hang: bool = False
    """Nothing is answered until the endpoint is closed."""
    after: threading.Event | None = None
    """It is answered when this is set."""


Behaviour = Callable[[Received], Reply]


class Endpoint:
    """`behaviour` answers each request; `accepted` are those answered with 2xx, in order."""

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.behaviour: Behaviour = lambda request: Reply()
        self.requests: list[Received] = []
        self.accepted: list[Received] = []
        self.connections = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            """Or each answer would wait 40 ms for the acknowledgement of its first half."""

            def setup(self) -> None:
                super().setup()
                with endpoint._lock:
                    endpoint.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                endpoint._answer(self, Received(headers, body, self.path))

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", port), Handler)
        self._tls = tls is not None
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}/hook?token=hush-hush"

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, request: Received) -> None:
        with self._lock:
            self.requests.append(request)
            reply = self.behaviour(request)
            accepts = 200 <= reply.status < 300 and reply.raw is None and not reply.hang
            if accepts:
                self.accepted.append(request)
        if reply.after is not None:
            reply.after.wait()
        if reply.hang:
            self.closing.wait()
            handler.close_connection = True
        elif reply.raw is not None:
            handler.wfile.write(reply.raw)
            handler.close_connection = True
        else:
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(reply.body)))
            handler.end_headers()
            handler.wfile.write(reply.body)


@contextmanager
def endpoint(*, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Endpoint]:
    found = Endpoint(port=port, tls=tls)
    try:
        yield found
    finally:
        found.close()


def tickets(received: list[Received]) -> dict[str, list[int]]:
    """Sequences by ticket, in the order of arrival, doubles dropped by event id as a consumer would."""
    seen: set[str] = set()
    found: dict[str, list[int]] = {}
    for request in received:
        body = json.loads(request.body)
        for event in body if isinstance(body, list) else [body]:
            if event["id"] not in seen:
                seen.add(event["id"])
                found.setdefault(event["partitionkey"], []).append(int(event["sequence"]))
    return found
