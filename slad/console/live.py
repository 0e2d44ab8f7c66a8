"""Server-Sent Events: parts of pages that are sent again when they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from aiohttp import web

MAX_STREAMS: Final = 200
"""Pages that are live at once."""

BEAT_S: Final = 15.0
"""A line is sent at least this often, so that nothing on the way takes the stream for dead."""

RETRY_MS: Final = 2_000
"""When a browser comes again after the stream broke off."""

_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


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
