"""HTTP/2 by hand, as no proper client speaks it: streams by the thousand, half a message, nothing read."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE: Final = 4
CANCEL: Final = 8

FRAME_BYTES: Final = 16_384
WINDOW: Final = 65_535


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame with its header."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def headers(path: str, scheme: str, metadata: Sequence[tuple[str, str]] = ()) -> bytes:
    """The header block of a gRPC call; every name and value has fewer than 127 bytes."""
    block = bytearray((0x83, 0x87 if scheme == "https" else 0x86, 0x04))
    block += _text(path) + b"\x01" + _text("localhost")
    for name, value in (("te", "trailers"), ("content-type", "application/grpc"), *metadata):
        block += b"\0" + _text(name) + _text(value)
    return bytes(block)


def message(body: bytes) -> bytes:
    """A message as gRPC puts it into DATA."""
    return b"\0" + len(body).to_bytes(4) + body


def _text(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


class Connection:
    """One connection. `window` is how much of each stream the server may send before it is read: nothing is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scheme: str) -> None:
        self._reader = reader
        self._writer = writer
        self._scheme = scheme
        self._next_stream = 1
        self._initial = WINDOW
        self._room: dict[int, int] = {0: WINDOW}
        self._news = asyncio.Event()
        self.received: Counter[int] = Counter()
        """Frames by kind."""
        self.closed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, address: str, tls: ssl.SSLContext | None = None, window: int = WINDOW) -> Connection:
        """To `host:port` or `unix:PATH`."""
        if address.startswith("unix:"):
            reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(
                host, int(port), ssl=tls, server_hostname="localhost" if tls else None
            )
        self = cls(reader, writer, "https" if tls else "http")
        settings = INITIAL_WINDOW_SIZE.to_bytes(2) + window.to_bytes(4)
        self._writer.write(PREFACE + frame(SETTINGS, 0, 0, settings))
        return self

    def call(self, path: str, metadata: Sequence[tuple[str, str]] = ()) -> int:
        """Opens a stream and leaves it open; its number."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._room[stream] = self._initial
        self._writer.write(frame(HEADERS, END_HEADERS, stream, headers(path, self._scheme, metadata)))
        return stream

    def is_open(self, stream: int) -> bool:
        """Whether neither side has ended the stream."""
        return not self.closed.is_set() and stream in self._room

    async def until_ended(self, stream: int) -> None:
        """Waits until the server has ended the stream, or the connection."""
        while self.is_open(stream):
            self._news.clear()
            await self._news.wait()

    async def send(self, stream: int, body: bytes, *, end: bool = False) -> None:
        """Sends bytes on a stream as far as the server has room for them, and waits until it has."""
        while body and not self.closed.is_set():
            room = min(FRAME_BYTES, len(body), self._room[0], self._room.get(stream, 0))
            if room <= 0:
                self._news.clear()
                await self._news.wait()
                continue
            last = END_STREAM if end and room == len(body) else 0
            self._writer.write(frame(DATA, last, stream, body[:room]))
            self._room[0] -= room
            self._room[stream] -= room
            body = body[room:]
            await self.flush()

    async def end(self, stream: int) -> None:
        """Says that nothing more comes on a stream."""
        await self.write(frame(DATA, END_STREAM, stream))

    def open_many(self, path: str, count: int) -> tuple[bytes, bytes]:
        """(the bytes that open so many streams with a message each, those that reset them)."""
        block = headers(path, self._scheme)
        opening, resetting = bytearray(), bytearray()
        for _ in range(count):
            stream, self._next_stream = self._next_stream, self._next_stream + 2
            opening += frame(HEADERS, END_HEADERS, stream, block) + frame(
                DATA, END_STREAM, stream, message(b"")
            )
            resetting += frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4))
        return bytes(opening), bytes(resetting)

    async def write(self, frames: bytes) -> None:
        """Sends frames as they are."""
        self._writer.write(frames)
        await self.flush()

    async def flush(self) -> None:
        """Waits until the socket has taken what was written; ends without a word when it is closed."""
        with suppress(OSError):
            await self._writer.drain()

    async def close(self) -> None:
        self._reading.cancel()
        self._writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3]))
                self._take(head[3], head[4], int.from_bytes(head[5:]) & 0x7FFFFFFF, payload)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.closed.set()
            self._news.set()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.received[kind] += 1
        if kind == WINDOW_UPDATE:
            self._room[stream] = self._room.get(stream, 0) + int.from_bytes(payload)
        elif kind == SETTINGS and not flags & ACK:
            for place in range(0, len(payload), 6):
                if int.from_bytes(payload[place : place + 2]) == INITIAL_WINDOW_SIZE:
                    grown = int.from_bytes(payload[place + 2 : place + 6]) - self._initial
                    self._initial += grown
                    for other in self._room:
                        self._room[other] += grown if other else 0
            self._writer.write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._writer.write(frame(PING, ACK, 0, payload))
        elif kind == DATA and payload:
            # The connection's window is given back, that of the stream is not.
            self._writer.write(frame(WINDOW_UPDATE, 0, 0, len(payload).to_bytes(4)))
        elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self._room.pop(stream, None)
        self._news.set()
