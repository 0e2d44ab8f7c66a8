"""The connections of browsers: so many at once, and none that says or reads nothing for long.

aiohttp bounds neither how many there are, nor how long an answer may lie unread. Descriptors are shared with
the database, and what lies unread is memory.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Final

from aiohttp import web

log = logging.getLogger(__name__)

MOST: Final = 1_000
"""Connections at once; a browser has six at the most."""

HANDSHAKE_S: Final = 5.0
"""How long TLS may take to begin."""

UNREAD_S: Final = 120.0
"""How long an answer may wait for somebody to read on."""

SWEEP_S: Final = 5.0

PAUSE_S: Final = 1.0
"""After the system had no descriptor for a connection."""


class Connections:
    """Accepts connections for a server of aiohttp's. For the event loop's thread.

    `tls` says with what: the context of the moment, so that new certificates and client CAs count from the
    next connection on; None: without TLS.
    """

    def __init__(
        self,
        server: web.Server,
        listener: socket.socket,
        tls: Callable[[], ssl.SSLContext | None],
        most: int,
    ) -> None:
        self._server = server
        self._listener = listener
        self._tls = tls
        self._most = min(most, MOST)
        self._beginning: set[asyncio.Task[None]] = set()
        """Connections that have not come to HTTP yet."""
        listener.setblocking(False)
        works = self._accept(), self._sweep()
        self._tasks = [asyncio.create_task(work, name="slad-console-connections") for work in works]

    def close(self) -> None:
        """Takes no more connections; those that are open are the server's to end."""
        for task in (*self._tasks, *self._beginning):
            task.cancel()
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                log.warning("the console cannot take a connection: %s", error.strerror)
                await asyncio.sleep(PAUSE_S)
                continue
            if len(self._beginning) + len(self._server.connections) >= self._most:
                connection.close()
                continue
            task = asyncio.create_task(self._begin(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        tls = self._tls()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._server, connection, ssl=tls, ssl_handshake_timeout=HANDSHAKE_S if tls else None
            )
        except (OSError, asyncio.CancelledError):  # errors of TLS, and its time that is over, among them
            connection.close()

    async def _sweep(self) -> None:
        """Ends connections that nobody reads."""
        since: dict[web.RequestHandler, float] = {}
        while True:
            await asyncio.sleep(SWEEP_S)
            now = monotonic()
            unread = [one for one in self._server.connections if one.writing_paused]
            since = {one: since.get(one, now) for one in unread}
            for one, began in since.items():
                if now - began >= UNREAD_S and one.transport is not None:
                    one.transport.abort()
