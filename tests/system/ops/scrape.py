"""Reading slad's metrics as Prometheus does, and what slad is to have done before."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import trustme
from prometheus_client.parser import text_string_to_metric_families
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import tokens_pb2, tokens_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.config.settings import (
    ConnectionSettings,
    FenceSettings,
    MetricsSettings,
    RoutingSettings,
    TemporalSettings,
    TlsSettings,
)
from slad.config.sinks import read_sinks
from slad.storage.database import REPLICA_KNOWS, mark
from tests.delivery.sinks.desk import Desk
from tests.paths import ROOT
from tests.slad_under_test import Slad, refused, slad_running

DOCUMENT = ROOT / "docs" / "metrics.md"
ANYWHERE = MetricsSettings("127.0.0.1:0")

TEMPORAL_AWAY = TemporalSettings(
    RoutingSettings(mode="by-tenant", tenants=("remote",)), ConnectionSettings(address="127.0.0.1:1")
)
"""A pass-through for the tenant `remote`, to nobody."""


@dataclass
class Exposed:
    """One metric as it was scraped."""

    kind: str
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)
    """By the name of the series and its labels."""

    @property
    def labels(self) -> set[str]:
        return {name for _, labels in self.samples for name, _ in labels} - {"le"}

    def values_of(self, label: str) -> set[str]:
        return {value for _, labels in self.samples for name, value in labels if name == label}


class Scrape(dict[str, Exposed]):
    """What one scrape found, by the name of the metric as it is documented."""

    def __call__(self, name: str, /, **labels: str) -> float:
        """The value of one series; of a histogram by the name of its `_count`, `_sum` or `_bucket`."""
        metric = self[re.sub(r"_(count|sum|bucket)$", "", name) if name not in self else name]
        return metric.samples[name, frozenset(labels.items())]


async def scrape(address: str) -> Scrape:
    def read() -> str:
        with urlopen(f"http://{address}/metrics", timeout=30) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
            return str(answer.read().decode())

    found = Scrape()
    for family in text_string_to_metric_families(await asyncio.to_thread(read)):
        exposed = Exposed(family.type)
        for sample in family.samples:
            exposed.samples[sample.name, frozenset(sample.labels.items())] = sample.value
        found[f"{family.name}_total" if family.type == "counter" else family.name] = exposed
    return found


def documented() -> dict[str, tuple[str, set[str]]]:
    """Name → (kind, labels) of the tables in docs/metrics.md."""
    rows = re.findall(
        r"^\| `([a-z_]+)` \| (\w+) \|([^|]*)\| .+ \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE
    )
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


REPLICA_AGE_MS = 90_000
TOKEN_EXPIRES = datetime(2026, 4, 1, tzinfo=UTC)
CERTIFICATE_EXPIRES = datetime(2099, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def busy_slad(data: Path, *, with_sink: bool = False) -> AsyncIterator[Slad]:
    """A slad with metrics that has done everything of which there is a metric, on a known scale.

    Three tickets with a response target of 60 and a resolution target of 240 minutes, from 09:00 on: T-1
    breaches its response, T-2 is answered in time although the caller says it was not, T-3 is paused.
    """
    lines = {"type": "jsonl", "path": f"{data}.jsonl"}
    sinks = read_sinks({"s": lines}) if with_sink else {}
    async with slad_running(data, metrics=ANYWHERE, sinks=sinks) as slad:
        for number in (1, 2, 3):
            await slad.start(f"T-{number}")
        await slad.backend.PauseSla(rpc.PauseSlaRequest(ticket_id="T-3", reason=1))
        for met in (False, False):  # the second changes nothing, so it is no further difference
            await slad.backend.CompleteSla(
                rpc.CompleteSlaRequest(ticket_id="T-2", phase=pb.SLA_PHASE_RESPONSE, met=met)
            )
        await refused(slad.backend.PauseSla(rpc.PauseSlaRequest(ticket_id="T-2")))
        await refused(slad.backend.CancelSla(rpc.CancelSlaRequest(ticket_id="unknown")))
        batch = rpc.ExecuteSlaRequest(commands=[rpc.SlaCommand()])
        batch.commands.add().pause.MergeFrom(rpc.PauseSlaRequest(ticket_id="T-3", reason=1))
        async for _ in slad.backend.ExecuteSla(iter([batch])):
            pass
        await slad.advance(hours=1)
        reader = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa", after_sequence=2))
        reply = await reader.read()
        await slad.backend.AckSlaEvents(
            rpc.AckSlaEventsRequest(consumer="psa", sequence=reply.events[0].sequence)
        )
        await slad.advance(minutes=10)
        if with_sink:
            await Desk(slad).until(lag=0)
        await until_counted(slad)
        yield slad
        reader.cancel()


async def until_counted(slad: Slad) -> None:
    """What is counted beside the scrapes has been counted."""
    async with asyncio.timeout(60):
        while True:
            found = await scrape(slad.daemon.observability.metrics_address)
            if found["slad_tickets_by_status"].samples and found["slad_cycles_overdue"].samples:
                return


async def scrape_everything(data: Path) -> Scrape:
    """Every metric with samples: of a busy slad with a sink, of one that passes through to Temporal, of one
    with a certificate and a token that expires, and of one with a replica and a fence."""
    async with busy_slad(data / "busy", with_sink=True) as slad:
        found = await scrape(slad.daemon.observability.metrics_address)
    async with slad_running(data / "through", metrics=ANYWHERE, temporal=TEMPORAL_AWAY) as slad:
        through = await scrape(slad.daemon.observability.metrics_address)
    async with guarded_slad(data / "guarded") as slad:
        guarded = await scrape(slad.daemon.observability.metrics_address)
    assert found.keys() == through.keys() == guarded.keys()
    async with fenced_slad(data / "fenced") as slad:
        fenced = await scrape(slad.daemon.observability.metrics_address)
    others = (found, through, guarded, fenced)
    return Scrape({name: next((o[name] for o in others if o[name].samples), found[name]) for name in found})


def _certificate(folder: Path) -> TlsSettings:
    folder.mkdir()
    issued = trustme.CA().issue_cert("localhost", not_after=CERTIFICATE_EXPIRES)
    pem, key = folder / "server.pem", folder / "server.key"
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(pem))
    return TlsSettings(pem, key)


@asynccontextmanager
async def guarded_slad(data: Path) -> AsyncIterator[Slad]:
    """A slad with TLS, and a token that expires at TOKEN_EXPIRES."""
    tls = _certificate(data)
    listen = (f"unix:{data}/slad.sock", "localhost:0")
    async with slad_running(data / "data", metrics=ANYWHERE, listen=listen, tls=tls) as slad:
        request = tokens_pb2.CreateSlaTokenRequest(role=tokens_pb2.SLA_ROLE_READ, all_tenants=True)
        request.expires_at.FromDatetime(TOKEN_EXPIRES)
        await tokens_pb2_grpc.SlaTokensStub(slad.channel).CreateSlaToken(request)
        yield slad


@asynccontextmanager
async def fenced_slad(data: Path) -> AsyncIterator[Slad]:
    """A slad with a fence, whose replica was read back."""
    fence = FenceSettings(str(data.with_name("fence")))
    async with slad_running(data, now=None, metrics=ANYWHERE, fence=fence) as slad:
        mark(data, REPLICA_KNOWS, slad.daemon.clock.now() - REPLICA_AGE_MS)
        yield slad
