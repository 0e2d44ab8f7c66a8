"""Temporal behind TLS: a real server that wants a certificate, an API key, and what is said when it fails."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from msgspec.structs import replace
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceResponse,
    DescribeTaskQueueResponse,
    GetSystemInfoResponse,
)
from temporalio.client import WorkflowExecutionStatus

from slad.config.settings import ConnectionSettings, RoutingSettings, TemporalSettings
from slad.engine.doctor import Severity
from slad.temporal.passthrough.checkup import examine_link
from slad.temporal.workflow.names import workflow_id
from tests.slad_under_test import daemon_running
from tests.system.security.test_tls import put
from tests.temporal.dev_server import Tried, dev_server

NAME = "temporal.test"
"""On the certificate: not the host of the address, so that it has to be told."""


class Papers:
    """An authority for the server and one for its callers, with a certificate of each."""

    def __init__(self, folder: Path) -> None:
        self.authority, self.callers = trustme.CA(), trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.server = self.authority.issue_cert(NAME)
        self.certificate, self.key = put(folder, "slad", self.callers.issue_cert("slad.test"))
        self.foreign = put(folder, "foreign", trustme.CA().issue_cert("slad.test"))

    def context(self) -> ssl.SSLContext:
        """The server's side, which wants a certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["h2"])
        self.server.configure_cert(context)
        context.verify_mode = ssl.CERT_REQUIRED
        self.callers.configure_trust(context)
        return context

    def settings(self, address: str) -> ConnectionSettings:
        """With all that a server may ask for."""
        return ConnectionSettings(
            address,
            tls_ca=self.ca,
            tls_cert=self.certificate,
            tls_key=self.key,
            tls_server_name=NAME,
        )


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    folder = tmp_path / "papers"
    folder.mkdir()
    return Papers(folder)


@asynccontextmanager
async def in_front_of(address: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """What ends the TLS of Temporal's frontend, as a proxy does; its own address."""
    host, _, port = address.rpartition(":")
    open_writers: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        open_writers.update((writer, inner_writer))
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_writers:
            writer.close()
        await asyncio.sleep(0)


async def verdict(settings: ConnectionSettings) -> tuple[Severity, str]:
    """What the doctor says of the connection."""
    first, *_ = await examine_link(settings)
    return first.severity, first.text


async def test_a_ticket_goes_to_temporal_over_mtls(tmp_path: Path, papers: Papers) -> None:
    with dev_server(tmp_path) as server:
        client = await server.client()
        async with in_front_of(server.address, papers.context()) as address:
            connection = papers.settings(address)
            assert await verdict(connection) == (
                Severity.OK, f"{address}, namespace default can be used, over TLS",
            )  # fmt: skip
            settings = TemporalSettings(RoutingSettings("temporal"), connection)
            async with daemon_running(tmp_path / "data", now=None, temporal=settings) as slad:
                tried = Tried(slad, client, connection.task_queue)
                await slad.start("T-1", tenant_id="acme")
                await tried.drained()
                handle = client.get_workflow_handle(workflow_id("acme", "T-1"))
                assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING


async def test_what_is_wrong_with_the_papers_is_told(papers: Papers) -> None:
    async with in_front_of("127.0.0.1:1", papers.context()) as address:
        good = papers.settings(address)
        certificate, key = papers.foreign
        for settings, says in (
            (replace(good, tls_cert=None, tls_key=None), "see temporal.tls_cert"),
            (replace(good, tls_cert=certificate, tls_key=key), "see temporal.tls_cert"),
            (replace(good, tls_server_name="other.test"), "its certificate is not trusted"),
            (replace(good, tls_ca=certificate), "its certificate is not trusted"),
        ):
            found = await verdict(settings)
            assert found[0] is Severity.FAILURE
            assert says in found[1], settings


async def test_a_server_without_tls_is_told(tmp_path: Path, papers: Papers) -> None:
    with dev_server(tmp_path) as server:
        await server.client()
        found = await verdict(papers.settings(server.address))
        assert found[0] is Severity.FAILURE
        assert "it does not speak TLS" in found[1]


ANSWERS = {
    "GetSystemInfo": GetSystemInfoResponse(),
    "DescribeNamespace": DescribeNamespaceResponse(),
    "DescribeTaskQueue": DescribeTaskQueueResponse(),
}


class Frontend(grpc.GenericRpcHandler):
    """As much of a frontend as the doctor asks, for callers with a key; it notes what they send."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.refuses_with = grpc.StatusCode.UNAUTHENTICATED

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        answer = ANSWERS[details.method.rpartition("/")[2]]

        async def call(_request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            metadata = dict(context.invocation_metadata() or ())
            if metadata.get("authorization") != "Bearer secret-1":
                await context.abort(self.refuses_with, "no such key")
            self.calls.append(metadata)
            return answer.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(call)


@asynccontextmanager
async def frontend_running(papers: Papers) -> AsyncIterator[tuple[Frontend, ConnectionSettings]]:
    """(it, how to reach it but for the key)."""
    frontend, server = Frontend(), grpc.aio.server()
    server.add_generic_rpc_handlers((frontend,))
    chain = b"".join(part.bytes() for part in papers.server.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(papers.server.private_key_pem.bytes(), chain)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield (
            frontend,
            ConnectionSettings(f"127.0.0.1:{port}", "desk", tls_ca=papers.ca, tls_server_name=NAME),
        )
    finally:
        await server.stop(None)


async def test_the_api_key_goes_with_every_call(papers: Papers) -> None:
    async with frontend_running(papers) as (frontend, settings):
        assert (await verdict(replace(settings, api_key="secret-1")))[0] is Severity.OK
    assert len(frontend.calls) >= 3
    assert {call["temporal-namespace"] for call in frontend.calls[1:]} == {"desk"}


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
async def test_a_key_that_is_not_taken_is_told(papers: Papers, code: grpc.StatusCode) -> None:
    async with frontend_running(papers) as (frontend, settings):
        frontend.refuses_with = code
        found = await verdict(replace(settings, api_key="secret-2"))
    assert found[0] is Severity.FAILURE
    assert "see temporal.api_key" in found[1]
    assert frontend.calls == []


def test_a_key_is_never_sent_in_the_clear() -> None:
    assert ConnectionSettings(api_key="secret-1").uses_tls
