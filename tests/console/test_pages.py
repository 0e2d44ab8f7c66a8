"""The pages as a client without a browser gets them: what they show, to whom, and what they say instead."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import threading
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import aiohttp
import grpc
import pytest
import trustme
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc as stubs
from slad_client.v1 import tokens_pb2, tokens_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.config.kinds import SettingError
from slad.config.settings import ConsoleSettings, Settings, TlsSettings
from slad.console.server import PICTURE_POLICY, POLICY
from slad.console.shell import Shell
from slad.console.words import commands
from slad.core.errors import Refusal, Refused
from slad.core.instants import DAY_MS
from tests.console.conftest import Desk, desk_running
from tests.slad_under_test import MONDAY_9, start_request, trusted

PAGES = ("/", "/search?q=T-", "/t/acme/T-1", "/t/acme/T-1/timeline.svg", "/report?tenant=acme", "/delivery")

NASTY = ("<script>alert(1)</script>", "a\"b'c&d", "x" * 200, "ö/%2F?#;", "..", "العربية", "a b  c", "{{7*7}}")


async def token(data: Path, *tenants: str, role: int = tokens_pb2.SLA_ROLE_ADMIN) -> str:
    async with trusted(data) as channel:
        reply = await tokens_pb2_grpc.SlaTokensStub(channel).CreateSlaToken(
            tokens_pb2.CreateSlaTokenRequest(role=role, tenant_ids=tenants, all_tenants=not tenants)
        )
    return str(reply.secret)


def bearer(secret: str) -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": f"Bearer {secret}"}}


async def test_every_page_shows_what_there_is(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await desk.slad.start("T-1", policy_id="gold")
        await desk.slad.advance(minutes=70)
        for path in PAGES:
            code, text = await desk.get(path)
            assert code == 200, (path, text)
        _, now = await desk.get("/")
        assert "response breached</span> <b>1</b>" in now
        assert "resolution 50 %" in now, "what fires next"
        assert "Breaches of the last 24 hours: 1" in now
        _, ticket = await desk.get("/t/acme/T-1")
        assert "1 h 10 min of 1 h, over by 10 min" in ticket
        assert "slad explain acme T-1 --audit --address" in ticket
        assert "slad.v1.SlaBackend/GetSlaTimeline" in ticket
        assert ">Start</td>" in ticket, "the audit"


async def test_a_page_that_could_not_be_drawn_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, fails = Shell.draw, [Refused(Refusal.UNAVAILABLE, "OVERLOADED", "not now")]

    def draw(shell: Shell, template: str, **values: Any) -> str:
        if template == "_now.html" and fails:
            raise fails.pop()
        return drawn(shell, template, **values)

    monkeypatch.setattr(Shell, "draw", draw)
    # Under the virtual clock no drawing is kept.
    async with desk_running(tmp_path, now=None) as desk:
        assert (await desk.get("/"))[0] == 503
        assert (await desk.get("/"))[0] == 200


def test_the_commands_that_a_page_shows_take_no_id_for_an_option() -> None:
    explain, grpcurl = commands("unix:/s", "acme", "--help")
    assert explain == "slad explain --audit --address unix:/s -- acme --help"
    assert "-unix /s slad.v1.SlaBackend/GetSlaTimeline" in grpcurl
    assert commands("127.0.0.1:7523", "acme", "T-1")[0] == "slad explain acme T-1 --audit"


async def test_the_policy_of_content_lets_nothing_of_elsewhere_and_nothing_inline(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await desk.slad.start("T-1")
        for path in (*PAGES, "/none", "/static/console.js"):
            async with desk.session.get(desk.url + path) as answer:
                text = await answer.text()
                is_picture = answer.content_type == "image/svg+xml"
                policy = answer.headers["Content-Security-Policy"]
                assert policy == (PICTURE_POLICY if is_picture else POLICY)
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                if answer.content_type == "text/html":
                    assert "<style" not in text
                    assert " style=" not in text
                    assert not re.search(r"<script(?! src=\"/static/)", text)
                    assert not re.search(r"\son[a-z]+=", text)
                    assert not re.search(r"(?:src|href)=\"(?!/|#)", text), "no other site's"


@pytest.mark.parametrize("name", NASTY)
async def test_names_are_shown_as_they_are_and_do_no_harm(tmp_path: Path, name: str) -> None:
    async with desk_running(tmp_path) as desk:
        await desk.slad.start(name, tenant_id=name, policy_id=name, attributes={name[:100]: name})
        await desk.slad.advance(minutes=70)
        async with desk.session.get(f"{desk.url}/search", params={"q": name}) as found:
            assert found.status == 200, "a search leads to the only one"
            assert found.url.path.startswith(("/t/", "/ticket"))
            page = await found.text()
        _, now = await desk.get("/")
        for text in (page, now):
            assert "<script>alert" not in text
            assert name != "{{7*7}}" or name in text
        query = f"?{found.url.raw_query_string}" if found.url.raw_query_string else ""
        code, svg = await desk.get(f"{found.url.raw_path}/timeline.svg{query}")
        assert code == 200
        root = ElementTree.fromstring(svg)
        assert not [element for element in root.iter() if element.tag.endswith("script")]


async def test_what_cannot_be_shown_says_why_and_what_to_do(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await desk.slad.start("T-1")
        for path, code, told in (
            ("/t/acme/T-9", 404, "TRACKING_NOT_FOUND"),
            ("/t/nobody/T-1", 404, "TRACKING_NOT_FOUND"),
            ("/t/acme/T-1?generation=7", 404, "GENERATION_NOT_FOUND"),
            ("/t/acme/T-1?generation=-1", 400, "generation"),
            ("/t/acme/T-1?generation=99999999999999999999", 400, "generation"),
            ("/t/acme/T-1?zoom=1ns", 400, "zoom: it is one of all, 10m"),
            ("/t/acme/T-1?zoom=1h&at=yesterday", 400, "at: it is not an instant"),
            ("/t/acme/T-1?zoom=1h&at=99999-01-01", 400, "at: it is not an instant"),
            ("/t/acme/T-1?zone=Mars/Olympus", 400, "Mars/Olympus"),
            ("/t/acme/T-1?zone=../../etc/passwd", 400, "is not a time zone"),
            ("/?zone=%00", 400, "is not a time zone"),
            (f"/t/acme/{'x' * 201}", 404, "TRACKING_NOT_FOUND"),
            ("/t/acme", 404, "There is no such page"),
            ("/ticket", 400, "ticket: must not be empty"),
            ("/static/secret", 404, "There is no such page"),
            ("/static/..%2fserver.py", 404, "There is no such page"),
            ("/search?q=zzz", 404, "No ticket begins with"),
        ):
            status, text = await desk.get(path)
            assert (status, told in text) == (code, True), (path, status, text)
            assert '<a href="/">' in text, "the way out"
        async with desk.session.post(f"{desk.url}/") as answer:
            assert answer.status == 405
        async with desk.session.head(f"{desk.url}/live") as answer:
            assert answer.status == 405, "it would be open for ever"
        async with desk.session.post(f"{desk.url}/sign-in", data={"token": "x" * 100_000}) as answer:
            assert answer.status in (400, 413)


async def test_a_zoom_far_from_the_life_shows_its_nearest_end(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await desk.slad.start("T-1")
        for at in ("1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-03-02T10:00:00%2B05:30"):
            for zoom in ("10m", "1d", "1y"):
                code, _ = await desk.get(f"/t/acme/T-1?zoom={zoom}&at={at}")
                assert code == 200


async def test_a_life_of_a_quarter_century_is_summed_up(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        started = rpc.StartSlaTrackingRequest()
        started.started_at.FromJsonString("2000-01-03T09:00:00Z")
        await desk.slad.start("T-1", started_at=started.started_at, suppress_past=True)
        code, text = await desk.get("/t/acme/T-1/timeline.svg")
        assert code == 200
        assert len(text) < 250_000
        assert text.count('class="counted"') > 200, "a column each"
        code, day = await desk.get("/t/acme/T-1/timeline.svg?zoom=1d&at=2025-06-04T12:00:00Z")
        assert "outside business hours" in day
        assert 'class="counted"' in day, "what lies far from the start can be looked at closely"


async def test_without_a_token_it_is_for_this_machine_under_its_own_name(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        for host in ("evil.example", "evil.example:7525", "127.0.0.1.evil.example", "[2001:db8::1]:80"):
            code, text = await desk.get("/", headers={"Host": host})
            assert (code, "HOST_NOT_LOCAL" in text) == (403, True), host
        for host in ("localhost", "localhost:7525", "127.0.0.1", "[::1]:7525", "127.9.9.9:1"):
            assert (await desk.get("/", headers={"Host": host}))[0] == 200, host


async def test_a_token_is_asked_for_kept_and_forgotten(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await desk.slad.start("T-1")
        secret = await token(tmp_path, role=tokens_pb2.SLA_ROLE_READ)
        for path in (*PAGES, "/live", "/t/acme/T-1/live"):
            code, text = await desk.get(path)
            assert (code, "TOKEN_REQUIRED" in text, 'name="token"' in text) == (401, True, True), path
        code, text = await desk.get("/", **bearer(f"slad_0123456789_{'x' * 43}"))
        assert (code, "TOKEN_INVALID" in text) == (401, True)
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as browser:
            form = {"token": "nonsense", "next": "/t/acme/T-1"}
            async with browser.post(f"{desk.url}/sign-in", data=form) as answer:
                assert answer.status == 401
                assert "TOKEN_INVALID" in await answer.text()
            form["token"] = f" {secret} "
            elsewhere = {"Origin": "https://evil.example"}
            async with browser.post(f"{desk.url}/sign-in", data=form, headers=elsewhere) as answer:
                assert answer.status == 403
            async with browser.post(f"{desk.url}/sign-in", data=form, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/t/acme/T-1")
                cookie = answer.headers["Set-Cookie"]
                assert "HttpOnly" in cookie
                assert "SameSite=Strict" in cookie
            for outside in ("https://evil.example", "//evil.example", "/\\evil.example", ""):
                form["next"] = outside
                async with browser.post(f"{desk.url}/sign-in", data=form, allow_redirects=False) as answer:
                    assert answer.headers["Location"] == "/"
            async with browser.get(f"{desk.url}/t/acme/T-1") as answer:
                assert answer.status == 200
            async with browser.get(f"{desk.url}/delivery") as answer:
                assert answer.status == 403
                assert "ROLE_TOO_LOW" in await answer.text()
            async with browser.post(f"{desk.url}/sign-out") as answer:
                assert answer.status == 401


async def test_a_token_that_ends_ends_what_is_live(tmp_path: Path) -> None:
    async with desk_running(tmp_path, now=None) as desk:
        await desk.slad.start("T-1", started_at=None)
        request = tokens_pb2.CreateSlaTokenRequest(role=tokens_pb2.SLA_ROLE_READ, all_tenants=True)
        async with trusted(tmp_path) as channel:
            tokens = tokens_pb2_grpc.SlaTokensStub(channel)
            for path in ("/live", "/t/acme/T-1/live"):
                made = await tokens.CreateSlaToken(request)
                async with desk.session.get(desk.url + path, **bearer(made.secret)) as stream:
                    await stream_until(stream, b"data-now")
                    token_id = made.token.token_id
                    await tokens.RevokeSlaToken(tokens_pb2.RevokeSlaTokenRequest(token_id=token_id))
                    async with asyncio.timeout(60):
                        await stream.content.read()
            code, text = await desk.get("/", **bearer(made.secret))
            assert (code, "TOKEN_INVALID" in text) == (401, True)


async def test_an_expired_token_is_said_to_be(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        request = tokens_pb2.CreateSlaTokenRequest(role=tokens_pb2.SLA_ROLE_READ, all_tenants=True)
        request.expires_at.FromMilliseconds(MONDAY_9 + DAY_MS)
        async with trusted(tmp_path) as channel:
            secret = (await tokens_pb2_grpc.SlaTokensStub(channel).CreateSlaToken(request)).secret
            assert (await desk.get("/", **bearer(secret)))[0] == 200
            clock = desk.slad.clock
            desk.slad.clock = type(clock)(channel)
            await desk.slad.advance(hours=24)
        code, text = await desk.get("/", **bearer(secret))
        assert (code, "TOKEN_EXPIRED" in text, "new token" in text) == (401, True, True)


SECRET = "SECRET"


def addresses(tenant: str, ticket: str) -> list[str]:
    """Every address that names a tenant or a ticket, and those that could tell of one."""
    names = f"tenant={tenant}&ticket={ticket}"
    return [
        "/", "/live", "/delivery",
        f"/search?q={ticket}", f"/search?q={ticket[:2]}", f"/search?q={tenant}%20{ticket}",
        f"/t/{tenant}/{ticket}", f"/t/{tenant}/{ticket}?generation=1", f"/t/{tenant}/{ticket}/live",
        f"/t/{tenant}/{ticket}/timeline.svg", f"/ticket?{names}", f"/ticket/live?{names}",
        f"/ticket/timeline.svg?{names}", f"/ticket?ticket={ticket}",
        f"/report?tenant={tenant}", f"/report.csv?tenant={tenant}",
        f"/report/promises?tenant={tenant}&figure=missed",
    ]  # fmt: skip


async def test_no_address_tells_a_tenant_of_another(tmp_path: Path) -> None:
    """And what is there cannot be told from what is not."""
    async with desk_running(tmp_path) as desk:
        for tenant, ticket in (("victim", f"V-{SECRET}"), ("victim", "V-1"), ("prober", "P-1")):
            policy = SECRET if tenant == "victim" else "own"
            await desk.slad.start(ticket, tenant_id=tenant, policy_id=policy)
        await desk.slad.advance(minutes=70)
        prober = await token(tmp_path, "prober")
        everything = await token(tmp_path)
        seen = 0
        for path in addresses("victim", "V-1"):
            told = await read_some(desk, path, prober)
            assert SECRET not in told[1], path
            assert "V-1" not in without_echo(told[1]), path
            absent = await read_some(desk, path.replace("victim", "nobody").replace("V-1", "V-9"), prober)
            assert told[0] == absent[0], path
            assert without_names(told[1]) == without_names(absent[1]), path
            seen += SECRET in (await read_some(desk, path, everything))[1]
        assert seen >= 9, "that the probe can find something"
        code, own = await read_some(desk, "/t/prober/P-1", prober)
        assert (code, "P-1" in own) == (200, True)
        _, now = await read_some(desk, "/", prober)
        assert "response breached</span> <b>1</b>" in now
        assert "Breaches of the last 24 hours: 1" in now
        assert "P-1" in now
        assert "role admin" in now, "the daemon's health is of all tenants"


async def test_the_probe_knows_every_address(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        parts = desk.slad.daemon._parts
        assert parts is not None
        assert parts.console is not None
        routes = [route.path for route in parts.console._pages.routes() if route.method == "GET"]
        patterns = [re.sub(r"\{[^}]*\}", "[^/]+", re.sub(r":\[\^/\]\+", "", path)) for path in routes]
        paths = [address.partition("?")[0] for address in addresses("victim", "V-1")]
        missing = [one for one in patterns if not any(re.fullmatch(one, path) for path in paths)]
        assert not missing, "addresses() lacks these"


async def read_some(desk: Desk, path: str, secret: str) -> tuple[int, str]:
    """(status, text) of a page, or of the first part of a stream."""
    async with desk.session.get(desk.url + path, **bearer(secret)) as answer:
        if answer.content_type == "text/event-stream":
            await answer.content.readuntil(b"\n\n")
            return answer.status, (await answer.content.readuntil(b"\n\n")).decode()
        return answer.status, await answer.text()


def without_echo(text: str) -> str:
    """A page without what it repeats of its own address."""
    return re.sub(r'value="[^"]*"|with <bdi[^>]*>[^<]*V-1</bdi>|ticket &#39;V-1&#39;[^<]*', "", text)


def without_names(text: str) -> str:
    return re.sub(r"victim|nobody|V-[19]", "…", text)


async def test_what_happens_to_a_ticket_is_sent_to_who_looks_at_it(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await desk.slad.start("T-1")
        async with (
            desk.session.get(f"{desk.url}/t/acme/T-1/live") as ticket,
            desk.session.get(f"{desk.url}/live") as now,
            asyncio.timeout(60),
        ):
            for stream in (ticket, now):
                await stream.content.readuntil(b"\n\n")
                assert b"on track" in await stream.content.readuntil(b"\n\n")
            await desk.slad.backend.PauseSla(
                rpc.PauseSlaRequest(ticket_id="T-1", reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
            )
            assert b"awaiting client" in await stream_until(ticket, b"awaiting client")
            assert await stream_until(now, b"paused</span> <b>1</b>")


async def stream_until(stream: aiohttp.ClientResponse, wanted: bytes) -> bytes:
    while True:
        part = await stream.content.readuntil(b"\n\n")
        if wanted in part:
            return part


async def test_while_slad_stops_the_pages_say_so(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk:
        await desk.slad.start("T-1")
        async with desk.session.get(f"{desk.url}/live") as live:
            await live.content.readuntil(b"\n\n")
            parts = desk.slad.daemon._parts
            assert parts is not None
            assert parts.console is not None
            parts.console.end()
            async with asyncio.timeout(60):
                await live.content.read()
        async with desk.session.get(f"{desk.url}/") as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "2"
            assert "slad is stopping" in await answer.text()


async def test_a_fault_is_told_without_its_insides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk_running(tmp_path) as desk:
        monkeypatch.setattr("slad.console.pages.look", lambda *_, **__: 1 / 0)
        code, text = await desk.get("/t/acme/T-1")
        assert (code, "ZeroDivisionError" in text, "log of slad" in text) == (500, False, True)


async def test_too_many_pages_at_once_are_asked_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slad.console.pages.MAX_STREAMS", 2)
    async with desk_running(tmp_path) as desk:
        async with desk.session.get(f"{desk.url}/live") as one, desk.session.get(f"{desk.url}/live") as two:
            assert (one.status, two.status) == (200, 200)
            assert (await desk.get("/live"))[0] == 503
        async with asyncio.timeout(60):
            while (await read_status(desk, "/live")) != 200:  # noqa: ASYNC110 - what it waits for is a socket
                await asyncio.sleep(0.05)


async def test_one_caller_leaves_room_for_the_pages_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slad.console.pages.MAX_STREAMS_OF_CALLER", 1)
    monkeypatch.setattr("slad.console.shell.MAX_WAITING_OF_CALLER", 1)
    async with desk_running(tmp_path) as desk:
        greedy, modest = await token(tmp_path, "greedy"), await token(tmp_path, "modest")
        async with desk.session.get(f"{desk.url}/live", **bearer(greedy)) as held:
            assert held.status == 200
            code, text = await desk.get("/live", **bearer(greedy))
            assert (code, "TOO_MANY_STREAMS" in text) == (503, True)
            async with desk.session.get(f"{desk.url}/live", **bearer(modest)) as other:
                assert other.status == 200
        parts = desk.slad.daemon._parts
        assert parts is not None
        assert parts.console is not None
        queries = parts.console._parts.queries
        begun, go = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        blocking = asyncio.create_task(
            queries.run(lambda _: (loop.call_soon_threadsafe(begun.set), go.wait(60)), "another")
        )
        await begun.wait()
        pages = [
            asyncio.create_task(desk.get("/search?q=x", **bearer(secret)))
            for secret in (greedy, greedy, greedy, modest)
        ]
        try:
            async with asyncio.timeout(60):
                while sum(page.done() for page in pages) < 2:  # noqa: ASYNC110 - it waits for sockets
                    await asyncio.sleep(0.01)
            assert not pages[3].done(), "it waits for its turn"
        finally:
            go.set()
            await blocking
        codes = [code for code, _ in await asyncio.gather(*pages)]
        assert (sorted(codes[:3]), codes[3]) == ([404, 503, 503], 404)


async def read_status(desk: Desk, path: str) -> int:
    async with desk.session.get(desk.url + path) as answer:
        return answer.status


async def test_a_unix_socket_needs_no_ceremony(tmp_path: Path) -> None:
    path = f"{tmp_path}/c.sock"
    async with desk_running(tmp_path / "d", console=ConsoleSettings(listen=f"unix:{path}")):
        await token(tmp_path / "d")
        assert os.stat(path).st_mode & 0o777 == 0o660
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session,
            session.get("http://console/") as answer,
        ):
            assert answer.status == 200


def own_address() -> str:
    """An address of this machine that is not loopback, as somebody elsewhere would call it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("needs a network interface besides loopback")
        return str(probe.getsockname()[0])


async def test_elsewhere_it_takes_tls_and_a_token(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^console\.listen: 0\.0\.0\.0:7525 can be reached"):
        Settings(console=ConsoleSettings(listen="0.0.0.0:7525"))
    authority = trustme.CA()
    outside = own_address()
    certificate = authority.issue_cert("localhost", "127.0.0.1", outside)
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = TlsSettings(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    local = f"unix:{tmp_path}/s"
    async with desk_running(
        tmp_path / "d", console=ConsoleSettings(listen="0.0.0.0:0"), tls=tls, listen=(local,)
    ) as desk:
        async with grpc.aio.insecure_channel(local) as channel:
            await stubs.SlaBackendStub(channel).StartSlaTracking(start_request())
        url = f"https://127.0.0.1:{desk.url.rpartition(':')[2]}"
        trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        async with desk.session.get(url, ssl=trust) as answer:
            assert answer.status == 200, "on this machine, while there is no token"
        async with desk.session.get(url.replace("127.0.0.1", outside), ssl=trust) as answer:
            assert answer.status == 401, "from elsewhere"
        secret = await token(tmp_path / "d")
        async with desk.session.get(url, ssl=trust) as answer:
            assert answer.status == 401
        async with desk.session.get(url, ssl=trust, **bearer(secret)) as answer:
            assert answer.status == 200
        form = {"token": secret}
        async with desk.session.post(f"{url}/sign-in", ssl=trust, data=form, allow_redirects=False) as answer:
            assert "Secure" in answer.headers["Set-Cookie"]


async def test_the_breaches_of_one_tenant_do_not_push_out_those_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slad.console.breaches.KEPT", 10)
    monkeypatch.setattr("slad.console.breaches.SPARE", 2)
    async with desk_running(tmp_path) as desk:
        await desk.slad.start("M-1", tenant_id="modest")
        await desk.slad.advance(minutes=61)
        for number in range(20):
            await desk.slad.start(f"G-{number}", tenant_id="greedy")
        await desk.slad.advance(minutes=61)
        modest, greedy = await token(tmp_path, "modest"), await token(tmp_path, "greedy")
        async with asyncio.timeout(60):
            while "24 hours: 8<" not in (await desk.get("/", **bearer(greedy)))[1]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "24 hours: 1<" in (await desk.get("/", **bearer(modest)))[1]
