"""Webhooks against a real HTTP server that fails in every way, and against one that speaks TLS."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from cloudevents.core.bindings.http import HTTPMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from slad_client.v1 import admin_pb2 as rpc
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from slad.delivery.sinks import circuit
from tests.delivery.sinks.desk import QUICK, Desk, desk, eventually
from tests.delivery.sinks.endpoint import Endpoint, Received, Reply, endpoint, tickets

OLD = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

READY, RETRYING, OPEN = rpc.SLA_SINK_STATE_READY, rpc.SLA_SINK_STATE_RETRYING, rpc.SLA_SINK_STATE_OPEN


@pytest.fixture
def target() -> Iterator[Endpoint]:
    with endpoint() as found:
        yield found


def table(target: Endpoint, **fields: Any) -> dict[str, Any]:
    return {
        "type": "webhook",
        "url": target.url,
        "allow_http": True,
        "allow_networks": ["127.0.0.1/32", "::1/128"],
        "timeout": "5s",
        "parallel": 1,  # these tests look at the order
        **QUICK,
        **fields,
    }


def subjects(requests: list[Received]) -> list[str]:
    return [request.event["subject"] for request in requests]


async def lasting(running: Desk, message: str) -> rpc.SlaSink:
    """The sink fails for this reason again and again, and has neither lost nor parked anything."""
    sink = await running.until(last_error=message, failures=lambda count: count > 10, state=OPEN)
    assert sink.lag > 0
    assert sink.parked == 0
    return sink


async def test_events_arrive_as_cloud_events_in_order_over_one_connection(
    tmp_path: Path, target: Endpoint
) -> None:
    async with desk(tmp_path / "data", s=table(target, source="urn:desk")) as running:
        await running.tickets("A", "B", "C")
        await running.slad.advance(minutes=30)
        sink = await running.until(lag=0)
        told = await running.slad.events()
    assert sink.target == f"http://localhost:{target.port}", "without path and query, which may be secrets"
    got = [
        from_structured(HTTPMessage(request.headers, request.body), JSONFormat(), CloudEvent)
        for request in target.accepted
    ][: len(told)]
    assert [event.get_id() for event in got] == [event.event_id for event in told]
    assert {(event.get_source(), event.get_type()) for event in got} == {
        ("urn:desk", "slad.v1.started"),
        ("urn:desk", "slad.v1.threshold_reached"),
    }
    assert [event.get_time() for event in got] == [event.occurred_at.ToDatetime(tzinfo=UTC) for event in told]
    assert target.connections == 1
    assert {request.headers["content-type"] for request in target.accepted} == {
        "application/cloudevents+json"
    }


async def test_requests_are_signed_and_keys_rotate_without_a_restart(
    tmp_path: Path, target: Endpoint
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(f"{OLD}\n", "utf-8")
    second.write_text(f"{OLD}\n", "utf-8")
    token = tmp_path / "token"
    token.write_text("Bearer abc", "utf-8")
    secrets = {"secret_file": [str(first), str(second)], "authorization_file": str(token)}
    async with desk(tmp_path / "data", s=table(target, **secrets)) as running:
        await running.tickets("A")
        await running.until(lag=0)
        second.write_text(NEW, "utf-8")
        await running.tickets("B")
        await running.until(lag=0)
        first.write_text(NEW, "utf-8")
        await running.tickets("C")
        await running.until(lag=0)
    a, b, c = target.accepted
    for request, secret in ((a, OLD), (b, OLD), (b, NEW), (c, NEW)):
        Webhook(secret).verify(request.body, request.headers)
    for request, secret in ((a, NEW), (c, OLD)):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(request.body, request.headers)
    assert a.headers["webhook-id"] == a.event["id"]
    assert a.headers["authorization"] == "Bearer abc"


async def test_without_a_secret_nothing_is_signed(tmp_path: Path, target: Endpoint) -> None:
    async with desk(tmp_path / "data", s=table(target)) as running:
        await running.tickets("A")
        await running.until(lag=0)
    assert "webhook-signature" not in target.accepted[0].headers


async def test_only_what_is_wanted_is_sent(tmp_path: Path, target: Endpoint) -> None:
    wanted = {"events": ["THRESHOLD_REACHED"], "tenants": ["globex"]}
    async with desk(tmp_path / "data", s=table(target, **wanted)) as running:
        await running.tickets("A")
        await running.tickets("B", tenant_id="globex")
        await running.slad.advance(minutes=30)
        await eventually(lambda: target.accepted)
    assert {(r.event["tenantid"], r.event["type"]) for r in target.accepted} == {
        ("globex", "slad.v1.threshold_reached")
    }


async def test_a_sink_may_begin_with_what_comes(tmp_path: Path, target: Endpoint) -> None:
    async with desk(tmp_path / "data") as running:
        await running.tickets("A", "B")
    async with desk(tmp_path / "data", s=table(target, start="now"), all=table(target)) as running:
        await running.tickets("C")
        await running.until("s", lag=0, delivered=1)
        await running.until("all", lag=0, delivered=3)
    async with desk(tmp_path / "data", s=table(target, start="now")) as running:
        await running.until("s", lag=0)
    assert sorted(subjects(target.accepted)) == ["A", "B", "C", "C"]


# --- the endpoint fails, and it is not about one event: nothing is parked, and nothing lost


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(301, {"Location": "/elsewhere"}), "answers 301: it redirects; slad does not follow"),
        (Reply(302, {"Location": "http://127.0.0.1:1/"}), "answers 302: it redirects; slad does not follow"),
        (Reply(307, {"Location": "/hook"}), "answers 307: it redirects; slad does not follow"),
        (Reply(401), "answers 401: its url or credentials are wrong"),
        (Reply(403), "answers 403: its url or credentials are wrong"),
        (Reply(404), "answers 404: its url or credentials are wrong"),
        (Reply(410), "answers 410: its url or credentials are wrong"),
        (Reply(429), "answers 429: it asks for a pause"),
        (Reply(429, {"Retry-After": "garbage"}), "answers 429: it asks for a pause"),
        (
            Reply(429, {"Retry-After": f"Mon, 01 Jan 2020 00:00:00 +{'9' * 20}"}),
            "answers 429: it asks for a pause",
        ),
        (Reply(500), "answers 500"),
        (Reply(502), "answers 502"),
        (Reply(503, {"Retry-After": "0"}), "answers 503"),
        (Reply(raw=b""), "no HTTP answer (ServerDisconnectedError)"),
        (Reply(raw=b"\x00\xff garbage \r\n\r\n"), "no HTTP answer (ClientResponseError)"),
        (Reply(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), "no HTTP answer (ClientResponseError)"),
        (Reply(raw=b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nhalf"), "answers 500"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_endpoint_that_fails_is_asked_until_it_works(
    tmp_path: Path, target: Endpoint, reply: Reply, message: str | None
) -> None:
    async with desk(tmp_path / "data", s=table(target, attempts=1_000)) as running:
        await running.tickets("A")
        await running.until(lag=0)
        target.behaviour = lambda request: reply
        await running.tickets("B", "C")
        sink = await running.until(failures=lambda count: count > 10, state=OPEN)
        assert message in (None, sink.last_error)
        assert "hush" not in str(sink)
        assert (sink.lag, sink.parked) == (2, 0)
        target.behaviour = lambda request: Reply(204, body=b"")
        await running.until(lag=0, state=READY)
    assert subjects(target.accepted) == ["A", "B", "C"]
    assert len({request.event["id"] for request in target.requests}) == 3, "doubles carry the same id"


async def test_an_endpoint_that_hangs_is_given_up_and_asked_again(tmp_path: Path, target: Endpoint) -> None:
    async with desk(tmp_path / "data", s=table(target, timeout="50ms", attempts=1_000)) as running:
        target.behaviour = lambda request: Reply(hang=True)
        await running.tickets("A")
        await lasting(running, "no answer within 0.05 s")
        target.behaviour = lambda request: Reply()
        await running.until(lag=0)
    assert subjects(target.accepted) == ["A"]


async def test_an_endpoint_that_is_not_there_and_comes_back(tmp_path: Path) -> None:
    with endpoint() as first:
        port, wanted = first.port, table(first)
    async with desk(tmp_path / "data", s=wanted) as running:
        await running.tickets("A", "B")
        await lasting(running, "cannot be reached: Connection refused")
        with endpoint(port=port) as second:
            await running.until(lag=0)
            assert subjects(second.accepted) == ["A", "B"]


async def test_a_name_that_does_not_exist(tmp_path: Path, target: Endpoint) -> None:
    async with desk(tmp_path / "data", s=table(target, url="http://slad.invalid/")) as running:
        await running.tickets("A")
        await lasting(running, "its name cannot be resolved")


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_heeded(tmp_path: Path, target: Endpoint, form: str) -> None:
    moment = datetime.now(UTC) + timedelta(hours=2)
    value = "7200" if form == "seconds" else format_datetime(moment, usegmt=True)
    target.behaviour = lambda request: Reply(429, {"Retry-After": value})
    async with desk(tmp_path / "data", s=table(target)) as running:
        await running.tickets("A")
        sink = await running.until(failures=1, next_attempt_at=lambda at: at.seconds > 0)
        pause = sink.next_attempt_at.ToMilliseconds() - running.slad.now
        assert pause == circuit.MAX_RETRY_AFTER_S * 1_000, "an hour at most"
        assert sink.state == RETRYING
        target.behaviour = lambda request: Reply()
        # Nothing is parked; but it says: try now.
        assert await running.replay() == 0
        await running.until(lag=0)


async def test_an_answer_that_breaks_off_after_its_first_line_counts(
    tmp_path: Path, target: Endpoint
) -> None:
    target.behaviour = lambda request: Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    async with desk(tmp_path / "data", s=table(target)) as running:
        await running.tickets("A", "B")
        await running.until(lag=0)
    assert subjects(target.requests) == ["A", "B"]


async def test_a_long_answer_is_not_read_to_its_end(tmp_path: Path, target: Endpoint) -> None:
    target.behaviour = lambda request: Reply(body=b"x" * 5_000_000)
    async with desk(tmp_path / "data", s=table(target)) as running:
        await running.tickets("A", "B")
        await running.until(lag=0)
    assert subjects(target.accepted) == ["A", "B"]


# --- the endpoint does not take an event: it is parked, with what follows on its ticket


def refuses(*names: str, status: int = 422) -> Any:
    return lambda request: Reply(status if request.event["subject"] in names else 200)


async def test_an_event_that_is_refused_is_parked_and_holds_up_its_ticket_only(
    tmp_path: Path, target: Endpoint
) -> None:
    target.behaviour = refuses("B")
    async with desk(tmp_path / "data", s=table(target)) as running:
        await running.tickets("A", "B", "C")
        await running.slad.advance(minutes=30)
        await running.until(lag=0, parked=2)
        await eventually(lambda: subjects(target.requests).count("B") == 2)
        first, behind = await running.parked()
        assert (first.event.ticket_id, first.attempts) == ("B", 2), "it got another chance after a success"
        assert first.reason == "answers 422: it does not take this event"
        assert (behind.event.ticket_id, behind.attempts) == ("B", 0)
        assert behind.reason == "waits behind another event of its ticket"
        await running.slad.advance(minutes=12)
        await running.until(lag=0, parked=3)
        assert subjects(target.accepted) == ["A", "C", "A", "C", "A", "C"]
        assert subjects(target.requests).count("B") == 2

        target.behaviour = refuses()
        assert await running.replay(behind.event.sequence) == 3, "all of its ticket, in order"
        await running.until(parked=0)
        await running.slad.advance(minutes=9)
        await running.until(lag=0)
        by_ticket = tickets(target.accepted)
        assert by_ticket == {name: sorted(found) for name, found in by_ticket.items()}
        assert len({len(found) for found in by_ticket.values()}) == 1
        assert subjects(target.accepted)[6:9] == ["B"] * 3


async def test_parked_events_outlive_a_restart_and_a_removed_outbox(tmp_path: Path, target: Endpoint) -> None:
    target.behaviour = refuses("B")
    async with desk(tmp_path / "data", s=table(target)) as running:
        await running.tickets("A", "B")
        await running.until(lag=0, parked=1)
    async with desk(tmp_path / "data", s=table(target)) as running:
        await running.slad.advance(minutes=30)
        await running.until(lag=0, parked=2)
        assert await running.replay() == 2
        await running.until(failures=1)
        assert [parked.attempts for parked in await running.at_rest()] == [2, 0]
    target.behaviour = refuses()
    async with desk(tmp_path / "data", s=table(target)) as running:
        assert (await running.sink()).parked == 2
        assert await running.replay() == 2
        await running.until(parked=0)
    by_ticket = tickets(target.accepted)
    assert by_ticket["acme/B"] == sorted(by_ticket["acme/B"])
    assert len(by_ticket["acme/B"]) == 2


async def test_a_replay_goes_on_after_a_restart(tmp_path: Path, target: Endpoint) -> None:
    target.behaviour = refuses("B")
    async with desk(tmp_path / "data", s=table(target)) as running:
        await running.tickets("B", "A")
        await running.until(lag=0, parked=1, failures=2)
        target.behaviour = lambda request: Reply(404)
        await running.replay()
        await running.until(failures=lambda count: count > 4)
        (parked,) = await running.parked()
        assert parked.replaying
    target.behaviour = refuses()
    async with desk(tmp_path / "data", s=table(target)) as running:
        await running.until(parked=0)
    assert subjects(target.accepted) == ["A", "B"]


async def test_discarding_lets_what_waits_behind_go(tmp_path: Path, target: Endpoint) -> None:
    poison = {1}
    target.behaviour = lambda request: Reply(400 if int(request.event["sequence"]) in poison else 200)
    async with desk(tmp_path / "data", s=table(target)) as running:
        await running.tickets("A", "B")
        await running.slad.advance(minutes=30)
        await running.until(lag=0, parked=2)
        assert await running.discard(1) == 1
        await running.until(parked=0)
        assert await running.discard() == 0
    assert tickets(target.accepted)["acme/A"] == [3]


async def test_an_event_on_which_the_endpoint_always_fails_is_set_aside_after_some_attempts(
    tmp_path: Path, target: Endpoint
) -> None:
    target.behaviour = refuses("B", status=500)
    async with desk(tmp_path / "data", s=table(target, attempts=4)) as running:
        await running.tickets("A", "B", "C")
        await running.until(lag=0, parked=1, state=READY)
        await eventually(lambda: subjects(target.requests).count("B") == 5)
        (parked,) = await running.parked()
        assert (parked.event.ticket_id, parked.attempts, parked.reason) == ("B", 5, "answers 500")
    assert subjects(target.accepted) == ["A", "C"]


async def test_what_an_outage_set_aside_is_delivered_by_itself_when_it_is_over(
    tmp_path: Path, target: Endpoint
) -> None:
    target.behaviour = lambda request: Reply(503)
    async with desk(tmp_path / "data", s=table(target, attempts=3)) as running:
        await running.tickets("A", "B", "C", "D")
        await running.until(parked=lambda count: count > 0)
        target.behaviour = lambda request: Reply()
        await running.until(lag=0, parked=0)
    assert sorted(subjects(target.accepted)) == ["A", "B", "C", "D"]


async def test_many_refusals_in_a_row_open_the_circuit(tmp_path: Path, target: Endpoint) -> None:
    target.behaviour = lambda request: Reply(400)
    async with desk(tmp_path / "data", s=table(target, backoff_min="1s", backoff_max="1h")) as running:
        await running.tickets(*(f"T-{n}" for n in range(20)))
        await running.until(state=OPEN, parked=circuit.OPEN_AFTER, next_attempt_at=lambda at: at.seconds > 0)
        assert len(target.requests) == circuit.OPEN_AFTER


# --- where it connects to


async def test_private_addresses_are_not_connected_to_unless_named(tmp_path: Path, target: Endpoint) -> None:
    """By a name: one that is written as an address is refused when it is configured (test_settings.py)."""
    async with desk(tmp_path / "data", s=table(target, allow_networks=[])) as running:
        await running.tickets("A")
        sink = await running.until(failures=lambda count: count > 5)
        assert "is not public; allow_networks would permit it" in sink.last_error
    assert target.connections == 0


async def test_a_name_is_judged_by_the_address_it_leads_to_when_connecting(
    tmp_path: Path, target: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that was public a moment ago, and is private when it counts (DNS rebinding)."""
    real = socket.getaddrinfo
    asked: list[Any] = []

    def rebinding(host: Any, *rest: Any, **options: Any) -> Any:
        if host in ("hooks.example.org", b"hooks.example.org"):
            asked.append(host)
            return real("127.0.0.1", *rest, **options)
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    url = f"http://hooks.example.org:{target.port}/"
    async with desk(tmp_path / "data", s=table(target, url=url, allow_networks=[])) as running:
        await running.tickets("A")
        sink = await running.until(failures=lambda count: count > 5)
        assert sink.last_error == "its address 127.0.0.1 is not public; allow_networks would permit it"
    assert asked
    assert target.connections == 0


# --- TLS


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_https_and_a_client_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    context = server_context(authority, "localhost")
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue_cert("slad.example")
    files = {name: tmp_path / name for name in ("ca_file", "cert_file", "key_file")}
    authority.cert_pem.write_to_path(files["ca_file"])
    mine.private_key_pem.write_to_path(files["key_file"])
    files["cert_file"].write_bytes(b"".join(blob.bytes() for blob in mine.cert_chain_pems))
    with endpoint(tls=context) as target:
        fields = {key: str(path) for key, path in files.items()} | {"allow_http": False}
        async with desk(tmp_path / "data", s=table(target, **fields)) as running:
            await running.tickets("A", "B")
            await running.until(lag=0)
        assert subjects(target.accepted) == ["A", "B"]
        assert target.connections == 1


@pytest.mark.parametrize("fault", ["not trusted", "another name", "no TLS at all"])
async def test_a_peer_that_cannot_be_trusted_gets_nothing(
    tmp_path: Path, authority: trustme.CA, fault: str
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    fields = {} if fault == "not trusted" else {"ca_file": str(ca_file)}
    context = server_context(authority, "localhost" if fault == "not trusted" else "other.example")
    with endpoint(tls=None if fault == "no TLS at all" else context) as target:
        url = f"https://localhost:{target.port}/"
        async with desk(tmp_path / "data", s=table(target, url=url, **fields)) as running:
            await running.tickets("A")
            sink = await running.until(failures=lambda count: count > 5, state=OPEN)
            assert ("certificate" in sink.last_error) == (fault != "no TLS at all")
            assert ("TLS" in sink.last_error) == (fault == "no TLS at all")
            assert (sink.lag, sink.parked) == (1, 0)
        assert target.requests == []


# --- stopping


async def test_a_daemon_stops_promptly_while_its_endpoint_hangs_or_fails(
    tmp_path: Path, target: Endpoint
) -> None:
    target.behaviour = lambda request: Reply(hang=True)
    slow = table(target, timeout="5m", backoff_min="1h", backoff_max="1h")
    with endpoint() as failing:
        failing.behaviour = lambda request: Reply(500)
        waits = {**slow, "url": failing.url}
        async with desk(tmp_path / "data", s=slow, t=waits) as running:
            await running.tickets("A")
            await eventually(lambda: target.requests)
            await running.until("t", failures=1)
            began = time.monotonic()
    assert time.monotonic() - began < 30


async def test_nothing_is_delivered_twice_over_clean_stops(tmp_path: Path, target: Endpoint) -> None:
    for name in ("A", "B", "C"):
        async with desk(tmp_path / "data", s=table(target)) as running:
            await running.tickets(name)
            await running.until(delivered=1)
    assert subjects(target.requests) == ["A", "B", "C"]
