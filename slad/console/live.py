"""Server-Sent Events: parts of pages that are sent again when they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from aiohttp import web

from slad.delivery.hub import EventHub, LoggedEvent
from slad.engine.time_source import TimeSource

MAX_STREAMS: Final = 200
"""Pages that are live at once."""

MAX_STREAMS_OF_CALLER: Final = 100
"""Of those, pages for the tenants of one token: others look too."""

BEAT_S: Final = 15.0
"""A line is sent at least this often, so that nothing on the way takes the stream for dead."""

GATHER_S: Final = 0.2
"""A page need not hear of every commit at once: twenty that do would cost as much as the commits."""

RETRY_MS: Final = 2_000
"""When a browser comes again after the stream broke off."""

_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


async def gathered(
    hub: EventHub, after: int, clock: TimeSource
) -> AsyncGenerator[Sequence[LoggedEvent], None]:
    """As `EventHub.follow`, but what comes within GATHER_S comes together; not where time is virtual."""
    async with aclosing(hub.follow(after)) as pages:
        async for events in pages:
            yield events
            if events[-1].sequence >= hub.head and not clock.is_virtual:
                await asyncio.sleep(GATHER_S)


class LiveStream:
    """One stream. Its answer begins with the first fragment: a refusal before that has one of its own."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response = web.StreamResponse(headers=_HEADERS)

    async def send(self, fragments: AsyncGenerator[str], ending: asyncio.Event) -> None:
        """Sends fragments of HTML as they come, until the reader goes or `ending` is set."""
        coming = asyncio.ensure_future(anext(fragments))
        over = asyncio.ensure_future(ending.wait())
        try:
            while True:
                done, _ = await asyncio.wait(
                    {coming, over}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED
                )
                if over in done:
                    return
                if done:
                    await self._write(_event(coming.result()))
                    coming = asyncio.ensure_future(anext(fragments))
                elif self.response.prepared:
                    await self._write(b":\n\n")
        except (StopAsyncIteration, ConnectionError):
            return
        finally:
            over.cancel()
            coming.cancel()
            await asyncio.wait({coming})
            await fragments.aclose()

    async def _write(self, data: bytes) -> None:
        if not self.response.prepared:
            await self.response.prepare(self._request)
            data = f"retry: {RETRY_MS}\n\n".encode() + data
        await self.response.write(data)


def _event(html: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in html.splitlines())
    return f"event: part\n{lines}\n".encode()
