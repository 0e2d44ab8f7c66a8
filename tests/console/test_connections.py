"""What connections to the console may take of the machine: descriptors, and memory for what is not read."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from slad.config.settings import LimitSettings, TlsSettings
from slad.console import connections
from slad.console.visitor import _told
from tests.console.conftest import Desk, desk_running

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def opened(desk: Desk) -> Stream:
    return await asyncio.open_connection("127.0.0.1", int(desk.url.rpartition(":")[2]))


async def is_closed(stream: Stream) -> bool:
    async with asyncio.timeout(30):
        try:
            return await stream[0].read() == b""
        except ConnectionError:
            return True


async def test_there_are_so_many_and_the_next_is_closed(tmp_path: Path) -> None:
    async with desk_running(tmp_path, limits=LimitSettings(connections=16)) as desk:
        held = [await opened(desk) for _ in range(16)]
        assert await is_closed(await opened(desk)), "the descriptors are not all the console's"
        for _, writer in held:
            writer.close()
        async with asyncio.timeout(30):
            while True:  # until slad has noticed
                stream = await opened(desk)
                stream[1].write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if await stream[0].readline():
                    break


async def test_one_that_reads_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    monkeypatch.setattr(connections, "UNREAD_S", 0.1)
    async with desk_running(tmp_path) as desk:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", int(desk.url.rpartition(":")[2])))
            ask = b"GET /static/console.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
            async with asyncio.timeout(60):
                with suppress(ConnectionError):
                    while True:
                        await loop.sock_sendall(client, ask)


async def test_one_that_does_not_begin_to_speak_tls_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_S", 0.1)
    leaf = trustme.CA().issue_cert("localhost")
    both = tmp_path / "both.pem"
    leaf.private_key_and_cert_chain_pem.write_to_path(str(both))
    async with desk_running(
        tmp_path / "d", tls=TlsSettings(both, both), listen=(f"unix:{tmp_path}/s",)
    ) as desk:
        assert await is_closed(await opened(desk))


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("", "GARBAGE"),
        ("Content-Type: multipart/form-data", "token"),
        ("Content-Type: multipart/form-data; boundary=x", "token"),
        (f"Content-Type: {FORM}; charset=utf-99", "token"),
        (f"Content-Type: {FORM}\r\nContent-Encoding: gzip", "token"),
        (f"Content-Type: {FORM}\r\nOrigin: http://[::1", "token"),
    ],
)
async def test_what_strangers_send_wrong_is_answered_and_fills_no_log(
    tmp_path: Path, headers: str, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk_running(tmp_path) as desk:
        reader, writer = await opened(desk)
        begin = f"POST /sign-in HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n" if headers else ""
        writer.write(f"{begin}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        code = int((await reader.readline()).split()[1])
        assert 400 <= code < 500
        writer.close()
    assert not [record for record in caplog.records if record.levelno > logging.INFO or record.exc_info]


async def test_a_form_that_does_not_arrive_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slad.console.pages.FORM_S", 0.1)
    async with desk_running(tmp_path) as desk:
        reader, writer = await opened(desk)
        head = (
            f"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: 9\r\n\r\n"
        )
        writer.write(head.encode())
        async with asyncio.timeout(30):
            assert (await reader.readline()).split()[1] == b"400"
        writer.close()


def test_who_is_gone_is_nobody() -> None:
    assert _told(None) == "", "and not somebody at a Unix socket, who needs no token"
    assert _told("") == "unix:"
    assert _told(("127.0.0.1", 80)) == "ipv4:127.0.0.1:80"
