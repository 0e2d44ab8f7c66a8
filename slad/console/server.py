"""The console's HTTP server: one place that guards every answer. It shares the event loop with the clocks, so
whatever takes long runs on a thread of its own, and there is a bound to everything."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from hashlib import sha256
from importlib import resources
from typing import Final

from aiohttp import web

from slad.console.breaches import RecentBreaches
from slad.console.connections import Connections
from slad.console.errors import trouble
from slad.console.pages import Pages, Parts
from slad.core.errors import InvalidField, Refused, stopping

log = logging.getLogger(__name__)

POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)
"""Nothing of another site, nothing inline."""

PICTURE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""Of a picture by itself, which brings its style along and nothing else."""

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}

FILES: Final = {
    "console.css": "text/css",
    "picture.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

MAX_BODY: Final = 16 * 1024
"""Bytes of a form."""

KEEPALIVE_S: Final = 30.0

SHUTDOWN_S: Final = 1.0
"""How long answers under way may take when slad stops."""

_PROTOCOL_LOG: Final = logging.getLogger(f"{__name__}.protocol")
"""What somebody sends who does not speak HTTP is answered; a traceback of each would fill the log."""
_PROTOCOL_LOG.disabled = True

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Console:
    """The pages at one address, for `connections` browsers at most. For the event loop's thread.

    `notice` is told of errors that nobody foresaw.
    """

    def __init__(self, parts: Parts, connections: int, notice: Callable[[Exception], None]) -> None:
        self._parts = parts
        self._most_connections = connections
        self._connections: Connections | None = None
        self._notice = notice
        self._breaches = RecentBreaches(parts.hub, parts.queries, parts.clock)
        self._pages = Pages(parts, self._breaches)
        self._is_stopping = False
        self._following: asyncio.Task[None] | None = None
        self._files = dict(map(_file, FILES))
        app = web.Application(middlewares=[self._guarded], client_max_size=MAX_BODY)
        app.add_routes([*self._pages.routes(), web.get("/static/{name}", self._static)])
        app.on_response_prepare.append(_secure)
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            logger=_PROTOCOL_LOG,
            keepalive_timeout=KEEPALIVE_S,
            shutdown_timeout=SHUTDOWN_S,
        )

    async def start(
        self, listener: socket.socket, tls: Callable[[], ssl.SSLContext | None], grpc_address: str
    ) -> None:
        """Serves on a socket that listens, with `tls` (see Connections).

        `grpc_address` is what the commands call that pages show.
        """
        self._pages.grpc_address = grpc_address
        await self._runner.setup()
        assert self._runner.server is not None
        self._connections = Connections(self._runner.server, listener, tls, self._most_connections)
        self._following = asyncio.create_task(self._follow(), name="slad-console")

    def end(self) -> None:
        """Lets the pages say that slad is stopping; what is live ends."""
        self._is_stopping = True
        self._pages.end_streams()
        if self._following is not None:
            self._following.cancel()

    async def stop(self) -> None:
        """Answers nobody any more."""
        self.end()
        if self._connections is not None:
            self._connections.close()
        await self._runner.cleanup()
        self._parts.queries.close()

    async def _follow(self) -> None:
        try:
            await self._breaches.follow()
        except Refused:  # slad is stopping
            return
        except Exception as error:
            log.exception("the console does not follow the events any more")
            self._notice(error)

    async def _static(self, request: web.Request) -> web.Response:
        known = self._files.get(request.match_info["name"])
        if known is None:
            raise web.HTTPNotFound
        body, tag = known
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        kind = FILES[request.match_info["name"]]
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._is_stopping:
            return self._pages.shell.trouble(request, trouble(stopping()))
        try:
            return await handler(request)
        except (web.HTTPRedirection, ConnectionError):
            raise
        except (Refused, InvalidField, web.HTTPException) as error:
            return self._pages.shell.trouble(request, trouble(error))
        except Exception as error:
            log.exception("a page of the console failed", extra={"path": request.path[:200]})
            self._notice(error)
            return self._pages.shell.trouble(request, trouble(error))


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    is_picture = response.content_type == "image/svg+xml"
    response.headers["Content-Security-Policy"] = PICTURE_POLICY if is_picture else POLICY
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.pop("Server", None)


def _file(name: str) -> tuple[str, tuple[bytes, str]]:
    body = resources.files("slad.console").joinpath("static", name).read_bytes()
    return name, (body, f'"{sha256(body).hexdigest()[:16]}"')
