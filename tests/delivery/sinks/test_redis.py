"""Redis Streams against a real redis-server, healthy and in every kind of trouble."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme
from google.protobuf.json_format import ParseDict
from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import sla_backend_pb2 as backend
from slad_client.v1 import types_pb2 as pb

from tests.delivery.sinks.desk import QUICK, Desk, desk, eventually
from tests.delivery.sinks.redis_process import RedisServer, redis_server
from tests.slad_under_test import target

ALGA_STREAM = "alga-psa:event-stream:global:TICKET_SLA_THRESHOLD_REACHED"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


def table(server: RedisServer, **fields: Any) -> dict[str, Any]:
    return {"type": "redis", "url": server.url, **QUICK, **fields}


def entries(client: redis.Redis, stream: str = "slad:events") -> list[dict[str, str]]:
    return [fields for _, fields in client.xrange(stream)]  # type: ignore[union-attr]


def events(client: redis.Redis, stream: str = "slad:events") -> list[dict[str, Any]]:
    return [json.loads(entry["event"]) for entry in entries(client, stream)]


async def failing(running: Desk, message: str) -> rpc.SlaSink:
    """The sink fails for this reason, again and again, and has lost and parked nothing."""
    sink = await running.until(
        last_error=message, failures=lambda count: count > 5, state=rpc.SLA_SINK_STATE_OPEN
    )
    assert sink.parked == 0
    assert sink.lag > 0
    return sink


async def test_cloud_events_are_the_default(tmp_path: Path, server: RedisServer) -> None:
    async with desk(tmp_path / "data", s=table(server, source="urn:desk")) as running:
        await running.tickets("A", "B", attributes={"number": "7"})
        await running.slad.advance(minutes=30)
        sink = await running.until(lag=0)
        told = await running.slad.events()
    assert sink.target == f"redis://127.0.0.1:{server.port}"
    got = events(server.client())[: len(told)]
    assert [event["id"] for event in got] == [event.event_id for event in told]
    assert [ParseDict(event["data"], pb.SlaEvent()) for event in got] == told
    assert len(got[0]["instance"]) == 36
    first = got[0] | {"data": None, "id": None, "instance": None}
    assert first == {
        "specversion": "1.0",
        "id": None,
        "source": "urn:desk",
        "type": "slad.v1.started",
        "subject": "A",
        "time": "2026-03-02T09:00:00.000Z",
        "datacontenttype": "application/json",
        "tenantid": "acme",
        "partitionkey": "acme/A",
        "sequence": "1",
        "instance": None,
        "epoch": 0,
        "data": None,
    }


async def test_the_format_of_alga_psa(tmp_path: Path, server: RedisServer) -> None:
    """The entry as `XADD … event JSON channel global`, thresholds only, none above 100 %."""
    async with desk(tmp_path / "data", s=table(server, format="alga")) as running:
        await running.tickets("A", targets=[target(60, None, (0, 90, 150))])
        await running.slad.advance(minutes=120)
        await running.until(lag=0)
        told = [event for event in await running.slad.events() if event.HasField("threshold")]
    client = server.client()
    assert [event.threshold.percent for event in told] == [50, 75, 90, 100, 150]
    assert {entry["channel"] for entry in entries(client, ALGA_STREAM)} == {"global"}
    got = events(client, ALGA_STREAM)
    assert [event["payload"]["thresholdPercent"] for event in got] == [50, 75, 90, 100]
    assert got[0] == {
        "id": told[0].event_id,
        "eventType": "TICKET_SLA_THRESHOLD_REACHED",
        "timestamp": "2026-03-02T09:30:00.000Z",
        "payload": {
            "tenantId": "acme",
            "occurredAt": "2026-03-02T09:30:00.000Z",
            "ticketId": "A",
            "phase": "response",
            "thresholdPercent": 50,
        },
    }
    assert client.keys() == [ALGA_STREAM]


async def test_alga_psa_hears_of_each_notification_once_and_of_no_escalation(
    tmp_path: Path, server: RedisServer
) -> None:
    """Its subscriber tells people of the policy's highest threshold at or below the percent that comes."""
    async with desk(tmp_path / "data", s=table(server, format="alga")) as running:
        escalations = target(60, None, (70, 90, 110))
        await running.tickets("A", targets=[escalations], notification_thresholds=[60, 80])
        await running.slad.advance(minutes=120)
        await running.tickets("B", targets=[escalations], notification_thresholds=[60, 80])
        await running.slad.advance(minutes=3)
        await running.slad.backend.RetargetSla(
            backend.RetargetSlaRequest(
                ticket_id="B",
                targets=[pb.SlaPolicyTarget(response_time_minutes=1, escalation_3_percent=110, is_24x7=True)],
                notification_thresholds=[60, 80],
            )
        )
        await running.until(lag=0)
    told: dict[str, list[int]] = {"A": [], "B": []}
    for event in events(server.client(), ALGA_STREAM):
        told[event["payload"]["ticketId"]].append(event["payload"]["thresholdPercent"])
    # B is past its 110 % at once, which is an escalation only: people hear of the breach, and once.
    assert told == {"A": [60, 80, 100], "B": [100]}


async def test_all_thresholds_go_to_alga_psa_when_that_is_asked_for(
    tmp_path: Path, server: RedisServer
) -> None:
    async with desk(tmp_path / "data", s=table(server, format="alga", thresholds="all")) as running:
        await running.tickets("A", targets=[target(60, None, (70, 0, 110))], notification_thresholds=[60])
        await running.slad.advance(minutes=120)
        await running.until(lag=0)
    percents = [event["payload"]["thresholdPercent"] for event in events(server.client(), ALGA_STREAM)]
    assert percents == [60, 70, 100]


async def test_the_workflow_engine_of_alga_psa_has_a_stream_of_its_own(
    tmp_path: Path, server: RedisServer
) -> None:
    fields = {"format": "alga", "workflow_stream": "workflow:events:global"}
    async with desk(tmp_path / "data", s=table(server, **fields)) as running:
        await running.tickets("A", targets=[target(60, None, (70, 0, 110))], notification_thresholds=[60])
        await running.slad.advance(minutes=120)
        await running.until(lag=0)
    client = server.client()
    bus, workflow = events(client, ALGA_STREAM), entries(client, "workflow:events:global")
    assert [event["payload"]["thresholdPercent"] for event in bus] == [60, 100]
    assert [json.loads(entry.pop("payload_json")) for entry in workflow] == [e["payload"] for e in bus]
    empty = ("execution_id", "workflow_correlation_key", "user_id", "from_state", "to_state")
    assert workflow[0] == {
        "event_id": bus[0]["id"],
        "event_name": "TICKET_SLA_THRESHOLD_REACHED",
        "event_type": "TICKET_SLA_THRESHOLD_REACHED",
        "tenant": "acme",
        "timestamp": "2026-03-02T09:36:00.000Z",
        **dict.fromkeys(empty, ""),
    }


async def test_thresholds_above_100_may_have_a_type_of_their_own_and_names_are_configuration(
    tmp_path: Path, server: RedisServer
) -> None:
    fields = {
        "format": "alga",
        "above_100": "SLA_ESCALATED",
        "stream": "bus:{tenant_id}:{event_type}",
        "fields": {"body": "{event}", "key": "{tenant_id}/{ticket_id}#{sequence}"},
        "event_types": {"STARTED": "SLA_STARTED", "THRESHOLD_REACHED": "SLA_REACHED"},
        "payload": {"ticket": "ticket_id", "percent": "threshold_percent", "number": "attributes.number"},
    }
    async with desk(tmp_path / "data", s=table(server, **fields)) as running:
        await running.tickets("A", targets=[target(60, None, (0, 0, 150))], attributes={"number": "7"})
        await running.slad.advance(minutes=120)
        await running.until(lag=0)
    client = server.client()
    assert sorted(client.keys()) == [f"bus:acme:SLA_{kind}" for kind in ("ESCALATED", "REACHED", "STARTED")]
    (escalated,) = entries(client, "bus:acme:SLA_ESCALATED")
    assert escalated["key"] == "acme/A#6"
    assert json.loads(escalated["body"])["payload"] == {"ticket": "A", "percent": 150, "number": "7"}
    (started,) = entries(client, "bus:acme:SLA_STARTED")
    assert json.loads(started["body"])["payload"] == {"ticket": "A", "number": "7"}


async def test_a_stream_is_capped_about_where_it_is_told(tmp_path: Path, server: RedisServer) -> None:
    async with desk(tmp_path / "data", s=table(server, max_length=100)) as running:
        await running.tickets(*(f"T-{n}" for n in range(600)))
        await running.until(lag=0)
    assert 100 <= server.client().xlen("slad:events") < 400


async def test_a_server_that_is_killed_and_started_again_gets_everything_in_order(
    tmp_path: Path, server: RedisServer
) -> None:
    async with desk(tmp_path / "data", s=table(server)) as running:
        await running.tickets("A", "B")
        await running.until(lag=0)
        server.kill()
        await running.tickets("C", "D", "E")
        await failing(running, "the Redis server cannot be reached, or closed the connection")
        server.start()
        sink = await running.until(lag=0, state=rpc.SLA_SINK_STATE_READY)
        assert sink.delivered == 5
    assert [event["subject"] for event in events(server.client())] == list("ABCDE")


async def test_a_server_that_hangs_is_given_up_and_asked_again(tmp_path: Path, server: RedisServer) -> None:
    async with desk(tmp_path / "data", s=table(server, timeout="50ms")) as running:
        await running.tickets("A")
        await running.until(lag=0)
        server.freeze()
        await running.tickets("B")
        await failing(running, "the Redis server does not answer in time")
        server.thaw()
        await running.until(lag=0)
    subjects = [event["subject"] for event in events(server.client())]
    assert list(dict.fromkeys(subjects)) == ["A", "B"], (
        "doubles are possible: it may have heard the first one"
    )


async def test_a_wrong_password_and_then_the_right_one_without_a_restart(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "password"
    secret.write_text("not-the-one\n", "utf-8")
    with redis_server(tmp_path / "redis", "--requirepass", "s3cret-word") as server:
        async with desk(tmp_path / "data", s=table(server, password_file=str(secret))) as running:
            await running.tickets("A")
            sink = await failing(running, "the Redis server refuses the user name or the password")
            assert "not-the-one" not in str(sink)
            secret.write_text("s3cret-word\n", "utf-8")
            await running.until(lag=0)
        assert [event["subject"] for event in events(server.client(password="s3cret-word"))] == ["A"]
        async with desk(tmp_path / "other", s=table(server)) as running:
            await running.tickets("B")
            await failing(running, "the Redis server requires a password")
    told = capfd.readouterr()
    assert "s3cret-word" not in told.err + told.out


async def test_a_user_of_its_own_with_few_permissions(tmp_path: Path, server: RedisServer) -> None:
    secret = tmp_path / "password"
    secret.write_text("pw", "utf-8")
    client = server.client()
    client.acl_setuser(
        "desk", enabled=True, passwords=["+pw"], keys=["other:*"], commands=["+xadd", "+multi"]
    )
    wanted = table(server, username="desk", password_file=str(secret))
    async with desk(tmp_path / "data", s=wanted) as running:
        await running.tickets("A")
        await failing(running, "the Redis user has no permission for these commands or keys")
        client.acl_setuser(
            "desk", enabled=True, keys=["slad:*"], commands=["+xadd", "+multi", "+exec", "+client"]
        )
        await running.until(lag=0)
    assert [event["subject"] for event in events(client)] == ["A"]


async def test_a_key_that_is_no_stream(tmp_path: Path, server: RedisServer) -> None:
    client = server.client()
    client.set("slad:events", "somebody's")
    async with desk(tmp_path / "data", s=table(server)) as running:
        await running.tickets("A", "B")
        await failing(running, "the Redis key 'slad:events' holds something other than a stream")
        client.delete("slad:events")
        await running.until(lag=0)
    assert [event["subject"] for event in events(client)] == ["A", "B"]


@pytest.mark.slow
async def test_a_read_only_replica(tmp_path: Path, server: RedisServer) -> None:
    client = server.client()
    with redis_server(tmp_path / "replica", "--replicaof", "127.0.0.1", str(server.port)) as replica:
        await eventually(lambda: replica.client().info("replication")["master_link_status"] == "up")
        async with desk(tmp_path / "data", s=table(replica)) as running:
            await running.tickets("A", "B")
            await failing(running, "the Redis server is a read-only replica")
            replica.client().replicaof("NO", "ONE")
            await running.until(lag=0)
        assert [event["subject"] for event in events(replica.client())] == ["A", "B"]
    assert client.exists("slad:events") == 0


async def test_a_server_out_of_memory_takes_nothing_rather_than_a_part(
    tmp_path: Path, server: RedisServer
) -> None:
    client = server.client()
    client.config_set("maxmemory", "1")
    async with desk(tmp_path / "data", s=table(server)) as running:
        await running.tickets("A", "B", "C")
        await failing(running, "the Redis server is out of memory (maxmemory)")
        assert client.exists("slad:events") == 0
        client.config_set("maxmemory", "0")
        await running.until(lag=0)
    assert [event["subject"] for event in events(client)] == ["A", "B", "C"]


async def test_a_unix_socket_and_a_database_by_number(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    with redis_server(tmp_path / "redis", "--unixsocket", str(path)) as server:
        async with desk(tmp_path / "data", s=table(server, url=f"unix://{path}?db=3")) as running:
            await running.tickets("A")
            await running.until(lag=0)
        assert [event["subject"] for event in events(server.client(db=3))] == ["A"]


# --- TLS


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[RedisServer, Path, trustme.CA]]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(files["ca"])
    certificate.private_key_pem.write_to_path(files["key"])
    files["cert"].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    options = [
        "--tls-cert-file",
        files["cert"],
        "--tls-key-file",
        files["key"],
        "--tls-ca-cert-file",
        files["ca"],
    ]
    with redis_server(tmp_path / "redis", *map(str, options), "--tls-auth-clients", "no", tls=True) as server:
        yield server, files["ca"], authority


async def test_tls(tmp_path: Path, secured: tuple[RedisServer, Path, trustme.CA]) -> None:
    server, ca_file, _ = secured
    url = f"rediss://localhost:{server.port}"
    async with desk(tmp_path / "data", s=table(server, url=url, ca_file=str(ca_file))) as running:
        await running.tickets("A")
        await running.until(lag=0)
    client = redis.Redis(
        port=server.port,
        ssl=True,
        ssl_ca_certs=str(ca_file),
        decode_responses=True,
        ssl_min_version=ssl.TLSVersion.TLSv1_2,
    )
    assert [event["subject"] for event in events(client)] == ["A"]


async def test_a_certificate_that_is_not_trusted(
    tmp_path: Path, secured: tuple[RedisServer, Path, trustme.CA]
) -> None:
    server, _, _ = secured
    async with desk(tmp_path / "data", s=table(server, url=f"rediss://localhost:{server.port}")) as running:
        await running.tickets("A")
        sink = await running.until(failures=lambda count: count > 5)
        assert sink.last_error.startswith("no TLS with the Redis server: ")
        assert sink.lag == 1


async def test_tls_on_one_side_only(
    tmp_path: Path, server: RedisServer, secured: tuple[RedisServer, Path, trustme.CA]
) -> None:
    tls_server, ca_file, _ = secured
    tls_only = table(server, url=f"redis://127.0.0.1:{tls_server.port}", timeout="100ms")
    plain_only = table(server, url=f"rediss://localhost:{server.port}", ca_file=str(ca_file), timeout="100ms")
    async with desk(tmp_path / "data", s=tls_only, t=plain_only) as running:
        await running.tickets("A")
        for name in ("s", "t"):
            sink = await running.until(name, failures=lambda count: count > 5)
            assert sink.last_error in (
                "the Redis server cannot be reached, or closed the connection",
                "the Redis server does not answer in time",
            )
            assert (sink.lag, sink.parked) == (1, 0)
